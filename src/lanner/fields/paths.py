"""Getters that reach one place of an event: an attribute, an annotation, or whatever a JSON pointer names.

Equal getters read equal values, so a compiler may tell by comparison that two fields are one, and may put the access
that an `Attribute` describes straight into generated code.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from operator import attrgetter
from typing import Any

from lanner.event import MISSING, AuditEvent, Missing
from lanner.fields.catalog import Getter
from lanner.fields.nodes import Node, Token, document, request, response
from lanner.fields.usual import SINGLE, value
from lanner.jsontext.access import as_text


def cut(text: str) -> str:
    """The text up to its first NUL: values are C strings (libs `plugin_filtercheck.cpp`, extract_nocache)."""
    end = text.find("\0")
    return text if end < 0 else text[:end]


def texts(values: list[str]) -> list[str] | Missing:
    """The value of a list field: every text cut at NUL, and no texts at all is a missing value."""
    if not values:
        return MISSING
    return [cut(value) for value in values] if "\0" in "".join(values) else values


@dataclass(frozen=True, slots=True)
class Attribute:
    """A text attribute of the typed event: `Attribute(("user", "username"))` reads `event.user.username`.

    The one attribute that holds numbers, the response code, is read as their text.
    """

    path: tuple[str, ...]

    def __call__(self, event: AuditEvent) -> str | Missing:
        found: Any = event
        for name in self.path:
            found = getattr(found, name)
        return MISSING if found is MISSING else cut(found if type(found) is str else str(found))


@dataclass(frozen=True, slots=True)
class TextList:
    """An attribute of the typed event that holds several texts; `index` picks one of them."""

    path: tuple[str, ...]
    index: int | None = None
    _read: Callable[[AuditEvent], list[str] | Missing] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_read", attrgetter(".".join(self.path)))

    def __call__(self, event: AuditEvent) -> list[str] | Missing:
        values = self._read(event)
        if values is MISSING:
            return MISSING
        return texts(values if self.index is None else values[self.index : self.index + 1])


@dataclass(frozen=True, slots=True)
class Annotation:
    """The annotation of that key."""

    key: str

    def __call__(self, event: AuditEvent) -> str | Missing:
        if event.annotations is MISSING:
            return MISSING
        value = event.annotations.get(self.key)
        return MISSING if value is None else cut(value)


@dataclass(frozen=True, slots=True)
class Pointer:
    """The value that a chain of keys and positions leads to, below one of the parts of an event."""

    root: Callable[[AuditEvent], Node | None]
    tokens: tuple[Token, ...]

    def node(self, event: AuditEvent) -> Node | None:
        """The value itself."""
        node = self.root(event)
        for token in self.tokens:
            if node is None:
                return None
            node = node.at(token)
        return node

    def __call__(self, event: AuditEvent) -> str | Missing:
        node = self.node(event)
        return MISSING if node is None else cut(node.text)


@dataclass(frozen=True, slots=True)
class RequestValue:
    """A value of the request body at a place of the usual form (see usual.py); `pointer` reads any other body."""

    keys: tuple[str, ...]
    pointer: Pointer

    def __call__(self, event: AuditEvent) -> str | Missing:
        found = value(event, self.keys)
        if found is None:
            return self.pointer(event)
        return MISSING if found is MISSING else cut(as_text(found))


_TYPED: dict[tuple[str, ...], Getter] = {
    ("kind",): Attribute(("kind",)),
    ("apiVersion",): Attribute(("api_version",)),
    ("level",): Attribute(("level",)),
    ("auditID",): Attribute(("audit_id",)),
    ("stage",): Attribute(("stage",)),
    ("requestURI",): Attribute(("request_uri",)),
    ("verb",): Attribute(("verb",)),
    ("userAgent",): Attribute(("user_agent",)),
    ("user", "username"): Attribute(("user", "username")),
    ("impersonatedUser", "username"): Attribute(("impersonated_user", "username")),
    ("objectRef", "resource"): Attribute(("object_ref", "resource")),
    ("objectRef", "namespace"): Attribute(("object_ref", "namespace")),
    ("objectRef", "name"): Attribute(("object_ref", "name")),
    ("objectRef", "subresource"): Attribute(("object_ref", "subresource")),
    ("responseStatus", "code"): Attribute(("response_status", "code")),
    ("responseStatus", "reason"): Attribute(("response_status", "reason")),
    ("requestReceivedTimestamp",): Attribute(("request_received_timestamp",)),
    ("stageTimestamp",): Attribute(("stage_timestamp",)),
    ("timestamp",): Attribute(("timestamp",)),
}
"""The places of an event that decoding has put into attributes."""

_POSITION = re.compile(r"([+-]?)0*([0-9]{1,19})")


def pointer(text: str) -> Getter:
    """The getter of a JSON pointer (RFC 6901).

    As in Falco's json plugin (`json.go`, value) the leading slash may be left out, the empty pointer names the whole
    event, and an array takes any spelling of a position that Go's strconv.Atoi reads: `1`, `01`, `+1`.
    """
    if not text:
        return Pointer(document, ())
    keys = tuple(key.replace("~1", "/").replace("~0", "~") for key in text.removeprefix("/").split("/"))
    typed = _TYPED.get(keys)
    if typed is not None:
        return typed
    match tuple(Token(key, _position(key)) for key in keys):
        case (Token("annotations"), Token(key, None)):
            return Annotation(key)
        case (Token("requestObject"), *rest):
            below = Pointer(request, tuple(rest))
            return RequestValue(keys[1:], below) if keys[1:] in SINGLE else below
        case (Token("responseObject"), *rest):
            return Pointer(response, tuple(rest))
        case tokens:
            return Pointer(document, tokens)


def _position(key: str) -> int | None:
    digits = _POSITION.fullmatch(key)
    if digits is None:
        return None
    position = int(digits[2])
    return None if digits[1] == "-" and position else position
