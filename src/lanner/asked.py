"""Types for audit events of which only what rules ask for is read: to read more takes longer than to match it.

Such a type has a part of the attributes of AuditEvent, with the same values. It is decoded from events as API servers
write them and from no others; these become AuditEvents.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import datetime
from typing import Annotated, Any, ClassVar, Literal, cast

import msgspec
from msgspec import Meta, Raw, Struct, UnsetType, structs

from lanner.event import MISSING, RECENT, AuditEvent, MaybeText, Path, Surroundings, kept
from lanner.jsontext.access import REFUSED, as_text, members
from lanner.rfc3339 import parse_time, since_1970


class Asked(Surroundings):
    """An event of which only what is asked for was read: what it says of its time, as AuditEvent has it.

    `time`: its stageTimestamp to the microsecond, as msgspec reads it.
    """

    time: datetime
    recent = RECENT  # whoever decodes refuses other events

    @kept
    def stage_timestamp(self) -> str:
        """The stageTimestamp as it is written, which is seldom asked for.

        The text was read before. Where msgspec refuses it now, for it stops at a depth that depends on how much of
        Python's stack is in use, it is read once more without recursion.
        """
        try:
            return _read_time(self.place).stage_timestamp
        except REFUSED:
            return as_text((members(self.raw) or {})["stageTimestamp"])

    @kept
    def time_ns(self) -> int:
        """The event's own time in nanoseconds since 1970."""
        found = parse_time(self.stage_timestamp)
        return since_1970(self.time) if found is None else found


class _Time(Struct, rename="camel", gc=False):
    stage_timestamp: str


_read_time = msgspec.json.Decoder(_Time).decode


ALWAYS: frozenset[Path] = frozenset((("kind",), ("audit_id",)))
"""Attributes that tell whether a JSON object is an event, and which."""

_EVENT = Literal["Event"]
_STAGE = Literal["RequestReceived", "ResponseStarted", "ResponseComplete", "Panic"]
_ZONED = Annotated[datetime, Meta(tz=True)]
_SPECIAL = re.compile(r'["\\\x00-\x1f]').search  # in keys that msgspec takes for no field's


def event_type(paths: Iterable[Path], *, alone: bool = False) -> type[AuditEvent]:
    """A type with only the attributes at these paths, and those of ALWAYS, for decoding no more than is asked for.

    It is no subclass: reading another attribute raises AttributeError. msgspec reads nothing into it that has no
    stageTimestamp with a time zone, that is of no stage which API servers know, or, if it stands `alone`, is not of the
    kind Event. Who decodes has to set `place` and to refuse what happened before the year 2000.
    """
    parts: dict[str, set[str]] = {}
    for name, *rest in {*paths, *ALWAYS}:
        parts.setdefault(name, set()).update(rest)
    fields: list[tuple[str, Any] | tuple[str, Any, Any]] = []
    names = {"time": "stageTimestamp"}
    for field in structs.fields(AuditEvent):  # in the order of the JSON, where msgspec finds keys at once
        if field.name == "stage_timestamp":
            fields.append(("time", _ZONED))
        elif field.name in parts:
            names[field.name] = field.encode_name
            match field.name:
                case "kind" if alone:
                    fields.append(("kind", _EVENT))
                case "stage":
                    fields.append(("stage", _STAGE | UnsetType, MISSING))
                case "annotations" if parts["annotations"] and not any(map(_SPECIAL, parts["annotations"])):
                    fields.append(("annotations", _annotations(parts["annotations"]) | UnsetType, MISSING))
                case name if parts[name] and name != "annotations":
                    inner = _part(field.type, parts[name])
                    fields.append((name, inner, inner()))
                case name:
                    fields.append((name, field.type, field.default))
    fields.append(("place", Raw, Raw()))  # an attribute of the type takes less than an entry of a `__dict__`
    found = msgspec.defstruct("AskedEvent", fields, bases=(Asked,), dict=True, rename=names, kw_only=True)
    return cast("type[AuditEvent]", found)


class _Annotations(Struct, gc=False):
    """Some annotations, asked like the dict of all."""

    _attributes: ClassVar[dict[str, str]]

    def get(self, key: str) -> str | None:
        """The annotation of that key."""
        found: MaybeText = getattr(self, self._attributes[key])
        return None if found is MISSING else found


def _annotations(keys: set[str]) -> type[Struct]:
    attributes = {key: f"annotation{number}" for number, key in enumerate(sorted(keys))}
    return msgspec.defstruct(
        "AskedAnnotations",
        [(attribute, MaybeText, MISSING) for attribute in attributes.values()],
        bases=(_Annotations,),
        namespace={"_attributes": attributes},
        rename={attribute: key for key, attribute in attributes.items()},
        frozen=True,
        gc=False,
    )


def _part(whole: type[Struct], names: set[str]) -> type[Struct]:
    fields = [(field.name, field.type, field.default) for field in structs.fields(whole) if field.name in names]
    return msgspec.defstruct(f"Asked{whole.__name__}", fields, frozen=True, gc=False)
