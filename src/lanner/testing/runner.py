"""Runs test cases: a `Case` -> what does not hold.

The rules are loaded as everywhere else, each event is answered by the slow evaluator and by the compiled ruleset with
and without dispatch, which have to agree, and the alerts of the engine are compared with the wanted ones.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from lanner.alert import Alert
from lanner.decode import Decoded, decode
from lanner.diagnostics.diagnostic import Diagnostic
from lanner.engine.engine import Engine
from lanner.engine.loader import load_sources
from lanner.event import AuditEvent
from lanner.testing.answers import Answers, Evaluators
from lanner.testing.cases import Body, Case, JSONValue, WantedAlert, WantedDiagnostic
from lanner.testing.settings import config_of


@dataclass(frozen=True, slots=True)
class CaseResult:
    """A case that ran. `problems` tells what does not hold, a sentence each; empty if the case holds."""

    case: Case
    problems: tuple[str, ...]
    alerts: tuple[Alert, ...]

    @property
    def ok(self) -> bool:
        return not self.problems


def run_case(case: Case) -> CaseResult:
    """Load the rules of a case, feed its events, and compare. Never raises for what a case may hold."""
    config = config_of(case.config)
    loaded = load_sources(case.rules, config)
    problems = _compare_diagnostics(case, [*config.diagnostics, *loaded.diagnostics])
    events, malformed = _decode(case.events)
    if malformed != case.want_malformed:
        problems.append(f"wanted {case.want_malformed} malformed pieces in the events, got {malformed}")
    alerts: list[tuple[int, Alert]] = []
    engine = Engine(loaded.ruleset, config)
    evaluators = Evaluators(loaded)
    for position, event in enumerate(events):
        found = engine.evaluate(event)
        problems += _disagreement(evaluators.ask(event), found, position)
        alerts += [(position, alert) for alert in found]
    if case.want is not None:
        problems += _compare_alerts(case.want, alerts)
    return CaseResult(case, tuple(problems), tuple(alert for _, alert in alerts))


def _decode(bodies: Sequence[Body]) -> tuple[list[AuditEvent], int]:
    """The events of all bodies and the number of malformed pieces."""
    events: list[AuditEvent] = []
    malformed = 0
    for body in bodies:
        for decoded in _documents(body.text):
            events += decoded.events
            malformed += len(decoded.malformed) + decoded.unkept
    return events, malformed


def _documents(text: bytes) -> list[Decoded]:
    """The text as one JSON document, or, if it is none, each of its lines as one."""
    whole = decode(text)
    lines = [line for line in text.split(b"\n") if line.strip()]
    if whole.events or not whole.malformed or len(lines) < 2:
        return [whole]
    return [decode(line) for line in lines]


def _disagreement(answers: Answers, alerts: Sequence[Alert], position: int) -> list[str]:
    if answers.agree and answers.evaluated == tuple(alert.rule for alert in alerts):
        return []
    return [f"event {position}: the evaluators do not agree: {answers.disagreement()}"]


def _compare_diagnostics(case: Case, diagnostics: Sequence[Diagnostic]) -> list[str]:
    """All diagnostics, where the case lists them; else there must be no error."""
    if case.want_diagnostics is None:
        return [f"the rules do not load: {_show(diagnostic)}" for diagnostic in diagnostics if diagnostic.is_error]
    problems: list[str] = []
    for number, (wanted, got) in enumerate(zip(case.want_diagnostics, diagnostics, strict=False)):
        problems += [f"diagnostic {number}: {what} (it is {_show(got)})" for what in _diagnostic_problems(wanted, got)]
    count = len(case.want_diagnostics)
    problems += [f"diagnostic not wanted: {_show(diagnostic)}" for diagnostic in diagnostics[count:]]
    missing = case.want_diagnostics[len(diagnostics) :]
    return problems + [f"no diagnostic {wanted.code.value} came" for wanted in missing]


def _diagnostic_problems(wanted: WantedDiagnostic, got: Diagnostic) -> list[str]:
    place = got.span.location if got.span is not None else None
    problems = [
        f"wanted {what} {want}"
        for what, want, have in (
            ("code", wanted.code.value, got.code.value),
            ("file", wanted.file, place and place.file),
            ("line", wanted.line, place and place.line),
            ("column", wanted.column, place and place.column),
        )
        if want is not None and want != have
    ]
    for what, part, text in (
        ("message", wanted.message_contains, got.message),
        ("help", wanted.help_contains, got.help),
    ):
        if part is not None and part not in text:
            problems.append(f"wanted a {what} with `{part}`, got `{text}`")
    return problems


def _show(diagnostic: Diagnostic) -> str:
    place = ""
    if diagnostic.span is not None:
        location = diagnostic.span.location
        place = f" at {location.file}:{location.line}:{location.column}"
    return f"{diagnostic.code.value}{place}: {diagnostic.message}"


def _compare_alerts(wanted: Sequence[WantedAlert], alerts: Sequence[tuple[int, Alert]]) -> list[str]:
    problems: list[str] = []
    for number, (want, (position, alert)) in enumerate(zip(wanted, alerts, strict=False)):
        problems += [f"alert {number}: {what}" for what in _alert_problems(want, position, alert)]
    problems += [f"no alert of the rule `{want.rule}` came" for want in wanted[len(alerts) :]]
    return problems + [
        f"alert not wanted: `{alert.rule}` on event {position}: {alert.message}"
        for position, alert in alerts[len(wanted) :]
    ]


def _alert_problems(want: WantedAlert, position: int, alert: Alert) -> list[str]:
    problems = [
        f"wanted {what} {wanted!r}, got {got!r}"
        for what, wanted, got in (
            ("the rule", want.rule, alert.rule),
            ("the priority", want.priority.label if want.priority is not None else None, alert.priority.label),
            ("the message", want.message, alert.message),
            ("the output", want.output, alert.output),
            ("the tags", want.tags, alert.tags),
        )
        if wanted is not None and wanted != got
    ]
    match want.event:
        case int() if want.event != position:
            problems.append(f"wanted event {want.event}, got {position}")
        case str() if want.event != alert.event.audit_id:
            problems.append(f"wanted the event `{want.event}`, got `{alert.event.audit_id}`")
    if want.output_fields is not None:
        problems += _field_problems(want.output_fields, alert)
    return problems


def _field_problems(want: Mapping[str, JSONValue], alert: Alert) -> list[str]:
    problems: list[str] = []
    for name, value in want.items():
        if name not in alert.output_fields:
            problems.append(f"wanted the output field `{name}`, which the alert does not have")
        elif alert.output_fields[name] != value:
            problems.append(f"wanted the output field `{name}` {value!r}, got {alert.output_fields[name]!r}")
    return problems
