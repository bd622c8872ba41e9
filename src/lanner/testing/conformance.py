"""Runs a folder of conformance cases: `python -m lanner.testing.conformance FOLDER [--file NAME] [--verbose]`.

In: up to six YAML files, each a list of cases and recognised by its stem, and `events/*.json` with `events/ORDER.txt`:

    condition_syntax   condition -> valid, ast_hint (the normal form of condition/printer.py)
    condition_eval     condition, event -> match
    rules_load         files, config -> outcome: errors, warnings, rules, enabled, conditions, outputs, info, fires
    field_values       field, event -> value (null: missing)
    output_format      output, event, config, rule, priority, tags -> rendered, json_fields, json_top, text_line
    event_input        lines -> events, rawtimes

Out: for each file how many cases hold and the ids of those that do not; exit status 0 if all hold, else 1.

Where a case tells what a sane engine does beside what Falco does (`sane_KEY` beside `KEY`, or a mapping `sane`), the
sane one is wanted. Only what a case states is compared. Every case that matches events is answered by the slow
evaluator, the compiled ruleset and the compiled ruleset without dispatch, which have to agree.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import yaml

from lanner.condition.ast import FieldRef
from lanner.condition.parser import ConditionError, parse, parse_operand
from lanner.condition.printer import normal_form
from lanner.config import Config
from lanner.decode import decode
from lanner.diagnostics.diagnostic import Diagnostic
from lanner.diagnostics.report import Report
from lanner.diagnostics.source import SourceFile, Text
from lanner.engine.engine import Engine
from lanner.engine.field_limit import FieldLimit
from lanner.engine.loader import FileResult, LoadResult, load_sources
from lanner.engine.output_format import compile_output
from lanner.engine.ruleset import CompiledRule
from lanner.event import MISSING, AuditEvent
from lanner.testing.answers import Evaluators
from lanner.testing.settings import config_of
from lanner.yamltext import documents, read_source

Case: TypeAlias = Mapping[str, Any]
Problems: TypeAlias = list[str]
"""What does not hold, a line each; empty if the case holds."""

DEPARTED_QUIRKS: dict[str, str] = {}
"""Quirks of Falco that Lanner departs from on purpose, with the reason; cases of these are skipped. Every one of them
is described in docs/differences.md."""

ENVIRONMENT = {"TZ": "UTC", "FALCO_HOSTNAME": "conf-host"}

EVERY_EVENT = "evt.num >= 0"
"""A condition that holds for every event."""

_PADDING = re.compile(r"@PAD(\d+)@")


@dataclass(frozen=True, slots=True)
class Events:
    """The events of a folder: `lines` holds the JSON of each on one line, by name; `order` is the order of a replay."""

    lines: Mapping[str, bytes]
    order: tuple[str, ...]

    @classmethod
    def read(cls, folder: Path) -> Events:
        """Read `folder/*.json` and `folder/ORDER.txt`; a missing folder has no events."""
        # A line break in JSON is a blank between tokens, never part of a string.
        lines = {
            path.stem: path.read_bytes().replace(b"\r", b" ").replace(b"\n", b" ").strip()
            for path in sorted(folder.glob("*.json"))
        }
        order = folder / "ORDER.txt"
        names = order.read_text("utf-8").split() if order.exists() else list(lines)
        return cls(lines, tuple(names))


@dataclass(frozen=True, slots=True)
class Outcome:
    """One case: its id, and what does not hold (nothing: it holds)."""

    id: str
    problems: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class FileOutcome:
    """All cases of one file. `departed` holds the ids that were skipped for a quirk of DEPARTED_QUIRKS."""

    name: str
    outcomes: tuple[Outcome, ...]
    departed: tuple[str, ...]

    @property
    def failing(self) -> tuple[Outcome, ...]:
        return tuple(outcome for outcome in self.outcomes if outcome.problems)

    @property
    def summary(self) -> str:
        """One line: `name: N of M hold`."""
        holding = len(self.outcomes) - len(self.failing)
        departed = f", {len(self.departed)} departed from on purpose" if self.departed else ""
        return f"{self.name}: {holding} of {len(self.outcomes)} hold{departed}"


def wanted(case: Case, main_key: str) -> dict[str, Any]:
    """The case with its sane expectations in the place of Falco's.

    `sane_KEY` replaces `KEY`. `sane` replaces the keys of a mapping, or else the value of `main_key`.
    """
    merged = {key: value for key, value in case.items() if key != "sane" and not key.startswith("sane_")}
    if "sane" in case:
        whole = case["sane"]
        merged.update(whole if isinstance(whole, Mapping) else {main_key: whole})
    merged.update((key.removeprefix("sane_"), value) for key, value in case.items() if key.startswith("sane_"))
    return merged


def check_condition_syntax(case: Case, events: Events) -> Problems:
    """Text -> valid or not, and the tree in normal form."""
    want = wanted(case, "valid")
    try:
        tree = normal_form(parse(Text.plain(want["condition"])))
    except ConditionError as error:
        if not want["valid"]:
            return []
        return [f"wanted a valid condition, got `{error.message}` at {error.span.start}"]
    if not want["valid"]:
        return [f"wanted an error, got {tree}"]
    return _differ("tree", want["ast_hint"], tree) if "ast_hint" in want else []


def check_condition_eval(case: Case, events: Events) -> Problems:
    """Condition + event -> match."""
    want = wanted(case, "match")
    loaded = _load([_rule(want["condition"])], Config.default())
    if not loaded.ok:
        return [f"the rule does not load: {_messages(loaded.diagnostics)}"]
    fired, problems = _fired(loaded, Config.default(), events, [want["event"]])
    matched = bool(fired[want["event"]])
    return problems + _differ("match", want["match"], matched)


def check_rules_load(case: Case, events: Events) -> Problems:
    """Rules files -> errors, warnings, rules, conditions, outputs, and the events that fire.

    Falco ends at its first error; Lanner tells all problems of a file and goes on with the next file. So the files
    behind the first bad one are left out, the first error is the one compared, and a warning behind it may be wanted
    or not; nor is what was compiled looked at then, for Lanner keeps the rules of the good files.
    """
    want = wanted(case, "outcome")
    outcome = want["outcome"]
    config = config_of(want.get("config", {}))
    loaded = _load_until_error(want["files"], config)
    diagnostics, error = _until_error(loaded.files)
    problems = _compare_errors(outcome, error)
    if "warnings" in outcome:
        codes = {diagnostic.code.value for diagnostic in loaded.diagnostics if not diagnostic.is_error}
        said = codes if error is None else {diagnostic.code.value for diagnostic in diagnostics}
        want_codes = set(outcome["warnings"])
        if not (said <= want_codes <= codes):
            problems += [f"warnings: wanted {sorted(want_codes)}, got {sorted(said)}"]
    if error is not None or outcome.get("errors"):
        return problems
    rules = {rule.name: rule for rule in loaded.rules}
    if "rules" in outcome:
        problems += _differ("rules", outcome["rules"], list(rules))
    if "enabled" in outcome:
        enabled = [name for name, rule in rules.items() if rule.enabled]
        problems += _differ("enabled", outcome["enabled"], enabled)
    for name, condition in outcome.get("conditions", {}).items():
        tree = normal_form(rules[name].resolved.condition) if name in rules else None
        problems += _differ(f"condition of `{name}`", condition, tree)
    for name, output in outcome.get("outputs", {}).items():
        template = rules[name].output.template if name in rules else None
        problems += _differ(f"output of `{name}`", output, template)
    for name, info in outcome.get("info", {}).items():
        known = _info(rules[name]) if name in rules else {}
        problems += _differ(f"info of `{name}`", info, {key: known.get(key) for key in info})
    if "fires" in outcome:
        problems += _compare_fires(outcome["fires"], loaded, config, events)
    return problems


def check_field_values(case: Case, events: Events) -> Problems:
    """Field + event -> value. Numbers are compared as the text that outputs print."""
    want = wanted(case, "value")
    config = Config.default()
    ruleset = _load([_rule(EVERY_EVENT)], config).ruleset
    bound = ruleset.catalog.bind(*_field(want["field"]))
    event = _event(events, want["event"])
    Engine(ruleset).evaluate(event)  # counts the event, since the rule asks for the count
    value = bound.value(event)
    got: object = None if value is MISSING else value
    if isinstance(got, (int, bool)):
        template = compile_output(
            Text.plain(f"%{bound.text}"), ruleset.catalog, Report(), FieldLimit(config.service.limits.field)
        )
        assert template is not None
        got = template.render(event)
    return _differ("value", want["value"], got)


def check_output_format(case: Case, events: Events) -> Problems:
    """Output template + event -> text and JSON."""
    want = wanted(case, "rendered")
    settings = {"json_output": True, "time_format_iso_8601": True, **want.get("config", {})}
    config = config_of(settings)
    rule = {
        "rule": want.get("rule", "output"),
        "priority": want.get("priority", "WARNING"),
        "output": want["output"],
        "tags": want.get("tags", []),
    }
    loaded = _load([_rule(EVERY_EVENT, **rule)], config)
    if not loaded.ok:
        return [f"the rule does not load: {_messages(loaded.diagnostics)}"]
    alerts = Engine(loaded.ruleset, config).process(events.lines[want["event"]])
    if len(alerts) != 1:
        return [f"wanted one alert, got {len(alerts)}"]
    [alert] = alerts
    problems: Problems = []
    if "rendered" in want:
        problems += _differ("rendered", want["rendered"], alert.message)
    document = json.loads(alert.to_json())
    if "json_fields" in want:
        # The time of the prefix is a field of every alert; it counts only where the template itself names it.
        got = {
            key: value
            for key, value in alert.output_fields.items()
            if key in want["json_fields"] or key not in ("evt.time", "evt.time.iso8601")
        }
        problems += _differ("json_fields", want["json_fields"], got)
        if "output_fields" in document:
            shown = {key: document["output_fields"].get(key, "ABSENT") for key in got}
            problems += _differ("output_fields of the JSON", want["json_fields"], shown)
    for key, value in want.get("json_top", {}).items():
        problems += _differ(f"JSON key `{key}`", value, document.get(key, "ABSENT"))
    if "text_line" in want:
        text_config = config_of({**settings, "json_output": False})
        [alert] = Engine(_load([_rule(EVERY_EVENT, **rule)], text_config).ruleset, text_config).process(
            events.lines[want["event"]]
        )
        problems += _differ("text_line", want["text_line"].rstrip("\n"), alert.to_text().rstrip("\n"))
    return problems


def check_event_input(case: Case, events: Events) -> Problems:
    """Lines of an audit file -> events, by audit id, and their times in nanoseconds."""
    want = wanted(case, "events")
    got: list[AuditEvent] = []
    for line in want["lines"]:
        padded = _PADDING.sub(lambda match: "x" * int(match[1]), line)
        got += decode(padded.encode("utf-8", "surrogatepass")).events
    problems: Problems = []
    if "events" in want:
        names = [None if event.audit_id is MISSING else event.audit_id for event in got]
        problems += _differ("events", want["events"], names)
    if "rawtimes" in want:
        times = [str(event.time_ns) for event in got]
        problems += _differ("rawtimes", [str(rawtime) for rawtime in want["rawtimes"]], times)
    return problems


CHECKS: dict[str, Callable[[Case, Events], Problems]] = {
    "condition_syntax": check_condition_syntax,
    "condition_eval": check_condition_eval,
    "rules_load": check_rules_load,
    "field_values": check_field_values,
    "output_format": check_output_format,
    "event_input": check_event_input,
}


def read_cases(path: Path) -> list[Case]:
    """The cases of one file. Raises ValueError for a file that is not a list of cases."""
    report = Report()
    source = read_source(path, report)
    if source is not None:
        documents(source, report)  # its limits hold before PyYAML builds values, which recurses in C
    if source is None or report.has_errors:
        raise ValueError(f"`{path}`: {report.diagnostics[0].message}")
    cases = yaml.load(source.text, Loader=yaml.CSafeLoader)  # a safe loader
    if not isinstance(cases, list) or not all(isinstance(case, dict) and "id" in case for case in cases):
        raise ValueError(f"`{path}` is not a list of cases with an `id` each")
    return cases


def check(kind: str, case: Case, events: Events) -> Outcome:
    """Run one case. An exception of the engine is a problem of the case."""
    try:
        problems = CHECKS[kind](case, events)
    except Exception:  # whatever goes wrong in one case must not hide the others
        problems = [traceback.format_exc().rstrip()]
    return Outcome(str(case["id"]), tuple(problems))


def run_folder(folder: Path, only: str | None = None) -> Iterator[FileOutcome]:
    """Run the files of a folder in the order of CHECKS; `only` names one of them, with or without its ending."""
    events = Events.read(folder / "events")
    for kind in CHECKS:
        path = folder / f"{kind}.yaml"
        if not path.exists() or (only is not None and Path(only).stem != kind):
            continue
        cases = read_cases(path)
        departed = tuple(str(case["id"]) for case in cases if case.get("quirk") in DEPARTED_QUIRKS)
        kept = [case for case in cases if case.get("quirk") not in DEPARTED_QUIRKS]
        yield FileOutcome(kind, tuple(check(kind, case, events) for case in kept), departed)


@contextmanager
def environment() -> Iterator[None]:
    """The environment the expectations were made in; puts back the former one at the end."""
    before = {name: os.environ.get(name) for name in ENVIRONMENT}
    os.environ.update(ENVIRONMENT)
    time.tzset()
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
        time.tzset()


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns the exit status: 0 if all cases hold, 1 if not, 2 if there is nothing to run."""
    parser = argparse.ArgumentParser(prog="python -m lanner.testing.conformance", description="run conformance cases")
    parser.add_argument("folder", type=Path, metavar="FOLDER", help="a folder with condition_syntax.yaml and the like")
    parser.add_argument("--file", metavar="NAME", help="run this file only, for example rules_load")
    parser.add_argument("--verbose", action="store_true", help="show what was wanted and what came")
    options = parser.parse_args(arguments)
    with environment():
        files = 0
        failing = 0
        for file in run_folder(options.folder, options.file):
            files += 1
            failing += len(file.failing)
            _print(file, options.verbose)
    if not files:
        print(f"no case files in `{options.folder}`", file=sys.stderr)
        return 2
    return 1 if failing else 0


def _print(file: FileOutcome, verbose: bool) -> None:
    print(file.summary, flush=True)
    if verbose:
        for outcome in file.failing:
            for problem in outcome.problems:
                print(f"  {outcome.id}: {problem.replace(chr(10), chr(10) + '    ')}")
    elif file.failing:
        print("  " + " ".join(outcome.id for outcome in file.failing))


def _differ(what: str, want: object, got: object) -> Problems:
    """A problem if the two are not equal, in type too: true is not 1."""
    if want == got and isinstance(want, bool) == isinstance(got, bool):
        return []
    return [f"{what}: wanted {want!r}, got {got!r}"]


def _messages(diagnostics: Sequence[Diagnostic]) -> str:
    return "; ".join(f"{diagnostic.code.value}: {diagnostic.message}" for diagnostic in diagnostics)


def _rule(condition: str, **more: object) -> str:
    """A rules file with one rule for audit events."""
    rule = {"rule": "case", "desc": "a case", "condition": condition, "output": "seen", "priority": "WARNING"}
    return yaml.dump(
        [{**rule, "source": "k8s_audit", **more}],
        Dumper=yaml.CSafeDumper,
        default_style='"',
        width=1 << 30,
        sort_keys=False,
    )


def _load(files: Sequence[str], config: Config) -> LoadResult:
    return load_sources([SourceFile(f"file{number}.yaml", text) for number, text in enumerate(files, 1)], config)


def _load_until_error(files: Sequence[str], config: Config) -> LoadResult:
    """Load the files up to and including the first one with an error."""
    loaded = _load(files, config)
    for number, file in enumerate(loaded.files, 1):
        if not file.ok and number < len(files):
            return _load(files[:number], config)
    return loaded


def _until_error(files: Sequence[FileResult]) -> tuple[list[Diagnostic], Diagnostic | None]:
    """The diagnostics before the first error, and that error."""
    before: list[Diagnostic] = []
    for file in files:
        for diagnostic in file.diagnostics:
            if diagnostic.is_error:
                return before, diagnostic
            before.append(diagnostic)
    return before, None


def _compare_errors(outcome: Case, error: Diagnostic | None) -> Problems:
    if "errors" not in outcome:
        return []
    if not outcome["errors"]:
        return [] if error is None else [f"wanted no error, got {_messages([error])}"]
    text = outcome["errors"][0]
    code = text.partition(":")[0].strip()
    if error is None:
        return [f"wanted the error {text}, got none"]
    return [] if error.code.value == code else [f"wanted the error {text}, got {_messages([error])}"]


def _info(rule: CompiledRule) -> dict[str, object]:
    """What a case may ask of a rule under `info`."""
    return {
        "name": rule.name,
        "priority": rule.priority.label,
        "tags": list(rule.tags),
        "description": rule.resolved.description,
        "output": rule.resolved.output.value,
        "source": rule.source,
        "enabled": rule.enabled,
    }


def _compare_fires(fires: Case, loaded: LoadResult, config: Config, events: Events) -> Problems:
    fired, problems = _fired(loaded, config, events, events.order)
    for rule, names in fires.items():
        got = [name for name in events.order if rule in fired[name]]
        problems += _differ(f"events on which `{rule}` fires", names, got)
    return problems


def _fired(
    loaded: LoadResult, config: Config, events: Events, names: Sequence[str]
) -> tuple[dict[str, tuple[str, ...]], Problems]:
    """The rules that fire on each of the events, fed one after the other, and where the evaluators do not agree."""
    fired: dict[str, tuple[str, ...]] = {}
    problems: Problems = []
    engine = Engine(loaded.ruleset, config)
    evaluators = Evaluators(loaded)
    for name in names:
        event = _event(events, name)
        alerts = tuple(alert.rule for alert in engine.evaluate(event))
        answers = evaluators.ask(event)
        fired[name] = answers.evaluated
        if not answers.agree or alerts != answers.evaluated:
            problems.append(f"`{name}`: {answers.disagreement()}, engine: {', '.join(alerts) or 'nothing'}")
    return fired, problems


def _event(events: Events, name: str) -> AuditEvent:
    decoded = decode(events.lines[name])
    if len(decoded.events) != 1:
        raise ValueError(f"the event `{name}` does not decode to one event")
    return decoded.events[0]


def _field(text: str) -> tuple[str, str | None]:
    """Name and argument of a field as rules write it; what the grammar refuses is split at its brackets."""
    try:
        operand = parse_operand(Text.plain(text))
    except ConditionError:
        name, bracket, rest = text.partition("[")
        return name, rest.removesuffix("]") if bracket else None
    if not isinstance(operand, FieldRef):
        raise ValueError(f"`{text}` is not a field")
    return operand.name, operand.argument


if __name__ == "__main__":
    sys.exit(main())
