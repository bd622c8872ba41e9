"""Bytes in, audit events out: one Event, an EventList, or an array of them.

What is an event: an object whose `kind` is the string Event, or any item of an object whose `kind` is EventList; with a
stageTimestamp in RFC 3339 (the versions v1alpha1 and v1beta1 may have `timestamp` instead). What is not becomes
Malformed, item by item, and never costs its neighbours.

Events are decoded into types by msgspec. One that msgspec refuses (unexpected types, deep nesting, lone surrogates,
invalid UTF-8) is put together level by level through jsontext/access.py, to the same form, so that a rule sees of
it what it would see of JSON values anywhere: a scalar as its text, null as `null`, objects and arrays as compact JSON.

Whoever may post may send millions of tiny pieces. A body is therefore read from its beginning to its end, without
holding more than a part of what it is made of: `decode_parts` hands out part after part. A single event with more items
than any that an API server could accept is read in part (jsontext/thinning.py).
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Annotated, Any, NamedTuple, TypeAlias

import msgspec
from msgspec import Meta, Raw, Struct, structs

from lanner.asked import event_type
from lanner.event import (
    MISSING,
    NO_STATUS,
    NOBODY,
    NOTHING,
    AuditEvent,
    MaybeText,
    Missing,
    ObjectRef,
    Path,
    ResponseStatus,
    User,
)
from lanner.jsontext.access import REFUSED, JSONText, as_text, elements, is_array, is_object, members, string_text
from lanner.jsontext.scanner import (
    ScanError,
    broken_member,
    expect_end,
    first_element,
    next_element,
    scan_members,
    skip_blanks,
    skip_flat_elements,
    skip_value,
    validate,
)
from lanner.jsontext.thinning import thinned
from lanner.rfc3339 import is_time

MAX_ARRAYS = 16
"""How deep arrays may stand in arrays around events; more is malformed. (Inside an event any depth is fine.)"""

MAX_KEPT = 1_000
"""Malformed pieces that are kept of one body; further ones are counted. Nobody reads that many, and to
keep a piece of two bytes costs a hundred times that."""

MAX_ITEMS = 1_000_000
"""Items of a list that are read at once. Texts below 4 MB are not counted: they have two million at most."""

MAX_EVENT_ITEMS = 500_000
"""Items that are read of an event of UNCOUNTED_BYTES and more. API servers take requests of 3 MiB at most; a cluster
role of that size, whose rules have few letters, has some 450,000 in request and answer together."""

UNCOUNTED_BYTES = 4 * 1024 * 1024
"""Bytes up to which all items of an event are read without being counted."""

PART = 1_000
"""Events of a part of a body: an event takes up to 20 times its bytes."""

PART_BYTES = 4 * 1024 * 1024
"""Bytes of the events of a part, after which it ends: long texts stand in decoded events once more."""

USUAL_PART = 50
"""Events of a part of a usual list: few enough for what is made of them to stay in the processor's cache."""

_BLANKS = b" \t\r\n"
_OLD_VERSIONS = ("audit.k8s.io/v1beta1", "audit.k8s.io/v1alpha1")
_LARGE = 32_768  # bytes; from here on it pays to look whether a body is a list before decoding it as one event


class _Envelope(Struct):
    """An EventList as the API server writes it."""

    kind: str
    items: list[Raw]


_decode_event = msgspec.json.Decoder(AuditEvent).decode
_decode_code = msgspec.json.Decoder(Annotated[int, Meta(ge=1)] | str).decode
_decode_items = msgspec.json.Decoder(list[Raw]).decode
_decode_envelope = msgspec.json.Decoder(_Envelope).decode
_MEMBERS = {name: name for name in ("items", *(field.encode_name for field in structs.fields(AuditEvent)))}


UsualDecoder: TypeAlias = Callable[[bytes | Raw], AuditEvent | None]


class Malformed(NamedTuple):
    """A piece of a body that is not an event: its bytes and, in words, where and why."""

    raw: bytes
    reason: str


class Decoded(Struct, gc=False):
    """What a body holds: its events in order, and the pieces that are none. A Struct, since one is made per line.

    `unkept`: how many malformed pieces there are besides those in `malformed`.
    """

    events: list[AuditEvent]
    malformed: list[Malformed]
    unkept: int = 0


class EventError(ValueError):
    """A Python object is not one audit event."""


def decode(body: bytes) -> Decoded:
    """All events of a body. Never raises; what cannot be read is in `malformed`.

    Each event's `raw` is its JSON text, without blanks around it.
    """
    if len(body) < _LARGE or (b"EventList" not in body[:64] and _has_few_items(body)):
        event = _usual_event(body)
        if event is not None:
            return Decoded([event], [])
    whole = Decoded([], [])
    for part in _Reader(body.strip(_BLANKS)).parts():
        whole.events += part.events
        whole.malformed += part.malformed
        whole.unkept += part.unkept
    return whole


def decode_parts(body: bytes) -> Iterable[Decoded]:
    """What `decode` gives, in order, in parts of at most PART events. Of the whole body MAX_KEPT pieces are kept.

    Whatever is in a body, this takes a small multiple of its bytes if parts are let go of one by one.
    """
    return (decode(body),) if len(body) < _LARGE else _Reader(body.strip(_BLANKS)).parts()


def usual_decoder(paths: frozenset[Path] | None = None, *, alone: bool = False) -> UsualDecoder:
    """What reads events if types and time are as the API server writes them; for all others, which `decode` reads, it
    gives None.

    `paths`: the attributes that are asked for, None for all; see asked.py. `alone`: the texts are no items of a
    list, so they have to be of the kind Event; those that may have very many items are left to `decode`.
    """
    if paths is None:
        return _usual_event if alone else _usual
    read: Callable[[bytes | Raw], Any] = msgspec.json.Decoder(event_type(paths, alone=alone)).decode

    def usual(text: bytes | Raw) -> AuditEvent | None:
        if alone and _is_dense(text):
            return None
        try:
            event = read(text)
            if event.time.year >= 2000:
                event.place = text
                return event  # type: ignore[no-any-return]  # a call of cast costs too much here
        except (ValueError, RecursionError):
            pass
        return None

    return usual


def _usual(text: bytes | Raw) -> AuditEvent | None:
    """The event with all its attributes, of whatever kind."""
    try:
        event = _decode_event(text)
        if event.stage_timestamp is not MISSING and is_time(event.stage_timestamp):
            event.place = text
            return event
    except (ValueError, RecursionError):
        pass
    return None


def _usual_event(text: bytes | Raw) -> AuditEvent | None:
    """The event with all its attributes, if the text says that it is one."""
    event = None if _is_dense(text) else _usual(text)
    return event if event is not None and event.kind == "Event" else None


class UsualList:
    """The items of an EventList as the API server writes it: iterating gives its events in parts of USUAL_PART.

    It ends before the first part with an item that only `decode` reads. `rest` gives that and all behind it; it may
    take a hundred times as long, where it needs the scanner or there are very many pieces that are no events.
    """

    def __init__(self, items: list[Raw], decoder: UsualDecoder) -> None:
        self._items = items
        self._decoder = decoder
        self._next = 0

    def __iter__(self) -> Iterator[Decoded]:
        decoder = self._decoder
        while items := self._items[self._next : self._next + USUAL_PART]:
            events = []
            for item in items:
                event = decoder(item)
                if event is None:
                    return
                events.append(event)
            self._next += len(items)
            yield Decoded(events, [])

    @property
    def longest(self) -> int:
        """Bytes of the longest item, 0 without any."""
        return max(map(len, self._items), default=0)

    @property
    def done(self) -> bool:
        """Whether iterating has given all events."""
        return self._next == len(self._items)

    def rest(self) -> Iterator[Decoded]:
        """What iterating has not given."""
        reader = _Reader(b"")
        yield from reader.items(self._items, self._next)
        yield reader.take_part()


def usual_list(body: bytes, decoder: UsualDecoder = _usual) -> UsualList | None:
    """The list that a body is, if an API server may have written it. Takes about a millisecond for a megabyte."""
    try:
        envelope = _decode_envelope(body) if _has_few_items(body) else None
    except (ValueError, RecursionError):
        return None
    return UsualList(envelope.items, decoder) if envelope is not None and envelope.kind == "EventList" else None


def whole(event: AuditEvent) -> AuditEvent:
    """The event with all its attributes."""
    return event if type(event) is AuditEvent else reread(event, event.place)


def reread(event: AuditEvent, text: bytes | Raw) -> AuditEvent:
    """The event that a text says, an event of whatever kind; what it carries besides is that of `event`."""
    found = _usual(text)
    if found is None:
        (found,) = decode(b'{"kind":"EventList","items":[%b]}' % bytes(text)).events
    for counted in ("number", "start_ns"):
        if counted in event.__dict__:
            found.__dict__[counted] = event.__dict__[counted]
    return found


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


def _has_few_items(text: bytes) -> bool:
    """Whether no array or object in the text can have very many items. Costs nothing for texts of the usual size."""
    return len(text) < 4 * MAX_ITEMS or text.count(b",") < MAX_ITEMS


def _is_dense(text: bytes | Raw) -> bool:
    """Whether an event has so many items that only the first of them are read."""
    return len(text) >= UNCOUNTED_BYTES and bytes(text).count(b",") > MAX_EVENT_ITEMS


def _item_sizes(body: bytes) -> Iterable[int]:
    """How long the items of an array are; nothing if that is not quickly told."""
    try:
        return (memoryview(item).nbytes for item in (_decode_items(body) if _has_few_items(body) else ()))
    except REFUSED:
        return ()


class _Reader:
    """Reads a body (without blanks around it) once, from its beginning to its end.

    What is not JSON counts up to the place where it breaks: the rest, from the item that breaks on, is one malformed
    piece. An EventList counts if it says before it breaks that it is one.
    """

    def __init__(self, body: bytes) -> None:
        self._body = body
        self._part = Decoded([], [])
        self._part_bytes = 0
        self._kept = 0
        self._rest = 0  # where what is not read yet begins
        self._behind = ""  # the last good items before the body breaks

    def parts(self) -> Iterator[Decoded]:
        """What the body holds. Never raises."""
        body = self._body
        try:
            if body[:1] == b"[":
                yield from self._array(0, "", depth=0, sizes=_item_sizes(body))
            elif body[:1] == b"{":
                yield from self._object(0, "", None, len(body))
            else:
                self._add_malformed(body, "", None, _not_a_container(body))
        except ScanError as error:
            self._add_malformed(body[self._rest :].lstrip(_BLANKS), self._behind, None, f"not JSON: {error}")
        yield self._part

    def _array(
        self,
        start: int,
        place: str,
        *,
        depth: int = 1,
        sizes: Iterable[int] = (),
        listed: bool = False,
        broken: ScanError | None = None,
    ) -> Generator[Decoded, None, int]:
        """Read the array at `start`; the position behind it. Raises ScanError.

        `place`: where it stands in the body, for reasons. `depth`: how many arrays stand around it. `sizes`: how
        long its items are, if that is known. `listed`: these are the items of an EventList, which are events whatever
        their kind. `broken`: where that list breaks, if it does.
        """
        text = self._body
        number = 0
        lengths = iter(sizes)
        end = self._rest = start + 1
        try:
            position = first_element(text, start)
            while position is not None:
                if self._kept == MAX_KEPT:
                    count, position = skip_flat_elements(text, position)
                    self._part.unkept += count
                    number += count
                    deque(islice(lengths, count), maxlen=0)
                self._rest = position
                opening = text[position : position + 1]
                size = next(lengths, None)
                if listed:
                    end = skip_value(text, position)
                    self._add_item(text[position:end], place, number)
                elif opening == b"{":
                    end = yield from self._object(position, place, number, size)
                elif opening == b"[" and depth + 1 < MAX_ARRAYS:
                    end = yield from self._array(position, _place(place, number), depth=depth + 1)
                else:
                    end = skip_value(text, position)
                    too_deep = f"more than {MAX_ARRAYS} arrays in arrays" if opening == b"[" else ""
                    piece = text[position:end]
                    self._add_malformed(piece, place, number, too_deep or _not_an_object(piece))
                number += 1
                self._rest = end
                if self._is_full:
                    yield self.take_part()
                position = next_element(text, end)
            end = skip_blanks(text, end) + 1
            if depth == 0:
                self._rest = end
                expect_end(text, end)
            if broken is not None:
                self._rest = max(end, broken.position)
                raise broken
        except ScanError as error:
            if number:
                self._behind = f"behind item {number}: {self._behind}"
            raise broken or error from None
        return end

    def _object(self, start: int, place: str, number: int | None, size: int | None) -> Generator[Decoded, None, int]:
        """Read the object at `start`, which must say by its kind what it is; the position behind it. Raises ScanError.

        `number`: which item of the array at `place` it is; None for the body itself. `size`: how long it is, if that is
        known.
        """
        text = self._body
        try:
            if b"EventList" not in text[start : start + 64]:
                end = skip_value(text, start) if size is None else start + size
                piece = text[start:end]
                if not _is_dense(piece):
                    event = _decode_event(piece)
                    if event.kind == "Event":
                        self._add_event(event, piece, place, number)
                        return end
                    if event.kind != "EventList":
                        self._add_malformed(piece, place, number, _of_another_kind(event.kind))
                        return end
            elif number is None and _has_few_items(text):
                envelope = _decode_envelope(text)
                if envelope.kind == "EventList":
                    yield from self.items(envelope.items)
                    return len(text)
        except (*REFUSED, ScanError):
            pass
        outline = _Outline(text, start, whole=number is None)
        kind, items = outline.text("kind"), outline.spans.get("items")
        is_list = kind == "EventList" and items is not None and text[items[0] : items[0] + 1] == b"["
        if is_list:
            assert items is not None
            inner = place if number is None else _place(place, number)
            yield from self._array(items[0], inner, listed=True, broken=outline.error)
        elif outline.error is not None:
            raise outline.error
        else:
            piece = text[start : outline.end]
            if kind == "Event":
                self._add_item(piece, place, number)
            elif kind != "EventList":
                self._add_malformed(piece, place, number, _of_another_kind(kind))
            elif items is not None and text[slice(*items)] != b"null":
                listed = text[slice(*items)]
                reason = f"the `items` of an EventList are {_type(listed)} instead of an array"
                self._add_malformed(piece, place, number, reason)
        return outline.end

    def items(self, items: Sequence[bytes | Raw], first: int = 0) -> Iterator[Decoded]:
        """The items of an EventList that is the body, from number `first` on. The last part may be waiting still."""
        for number in range(first, len(items)):
            self._add_item(items[number], "", number)
            if self._is_full:
                yield self.take_part()

    def _add_item(self, text: bytes | Raw, place: str, number: int | None) -> None:
        """Add what has to be an event: an item, which is JSON, of an EventList; or an object of the kind Event."""
        if not is_object(text):
            piece = bytes(text)
            self._add_malformed(piece, place, number, _not_an_object(piece))
            return
        size = len(text)
        dense = _is_dense(text)
        if dense:
            text = thinned(bytes(text), MAX_EVENT_ITEMS)
        try:
            event = _decode_event(text)
        except REFUSED:
            event = _build_event(_Outline(bytes(text), 0).values())
        if dense:
            event.full_size = size
        self._add_event(event, text, place, number)

    def _add_event(self, event: AuditEvent, text: bytes | Raw, place: str, number: int | None) -> None:
        """Add an event if it has a time."""
        time = event.stage_timestamp
        name = "stageTimestamp"
        if time is MISSING and event.api_version in _OLD_VERSIONS:
            time = event.timestamp
            name = "timestamp"
        if time is not MISSING and is_time(time):
            event.place = text
            self._part.events.append(event)
            self._part_bytes += len(text)
            return
        reason = f"no `{name}`" if time is MISSING else f"a `{name}` that is not a time: `{time[:64]}`"
        self._add_malformed(bytes(text), place, number, f"the event has {reason}")

    def _add_malformed(self, text: bytes, place: str, number: int | None, reason: str) -> None:
        """Keep the piece, or count it."""
        if self._kept == MAX_KEPT:
            self._part.unkept += 1
            return
        self._kept += 1
        where = place if number is None else _place(place, number)
        self._part.malformed.append(Malformed(text, f"{where}{reason}"))

    @property
    def _is_full(self) -> bool:
        return len(self._part.events) >= PART or self._part_bytes >= PART_BYTES

    def take_part(self) -> Decoded:
        """What was read and not handed out yet."""
        part, self._part = self._part, Decoded([], [])
        self._part_bytes = 0
        return part


class _Outline:
    """The members that an event or an EventList may have of the object at `start`, of equal keys the last.

    `spans`: their values, start and end; of a value that breaks, its start twice. `end`: the position behind the
    object. `error`: where it breaks, if it does. `whole`: nothing may stand behind it.
    """

    def __init__(self, text: bytes, start: int, *, whole: bool = False) -> None:
        self._source = text
        self.spans: dict[str, tuple[int, int]] = {}
        self.error: ScanError | None = None
        self.end = start + 1
        try:
            for key, begin, self.end in scan_members(text, start):
                self._add(key, begin, self.end)
        except ScanError as error:
            self.error = error
            broken = broken_member(text, self.end)
            if broken is not None:
                self._add(*broken, broken[1])
            return
        self.end = skip_blanks(text, self.end) + 1
        try:
            if whole:
                expect_end(text, self.end)
        except ScanError as error:
            self.error = error

    def _add(self, key: bytes, begin: int, end: int) -> None:
        name = _MEMBERS.get(string_text(key) if b"\\" in key else key[1:-1].decode("latin-1"))
        if name is not None:
            self.spans[name] = (begin, end)

    def values(self) -> dict[str, JSONText]:
        """The values by key."""
        return {name: self._source[begin:end] for name, (begin, end) in self.spans.items()}

    def text(self, name: str) -> MaybeText:
        """What a rule would see of the value."""
        begin, end = self.spans.get(name, (0, 0))
        return as_text(self._source[begin:end]) if begin < end else MISSING


def _of_another_kind(kind: MaybeText) -> str:
    return "not an event: it has no `kind`" if kind is MISSING else f"not an event: its `kind` is `{kind[:64]}`"


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


def _not_an_object(text: bytes) -> str:
    return f"not an event: {_type(text)} instead of an object"


def _place(place: str, number: int) -> str:
    """Where item `number` (from 0) of what is at `place` stands."""
    return f"{place}item {number + 1}: "


def _type(text: bytes) -> str:
    """The type of a JSON text in words."""
    match text[:1]:
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
    if value is None or not is_array(value):
        return MISSING
    return [as_text(item) for item in elements(value) or ()]


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
    value = found.get("annotations")
    if value is None or not is_object(value):
        return MISSING
    return {key: as_text(annotation) for key, annotation in (members(value) or {}).items()}
