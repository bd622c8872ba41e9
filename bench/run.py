"""Measures Lanner: `python -m bench.run [--quick] [--rounds N] [--only TEXT] [--output FILE]`.

Every figure is a ratio to a named baseline that was measured beside it: see bench/measure.py. Times inside the process
are CPU time of one core, times of commands are wall-clock time.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path

from bench import replay, rulesets, scenarios
from bench.measure import Group, Measurement, machine, measure, table
from bench.rulesets import Rules
from bench.scenarios import FALCO, SHIPPED, Events
from lanner.alert import Alert
from lanner.engine.engine import Engine

COLD = 1_000
"""Events that count as the first ones."""


class Inputs:
    """Recorded events and Falco's rules, or made-up events and the shipped rules. `quick`: just enough to run."""

    def __init__(self, quick: bool, replay_size: int) -> None:
        self.quick = quick
        self.replay_size = replay_size
        limit = 1_500 if quick else None
        names = ("bench-60k",) if quick else ("bench-60k", "corpus")
        found = [events for events in (scenarios.recorded(name, limit) for name in names) if events is not None]
        self.events = found or [scenarios.generated(1_500 if quick else 20_000)]
        paths = (("Falco's rules", FALCO), ("the shipped rules", SHIPPED))
        self.rules = [Rules(name, path.read_text("utf-8")) for name, path in paths if path.exists()]

    def of(self, count: int) -> int:
        """That many of something, or few."""
        return max(2, count // 50) if self.quick else count


def groups(inputs: Inputs) -> Iterator[Group]:
    """All that is measured, in the order it is told."""
    for events in inputs.events:
        yield Group(f"an event of {events.name}", partial(engine, events, inputs.rules))
    yield Group("many rules", partial(many_rules, inputs), rounds=5)
    for title, changed in many_constants(inputs):
        yield Group(title, partial(compared, inputs, changed), rounds=5)
    yield Group("words in config maps", partial(config_maps, inputs))
    yield Group("first events", partial(first_events, inputs), rounds=5)
    yield Group("loading", partial(loading, inputs), rounds=3)
    yield Group("an alert for every event", partial(alerting, inputs))
    yield Group(f"an event with a response of {inputs.of(2_000):,} kB", partial(large_bodies, inputs))
    yield Group(f"a config map of {inputs.of(1_000):,} kB", partial(hostile_words, inputs))
    for name, change in scenarios.ODDITIES.items():
        yield Group(f"odd events: {name}", partial(odd_events, inputs, name, change))
    yield Group(f"lanner replay of {inputs.replay_size:,} MB", partial(replays, inputs), rounds=3)
    yield Group("commands", partial(commands, inputs))


def engine(events: Events, all_rules: Sequence[Rules]) -> list[Measurement]:
    """The ways of an event, each compared with the floor."""
    count = len(events.lines)
    against_floor = partial(Measurement, count=count, baseline="floor")
    found = [
        Measurement("floor", scenarios.floor(events), count),
        against_floor("decode, all attributes", scenarios.decode_lines(events)),
    ]
    for number, rules in enumerate(all_rules):
        ruleset = rules.load().ruleset
        title = "" if number == 0 else f"{rules.name}: "
        aim = 1.4 if number == 0 else None
        scenarios.warm(events, ruleset)
        found += [
            against_floor(f"{title}decode what rules ask for", scenarios.decode_asked(events, ruleset)),
            against_floor(f"{title}match", scenarios.match(events, ruleset)),
            against_floor(f"{title}decode + match", scenarios.decode_and_match(events, ruleset), aim=aim),
            against_floor(f"{title}Engine.process", scenarios.process(events, ruleset)),
            against_floor(f"{title}bodies of 400", scenarios.bodies_and_match(events, ruleset)),
            against_floor(f"{title}Engine.process + JSON", scenarios.alerts(events, ruleset, Alert.to_json)),
        ]
    return found


def many_rules(inputs: Inputs) -> list[Measurement]:
    """The rules 10 and 100 times, each copy with constants of its own."""
    first, rules = inputs.events[0], inputs.rules[0]
    count = len(first.lines)
    base = f"{len(rules.load().rules)} rules"
    found = [Measurement(base, scenarios.decode_and_match(first, rules.load().ruleset), count)]
    for factor, aim in ((2, 1.3), (3, 2.0)) if inputs.quick else ((10, 1.3), (100, 2.0)):
        loaded = rules.copies(factor).load()
        scenario = scenarios.decode_and_match(first, loaded.ruleset)
        found.append(Measurement(f"{len(loaded.rules):,} rules", scenario, count, base, aim))
    return found


Changed = Callable[[Rules], Rules]


def many_constants(inputs: Inputs) -> Iterator[tuple[str, list[Changed]]]:
    """Rules with very many constants: a title and what is added to the rules."""
    of = inputs.of
    yield (
        "many items of a list",
        [partial(rulesets.in_list, field=field, count=of(50_000)) for field in ("ka.user.name", "ka.target.name")],
    )
    among = rulesets.CONFIGMAP
    yield (
        "many words",
        [
            *(partial(rulesets.contains, field="ka.uri", count=of(1_000), spread=spread) for spread in (False, True)),
            *(
                partial(rulesets.contains, field="ka.req.configmap.obj", count=of(1_000), spread=spread, among=among)
                for spread in (False, True)
            ),
        ],
    )
    yield (
        "many patterns",
        [
            partial(make, field="ka.uri", count=of(count), spread=spread)
            for make, count in ((rulesets.regexes, 200), (rulesets.globs, 500), (rulesets.prefixes, 1_000))
            for spread in (False, True)
        ],
    )
    yield "many paths", [partial(rulesets.path_prefixes, field="ka.uri", count=of(1_000))]


def compared(inputs: Inputs, changed: Sequence[Changed], events: Events | None = None) -> list[Measurement]:
    """Rules without and with something."""
    rules = inputs.rules[0]
    chosen = events or inputs.events[0]
    count = len(chosen.lines)
    found = [Measurement("without", scenarios.decode_and_match(chosen, rules.load().ruleset), count)]
    for change in changed:
        more = change(rules)
        scenario = scenarios.decode_and_match(chosen, more.load().ruleset)
        found.append(Measurement(more.name, scenario, count, "without", 1.5))
    return found


def config_maps(inputs: Inputs) -> list[Measurement]:
    """The same where it weighs most: nothing but changes of config maps, each of which has to be searched."""
    resource, body = b'"resource":"configmaps"', b'"requestObject":{'
    lines = [line for line in inputs.events[0].lines if resource in line and body in line]
    among = rulesets.CONFIGMAP
    events = Events("config maps", lines * (1 + 5 * (not inputs.quick)))
    count = inputs.of(1_000)
    changed = partial(rulesets.contains, field="ka.req.configmap.obj", count=count, among=among)
    return compared(inputs, [changed], events)


def first_events(inputs: Inputs) -> list[Measurement]:
    """The first events on a ruleset that has seen none, compared with the same events once all are known."""
    first, rules = inputs.events[0], inputs.rules[0]
    lines = first.lines[:COLD]
    found = []
    for some in (rules, rules.copies(inputs.of(100))):
        ruleset = some.load().ruleset
        scenarios.warm(first, ruleset)
        title = f"{len(ruleset):,} rules"
        steady = scenarios.each_line(lines * 10, Engine(ruleset).process)
        found += [
            Measurement(f"{title}, steady", steady, len(lines) * 10),
            Measurement(
                f"{title}, first {COLD:,}", scenarios.cold_start(first, some, COLD), len(lines), f"{title}, steady", 5
            ),
        ]
    return found


def loading(inputs: Inputs) -> list[Measurement]:
    """From text to a ruleset. At 105 times 48 rules there are 5,040."""
    rules = inputs.rules[0]
    more = rules.copies(inputs.of(105))
    count = len(more.load().rules)
    base = f"{len(rules.load().rules)} rules"
    return [
        Measurement(base, scenarios.load(rules), unit="ms"),
        Measurement(f"{count:,} rules", scenarios.load(more), baseline=base, limit=5.0, unit="ms"),
    ]


def alerting(inputs: Inputs) -> list[Measurement]:
    """Every event raises an alert of a usual kind, which one output or three outputs write."""
    first = inputs.events[0]
    count = len(first.lines)
    output = "every event (user=%ka.user.name verb=%ka.verb target=%ka.target.name/%ka.target.resource uri=%ka.uri)"
    rule = f"- rule: every event\n  desc: d\n  condition: ka.verb exists\n  output: {output}\n"
    ruleset = Rules("all", f"{rule}  priority: NOTICE\n  source: k8s_audit\n").load().ruleset
    scenarios.warm(first, ruleset)
    three = (Alert.to_json, Alert.to_text, _fields)
    return [
        Measurement("floor", scenarios.floor(first), count),
        Measurement("nobody asks", scenarios.alerts(first, ruleset), count, "floor"),
        Measurement("one output: JSON", scenarios.alerts(first, ruleset, Alert.to_json), count, "floor"),
        Measurement(
            "three outputs: JSON, text, fields",
            scenarios.alerts(first, ruleset, *three),
            count,
            "floor",
            limit=1 / 60_000,
        ),
    ]


def _fields(alert: Alert) -> object:
    return alert.output_fields


def large_bodies(inputs: Inputs) -> list[Measurement]:
    """Lists are the largest events; their bodies should cost no more than skipping over them."""
    event = scenarios.large_list(inputs.of(2_000_000))
    times = inputs.of(100)
    ruleset = inputs.rules[0].load().ruleset
    events = Events("large", [event] * times)
    base = "skipped by msgspec"
    return [
        Measurement(base, scenarios.scan(event, times), times),
        Measurement("floor", scenarios.floor(events), times, base),
        Measurement("Engine.process", scenarios.process(events, ruleset), times, base, 1.5),
    ]


def hostile_words(inputs: Inputs) -> list[Measurement]:
    """The words that rules look for end alike, and a body is full of that end; compared with text of another kind."""
    end = ".example.com"
    ruleset = rulesets.ending(end, inputs.of(1_000)).load().ruleset
    size, times = inputs.of(1_000_000), inputs.of(100)
    bodies = {"usual text": "lorem ipsum ", "full of what words end with": end}
    found: list[Measurement] = []
    for name, text in bodies.items():
        events = Events(name, [scenarios.config_map(text * (size // len(text)))] * times)
        base = found[0].name if found else None
        found.append(Measurement(name, scenarios.decode_and_match(events, ruleset), times, base))
    return found


def odd_events(inputs: Inputs, name: str, change: Callable[[bytes], bytes]) -> list[Measurement]:
    """Events with something that the API server never writes, compared with the same ones without."""
    ruleset = inputs.rules[0].load().ruleset
    lines = inputs.events[0].lines[: inputs.of(3_000)]
    usual, odd = Events("usual", lines), Events(name, [change(line) for line in lines])
    for events in (usual, odd):
        scenarios.warm(events, ruleset)
    return [
        Measurement("the usual ones", scenarios.process(usual, ruleset), len(lines)),
        Measurement(name, scenarios.process(odd, ruleset), len(lines), "the usual ones"),
    ]


def commands(inputs: Inputs) -> list[Measurement]:
    """Commands in a fresh process, by the clock."""
    lanner = ("-c", "from lanner.cli.main import main; main()")
    path = str(FALCO if FALCO.exists() else SHIPPED)
    by_the_clock = partial(Measurement, baseline="python -c pass", unit="ms")
    return [
        Measurement("python -c pass", scenarios.command(("-c", "pass")), unit="ms"),
        by_the_clock("lanner --help", scenarios.command((*lanner, "--help"))),
        by_the_clock(f"lanner check ({inputs.rules[0].name})", scenarios.command((*lanner, "check", path))),
    ]


class Replay:
    """`lanner replay` with a number of processes: a run, and then what it took besides time."""

    def __init__(self, jobs: int, size: int) -> None:
        self._jobs, self._size = jobs, size
        self._last: replay.Run | None = None

    def seconds(self) -> float:
        """Run, and tell the time by the clock."""
        self._last = replay.measure(self._jobs, self._size, None)
        return self._last.seconds

    def cpu(self) -> float:
        """CPU seconds of all processes in that run."""
        assert self._last is not None
        return self._last.cpu

    def memory(self) -> float:
        """MB that the largest process took at its peak."""
        assert self._last is not None
        return max(self._last.peaks)


def replays(inputs: Inputs) -> list[Measurement]:
    """One process and two, in turn. The aim: 1.8 times as fast, 150 MB for each process."""
    one, two = (Replay(jobs, inputs.replay_size * replay.MB) for jobs in replay.JOBS)
    in_seconds = partial(Measurement, unit="s")
    memory = partial(Measurement, unit="MB", limit=150)
    return [
        in_seconds("one process", one.seconds),
        in_seconds("one process, CPU time", one.cpu),
        memory("one process, memory", one.memory),
        in_seconds("two processes", two.seconds, baseline="one process", aim=round(1 / 1.8, 2)),
        in_seconds("two processes, CPU time of both", two.cpu, baseline="one process, CPU time"),
        memory("two processes, memory of the larger", two.memory),
    ]


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.run", description="measure Lanner")
    parser.add_argument("--quick", action="store_true", help="a few events and one round: shows that it runs")
    parser.add_argument("--rounds", type=int, metavar="N", help="how often everything runs (5; slow things less)")
    parser.add_argument("--only", metavar="TEXT", default="", help="the groups with this in their name")
    parser.add_argument("--replay-size", type=int, metavar="MB", default=200, help="input of lanner replay (200)")
    parser.add_argument("--output", type=Path, metavar="FILE", help="write the results as JSON")
    options = parser.parse_args(arguments)
    rounds = options.rounds or (1 if options.quick else 5)
    facts = machine()
    inputs = Inputs(options.quick, 2 if options.quick else options.replay_size)
    chosen = (group for group in groups(inputs) if options.only in group.name)
    results = [result for group in chosen for result in measure(group, rounds)]
    if options.quick:
        print("a quick run shows that everything runs; its figures say nothing")
        results = [replace(result, aim=None, limit=None) for result in results]
    print(", ".join(f"{name} {value}" for name, value in facts.items()))
    print(table(results))
    if options.output is not None:
        document = {"machine": facts, "results": [asdict(result) for result in results]}
        options.output.write_text(json.dumps(document, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main()
