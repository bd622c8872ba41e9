"""Measures Lanner: `python -m bench.run [--quick] [--rounds N] [--output FILE]`.

Every scenario runs once in each round, so that a noisy moment hits all alike; the best and the median of the rounds
are told. Times inside the process are CPU time of one core, times of commands are wall-clock time. The ratio is to the
floor of the same events, measured in the same run.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import platform
import statistics
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from time import perf_counter
from typing import Any

from bench import scenarios
from bench.scenarios import Events, Rules, Scenario
from lanner.version import __version__


@dataclass(frozen=True)
class Measurement:
    """Something to measure: `count` events (or 1) for each run; `floor` names the measurement it is compared with.

    `once`: so slow that it runs in the first round only.
    """

    name: str
    scenario: Scenario
    count: int
    floor: str | None = None
    once: bool = False


@dataclass(frozen=True)
class Result:
    """Seconds for one event (for one run where `count` is 1)."""

    name: str
    count: int
    rounds: int
    best: float
    median: float
    ratio: float | None


def command(arguments: Sequence[str]) -> Scenario:
    """The wall-clock time of a command in a fresh process."""
    line = [sys.executable, "-c", "from lanner.cli.main import main; main()", *arguments]

    def run() -> float:
        start = perf_counter()
        subprocess.run(line, stdout=subprocess.DEVNULL, check=True)
        return perf_counter() - start

    return run


def event_sets(quick: bool) -> list[Events]:
    """The recorded events, or generated ones where there are none."""
    limit = 1500 if quick else None
    names = ("bench-60k",) if quick else ("bench-60k", "corpus")
    found = [events for events in (scenarios.recorded(name, limit) for name in names) if events is not None]
    return found or [scenarios.generated(1500 if quick else 20_000)]


def rule_sets() -> list[Rules]:
    """The rulesets that are there, the one of the main measurements first."""
    return [
        Rules(name, path.read_text("utf-8"))
        for name, path in (("falco", scenarios.FALCO), ("shipped", scenarios.SHIPPED))
        if path.exists()
    ]


def measurements(quick: bool) -> list[Measurement]:
    """All that is measured, in the order it is told."""
    found: list[Measurement] = []
    events = event_sets(quick)
    rules = rule_sets()
    loaded = [each.load() for each in rules]
    for group in events:
        floor = f"{group.name}: floor"
        count = len(group.lines)
        found += [
            Measurement(floor, scenarios.floor(group), count, floor),
            Measurement(f"{group.name}: decode", scenarios.decode_lines(group), count, floor),
            Measurement(f"{group.name}: decode, bodies of 400", scenarios.decode_bodies(group), count, floor),
        ]
        for each, result in zip(rules, loaded, strict=True):
            title = f"{group.name}, {each.name} rules"
            scenarios.warmed(result, group)
            found += [
                Measurement(f"{title}: match", scenarios.match(group, result), count, floor),
                Measurement(f"{title}: decode + match", scenarios.decode_and_match(group, result), count, floor),
                Measurement(f"{title}: decode + match + alerts", scenarios.alerts(group, result), count, floor),
            ]
    main = rules[0]
    first = events[0]
    floor = f"{first.name}: floor"
    if not quick:
        copies = main.copies(10)
        scenario = scenarios.decode_and_match(first, scenarios.warmed(copies.load(), first))
        found.append(
            Measurement(f"{first.name}, {copies.name} rules: decode + match", scenario, len(first.lines), floor)
        )
    found.append(Measurement("cold start: first 1,000 events", scenarios.cold_start(first, main), 1))
    for factor in (1, 2) if quick else (1, 10, 100):
        copies = main.copies(factor) if factor > 1 else main
        found.append(Measurement(f"load {copies.name} rules", scenarios.load(copies), 1, once=factor == 100))
    path = scenarios.FALCO if scenarios.FALCO.exists() else scenarios.SHIPPED
    return [
        *found,
        Measurement("lanner --help", command(["--help"]), 1),
        Measurement(f"lanner check ({main.name} rules)", command(["check", str(path)]), 1),
    ]


def measure(all_of_them: Sequence[Measurement], rounds: int) -> list[Result]:
    """Run every measurement in every round."""
    times: dict[str, list[float]] = {each.name: [] for each in all_of_them}
    for number in range(1, rounds + 1):
        for each in all_of_them:
            if each.once and number > 1:
                continue
            gc.collect()
            times[each.name].append(each.scenario() / each.count)
            print(f"\rround {number} of {rounds}: {each.name:60}", end="", file=sys.stderr, flush=True)
    print(f"\r{'':90}\r", end="", file=sys.stderr)
    return [
        Result(
            each.name,
            each.count,
            len(times[each.name]),
            min(times[each.name]),
            statistics.median(times[each.name]),
            min(times[each.name]) / min(times[each.floor]) if each.floor is not None else None,
        )
        for each in all_of_them
    ]


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


def table(results: Sequence[Result]) -> str:
    """The results as text: microseconds and events a second, or milliseconds, and the ratio to the floor."""
    rows = [f"{'':56}{'best':>12}{'median':>12}{'events/s':>12}{'x floor':>9}"]
    for result in results:
        if result.count > 1:
            best, median = f"{result.best * 1e6:.2f} us", f"{result.median * 1e6:.2f} us"
            rate = f"{1 / result.best:,.0f}"
        else:
            best, median, rate = f"{result.best * 1e3:.1f} ms", f"{result.median * 1e3:.1f} ms", ""
        ratio = f"{result.ratio:.2f}" if result.ratio is not None else ""
        rows.append(f"{result.name:56}{best:>12}{median:>12}{rate:>12}{ratio:>9}")
    return "\n".join(rows)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.run", description="measure Lanner")
    parser.add_argument("--quick", action="store_true", help="a few events and one round: shows that it runs")
    parser.add_argument("--rounds", type=int, metavar="N", help="how often everything runs (5)")
    parser.add_argument("--output", type=Path, metavar="FILE", help="write the results as JSON")
    options = parser.parse_args(arguments)
    rounds = options.rounds or (1 if options.quick else 5)
    facts = machine()
    results = measure(measurements(options.quick), rounds)
    print(", ".join(f"{name} {value}" for name, value in facts.items()))
    print(table(results))
    if options.output is not None:
        document = {"machine": facts, "results": [asdict(result) for result in results]}
        options.output.write_text(json.dumps(document, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main()
