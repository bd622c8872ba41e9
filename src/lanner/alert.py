"""Alerts: what is written when a rule matches an event, as Falco writes it.

`Alert` renders when asked, and only once. Source of the form: falco `formats.cpp`; the JSON keys stand in
alphabetical order, as the JSON library of Falco puts them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol, TypeAlias

import msgspec

from lanner.config import Config
from lanner.event import AuditEvent
from lanner.fields.times import clock, iso_8601
from lanner.priority import Priority

FieldOutput: TypeAlias = "str | int | bool | list[str] | None"
"""A value in `output_fields`; None for a missing one."""

_encode = msgspec.json.Encoder(order="sorted").encode
_CONTROLS = re.compile("[\x00-\x1f\x7f-\x9f]")
_SHORT_ESCAPES = {"\b": "\\b", "\f": "\\f", "\n": "\\n", "\r": "\\r", "\t": "\\t"}


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
        """The message, and `output_fields`."""
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


class Alert:
    """A rule matched an event.

    `time` is the event's own time in nanoseconds since 1970. Immutable; what is rendered is kept.
    """

    def __init__(self, rule: AlertingRule, event: AuditEvent, format: AlertFormat) -> None:
        self._rule = rule
        self._format = format
        self.event = event

    def __repr__(self) -> str:
        return f"<Alert {self.priority.label}: {self.rule}>"

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
        return self.event.time_ns

    @cached_property
    def _rendered(self) -> tuple[str, Mapping[str, FieldOutput]]:
        return self._rule.output.rendered(self.event)

    @property
    def message(self) -> str:
        """The output of the rule with all values in it."""
        return self._rendered[0]

    @cached_property
    def output(self) -> str:
        """Time, priority and message: `10:20:30.123456000: Warning ...`."""
        time = iso_8601(self.time) if self._format.iso_time else clock(self.time)
        return f"{time}: {self.priority.label} {self.message}"

    @cached_property
    def output_fields(self) -> Mapping[str, FieldOutput]:
        """The fields of the output and of the configuration, and the time in nanoseconds; None for a missing value."""
        time = "evt.time.iso8601" if self._format.iso_time else "evt.time"
        return dict(sorted({time: self.time, **self._rendered[1]}.items()))

    def to_dict(self) -> dict[str, object]:
        """Falco's JSON document as a dict, without the keys that the configuration leaves out."""
        chosen = self._format
        document: dict[str, object] = {"hostname": self.hostname}
        if chosen.include_message:
            document["message"] = self.message
        if chosen.include_output:
            document["output"] = self.output
        if chosen.include_output_fields:
            document["output_fields"] = self.output_fields
        document["priority"] = self.priority.label
        document["rule"] = self.rule
        document["source"] = self.source
        if chosen.include_tags:
            document["tags"] = list(self.tags)
        document["time"] = f"{iso_8601(self.time).removesuffix('+0000')}Z"
        return document

    def to_json(self) -> bytes:
        """That document as one line of JSON in UTF-8, without a line end."""
        return _encode(self.to_dict())

    def to_text(self) -> str:
        """The output as one line: control characters become escapes, so that no value can forge lines or drive a
        terminal."""
        return _CONTROLS.sub(_escape, self.output)

    def to_line(self) -> str:
        """JSON or text, as the configuration asks (`json_output`)."""
        return self.to_json().decode() if self._format.json_output else self.to_text()


def _escape(match: re.Match[str]) -> str:
    character = match[0]
    return _SHORT_ESCAPES.get(character) or f"\\u{ord(character):04x}"
