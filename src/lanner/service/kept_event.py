"""What is kept of an event beside its alerts: all of it, or what fits into a number of bytes.

In: the JSON text of an event. Out: the same, or a smaller JSON object. In it a mark stands for each body, long texts
are cut, and members that still do not fit are left out, the largest first:

    {"auditID":"a","user":{"username":"xxxx..."},"requestObject":{...}}
 -> {"auditID":"a","user":{"username":"xx[cut: 900,000 bytes in all]"},"requestObject":"[left out: 2,000,000 bytes]"}
"""

from __future__ import annotations

from typing import Final

import msgspec
from msgspec import structs

from lanner.engine.field_limit import FieldLimit
from lanner.event import AuditEvent
from lanner.jsontext.access import JSONText, is_string, members, string_text

_BODIES: Final = ("requestObject", "responseObject")
_MEMBERS: Final = tuple(field.encode_name for field in structs.fields(AuditEvent))
_INNER_MEMBERS: Final = {
    "user": ("username", "uid", "groups"),
    "impersonatedUser": ("username", "uid", "groups"),
    "objectRef": ("resource", "namespace", "name", "apiGroup", "apiVersion", "subresource"),
    "responseStatus": ("code", "status", "reason", "message"),
}

_encode = msgspec.json.Encoder().encode


class KeptEvent:
    """Cuts events to `max_bytes`; `limit` bounds the texts of those that are cut."""

    def __init__(self, max_bytes: int, limit: FieldLimit) -> None:
        self._max_bytes = max_bytes
        self._limit = limit

    def text(self, event: bytes) -> bytes:
        """The event, or what is kept of it: JSON of `max_bytes` at most. Raises JSONError for what is not JSON."""
        return event if len(event) <= self._max_bytes else self._object(event, _MEMBERS, self._max_bytes)

    def _object(self, text: JSONText, keys: tuple[str, ...], max_bytes: int) -> bytes:
        """An object with those members of the object, as far as they fit."""
        found = members(text) or {}
        parts = {key: b"%b:%b" % (_encode(key), self._value(key, found[key])) for key in keys if key in found}
        left = max_bytes - len(b"{}")
        kept: set[str] = set()
        for key in sorted(parts, key=lambda key: len(parts[key])):
            left -= len(parts[key]) + len(b",")
            if left < 0:
                break
            kept.add(key)
        return b"{%b}" % b",".join(parts[key] for key in parts if key in kept)

    def _value(self, key: str, value: JSONText) -> bytes:
        size = memoryview(value).nbytes
        if key in _BODIES:
            return _encode(f"[left out: {size:,} bytes]")
        if size <= self._limit.max_bytes:
            return bytes(value)
        if key in _INNER_MEMBERS:
            return self._object(value, _INNER_MEMBERS[key], self._max_bytes // 4)
        if is_string(value):
            return _encode(self._limit.text(string_text(value)))
        return _encode(f"[left out: {size:,} bytes]")
