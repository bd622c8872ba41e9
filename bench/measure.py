"""Takes times side by side, and tells them as ratios.

What is compared belongs to one group, and all of a group runs once in each round: a noisy moment of the machine
hits both sides. A ratio is taken within a round; the median over the rounds is told, and the ratio of the
best times besides: where the two differ much, the machine was busy.
"""

from __future__ import annotations

import gc
import os
import platform
import statistics
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from bench.scenarios import Scenario
from lanner.version import __version__

_UNITS = {"us": 1e6, "ms": 1e3, "s": 1.0, "MB": 1.0}


@dataclass(frozen=True)
class Measurement:
    """Something to measure.

    `count`: pieces of work (events) in each run; the time of one is told. `baseline` names the measurement of the same
    group that it is compared with, `aim` is the ratio that is wanted at most, `limit` the highest value.
    """

    name: str
    scenario: Scenario
    count: int = 1
    baseline: str | None = None
    aim: float | None = None
    limit: float | None = None
    unit: str = "us"


@dataclass(frozen=True)
class Group:
    """Measurements that are compared. `build` prepares them, so that only one group at a time takes memory.

    `rounds`: at most so many, for slow ones.
    """

    name: str
    build: Callable[[], list[Measurement]]
    rounds: int | None = None


@dataclass(frozen=True)
class Result:
    """In seconds, for one piece of work (`unit` is for showing it), or in MB.

    `ratio` is the median of the rounds' ratios, `best_ratio` that of the best times.
    """

    group: str
    name: str
    unit: str
    rounds: int
    best: float
    median: float
    baseline: str | None
    ratio: float | None
    best_ratio: float | None
    aim: float | None
    limit: float | None


def measure(group: Group, rounds: int) -> list[Result]:
    """Run every measurement of a group in every round."""
    wanted = group.build()
    rounds = min(rounds, group.rounds or rounds)
    times: dict[str, list[float]] = {each.name: [] for each in wanted}
    gc.collect()
    gc.freeze()  # or each would also pay for looking through what the others have prepared
    for number in range(1, rounds + 1):
        for each in wanted:
            gc.collect()
            progress(f"{group.name}, round {number} of {rounds}: {each.name}")
            times[each.name].append(each.scenario() / each.count)
    gc.unfreeze()
    progress("")
    return [_result(group, each, times) for each in wanted]


def progress(text: str) -> None:
    """Tell on a terminal what is going on."""
    if sys.stderr.isatty():
        print(f"\r{text[:110]:110}\r", end="", file=sys.stderr, flush=True)


def _result(group: Group, each: Measurement, times: dict[str, list[float]]) -> Result:
    own = times[each.name]
    ratio = best_ratio = None
    if each.baseline is not None:
        base = times[each.baseline]
        ratio = statistics.median(mine / theirs for mine, theirs in zip(own, base, strict=True))
        best_ratio = min(own) / min(base)
    return Result(
        group=group.name,
        name=each.name,
        unit=each.unit,
        rounds=len(own),
        best=min(own),
        median=statistics.median(own),
        baseline=each.baseline,
        ratio=ratio,
        best_ratio=best_ratio,
        aim=each.aim,
        limit=each.limit,
    )


def shown(value: float, unit: str) -> str:
    """A time or a size as people read it."""
    return f"{value * _UNITS[unit]:,.{0 if unit == 'MB' else 2}f} {unit}"


HEADINGS = ("", "best", "median", "ratio", "of bests", "to", "aim")


def rows(results: Iterable[Result]) -> list[tuple[str, ...]]:
    """The cells of a table; see HEADINGS."""
    return [
        (
            result.name,
            shown(result.best, result.unit),
            shown(result.median, result.unit),
            "" if result.ratio is None else f"{result.ratio:.2f}",
            "" if result.best_ratio is None else f"{result.best_ratio:.2f}",
            result.baseline or "",
            _aim(result),
        )
        for result in results
    ]


def _aim(result: Result) -> str:
    if result.aim is not None and result.ratio is not None:
        return f"{result.aim:g} {'reached' if result.ratio <= result.aim else 'MISSED'}"
    if result.limit is not None:
        return f"{shown(result.limit, result.unit)} {'reached' if result.median <= result.limit else 'MISSED'}"
    return ""


def table(results: Sequence[Result]) -> str:
    """The results as text, a block for each group."""
    lines = []
    cells = rows(results)
    widths = [max(len(row[column]) for row in (*cells, HEADINGS)) for column in range(len(HEADINGS))]
    group = None
    for result, row in zip(results, cells, strict=True):
        if result.group != group:
            group = result.group
            lines += ["", _line((group, *HEADINGS[1:]), widths)]
        lines.append(_line(row, widths))
    return "\n".join(lines[1:])


def _line(row: Sequence[str], widths: Sequence[int]) -> str:
    name, *numbers, baseline, aim = row
    middle = "  ".join(f"{number:>{width}}" for number, width in zip(numbers, widths[1:], strict=False))
    return f"{name:{widths[0]}}  {middle}  {baseline:{widths[-2]}}  {aim}".rstrip()


def machine() -> dict[str, Any]:
    """What has to be known to read the figures."""
    model = platform.processor()
    cpus = Path("/proc/cpuinfo")
    if cpus.exists():
        models = [line for line in cpus.read_text("utf-8").splitlines() if line.startswith("model name")]
        model = models[0].partition(":")[2].strip() if models else model
    return {
        "processor": model,
        "cores": os.cpu_count(),
        "load": os.getloadavg()[0],
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "msgspec": version("msgspec"),
        "lanner": __version__,
    }
