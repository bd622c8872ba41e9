"""An audit event as the engine sees it.

The typed attributes are what `audit.k8s.io` defines and rules ask for most. Each string attribute holds the text that
a rule sees, except that it may contain NUL characters, which fields cut at (see fields/paths.py). Whatever the JSON
leaves out is MISSING. The bodies of request and response stay JSON text until somebody asks.

An event with unexpected types (a number for the verb, null for the user) is brought into the same form by
decode.py: scalars as their JSON text, `null` as the text null, objects and arrays as compact JSON.

To read all of this takes longer than to match it: asked.py makes types with no more than some rules ask for.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Annotated, Any, Generic, TypeAlias, TypeVar

import msgspec
from msgspec import UNSET, Meta, Raw, Struct, UnsetType

from lanner.rfc3339 import EPOCH, FIRST, LAST, parse_time

Missing: TypeAlias = UnsetType
MISSING = UNSET
"""The value of a field that an event does not have. Falsy, equal only to itself."""

MaybeText: TypeAlias = str | UnsetType

T = TypeVar("T")

Path: TypeAlias = tuple[str, ...]
"""The way to an attribute: `("user", "username")`; to an annotation: `("annotations", key)`."""


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

    code: Annotated[int, Meta(ge=1)] | str | UnsetType = MISSING
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


MAX_KEPT_RAW_BYTES = 1024 * 1024
"""The largest text of an event that is kept beside the body it stands in."""


class Surroundings:
    """What an event carries besides its JSON; never decoded from it.

    `number`: counts the events of an engine, from 1. `start_ns`: the time of the engine's first event.
    """

    number: int
    start_ns: int
    full_size: int = 0
    """Bytes of the event as it came, if it has so many items that only the first are read; else 0."""
    place: bytes | Raw = b""
    """The JSON text of the event where it stands, maybe with blanks around it: a copy costs more than most rules. None
    for an event that was made by hand."""

    @property
    def raw(self) -> bytes:
        """The JSON text of the event, without blanks around it. It is kept unless it is large: another copy of tens of
        megabytes costs more than making it again."""
        found: bytes | None = self.__dict__.get("raw_text")
        if found is None:
            found = bytes(self.place).strip(b" \t\r\n")
            if len(found) < MAX_KEPT_RAW_BYTES:
                self.__dict__["raw_text"] = found
        return found

    @property
    def size(self) -> int:
        """How many bytes the event takes."""
        return len(self.place)


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
    request_received_timestamp: MaybeText = MISSING
    stage_timestamp: MaybeText = MISSING
    timestamp: MaybeText = MISSING
    annotations: dict[str, str] | UnsetType = MISSING

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

    @property
    def time(self) -> datetime:
        """The same to the microsecond; the first or last one of Python's times for what lies outside them."""
        try:
            return EPOCH + timedelta(microseconds=self.time_ns // 1000)
        except OverflowError:
            return FIRST if self.time_ns < 0 else LAST

    @property
    def recent(self) -> MaybeText:
        """A text, whichever, if the stageTimestamp says plainly that the event happened since the year 2000."""
        return RECENT if self.stage_timestamp is not MISSING and self.stage_timestamp >= "2000" else MISSING


RECENT = "since 2000"
