"""Alerts: what is written when a rule matches an event, as Falco writes it.

`Alert` renders when asked, and only once. Source of the form: falco `formats.cpp`; the JSON keys stand in
alphabetical order, as the JSON library of Falco puts them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol, TypeAlias

import msgspec
from msgspec import UNSET, Struct, UnsetType

from lanner.config import Config
from lanner.decode import whole
from lanner.escaping import one_line, printable_json
from lanner.event import AuditEvent
from lanner.fields.times import clock, iso_8601, rfc_3339
from lanner.priority import Priority

FieldOutput: TypeAlias = "str | int | bool | list[str] | None"
"""A value in `output_fields`; None for a missing one."""

_encode = msgspec.json.Encoder().encode


@dataclass(frozen=True, slots=True)
class AlertFormat:
    """How alerts are written: the part of the configuration that concerns them, taken once."""

    hostname: str
    json_output: bool = False
    include_output: bool = True
    include_message: bool = False
    include_output_fields: bool = True
    include_tags: bool = True
    iso_time: bool = False

    @classmethod
    def of(cls, config: Config) -> AlertFormat:
        """The format that a configuration asks for."""
        return cls(
            hostname=config.hostname,
            json_output=config.json_output,
            include_output=config.json_include_output_property,
            include_message=config.json_include_message_property,
            include_output_fields=config.json_include_output_fields_property,
            include_tags=config.json_include_tags_property,
            iso_time=config.time_format_iso_8601,
        )


class Output(Protocol):
    """What renders a rule's output for an event."""

    def rendered(self, event: AuditEvent) -> tuple[str, Mapping[str, FieldOutput]]:
        """The message, and `output_fields` in the order of their names."""
        ...


class AlertingRule(Protocol):
    """What an alert takes from its rule. `tags` are sorted."""

    @property
    def name(self) -> str: ...
    @property
    def priority(self) -> Priority: ...
    @property
    def source(self) -> str: ...
    @property
    def tags(self) -> tuple[str, ...]: ...
    @property
    def output(self) -> Output: ...


class Document(Struct, gc=False):
    """Falco's JSON document of an alert, in the order of its keys; UNSET ones are left out. `cluster` and `id` are the
    two that Falco's does not have: see service/records.py.
    """

    cluster: str | UnsetType
    hostname: str
    id: str | UnsetType
    message: str | UnsetType
    output: str | UnsetType
    output_fields: Mapping[str, FieldOutput] | UnsetType
    priority: str
    rule: str
    source: str
    tags: tuple[str, ...] | UnsetType
    time: str


class Alert:
    """A rule matched an event.

    `time` is the event's own time in nanoseconds since 1970. What is rendered is kept: nothing may change behind that.
    """

    __slots__ = ("_event", "_fields", "_format", "_output", "_rendered", "_rule")

    def __init__(self, rule: AlertingRule, event: AuditEvent, format: AlertFormat) -> None:
        self._rule = rule
        self._format = format
        self._rendered: tuple[str, Mapping[str, FieldOutput]] | None = None
        self._output: str | None = None
        self._fields: dict[str, FieldOutput] | None = None
        self._event = event

    def __repr__(self) -> str:
        return f"<Alert {self.priority.label}: {self.rule}>"

    @property
    def event(self) -> AuditEvent:
        """The event, with all its attributes."""
        self._event = whole(self._event)
        return self._event

    def on(self, event: AuditEvent) -> Alert:
        """The same alert on another event, as on the same one without what must not be seen."""
        return Alert(self._rule, event, self._format)

    @property
    def rule(self) -> str:
        return self._rule.name

    @property
    def priority(self) -> Priority:
        return self._rule.priority

    @property
    def source(self) -> str:
        return self._rule.source

    @property
    def tags(self) -> tuple[str, ...]:
        return self._rule.tags

    @property
    def hostname(self) -> str:
        return self._format.hostname

    @property
    def time(self) -> int:
        return self._event.time_ns

    def _render(self) -> tuple[str, Mapping[str, FieldOutput]]:
        if self._rendered is None:
            self._rendered = self._rule.output.rendered(self._event)
        return self._rendered

    @property
    def message(self) -> str:
        """The output of the rule with all values in it."""
        return self._render()[0]

    @property
    def output(self) -> str:
        """Time, priority and message: `10:20:30.123456000: Warning ...`."""
        if self._output is None:
            ns = self._event.time_ns
            time = iso_8601(ns) if self._format.iso_time else clock(ns)
            self._output = f"{time}: {self._rule.priority.label} {self._render()[0]}"
        return self._output

    @property
    def output_fields(self) -> Mapping[str, FieldOutput]:
        """The fields of the output and of the configuration, and the time in nanoseconds; None for a missing value.

        In the order of their names.
        """
        return self._all_fields().copy()

    def _all_fields(self) -> dict[str, FieldOutput]:
        if self._fields is None:
            time = "evt.time.iso8601" if self._format.iso_time else "evt.time"
            rendered = self._render()[1]
            fields = {time: self._event.time_ns, **rendered}
            if next(iter(rendered), time) < time:
                fields = dict(sorted(fields.items()))
            self._fields = fields
        return self._fields

    def document(self, identifier: str | UnsetType = UNSET, cluster: str | UnsetType = UNSET) -> Document:
        """Falco's document, without the keys that the configuration leaves out."""
        chosen = self._format
        rule = self._rule
        return Document(
            cluster=cluster,
            hostname=chosen.hostname,
            id=identifier,
            message=self.message if chosen.include_message else UNSET,
            output=self.output if chosen.include_output else UNSET,
            output_fields=self._all_fields() if chosen.include_output_fields else UNSET,
            priority=rule.priority.label,
            rule=rule.name,
            source=rule.source,
            tags=rule.tags if chosen.include_tags else UNSET,
            time=rfc_3339(self._event.time_ns),
        )

    def to_dict(self) -> dict[str, object]:
        """Falco's document as a dict, as `json.loads` would read it."""
        found: dict[str, object] = msgspec.json.decode(self.to_json())
        return found

    def to_json(self) -> bytes:
        """That document as one line of JSON in UTF-8, without a line end."""
        return to_json(self.document())

    def to_text(self) -> str:
        """The output as one line, without anything that a terminal obeys or nobody sees: no value can forge lines."""
        return one_line(self.output)

    def to_line(self) -> str:
        """JSON or text, as the configuration asks (`json_output`)."""
        return self.to_json().decode() if self._format.json_output else self.to_text()


def to_json(document: Document) -> bytes:
    """A document as one line of JSON in UTF-8, keys sorted, without a line end."""
    return printable_json(_encode(document))
