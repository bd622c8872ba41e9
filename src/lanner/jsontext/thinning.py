"""The first items of a JSON text that has very many, so that whatever reads it takes a small multiple of its bytes.

In: one JSON value and a number of items. Out: the same value with fewer elements and members. An array loses its last
elements, an object with too many members its last ones; else its largest members are thinned. With 6 items:

    {"a": [1, 2, 3, 4, 5, 6, 7, 8], "b": 1, "c": [{}]}  ->  {"a":[1,2,3],"b":1,"c":[{}]}

Items are counted by commas, also by those in strings, which is fast and never too few.
"""

from __future__ import annotations

from itertools import islice
from typing import NamedTuple

from lanner.jsontext.access import string_text
from lanner.jsontext.scanner import scan_elements, scan_members, skip_blanks

MAX_DEPTH = 64
"""Levels that are looked into; what lies deeper and has too many items is emptied."""

MAX_READINGS = 7
"""How often the whole text may be read. Each level reads its part of the text again; what is too dense and lies deeper
than the containers of a cron job is emptied."""

MAX_MEMBERS = 125_000
"""Members that are read of one object; each takes some 300 bytes while it is thinned. A config map of the 1 MiB that
API servers accept has about as many."""

_EMPTY = {b"[": b"[]", b"{": b"{}"}


def thinned(text: bytes, max_items: int) -> bytes:
    """The text with about `max_items` items at most. It must be JSON, with or without blanks around it."""
    return _Thinning(text).value(skip_blanks(text), len(text), max_items, MAX_DEPTH)


class _Member(NamedTuple):
    key: bytes
    start: int
    end: int

    @property
    def size(self) -> int:
        return self.end - self.start


class _Thinning:
    """One text while it is thinned. Recurses at most MAX_DEPTH deep."""

    def __init__(self, text: bytes) -> None:
        self._text = text
        self._unread = MAX_READINGS * len(text)

    def value(self, start: int, end: int, max_items: int, depth: int) -> bytes:
        """The value at start:end with about so many items at most."""
        text = self._text
        opening = text[start : start + 1]
        if text.count(b",", start, end) <= max_items or opening not in _EMPTY:
            return text[start:end]
        if not depth or self._unread <= 0:
            return _EMPTY[opening]
        if opening == b"[":
            return self._array(start, max_items, depth - 1)
        self._unread -= end - start
        return self._object(start, max_items, depth - 1)

    def _array(self, start: int, max_items: int, depth: int) -> bytes:
        """The first elements, the last of them perhaps thinned."""
        kept: list[bytes] = []
        left = max_items
        for begin, end in scan_elements(self._text, start):
            self._unread -= end - begin
            if left <= 0:
                break
            kept.append(self.value(begin, end, left - 1, depth))
            left -= 1 + self._text.count(b",", begin, end)
        return b"[%b]" % b",".join(kept)

    def _object(self, start: int, max_items: int, depth: int) -> bytes:
        """The first members, for which half of the items is taken at most. Each gets an equal share of the rest; what
        small ones leave of theirs goes to large ones."""
        members: dict[str, _Member] = {}  # of equal keys the last
        count = min(MAX_MEMBERS, max(1, max_items // 2))
        for key, begin, end in islice(scan_members(self._text, start), count):
            members[string_text(key)] = _Member(key, begin, end)
        kept: dict[str, bytes] = {}
        left = max_items - len(members)
        by_size = sorted(members.items(), key=lambda item: item[1].size)
        for number, (name, member) in enumerate(by_size):
            share = max(0, left // (len(by_size) - number))
            kept[name] = self.value(member.start, member.end, share, depth)
            left -= min(share, self._text.count(b",", member.start, member.end))
        return b"{%b}" % b",".join(b"%b:%b" % (member.key, kept[name]) for name, member in members.items())
