"""Takes values out of events before anything of them is kept or shown: secrets, tokens, whatever is configured.

In: an event and JSON pointers. Out: the event with `"[redacted]"` in their places. `*` in a pointer is any key or
position; at its end it also takes a value that has no parts. Rules see events as they came.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TypeAlias

import msgspec

from lanner.config.service import Redaction
from lanner.decode import reread
from lanner.event import MISSING, AuditEvent
from lanner.jsontext.access import JSONError, JSONText, elements, members

REDACTED = b'"[redacted]"'
ANY = "*"
MAX_STEPS = 64
"""Steps of a pointer; what lies deeper cannot be redacted alone."""

Steps: TypeAlias = "tuple[str, ...]"

_encode = msgspec.json.Encoder().encode


class Redactor:
    """Applies the configured redactions. Never raises; what is not JSON stays as it is."""

    def __init__(self, redactions: Iterable[Redaction]) -> None:
        self._by_resource: dict[str, list[Steps]] = {}
        for redaction in redactions:
            self._by_resource.setdefault(redaction.resource, []).extend(map(_steps, redaction.pointers))
        self._all = [steps for pointers in self._by_resource.values() for steps in pointers]

    def event(self, event: AuditEvent) -> AuditEvent:
        """The event without what must not be seen; the same object if there is nothing of that in it."""
        ref = event.object_ref
        resource = "" if ref.resource is MISSING else ref.resource
        pointers = list(self._by_resource.get("", ()))
        if resource:
            pointers += self._by_resource.get(resource, ())
            if ref.subresource is not MISSING:
                pointers += self._by_resource.get(f"{resource}/{ref.subresource}", ())
        raw = redact(event.raw, pointers)
        if raw is event.raw:
            return event
        return reread(event, raw)

    def piece(self, raw: bytes) -> bytes:
        """The same for what is no event: it does not say what it is about, so everything is looked for."""
        return redact(raw, self._all)


def redact(raw: bytes, pointers: Iterable[Steps]) -> bytes:
    """The JSON text with REDACTED in all these places; the same object if it has none of them."""
    for steps in pointers:
        try:
            raw = _replaced(raw, steps) or raw
        except JSONError:
            return raw
    return raw


def _steps(pointer: str) -> Steps:
    steps = tuple(step.replace("~1", "/").replace("~0", "~") for step in pointer.removeprefix("/").split("/"))
    return steps[:MAX_STEPS]


def _replaced(text: JSONText, steps: Steps) -> bytes | None:
    """The text with REDACTED at `steps`; None if it has no such place. Recurses at most MAX_STEPS deep."""
    if not steps:
        return REDACTED
    step, rest = steps[0], steps[1:]
    found = members(text)
    if found is not None:
        keys: Sequence[str] = list(found) if step == ANY else [step] if step in found else []
        changed = {key: new for key in keys if (new := _replaced(found[key], rest)) is not None}
        if not changed:
            return None
        return _joined(found, changed)
    items = elements(text)
    if items is not None:
        places = range(len(items)) if step == ANY else [int(step)] if _is_place(step, len(items)) else []
        done = {place: new for place in places if (new := _replaced(items[place], rest)) is not None}
        if not done:
            return None
        return b"[%b]" % b",".join(done.get(place) or bytes(item) for place, item in enumerate(items))
    return REDACTED if step == ANY and not rest and bytes(text) != b"null" else None


def _joined(found: Mapping[str, JSONText], changed: Mapping[str, bytes]) -> bytes:
    """An object of these members, some of them changed."""
    return b"{%b}" % b",".join(b"%b:%b" % (_encode(key), changed.get(key) or bytes(found[key])) for key in found)


def _is_place(step: str, length: int) -> bool:
    return step.isascii() and step.isdigit() and len(step) < 10 and int(step) < length
