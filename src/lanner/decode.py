"""Bytes in, audit events out: one Event, an EventList, or an array of them.

What is an event: an object whose `kind` is the string Event, or any item of an object whose `kind` is EventList; with a
stageTimestamp in RFC 3339 (the versions v1alpha1 and v1beta1 may have `timestamp` instead). What is not becomes
Malformed, item by item, and never costs its neighbours.

Events are decoded into types by msgspec. One that msgspec refuses (unexpected types, deep nesting, lone surrogates,
invalid UTF-8) is put together level by level through jsontext/access.py, to the same form, so that a rule sees of
it what it would see of JSON values anywhere: a scalar as its text, null as `null`, objects and arrays as compact JSON.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Annotated, Any, NamedTuple

import msgspec
from msgspec import Meta, Raw, Struct

from lanner.event import (
    MISSING,
    NO_STATUS,
    NOBODY,
    NOTHING,
    AuditEvent,
    MaybeText,
    Missing,
    ObjectRef,
    ResponseStatus,
    User,
    is_time,
)
from lanner.jsontext.access import REFUSED, JSONError, JSONText, as_text, elements, is_string, members, string_text
from lanner.jsontext.scanner import (
    ScanError,
    broken_member,
    scan_elements,
    scan_members,
    skip_blanks,
    skip_value,
    validate,
)

MAX_ARRAYS = 16
"""How deep arrays may stand in arrays around events; more is malformed. (Inside an event any depth is fine.)"""

_BLANKS = b" \t\r\n"
_OLD_VERSIONS = ("audit.k8s.io/v1beta1", "audit.k8s.io/v1alpha1")
_LARGE = 32_768  # bytes; from here on it pays to look whether a body is a list before decoding it as one event


class _Envelope(Struct):
    """An EventList as the API server writes it."""

    kind: str
    items: list[Raw]


_decode_event = msgspec.json.Decoder(AuditEvent).decode
_parse = datetime.fromisoformat
_decode_code = msgspec.json.Decoder(Annotated[int, Meta(ge=1)] | str).decode
_decode_envelope = msgspec.json.Decoder(_Envelope).decode


class Malformed(NamedTuple):
    """A piece of a body that is not an event: its bytes and, in words, where and why."""

    raw: bytes
    reason: str


class Decoded(Struct, gc=False):
    """What a body holds: its events in order, and the pieces that are none. A Struct, since one is made per line."""

    events: list[AuditEvent]
    malformed: list[Malformed]


class EventError(ValueError):
    """A Python object is not one audit event."""


def decode(body: bytes) -> Decoded:
    """All events of a body. Never raises; what cannot be read is in `malformed`.

    Each event's `raw` is its JSON text, without blanks around it.
    """
    if len(body) < _LARGE or b"EventList" not in body[:64]:
        try:
            event = _decode_event(body)
            time = event.stage_timestamp
            # The last three conditions are what is_time begins with: a call costs too much here.
            if event.kind == "Event" and time and time[4:20:3] == "--T::." and time[26:] == "Z" and _parse(time):
                event.raw = body.strip(_BLANKS)
                return Decoded([event], [])
        except (ValueError, RecursionError):
            pass
    return _decode_body(body.strip(_BLANKS))


def decode_usual(body: bytes) -> Decoded | None:
    """The events of an EventList as the API server writes it; None for any other body, which `decode` reads.

    This takes some milliseconds for a megabyte. `decode` may take a hundred times that where it needs the scanner, or
    where a body holds very many pieces that are no events.
    """
    try:
        envelope = _decode_envelope(body)
        events = []
        for item in envelope.items:
            event = _decode_event(item)
            time = event.stage_timestamp
            # The first conditions are what is_time begins with: a call costs too much here.
            usual = time and time[4:20:3] == "--T::." and time[26:] == "Z" and _parse(time)
            if not usual and (not time or not is_time(time)):
                return None
            event.place = item
            events.append(event)
    except (ValueError, RecursionError):
        return None
    return Decoded(events, []) if envelope.kind == "EventList" else None


def decode_object(event: Any) -> AuditEvent:
    """The event that a Python object (a dict as from json.loads) stands for. Raises EventError if it is none."""
    try:
        body = msgspec.json.encode(event)
    except UnicodeEncodeError:
        body = json.dumps(event).encode()  # lone surrogates as escapes
    except (TypeError, ValueError, RecursionError) as error:
        raise EventError(f"the object has no form in JSON: {error}") from error
    decoded = decode(body)
    if decoded.malformed:
        raise EventError(decoded.malformed[0].reason)
    if len(decoded.events) != 1:
        raise EventError(f"the object holds {len(decoded.events)} events instead of one")
    return decoded.events[0]


def _decode_body(body: bytes) -> Decoded:
    """The events of a body (without blanks around it) that is not simply one event."""
    decoded = Decoded([], [])
    if body[:1] not in (b"{", b"["):
        decoded.malformed.append(Malformed(body, _not_a_container(body)))
        return decoded
    try:
        _add_unit(body, decoded)
    except JSONError as error:
        _salvage(body, error, decoded)
    return decoded


def _not_a_container(body: bytes) -> str:
    if not body:
        return "the body is empty"
    if body.startswith(b"\xef\xbb\xbf"):
        return "not JSON: a byte order mark at byte 0"
    try:
        validate(body)
    except ScanError as error:
        return f"not JSON: {error}"
    return f"not an event: {_type(body)} instead of an object"


def _add_unit(text: bytes, decoded: Decoded, place: str = "") -> None:
    """Add what an object or array holds that must say by its kind what it is.

    `place`: where it stands in the body, for reasons. Raises JSONError, before it adds anything, if it is not JSON.
    """
    waiting = [(text, place, 0)]
    while waiting:
        text, place, depth = waiting.pop()
        if text[:1] != b"[":
            _add_by_kind(text, decoded, place)
        elif depth == MAX_ARRAYS:
            decoded.malformed.append(Malformed(text, f"{place}more than {MAX_ARRAYS} arrays in arrays"))
        else:
            items = elements(text) or ()
            inner = [(bytes(item), _place(place, number), depth + 1) for number, item in enumerate(items)]
            waiting.extend(reversed(inner))


def _add_by_kind(text: bytes, decoded: Decoded, place: str) -> None:
    """Add an Event or the items of an EventList; anything else is malformed. Raises JSONError if it is not JSON."""
    if text[:1] != b"{":
        decoded.malformed.append(_not_an_object(text, place))
        return None
    try:
        if b"EventList" in text[:64]:
            envelope = _decode_envelope(text)
            if envelope.kind == "EventList":
                return _add_items(envelope.items, decoded, place)
        else:
            event = _decode_event(text)
            if event.kind == "Event":
                return _add_event(event, text, decoded, place)
    except REFUSED:
        pass
    found = members(text) or {}
    kind = found.get("kind")
    name = as_text(kind) if kind is not None and is_string(kind) else None
    if name == "Event":
        _add_event(_build_event(found), text, decoded, place)
    elif name == "EventList":
        listed = found.get("items", b"null")
        items = elements(listed)
        if items is not None:
            _add_items(items, decoded, place)
        elif bytes(listed) != b"null":
            reason = f"{place}the `items` of an EventList are {_type(listed)} instead of an array"
            decoded.malformed.append(Malformed(text, reason))
    else:
        what = "it has no `kind`" if kind is None else f"its `kind` is `{as_text(kind)[:64]}`"
        decoded.malformed.append(Malformed(text, f"{place}not an event: {what}"))
    return None


def _add_items(items: Iterable[JSONText], decoded: Decoded, place: str) -> None:
    """Add the items of an EventList, which are events whatever their kind. They are JSON."""
    for number, item in enumerate(items):
        text = bytes(item)
        if text[:1] != b"{":
            decoded.malformed.append(_not_an_object(text, _place(place, number)))
            continue
        try:
            event = _decode_event(text)
        except REFUSED:
            event = _build_event(members(text) or {})
        _add_event(event, text, decoded, place, number)


def _add_event(event: AuditEvent, text: bytes, decoded: Decoded, place: str, number: int | None = None) -> None:
    """Add an event if it has a time. `number`: which item of the list at `place` it is."""
    time = event.stage_timestamp
    name = "stageTimestamp"
    if time is MISSING and event.api_version in _OLD_VERSIONS:
        time = event.timestamp
        name = "timestamp"
    if time is not MISSING and is_time(time):
        event.raw = text
        decoded.events.append(event)
        return
    where = place if number is None else _place(place, number)
    reason = f"no `{name}`" if time is MISSING else f"a `{name}` that is not a time: `{time[:64]}`"
    decoded.malformed.append(Malformed(text, f"{where}the event has {reason}"))


def _place(place: str, number: int) -> str:
    """Where item `number` (from 0) of what is at `place` stands."""
    return f"{place}item {number + 1}: "


def _not_an_object(text: bytes, place: str) -> Malformed:
    return Malformed(text, f"{place}not an event: {_type(text)} instead of an object")


def _type(text: JSONText) -> str:
    """The type of a JSON text in words."""
    match bytes(text)[:1]:
        case b"{":
            return "an object"
        case b"[":
            return "an array"
        case b'"':
            return "a string"
        case b"t" | b"f":
            return "a boolean"
        case b"n":
            return "null"
    return "a number"


def _build_event(found: Mapping[str, JSONText]) -> AuditEvent:
    """The event of an object's members, whatever their types are."""
    version = _text(found, "apiVersion")
    return AuditEvent(
        kind=_text(found, "kind"),
        api_version=version,
        level=_text(found, "level"),
        audit_id=_text(found, "auditID"),
        stage=_text(found, "stage"),
        request_uri=_text(found, "requestURI"),
        verb=_text(found, "verb"),
        user=_user(found, "user"),
        impersonated_user=_user(found, "impersonatedUser"),
        source_ips=_texts(found, "sourceIPs"),
        user_agent=_text(found, "userAgent"),
        object_ref=_object_ref(found),
        response_status=_response_status(found),
        request_object=_raw(found, "requestObject"),
        response_object=_raw(found, "responseObject"),
        annotations=_annotations(found),
        request_received_timestamp=_text(found, "requestReceivedTimestamp"),
        stage_timestamp=_time(found, "stageTimestamp", version),
        timestamp=_time(found, "timestamp", version),
    )


def _text(found: Mapping[str, JSONText], key: str) -> MaybeText:
    value = found.get(key)
    return MISSING if value is None else as_text(value)


def _time(found: Mapping[str, JSONText], key: str, version: MaybeText) -> MaybeText:
    """A time that is null is one that was never set in versions that have two."""
    text = _text(found, key)
    return MISSING if text == "null" and version in _OLD_VERSIONS else text


def _texts(found: Mapping[str, JSONText], key: str) -> list[str] | Missing:
    """The texts of an array's elements; MISSING for what is not an array, as in Falco."""
    value = found.get(key)
    items = None if value is None else elements(value)
    return MISSING if items is None else [as_text(item) for item in items]


def _raw(found: Mapping[str, JSONText], key: str) -> Raw | Missing:
    value = found.get(key)
    return MISSING if value is None else Raw(bytes(value))


def _inner(found: Mapping[str, JSONText], key: str) -> Mapping[str, JSONText] | None:
    """The members of an object; None for what is not there or not an object: nothing in it can be found."""
    value = found.get(key)
    return None if value is None else members(value)


def _user(found: Mapping[str, JSONText], key: str) -> User:
    user = _inner(found, key)
    return NOBODY if user is None else User(_text(user, "username"), _texts(user, "groups"))


def _object_ref(found: Mapping[str, JSONText]) -> ObjectRef:
    ref = _inner(found, "objectRef")
    if ref is None:
        return NOTHING
    return ObjectRef(_text(ref, "resource"), _text(ref, "namespace"), _text(ref, "name"), _text(ref, "subresource"))


def _response_status(found: Mapping[str, JSONText]) -> ResponseStatus:
    status = _inner(found, "responseStatus")
    return NO_STATUS if status is None else ResponseStatus(_code(status), _text(status, "reason"))


def _code(status: Mapping[str, JSONText]) -> int | str | Missing:
    """A number where typed decoding makes one, so that equal events are equal whichever way they were decoded."""
    value = status.get("code")
    if value is None:
        return MISSING
    try:
        code: int | str = _decode_code(value)
    except REFUSED:
        return as_text(value)
    return code


def _annotations(found: Mapping[str, JSONText]) -> dict[str, str] | Missing:
    annotations = _inner(found, "annotations")
    return MISSING if annotations is None else {key: as_text(value) for key, value in annotations.items()}


def _salvage(body: bytes, error: JSONError, decoded: Decoded) -> None:
    """Add what can be had of a body that is not JSON: the items before the place where it breaks.

    The rest becomes one malformed piece. `error`: where it breaks. If the broken item of an array is an EventList, its
    items are saved likewise.
    """
    rest, place = 0, ""
    if body[:1] == b"[":
        spans, rest = _complete_elements(body, 0, error)
        for number, (start, end) in enumerate(spans):
            _add_unit(body[start:end], decoded, _place("", number))
        place = f"behind item {len(spans)}: " if spans else ""
    if body[rest : rest + 1] == b"{":
        opening = _items_of_broken_list(body, rest)
        if opening is not None:
            spans, rest = _complete_elements(body, opening, error)
            _add_items((body[start:end] for start, end in spans), decoded, place)
            place += f"behind item {len(spans)}: " if spans else ""
    decoded.malformed.append(Malformed(body[rest:], f"{place}not JSON: {error}"))


def _complete_elements(body: bytes, start: int, error: JSONError) -> tuple[list[tuple[int, int]], int]:
    """The elements that are JSON of the array at `start`, up to the first that is not; and where the rest begins."""
    spans: list[tuple[int, int]] = []
    end = start + 1
    try:
        for begin, end in scan_elements(body, start):
            spans.append((begin, end))
    except ScanError:
        rest = skip_blanks(body, end)
        if spans and body[rest : rest + 1] == b",":
            rest = skip_blanks(body, rest + 1)
        return spans, rest
    return spans, max(end, error.position)


def _items_of_broken_list(body: bytes, start: int) -> int | None:
    """Where the `items` of the broken object at `start` open, if it says before it breaks that it is an EventList."""
    values: dict[str, int] = {}
    end = start + 1
    try:
        for key, begin, behind in scan_members(body, start):
            values[string_text(key)] = begin
            end = behind
    except ScanError:
        broken = broken_member(body, end)
        if broken is not None:
            values[string_text(broken[0])] = broken[1]
    kind, opening = values.get("kind"), values.get("items")
    if kind is None or opening is None or body[opening : opening + 1] != b"[":
        return None
    return opening if _string_at(body, kind) == "EventList" else None


def _string_at(text: bytes, start: int) -> str | None:
    """The string at `start`; None for any other value, also a broken one."""
    if text[start : start + 1] != b'"':
        return None
    try:
        return string_text(text[start : skip_value(text, start)])
    except ScanError:
        return None
