"""Tells of a word that it cannot be in a value of a body, by one fast scan of the body.

Values of bodies are long at times: a ConfigMap's data, a list of objects. To find, read and decode them takes ten times
as long as RE2 takes to look for a word in the text of the whole body, and most bodies do not have the word.
"""

from __future__ import annotations

import re
from collections.abc import Callable

import re2
from msgspec import Raw

from lanner.event import MISSING, AuditEvent, Missing
from lanner.fields.catalog import Getter
from lanner.fields.nodes import request, response
from lanner.fields.paths import Pointer, RequestValue

_WORD = re.compile(r"[A-Za-z0-9_-]{3,}")
_ESCAPE = re2.compile(rb"\\u00").search
"""How JSON may spell a letter otherwise. API servers spell `<`, `>` and `&` so, never letters."""


class Mentions:
    """Whether a value may have a word in it: False is certain.

    An object or array shows in rules as it is spelled in the body, so a word that stands there stands in the body. A
    string may hold letters that are escapes in the body.
    """

    __slots__ = ("_body", "_is_container", "_search", "word")

    def __init__(
        self, word: str, body: Callable[[AuditEvent], Raw | Missing], is_container: Callable[[AuditEvent], bool]
    ):
        self.word = word
        self._search = re2.compile(word.encode()).search
        self._body = body
        self._is_container = is_container

    def __repr__(self) -> str:
        return f"Mentions({self.word!r})"

    def __call__(self, event: AuditEvent) -> bool:
        body = self._body(event)
        if body is MISSING:
            return False
        return self._search(body) is not None or (_ESCAPE(body) is not None and not self._is_container(event))


def mentions(getter: Getter, word: str) -> Mentions | None:
    """What tells whether the value may have the word in it; None for values and words that it cannot tell of."""
    if _WORD.fullmatch(word) is None:
        return None
    match getter:
        case Pointer(root=root) if root in _BODIES:
            return Mentions(word, _BODIES[root], getter.is_container)
        case RequestValue():
            return Mentions(word, _BODIES[request], getter.is_container)
        case _:
            return None


_BODIES: dict[object, Callable[[AuditEvent], Raw | Missing]] = {
    request: lambda event: event.request_object,
    response: lambda event: event.response_object,
}
