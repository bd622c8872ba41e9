"""What the cost of an event is made of: `python -m bench.breakdown [--events NAME] [--rounds N] [--quick]`.

Every step does what the one before it does and one thing more; what that takes is the difference of their best times.
All steps run in turn in every round. A tracing profiler says less here: a traced call costs more than most of these
steps.
"""

from __future__ import annotations

import argparse
import gc
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from time import process_time

import msgspec

from bench import scenarios
from bench.measure import machine, progress
from bench.rulesets import Rules
from bench.scenarios import FALCO, SHIPPED, Events, Scenario, Seconds
from lanner.asked import event_type
from lanner.compiler import ir
from lanner.decode import decode
from lanner.engine.engine import Engine
from lanner.engine.ruleset import CompiledRule, Ruleset
from lanner.event import AuditEvent
from lanner.fields.reads import attributes_of

_BODIES = {("request_object",), ("response_object",)}


@dataclass(frozen=True)
class Step:
    """`name`: what it does that the step before it does not."""

    name: str
    scenario: Scenario


def steps(events: Events, rules: Rules) -> list[Step]:
    """From an empty loop to alerts."""
    lines = events.lines
    loaded = rules.load()
    ruleset = loaded.ruleset
    engine = Engine(ruleset)
    bodiless = Ruleset([rule for rule in loaded.rules if not _reads_bodies(rule)], ruleset.catalog, ir.Builder())
    for some in (ruleset, bodiless):
        scenarios.warm(events, some)
    asked = msgspec.json.Decoder(event_type(ruleset.asks or (), alone=True)).decode
    decode_usual = engine.decode_usual
    return [
        Step("the loop", scenarios.each_line(lines, len)),
        Step("msgspec decodes what rules ask for", scenarios.each_line(lines, asked)),
        Step("size and year are checked, the text remembered", scenarios.decode_asked(events, ruleset)),
        Step("rules that read no bodies: choosing the function", _each_event(lines, decode_usual, bodiless.match)),
        Step("rules that read bodies", _each_event(lines, decode_usual, ruleset.match)),
        Step("counting, and making alerts", _each_event(lines, decode_usual, engine.evaluate)),
    ]


def _reads_bodies(rule: CompiledRule) -> bool:
    return not _BODIES.isdisjoint(_attributes(rule))


def _attributes(rule: CompiledRule) -> Iterable[tuple[str, ...]]:
    for test in ir.tests_of(rule.predicate):
        for value in ir.values_of(test):
            if isinstance(value, ir.FieldValue):
                yield from attributes_of(value.field) or _BODIES


def _each_event(
    lines: Sequence[bytes], decode_usual: Callable[[bytes], AuditEvent | None], work: Callable[[AuditEvent], object]
) -> Scenario:
    def run() -> Seconds:
        start = process_time()
        for line in lines:
            work(decode_usual(line) or decode(line).events[0])
        return process_time() - start

    return run


def uncollected(scenario: Scenario) -> Seconds:
    """The same with Python's garbage collection off."""
    gc.disable()
    try:
        return scenario()
    finally:
        gc.enable()


def measure(events: Events, found: Sequence[Step], rounds: int) -> list[Seconds]:
    """The best time of each step for an event, of the step before alerts without collecting garbage, of the floor."""
    count = len(events.lines)
    all_of_them: list[Scenario] = [
        *(step.scenario for step in found),
        partial(uncollected, found[-2].scenario),
        scenarios.floor(events),
    ]
    best = [float("inf")] * len(all_of_them)
    for number in range(1, rounds + 1):
        for index, scenario in enumerate(all_of_them):
            gc.collect()
            progress(f"round {number} of {rounds}, step {index + 1}")
            best[index] = min(best[index], scenario() / count)
    progress("")
    return best


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.breakdown", description="what an event's cost is made of")
    parser.add_argument("--rounds", type=int, default=15, metavar="N", help="how often everything runs (15)")
    parser.add_argument("--events", default="bench-60k", metavar="NAME", help="recorded events (bench-60k)")
    parser.add_argument("--quick", action="store_true", help="a few events and one round: shows that it runs")
    options = parser.parse_args(arguments)
    limit = 1_500 if options.quick else None
    events = scenarios.recorded(options.events, limit) or scenarios.generated(limit or 20_000)
    path = FALCO if FALCO.exists() else SHIPPED
    found = steps(events, Rules(path.stem, path.read_text("utf-8")))
    *totals, without, floor = measure(events, found, 1 if options.quick else options.rounds)
    whole = totals[-2]  # without what is not matching
    print(", ".join(f"{name} {value}" for name, value in machine().items()))
    print(f"{events.name}, {path.stem}")
    for step, total, before in zip(found, totals, (0.0, *totals), strict=False):
        own = total - before
        print(f"{step.name:50}{own * 1e6:7.2f} us{own / whole:6.0%}   {total * 1e6:7.2f} us so far")
    print(f"{'the floor, for comparison':50}{floor * 1e6:7.2f} us{floor / whole:6.0%}")
    share = whole - without
    print(f"{'garbage collection, within all but the last':50}{share * 1e6:7.2f} us{share / whole:6.0%}")


if __name__ == "__main__":
    main()
