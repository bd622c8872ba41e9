"""Compares two runs: `python -m bench.compare BEFORE.json AFTER.json` prints a table in Markdown.

The ratios are what to look at: times change with the machine's mood, ratios far less.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bench.measure import shown


def read(path: Path) -> Mapping[str, Any]:
    """A file that bench/run.py wrote."""
    document: Mapping[str, Any] = json.loads(path.read_bytes())
    return document


def compare(before: Mapping[str, Any], after: Mapping[str, Any]) -> str:
    """A row for each measurement of either run: the best times, the change, and the ratios to the baseline."""
    old, new = _by_name(before), _by_name(after)
    rows = ["| measurement | before | after | change | ratio before | ratio after |", "|---|---:|---:|---:|---:|---:|"]
    for name in [*old, *(name for name in new if name not in old)]:
        change = f"{new[name]['best'] / old[name]['best'] - 1:+.1%}" if name in old and name in new else ""
        cells = (f(results.get(name)) for f in (_time, _ratio) for results in (old, new))
        first, second, *ratios = cells
        rows.append(f"| {name} | {first} | {second} | {change} | {' | '.join(ratios)} |")
    if before["machine"] != after["machine"]:
        rows += ["", "The machines differ:", *_differences(before["machine"], after["machine"])]
    return "\n".join(rows)


def _by_name(run: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    return {f"{result['group']}: {result['name']}": result for result in run["results"]}


def _time(result: Mapping[str, Any] | None) -> str:
    return "" if result is None else shown(result["best"], result["unit"])


def _ratio(result: Mapping[str, Any] | None) -> str:
    return "" if result is None or result["ratio"] is None else f"{result['ratio']:.2f}"


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
