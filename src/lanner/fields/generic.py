"""The `evt.*` fields, which events of all sources have (libs `sinsp_filtercheck_gen_event.cpp`), and `static.*`."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from lanner.event import MISSING, AuditEvent, Missing
from lanner.fields.catalog import BoundField, FieldDef, Getter, ValueType
from lanner.fields.nodes import document
from lanner.fields.paths import Attribute, cut
from lanner.fields.times import SECOND, clock, date_and_clock, iso_8601

SOURCE = "k8s_audit"
PLUGIN = "k8saudit"

COUNTED = frozenset(("evt.num", "evt.reltime", "evt.reltime.s", "evt.reltime.ns"))
"""Fields that depend on the events before: they read `number` and `start_ns`, which the engine sets."""

RAW_TIMES = frozenset(("evt.rawtime", "json.rawtime", "jevt.rawtime"))
"""Fields that are an event's time in nanoseconds since 1970."""

IS_RECENT = BoundField(
    FieldDef("recent", "Whether the event happened since the year 2000.", lambda _: Attribute(("recent",))),
    None,
    Attribute(("recent",)),
)
"""A text if the event plainly happened since the year 2000; cheap to look at, but not a field of any catalog."""


@dataclass(frozen=True, slots=True)
class Constant:
    """The same value, or the same lack of one, in every event."""

    value: str | bool | Missing

    def __call__(self, event: AuditEvent) -> str | bool | Missing:
        return self.value


def number(event: AuditEvent) -> int | Missing:
    """The event's number; an event that went through no engine has none."""
    found: int | Missing = event.__dict__.get("number", MISSING)
    return found


def time(event: AuditEvent) -> int | Missing:
    """Nanoseconds since 1970; missing where an event made by hand says no time."""
    try:
        return event.time_ns
    except ValueError:
        return MISSING


def since_start(event: AuditEvent) -> int | Missing:
    """Nanoseconds since the engine's first event (`start_ns`); negative for an event that happened before it."""
    ns = time(event)
    start: int | Missing = event.__dict__.get("start_ns", ns)
    return MISSING if ns is MISSING or start is MISSING else ns - start


@dataclass(frozen=True, slots=True)
class Written:
    """A time as text."""

    write: Callable[[int], str]

    def __call__(self, event: AuditEvent) -> str | Missing:
        ns = time(event)
        return MISSING if ns is MISSING else self.write(ns)


@dataclass(frozen=True, slots=True)
class Seconds:
    """The whole seconds of a time in nanoseconds."""

    of: Callable[[AuditEvent], int | Missing]

    def __call__(self, event: AuditEvent) -> int | Missing:
        ns = self.of(event)
        return MISSING if ns is MISSING else ns // SECOND


@dataclass(frozen=True, slots=True)
class Nanoseconds:
    """What is left of a time in nanoseconds without its whole seconds."""

    of: Callable[[AuditEvent], int | Missing]

    def __call__(self, event: AuditEvent) -> int | Missing:
        ns = self.of(event)
        return MISSING if ns is MISSING else ns % SECOND


def plugin_info(event: AuditEvent) -> str | Missing:
    """The whole event on one line."""
    node = document(event)
    return MISSING if node is None else cut(node.text)


def default_hostname() -> str:
    """The name this machine goes by: FALCO_HOSTNAME, else what the system says."""
    return os.environ.get("FALCO_HOSTNAME") or socket.gethostname()


def _text(name: str, description: str, getter: Getter) -> FieldDef:
    return FieldDef(name, description, lambda _: getter)


def _time(name: str, description: str, write: Callable[[int], str]) -> FieldDef:
    """A field that is a text for rules and messages, and nanoseconds since 1970 in output_fields."""
    return FieldDef(name, description, lambda _: Written(write), json=time, always=True)


def _number(name: str, description: str, type: ValueType, getter: Getter, digits: int = 1) -> FieldDef:
    return FieldDef(name, description, lambda _: getter, type=type, digits=digits, always=type is ValueType.ABSTIME)


def generic_fields(hostname: str) -> tuple[FieldDef, ...]:
    """The evt.* fields, of which one depends on where the engine runs."""
    return (
        _number("evt.num", "Counts the events that the engine has seen, from 1.", ValueType.NUMBER, number),
        _time("evt.time", "When the event happened, local time with nanoseconds: `10:20:30.123456000`"
              " (stageTimestamp).", clock),
        _time("evt.time.s", "When the event happened, local time: `10:20:30` (stageTimestamp).",
              lambda ns: clock(ns, fraction=False)),
        _time("evt.time.iso8601", "When the event happened, in UTC: `2024-03-05T10:20:30.123456000+0000`"
              " (stageTimestamp).", iso_8601),
        _time("evt.datetime", "When the event happened, local date and time with nanoseconds (stageTimestamp).",
              date_and_clock),
        _time("evt.datetime.s", "When the event happened, local date and time: `2024-03-05 10:20:30` (stageTimestamp).",
              lambda ns: date_and_clock(ns, fraction=False)),
        _number("evt.rawtime", "When the event happened, in nanoseconds since 1970 (stageTimestamp).",
                ValueType.ABSTIME, time),
        _number("evt.rawtime.s", "When the event happened, in whole seconds since 1970 (stageTimestamp).",
                ValueType.ABSTIME, Seconds(time)),
        _number("evt.rawtime.ns", "The nanoseconds within that second, nine digits in texts (stageTimestamp).",
                ValueType.ABSTIME, Nanoseconds(time), digits=9),
        _number("evt.reltime", "Nanoseconds since the first event that the engine saw, nine digits or more in texts.",
                ValueType.RELTIME, since_start, digits=9),
        _number("evt.reltime.s", "Whole seconds since the first event that the engine saw.",
                ValueType.RELTIME, Seconds(since_start)),
        _number("evt.reltime.ns", "The nanoseconds within that second, nine digits in texts.",
                ValueType.RELTIME, Nanoseconds(since_start), digits=9),
        _text("evt.pluginname", f"Always `{PLUGIN}`: what Falco calls the origin of audit events.", Constant(PLUGIN)),
        _text("evt.plugininfo", "The whole event as JSON on one line.", plugin_info),
        _text("evt.source", f"Always `{SOURCE}`: the source that rules for audit events name.", Constant(SOURCE)),
        FieldDef("evt.is_async", "Always false: audit events come from a source.", lambda _: Constant(False),
                 type=ValueType.BOOL),
        _text("evt.asynctype", "Never there: audit events are not asynchronous.", Constant(MISSING)),
        _text("evt.hostname", "The machine that evaluates the event: FALCO_HOSTNAME, else the host's own name.",
              Constant(cut(hostname))),
    )  # fmt: skip


def static_fields(values: Mapping[str, str]) -> tuple[FieldDef, ...]:
    """One `static.` field for each entry of the setting `static_fields`."""
    return tuple(
        _text(f"static.{key}", f"Always `{value}`, from the configuration.", Constant(cut(value)))
        for key, value in values.items()
    )
