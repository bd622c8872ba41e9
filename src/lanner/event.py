"""An audit event as the engine sees it.

The typed attributes are what `audit.k8s.io` defines and rules ask for most. Each string attribute holds the text that
a rule sees, except that it may contain NUL characters, which fields cut at (see fields/paths.py). Whatever the JSON
leaves out is MISSING. The bodies of request and response stay JSON text until somebody asks.

An event with unexpected types (a number for the verb, null for the user) is brought into the same form by
decode.py: scalars as their JSON text, `null` as the text null, objects and arrays as compact JSON.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from datetime import UTC, date, datetime
from typing import Annotated, Any, Generic, TypeAlias, TypeVar, cast

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType, structs

Missing: TypeAlias = UnsetType
MISSING = UNSET
"""The value of a field that an event does not have. Falsy, equal only to itself."""

MaybeText: TypeAlias = str | UnsetType

T = TypeVar("T")

Path: TypeAlias = tuple[str, ...]
"""The way to an attribute: `("user", "username")`."""


class User(Struct, frozen=True, gc=False):
    """Who asked. `uid` and `extra` are read from the event's text when asked for."""

    username: MaybeText = MISSING
    groups: list[str] | UnsetType = MISSING


class ObjectRef(Struct, frozen=True, gc=False):
    """What was asked for."""

    resource: MaybeText = MISSING
    namespace: MaybeText = MISSING
    name: MaybeText = MISSING
    subresource: MaybeText = MISSING


class ResponseStatus(Struct, frozen=True, gc=False):
    """How it was answered. `code` is a number where it is a plain whole one from 1, else its text (-0 is not 0)."""

    code: Annotated[int, msgspec.Meta(ge=1)] | str | UnsetType = MISSING
    reason: MaybeText = MISSING


class kept(Generic[T]):  # noqa: N801 - stands where functools.cached_property would
    """A property that is worked out once. That of functools takes a lock before Python 3.12, which costs more."""

    def __init__(self, work_out: Callable[[Any], T]) -> None:
        self._work_out = work_out
        self._name = work_out.__name__
        self.__doc__ = work_out.__doc__

    def __get__(self, instance: Any, owner: type) -> T:
        found = instance.__dict__[self._name] = self._work_out(instance)
        return found


class Surroundings:
    """What an event carries besides its JSON; never decoded from it.

    `number`: counts the events of an engine, from 1. `start_ns`: the time of the engine's first event.
    """

    number: int
    start_ns: int
    stage_timestamp: MaybeText
    timestamp: MaybeText
    place: bytes | Raw
    """The JSON text of the event where it stands, maybe with blanks around it: a copy costs more than most rules."""

    @kept
    def raw(self) -> bytes:
        """The JSON text of the event, without blanks around it."""
        return bytes(self.place).strip(b" \t\r\n")

    @property
    def size(self) -> int:
        """How many bytes the event takes."""
        return len(self.place)

    @kept
    def time_ns(self) -> int:
        """The event's own time in nanoseconds since 1970: its stageTimestamp, in old versions its timestamp.

        Raises ValueError for an event that was made by hand and has no readable time; decode.py makes none.
        """
        text = self.timestamp if self.stage_timestamp is MISSING else self.stage_timestamp
        time = None if text is MISSING else parse_time(text)
        if time is None:
            raise ValueError(f"the event has no readable time: `{text}`")
        return time


NOBODY = User()
NOTHING = ObjectRef()
NO_STATUS = ResponseStatus()


class AuditEvent(Struct, Surroundings, dict=True, rename="camel"):
    """One audit event. Attributes are the JSON keys in snake case."""

    kind: MaybeText = MISSING
    api_version: MaybeText = MISSING
    level: MaybeText = MISSING
    audit_id: MaybeText = msgspec.field(default=MISSING, name="auditID")
    stage: MaybeText = MISSING
    request_uri: MaybeText = msgspec.field(default=MISSING, name="requestURI")
    verb: MaybeText = MISSING
    user: User = NOBODY
    impersonated_user: User = NOBODY
    source_ips: list[str] | UnsetType = msgspec.field(default=MISSING, name="sourceIPs")
    user_agent: MaybeText = MISSING
    object_ref: ObjectRef = NOTHING
    response_status: ResponseStatus = NO_STATUS
    request_object: Raw | UnsetType = MISSING
    response_object: Raw | UnsetType = MISSING
    annotations: dict[str, str] | UnsetType = MISSING
    request_received_timestamp: MaybeText = MISSING
    stage_timestamp: MaybeText = MISSING
    timestamp: MaybeText = MISSING


ALWAYS: frozenset[Path] = frozenset((("kind",), ("audit_id",), ("stage_timestamp",)))
"""Attributes that tell whether a JSON object is an event, and which."""


def event_type(paths: Iterable[Path]) -> type[AuditEvent]:
    """A type with only the attributes at these paths, and those of ALWAYS, for decoding no more than is asked for.

    It is no subclass: reading another attribute raises AttributeError.
    """
    parts: dict[str, set[str]] = {}
    for name, *rest in {*paths, *ALWAYS}:
        parts.setdefault(name, set()).update(rest)
    fields = []
    names = {}
    for field in structs.fields(AuditEvent):
        if field.name in parts:
            names[field.name] = field.encode_name
            inner = _part(field.type, parts[field.name]) if parts[field.name] else None
            fields.append((field.name, field.type, field.default) if inner is None else (field.name, inner, inner()))
    found = msgspec.defstruct("AskedEvent", fields, bases=(Surroundings,), dict=True, rename=names)
    return cast("type[AuditEvent]", found)


def _part(whole: type[Struct], names: set[str]) -> type[Struct]:
    fields = [(field.name, field.type, field.default) for field in structs.fields(whole) if field.name in names]
    return msgspec.defstruct(f"Asked{whole.__name__}", fields, frozen=True, gc=False)


_TIME = re.compile(
    r"([0-9]{4})-([0-9]{2})-([0-9]{2})T([0-9]{1,2}):([0-9]{2}):([0-9]{2})(?:[.,]([0-9]+))?"
    r"(?:Z|([+-])([0-9]{2}):([0-9]{2}))"
)


def is_time(text: str) -> bool:
    """Whether `parse_time` reads the text; cheap for times as the API server writes them."""
    try:
        if _is_usual(text) and datetime.fromisoformat(text):
            return True
    except ValueError:
        pass
    return parse_time(text) is not None


def _is_usual(text: str) -> bool:
    """The shape of `2026-01-02T03:04:05.000000Z`, which datetime.fromisoformat reads, checking digits and ranges in C.

    Shape and length rule out what else it accepts: other separators, calendar weeks, anything at all behind six digits
    of a fraction.
    """
    return text[4:20:3] == "--T::." and text[26:] == "Z"


def parse_time(text: str) -> int | None:
    """Nanoseconds since 1970 of an RFC 3339 time; None for any other text.

    Reads what Go's time.Parse reads for RFC3339Nano: besides the standard, an hour of one digit, a comma before the
    fraction, fractions of any length (cut behind nanoseconds) and offsets up to 24:60; no leap second, no lower case.
    """
    if _is_usual(text):
        try:
            since = datetime.fromisoformat(text) - _EPOCH
            return (since.days * 86400 + since.seconds) * 1_000_000_000 + since.microseconds * 1000
        except ValueError:
            pass
    match = _TIME.fullmatch(text)
    if match is None:
        return None
    year, month, day, hour, minute, second = (int(part) for part in match.group(1, 2, 3, 4, 5, 6))
    fraction, sign, offset_hours, offset_minutes = match.group(7, 8, 9, 10)
    if hour > 23 or minute > 59 or second > 59:
        return None
    try:
        # The calendar repeats every 400 years; Python's begins with the year 1, Go's with 0.
        days = date(year or 400, month, day).toordinal() - _EPOCH_DAY - (0 if year else _DAYS_IN_400_YEARS)
    except ValueError:
        return None
    seconds = days * 86400 + hour * 3600 + minute * 60 + second
    if sign is not None:
        offset = int(offset_hours) * 3600 + int(offset_minutes) * 60
        if int(offset_hours) > 24 or int(offset_minutes) > 60:
            return None
        seconds -= offset if sign == "+" else -offset
    nanoseconds = int(fraction[:9].ljust(9, "0")) if fraction else 0
    return seconds * 1_000_000_000 + nanoseconds


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_EPOCH_DAY = date(1970, 1, 1).toordinal()
_DAYS_IN_400_YEARS = 146_097
