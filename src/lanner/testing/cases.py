"""Test cases for rules: a YAML file -> `Case`s, checked whole before any of them runs.

A file is a list of cases, each a mapping of these keys (docs/testing-rules.md describes them for users):

    note              what the case shows; unique among all cases that run together
    rules             rules text, or a file name, or a list of these
    config            keys of falco.yaml
    events            an event as a mapping, JSON text, or a file name, or a list of these
    want              the alerts, in order: rule, priority, message, output, output_fields, tags, event
    want_diagnostics  the diagnostics of loading, in order: code, line, column, file, message_contains, help_contains
    want_malformed    how many pieces of the events are not audit events

Text and file names are told apart by their form: a string with a line break is text, one without is a file name,
relative to the file of the cases; one that begins with a brace or bracket is JSON text in either form.

Every problem of a file is a diagnostic with the place of the key or value that is wrong, and all of them are told.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from lanner.diagnostics.codes import Code
from lanner.diagnostics.report import Report
from lanner.diagnostics.source import SourceFile, Span
from lanner.priority import Priority
from lanner.yamltext import MappingNode, Node, Scalar, SequenceNode, decode_source, documents, read_source

JSONValue: TypeAlias = "str | int | float | bool | list[JSONValue] | dict[str, JSONValue] | None"

_CASE_KEYS = ("note", "rules", "config", "events", "want", "want_diagnostics", "want_malformed")
_ALERT_KEYS = ("rule", "priority", "message", "output", "output_fields", "tags", "event")
_DIAGNOSTIC_KEYS = ("code", "line", "column", "file", "message_contains", "help_contains")

# Plain scalars other than these, true, false and null are strings; so `yes` and dates are.
_NUMBER = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?")


@dataclass(frozen=True, slots=True)
class WantedAlert:
    """An alert that a case wants. What is None is not compared; of `output_fields` the keys given are."""

    rule: str
    span: Span
    priority: Priority | None = None
    message: str | None = None
    output: str | None = None
    output_fields: Mapping[str, JSONValue] | None = None
    tags: tuple[str, ...] | None = None
    event: int | str | None = None
    """The position among the events, from 0, or the audit id."""


@dataclass(frozen=True, slots=True)
class WantedDiagnostic:
    """A diagnostic that a case wants. What is None is not compared."""

    code: Code
    span: Span
    line: int | None = None
    column: int | None = None
    file: str | None = None
    message_contains: str | None = None
    help_contains: str | None = None


@dataclass(frozen=True, slots=True)
class Body:
    """A piece of JSON that holds events: one document, or a document per line."""

    text: bytes
    span: Span


@dataclass(frozen=True, slots=True)
class Case:
    """One test case, ready to run. `want` and `want_diagnostics` are None where the case does not say."""

    note: str
    span: Span
    rules: tuple[SourceFile, ...]
    config: Mapping[str, JSONValue]
    events: tuple[Body, ...]
    want: tuple[WantedAlert, ...] | None
    want_diagnostics: tuple[WantedDiagnostic, ...] | None
    want_malformed: int


def read_case_files(paths: Iterable[Path], report: Report) -> list[Case]:
    """The cases of several files, whose notes differ from each other."""
    cases: list[Case] = []
    for path in paths:
        source = read_source(path, report)
        if source is not None:
            cases += read_cases(source, report)
    seen: dict[str, Case] = {}
    for case in cases:
        first = seen.setdefault(case.note, case)
        if first is not case:
            place = first.span.location
            report.add(
                Code.CASE_ERROR,
                f"there are two cases with the note `{case.note}`",
                case.span,
                f"the first one is at {place.file}:{place.line}; give each case a note of its own.",
            )
    return cases


def read_cases(source: SourceFile, report: Report) -> list[Case]:
    """The cases of one file; those with an error are left out. File names in it are relative to its own folder."""
    reader = _Reader(source, report)
    cases: list[Case] = []
    for document in documents(source, report):
        if not isinstance(document, SequenceNode):
            reader.wrong(document, "a file of test cases is a list of cases", "begin each case with `- note:`.")
            continue
        for item in document.items:
            case = reader.case(item)
            if case is not None:
                cases.append(case)
    return cases


class _Reader:
    """Reads the nodes of one file. Methods return None, or leave out a part, after reporting what is wrong."""

    def __init__(self, source: SourceFile, report: Report) -> None:
        self.source = source
        self.report = report
        self.folder = Path(source.name).parent

    def wrong(self, node: Node, message: str, help: str = "") -> None:
        self.report.add(Code.CASE_ERROR, message, node.span, help)

    def case(self, node: Node) -> Case | None:
        before = len(self.report.diagnostics)
        members = self.mapping(node, "a case", _CASE_KEYS, ("note", "rules"))
        if members is None:
            return None
        if "want" not in members and "want_diagnostics" not in members:
            self.wrong(
                node,
                "the case wants nothing",
                "add `want` with the alerts, `want: []` for none, or `want_diagnostics`.",
            )
        if "want" in members and "events" not in members:
            self.wrong(members["want"], "the case wants alerts and has no events", "add `events`.")
        note = self.text(members["note"], "note") if "note" in members else None
        case = Case(
            note or "",
            members.get("note", node).span,
            tuple(self.rules(members["rules"])) if "rules" in members else (),
            self.config(members["config"]) if "config" in members else {},
            tuple(self.events(members["events"])) if "events" in members else (),
            self.alerts(members["want"]) if "want" in members else None,
            self.diagnostics(members["want_diagnostics"]) if "want_diagnostics" in members else None,
            self.count(members["want_malformed"], "want_malformed") or 0 if "want_malformed" in members else 0,
        )
        return case if len(self.report.diagnostics) == before else None

    def rules(self, node: Node) -> Iterable[SourceFile]:
        for number, item in enumerate(_items(node), 1):
            text = self.text(item, "rules")
            if text is None:
                continue
            if "\n" in text:
                yield SourceFile("rules" if item is node else f"rules {number}", text)
                continue
            content = self.file(item, text)
            if content is None:
                continue
            source = decode_source(text, content, self.report)
            if source is not None:
                yield source

    def config(self, node: Node) -> Mapping[str, JSONValue]:
        value = self.json_value(node)
        if isinstance(value, dict):
            return value
        self.wrong(node, "`config` is not a mapping", "write keys of falco.yaml and their values.")
        return {}

    def events(self, node: Node) -> Iterable[Body]:
        for number, item in enumerate(_items(node)):
            match item:
                case MappingNode():
                    text = self.event_text(item, number)
                    if text is not None:
                        yield Body(text.encode(), item.span)
                case Scalar() if "\n" in item.value or item.value.lstrip().startswith(("{", "[")):
                    yield Body(item.value.encode(), item.span)
                case Scalar() if item.value:
                    content = self.file(item, item.value)
                    if content is not None:
                        yield Body(content, item.span)
                case _:
                    self.wrong(item, "an event is a mapping, JSON text, or the name of a file")

    def event_text(self, node: MappingNode, number: int) -> str | None:
        """The JSON of an event written as a mapping, with what every event has and this one leaves out."""
        text = self.json_text(node)
        if text is None:
            return None
        given = set(node.entries)
        common = {
            "kind": "Event",
            "apiVersion": "audit.k8s.io/v1",
            "level": "RequestResponse",
            "auditID": f"event-{number}",
            "stage": "ResponseComplete",
            "stageTimestamp": f"2024-01-01T00:{number // 60 % 60:02}:{number % 60:02}.000000Z",
        }
        added = [f"{json.dumps(key)}:{json.dumps(value)}" for key, value in common.items() if key not in given]
        inner = text[1:-1]
        return "{" + ",".join([*added, inner] if inner else added) + "}"

    def alerts(self, node: Node) -> tuple[WantedAlert, ...]:
        found: list[WantedAlert] = []
        for item in self.sequence(node, "want"):
            members = self.mapping(item, "a wanted alert", _ALERT_KEYS, ("rule",))
            if members is None or "rule" not in members:
                continue
            found.append(
                WantedAlert(
                    self.text(members["rule"], "rule") or "",
                    item.span,
                    self.priority(members.get("priority")),
                    self.optional_text(members, "message"),
                    self.optional_text(members, "output"),
                    self.fields(members.get("output_fields")),
                    self.tags(members.get("tags")),
                    self.event(members.get("event")),
                )
            )
        return tuple(found)

    def priority(self, node: Node | None) -> Priority | None:
        if node is None:
            return None
        word = self.text(node, "priority")
        if word is None:
            return None
        try:
            return Priority.parse(word)
        except ValueError as error:
            self.wrong(node, str(error))
            return None

    def fields(self, node: Node | None) -> Mapping[str, JSONValue] | None:
        if node is None:
            return None
        value = self.json_value(node)
        if isinstance(value, dict):
            return value
        self.wrong(node, "`output_fields` is not a mapping", "write names of fields and their values.")
        return None

    def tags(self, node: Node | None) -> tuple[str, ...] | None:
        if node is None:
            return None
        return tuple(self.text(item, "tags") or "" for item in self.sequence(node, "tags"))

    def event(self, node: Node | None) -> int | str | None:
        if node is None:
            return None
        value = self.json_value(node)
        if isinstance(value, str) or (isinstance(value, int) and not isinstance(value, bool) and value >= 0):
            return value
        self.wrong(node, "`event` is neither a position nor an audit id", "positions count from 0.")
        return None

    def diagnostics(self, node: Node) -> tuple[WantedDiagnostic, ...]:
        found: list[WantedDiagnostic] = []
        for item in self.sequence(node, "want_diagnostics"):
            members = self.mapping(item, "a wanted diagnostic", _DIAGNOSTIC_KEYS, ("code",))
            if members is None or "code" not in members:
                continue
            code = self.code(members["code"])
            if code is None:
                continue
            found.append(
                WantedDiagnostic(
                    code,
                    item.span,
                    self.count(members["line"], "line") if "line" in members else None,
                    self.count(members["column"], "column") if "column" in members else None,
                    self.optional_text(members, "file"),
                    self.optional_text(members, "message_contains"),
                    self.optional_text(members, "help_contains"),
                )
            )
        return tuple(found)

    def code(self, node: Node) -> Code | None:
        name = self.text(node, "code")
        if name is None:
            return None
        found = next((code for code in Code if code.value == name), None)
        if found is None:
            self.wrong(node, f"there is no diagnostic code `{name}`", "docs/diagnostics.md lists all codes.")
        return found

    # --- plain values ------------------------------------------------------------------------------------------------

    def mapping(
        self, node: Node, what: str, allowed: tuple[str, ...], required: tuple[str, ...]
    ) -> dict[str, Node] | None:
        """The members of a mapping whose keys are known; None if it is no mapping."""
        if not isinstance(node, MappingNode):
            self.wrong(node, f"{what} is a mapping", f"its keys are {', '.join(allowed)}.")
            return None
        members: dict[str, Node] = {}
        for key, value in node.pairs:
            if not isinstance(key, Scalar) or key.value not in allowed:
                shown = key.value if isinstance(key, Scalar) else "..."
                self.wrong(key, f"`{shown}` is not a key of {what}", f"its keys are {', '.join(allowed)}.")
            elif key.value in members:
                self.wrong(key, f"`{key.value}` is given twice")
            else:
                members[key.value] = value
        for name in required:
            if name not in members:
                self.wrong(node, f"{what} needs `{name}`")
        return members

    def sequence(self, node: Node, key: str) -> list[Node]:
        if isinstance(node, SequenceNode):
            return node.items
        self.wrong(node, f"`{key}` is not a list")
        return []

    def text(self, node: Node, key: str) -> str | None:
        if isinstance(node, Scalar) and node.value:
            return node.value
        self.wrong(node, f"`{key}` is not a text")
        return None

    def optional_text(self, members: Mapping[str, Node], key: str) -> str | None:
        return self.text(members[key], key) if key in members else None

    def count(self, node: Node, key: str) -> int | None:
        if isinstance(node, Scalar) and node.value.isascii() and node.value.isdigit():
            return int(node.value)
        self.wrong(node, f"`{key}` is not a number")
        return None

    def file(self, node: Node, name: str) -> bytes | None:
        try:
            return (self.folder / name).read_bytes()
        except OSError as error:
            reason = error.strerror or str(error)
            self.wrong(
                node,
                f"cannot read the file `{name}`: {reason}",
                "names are relative to the file of the cases; text needs a line break (`|`).",
            )
            return None

    def json_value(self, node: Node) -> JSONValue:
        text = self.json_text(node)
        value: JSONValue = json.loads(text) if text is not None else None
        return value

    def json_text(self, node: Node) -> str | None:
        """A node as JSON: numbers in their own spelling, equal keys kept; None after reporting a problem."""
        pieces: list[str] = []
        work: list[Node | str] = [node]
        while work:
            match work.pop():
                case str() as piece:
                    pieces.append(piece)
                case Scalar() as scalar:
                    pieces.append(_scalar(scalar))
                case SequenceNode(items=items):
                    parts: list[Node | str] = ["["]
                    for index, child in enumerate(items):
                        parts += [",", child] if index else [child]
                    work += ["]", *reversed(parts)]
                case MappingNode(pairs=pairs):
                    parts = ["{"]
                    for index, (key, child) in enumerate(pairs):
                        if not isinstance(key, Scalar):
                            self.wrong(key, "a key of an event is a text")
                            return None
                        parts += [("," if index else "") + json.dumps(key.value) + ":", child]
                    work += ["}", *reversed(parts)]
        return "".join(pieces)


def _items(node: Node) -> list[Node]:
    return node.items if isinstance(node, SequenceNode) else [node]


def _scalar(node: Scalar) -> str:
    if node.is_null:
        return "null"
    if not node.style and (node.value in ("true", "false") or _NUMBER.fullmatch(node.value)):
        return node.value
    return json.dumps(node.value)
