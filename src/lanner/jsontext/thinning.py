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

MAX_DEPTH = 16
"""Levels that are looked into; what lies deeper and has too many items is emptied. Each level reads its text again."""

_EMPTY = {b"[": b"[]", b"{": b"{}"}


def thinned(text: bytes, max_items: int) -> bytes:
    """The text with about `max_items` items at most. It must be JSON, with or without blanks around it."""
    start = skip_blanks(text)
    return _thinned(text, start, len(text), max_items, MAX_DEPTH)


class _Member(NamedTuple):
    key: bytes
    start: int
    end: int

    @property
    def size(self) -> int:
        return self.end - self.start


def _thinned(text: bytes, start: int, end: int, max_items: int, depth: int) -> bytes:
    """The value at start:end. Recurses at most MAX_DEPTH deep."""
    if text.count(b",", start, end) <= max_items:
        return text[start:end]
    opening = text[start : start + 1]
    if opening not in _EMPTY:
        return text[start:end]
    if not depth:
        return _EMPTY[opening]
    return (_array if opening == b"[" else _object)(text, start, max_items, depth - 1)


def _array(text: bytes, start: int, max_items: int, depth: int) -> bytes:
    """The first elements, the last of them perhaps thinned."""
    kept: list[bytes] = []
    left = max_items
    for begin, end in scan_elements(text, start):
        if left <= 0:
            break
        kept.append(_thinned(text, begin, end, left - 1, depth))
        left -= 1 + text.count(b",", begin, end)
    return b"[%b]" % b",".join(kept)


def _object(text: bytes, start: int, max_items: int, depth: int) -> bytes:
    """The first members, for which half of the items is taken. Each gets an equal share of the rest; what small ones
    leave of theirs goes to large ones."""
    members: dict[str, _Member] = {}  # of equal keys the last
    for key, begin, end in islice(scan_members(text, start), max(1, max_items // 2)):
        members[string_text(key)] = _Member(key, begin, end)
    kept: dict[str, bytes] = {}
    left = max_items - len(members)
    by_size = sorted(members.items(), key=lambda item: item[1].size)
    for number, (name, member) in enumerate(by_size):
        share = max(0, left // (len(by_size) - number))
        kept[name] = _thinned(text, member.start, member.end, share, depth)
        left -= min(share, text.count(b",", member.start, member.end))
    return b"{%b}" % b",".join(b"%b:%b" % (member.key, kept[name]) for name, member in members.items())
