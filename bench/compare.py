"""Compares two runs: `python -m bench.compare BEFORE.json AFTER.json` prints a table in Markdown."""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any


def read(path: Path) -> Mapping[str, Any]:
    """A file that bench/run.py wrote."""
    document: Mapping[str, Any] = json.loads(path.read_bytes())
    return document


def compare(before: Mapping[str, Any], after: Mapping[str, Any]) -> str:
    """A row for each measurement of either run: the best times and the change."""
    old = {result["name"]: result for result in before["results"]}
    new = {result["name"]: result for result in after["results"]}
    rows = ["| measurement | before | after | change |", "|---|---:|---:|---:|"]
    for name in [*old, *(name for name in new if name not in old)]:
        change = f"{new[name]['best'] / old[name]['best'] - 1:+.1%}" if name in old and name in new else ""
        rows.append(f"| {name} | {_time(old.get(name))} | {_time(new.get(name))} | {change} |")
    if before["machine"] != after["machine"]:
        rows += ["", "The machines differ:", *_differences(before["machine"], after["machine"])]
    return "\n".join(rows)


def _time(result: Mapping[str, Any] | None) -> str:
    if result is None:
        return ""
    return f"{result['best'] * 1e6:.2f} us" if result["count"] > 1 else f"{result['best'] * 1e3:.1f} ms"


def _differences(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    return [
        f"- {name}: {before.get(name)} / {after.get(name)}"
        for name in [*before, *(name for name in after if name not in before)]
        if before.get(name) != after.get(name)
    ]


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.compare", description="compare two runs of bench.run")
    parser.add_argument("before", type=Path)
    parser.add_argument("after", type=Path)
    options = parser.parse_args(arguments)
    print(compare(read(options.before), read(options.after)))


if __name__ == "__main__":
    main()
