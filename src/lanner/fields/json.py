"""The `json.*` fields, which reach any place of an event, and `jevt.*`, their older names (plugins `json.go`)."""

from __future__ import annotations

import re
from dataclasses import dataclass

from lanner.event import MISSING, AuditEvent, Missing
from lanner.fields.catalog import Argument, FieldDef
from lanner.fields.generic import time
from lanner.fields.nodes import document
from lanner.fields.paths import cut, pointer
from lanner.jsontext.access import JSONError, JSONText, compact

DEEPEST_INDENT = 300
"""Levels that indentation follows; Falco parses no deeper event. Without a limit a small event prints as gigabytes."""

_TOKEN = re.compile(rb'"(?:[^"\\]|\\.)*"?|\{\}|\[\]|[{}\[\],:]|[^"{}\[\],:]+', re.DOTALL)


@dataclass(frozen=True, slots=True)
class WholeEvent:
    """The event as JSON, one member or element a line, indented by two blanks a level as Go's json.Indent does."""

    def __call__(self, event: AuditEvent) -> str | Missing:
        node = document(event)
        if node is None:
            return MISSING
        try:
            return cut(indented(node.json))
        except JSONError:
            return MISSING


def indented(text: JSONText) -> str:
    """JSON text on many lines. Raises JSONError if it is none."""
    out: list[bytes] = []
    level = 0
    for token in _TOKEN.findall(compact(text)):
        match token:
            case b"{" | b"[":
                level += 1
                out += (token, _line(level))
            case b"}" | b"]":
                level -= 1
                out += (_line(level), token)
            case b",":
                out += (token, _line(level))
            case b":":
                out.append(b": ")
            case _:
                out.append(token)
    return b"".join(out).decode("utf-8", "replace")


def _line(level: int) -> bytes:
    return b"\n" + b"  " * min(level, DEEPEST_INDENT)


@dataclass(frozen=True, slots=True)
class RawTime:
    """The event's time in nanoseconds since 1970, as text."""

    def __call__(self, event: AuditEvent) -> str | Missing:
        ns = time(event)
        return MISSING if ns is MISSING else str(ns)


def _family(prefix: str, note: str) -> tuple[FieldDef, ...]:
    return (
        FieldDef(
            f"{prefix}.value",
            "The value at a JSON pointer into the event: "
            f"`{prefix}.value[/objectRef/apiGroup]`, `{prefix}.value[/sourceIPs/0]`; `~1` in a key stands for `/`,"
            f" `~0` for `~`. A text is bare, everything else is JSON{note}.",
            lambda key: pointer(key or ""),
            argument=Argument.KEY,
        ),
        FieldDef(f"{prefix}.obj", f"The whole event as indented JSON{note}.", lambda _: WholeEvent()),
        FieldDef(
            f"{prefix}.rawtime",
            f"When the event happened, in nanoseconds since 1970, as text (stageTimestamp){note}.",
            lambda _: RawTime(),
            always=True,
        ),
    )


FIELDS: tuple[FieldDef, ...] = (*_family("json", ""), *_family("jevt", "; the older name of json.*"))
