"""Takes values out of events before anything of them is kept or shown: secrets, tokens, whatever is configured.

In: an event and JSON pointers. Out: the event with `"[redacted]"` in their places, and without the credentials in its
request URI. Rules see events as they came.

In a pointer `*` is any key or position, and `*.io/name` any key that ends so. At its end `*` also takes a value that
has no parts. A text that stands where a pointer leads further, as a body that is a string, is taken as a whole: it may
hold the object that should be there. Of keys that an object has twice only the last value is kept, as it alone is read.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass
from types import MappingProxyType
from typing import TypeAlias

import msgspec

from lanner.config.service import NEVER_REDACTED, Redaction
from lanner.decode import reread
from lanner.event import MISSING, AuditEvent
from lanner.jsontext.access import JSONError, JSONText, compact, elements, members, string_text
from lanner.jsontext.scanner import ScanError, scan_elements, scan_members
from lanner.service.redacted_pieces import ANY, REDACTED, SecretKeys, redact_piece
from lanner.service.secret_parameters import without_secret_parameters

MAX_STEPS = 64
"""Steps of a pointer; what lies deeper cannot be redacted alone."""

MAX_PLACES = 100_000
"""Members and elements that are looked at in one event. What has more is redacted as a whole: whoever makes an event
decides how many it has, and no secret has that many."""

MAX_COMMAS = 1_000_000
"""Commas in a container, at whatever depth, from which on it counts as one of too many parts: to count these takes
seconds."""

Steps: TypeAlias = "tuple[str, ...]"

_encode = msgspec.json.Encoder().encode
_URI = "requestURI"
_QUOTED_URI = _encode(_URI)
_KEPT = frozenset(pointer.removeprefix("/") for pointer in NEVER_REDACTED)
_OBJECT, _ARRAY, _STRING = b'{["'
_escaped_letter = re.compile(rb"\\u00[4-7]").search


@dataclass(frozen=True, slots=True)
class _Pointers:
    """Pointers of one resource. `keys`: their first steps, as they stand in an event; None if that may be in more ways
    than one."""

    all: tuple[Steps, ...]
    keys: tuple[bytes, ...] | None

    @classmethod
    def of(cls, pointers: Iterable[str]) -> _Pointers:
        all_steps = tuple(_steps(pointer) for pointer in pointers)
        heads = sorted({steps[0] for steps in all_steps})
        plain = all(head.isascii() and head.isalpha() for head in heads)
        return cls(all_steps, tuple(_encode(head) for head in heads) if plain else None)

    def may_lead_into(self, raw: bytes) -> bool:
        """Whether an event may have something at these pointers; False is sure."""
        return self.keys is None or any(key in raw for key in self.keys) or _has_odd_keys(raw)


class Redactor:
    """Applies the configured redactions. Never raises."""

    def __init__(self, redactions: Iterable[Redaction]) -> None:
        by_resource: dict[str, list[str]] = {}
        for redaction in redactions:
            by_resource.setdefault(redaction.resource, []).extend(redaction.pointers)
        self._by_resource = {resource: _Pointers.of(pointers) for resource, pointers in by_resource.items()}
        self._resources = frozenset(resource.partition("/")[0] for resource in by_resource)
        self._general = [group for resource, group in self._by_resource.items() if not resource]
        self._keys = SecretKeys.of(steps for group in self._by_resource.values() for steps in group.all)

    def event(self, event: AuditEvent) -> AuditEvent:
        """The event without what must not be seen; the same object if there is nothing of that in it."""
        raw = event.raw
        pointers = [steps for group in self._groups(event) if group.may_lead_into(raw) for steps in group.all]
        uri = event.request_uri
        instead: dict[str, bytes] = {}
        if uri is not MISSING:
            shown = without_secret_parameters(uri)
            if shown is not uri or _is_there_twice(_QUOTED_URI, raw):
                instead[_URI] = _encode(shown)
        if not pointers and not instead:
            return event
        redacted = redact(raw, pointers, instead)
        return event if redacted is raw else reread(event, redacted)

    def piece(self, raw: bytes) -> bytes:
        """The same for what is no event: it does not say what it is about, so everything is looked for everywhere."""
        return redact_piece(raw, self._keys)

    def _groups(self, event: AuditEvent) -> Iterable[_Pointers]:
        ref = event.object_ref
        if not ref.resource:  # it does not say what it is about, so everything is looked for
            return self._by_resource.values()
        if ref.resource not in self._resources:
            return self._general
        find = self._by_resource.get
        subresource = None if ref.subresource is MISSING else find(f"{ref.resource}/{ref.subresource}")
        return [group for group in (find(""), find(ref.resource), subresource) if group is not None]


def redact(raw: bytes, pointers: Iterable[Steps], instead: Mapping[str, bytes] | None = None) -> bytes:
    """The event with REDACTED in all these places; the same object if it has none of them, or is no JSON object.

    `instead`: what to put in the place of some of its members. What makes an event one is never taken.
    """
    try:
        found = members(raw)
        if found is None:
            return raw
        return _Places().in_members(raw, found, list(pointers), instead or {}, kept=_KEPT) or raw
    except (JSONError, ScanError):
        return raw


class _Places:
    """Redacts values of one event, and counts how much of it was looked at. Recurses at most MAX_STEPS deep."""

    def __init__(self) -> None:
        self._left = MAX_PLACES

    def redacted(self, text: JSONText, pointers: Sequence[Steps], *, expected: bool = True) -> bytes | None:
        """The value with REDACTED at these pointers; None if it has no such place.

        `expected`: a container should be here, so a string stands for one.
        """
        if () in pointers:
            return REDACTED
        opening = memoryview(text)[0]
        if opening == _OBJECT:
            return self._object(text, pointers)
        if opening == _ARRAY:
            return self._array(text, pointers)
        if (ANY,) in pointers:
            return None if bytes(text) == b"null" else REDACTED
        return REDACTED if opening == _STRING and expected else None

    def _object(self, text: JSONText, pointers: Sequence[Steps]) -> bytes | None:
        if self._are_too_many(text):
            return REDACTED
        found = members(text) or {}
        self._left -= len(found)
        return self.in_members(text, found, pointers)

    def in_members(
        self,
        text: JSONText,
        found: Mapping[str, JSONText],
        pointers: Sequence[Steps],
        instead: Mapping[str, bytes] = MappingProxyType({}),
        kept: Set[str] = frozenset(),
    ) -> bytes | None:
        """The same for an object with these members, of which those in `kept` stay."""
        named = {steps[0] for steps in pointers}
        below = {key: rests for key, rests in _below(pointers, found).items() if key not in kept}
        changed = {key: value for key, value in instead.items() if key in found}
        for key, rests in below.items():
            new = self.redacted(found[key], rests, expected=key in named)
            if new is not None:
                changed[key] = new
        if not changed and _repeated(text, found).isdisjoint(below):
            return None
        return _joined(found, changed)

    def _array(self, text: JSONText, pointers: Sequence[Steps]) -> bytes | None:
        if self._are_too_many(text):
            return REDACTED
        items = elements(text) or ()
        self._left -= len(items)
        for_any = [steps[1:] for steps in pointers if steps[0] == ANY]
        by_place: dict[int, list[Steps]] = {}
        for steps in pointers:
            if _is_place(steps[0], len(items)):
                by_place.setdefault(int(steps[0]), []).append(steps[1:])
        changed: dict[int, bytes] = {}
        for place in range(len(items)) if for_any else by_place:
            new = self.redacted(items[place], [*for_any, *by_place.get(place, ())])
            if new is not None:
                changed[place] = new
        if not changed:
            return None
        return b"[%b]" % b",".join(changed.get(place) or bytes(item) for place, item in enumerate(items))

    def _are_too_many(self, text: JSONText) -> bool:
        """Whether a container has more parts than may be looked at; without taking it apart, for it may have many
        more."""
        view = memoryview(text)
        if view.nbytes < 2 * self._left:
            return False
        data = bytes(view)
        commas = data.count(b",")
        if commas < self._left:
            return False
        if commas > MAX_COMMAS:
            return True
        parts: Iterable[object] = scan_members(data, 0) if data[0] == _OBJECT else scan_elements(data, 0)
        return any(number > self._left for number, _ in enumerate(parts, 1))


def _below(pointers: Iterable[Steps], found: Mapping[str, JSONText]) -> dict[str, list[Steps]]:
    """Which members of an object pointers lead into, each with the rests of these pointers."""
    by_name: dict[str, list[Steps]] = {}
    by_ending: dict[str, list[Steps]] = {}
    for steps in pointers:
        head, rest = steps[0], steps[1:]
        if head.startswith(ANY):
            by_ending.setdefault(head.removeprefix(ANY), []).append(rest)
        elif head in found:
            by_name.setdefault(head, []).append(rest)
    if not by_ending:
        return by_name
    below: dict[str, list[Steps]] = {}
    for key in found:
        rests = [rest for ending, rests in by_ending.items() if key.endswith(ending) for rest in rests]
        if rests := rests + by_name.get(key, []):
            below[key] = rests
    return below


def _repeated(text: JSONText, found: Mapping[str, JSONText]) -> Set[str]:
    """The keys that an object, whose members are `found`, has more than once."""
    if not found or _is_least(text, found):
        return frozenset()
    data = compact(text)
    if _is_least(data, members(data) or {}):
        return frozenset()
    seen: set[str] = set()
    repeated: set[str] = set()
    for key, _, _ in scan_members(data, 0):
        name = string_text(key)
        (repeated if name in seen else seen).add(name)
    return repeated


def _is_least(text: JSONText, found: Mapping[str, JSONText]) -> bool:
    """Whether an object takes no more than the sum of its keys and values: then it has none twice. It may take more for
    blanks and for escapes in keys, too."""
    least = len("{}") - len(",")
    for key, value in found.items():
        least += (len(key) if key.isascii() else len(key.encode())) + memoryview(value).nbytes + len('"":,')
    return least == memoryview(text).nbytes


def _is_there_twice(key: bytes, raw: bytes) -> bool:
    """Whether an event may have a key more than once; False is sure."""
    return raw.find(key, raw.find(key) + 1) >= 0 or _has_odd_keys(raw)


def _has_odd_keys(raw: bytes) -> bool:
    """Whether a text has letters as escapes, which nobody writes: keys in it may not look as they read."""
    return _escaped_letter(raw) is not None


def _steps(pointer: str) -> Steps:
    steps = tuple(step.replace("~1", "/").replace("~0", "~") for step in pointer.removeprefix("/").split("/"))
    return steps[:MAX_STEPS]


def _joined(found: Mapping[str, JSONText], changed: Mapping[str, bytes]) -> bytes:
    """An object of these members, some of them changed."""
    return b"{%b}" % b",".join(b"%b:%b" % (_encode(key), changed.get(key) or bytes(found[key])) for key in found)


def _is_place(step: str, length: int) -> bool:
    return step.isascii() and step.isdigit() and len(step) < 10 and int(step) < length
