"""Text that others wrote, made safe to look at: nothing in it drives a terminal, changes the order of what is shown, or
is there without being seen.

In: text, or a JSON document. Out: the same with the characters of one table as the escapes that JSON has for them.
These are, by their category in Unicode: controls (Cc: also DEL and C1), format characters (Cf: bidirectional controls,
characters without width, tags, the joiner of emojis), separators of lines and paragraphs (Zl, Zp), all blanks but the
space (Zs), surrogates, private and unassigned characters (Cs, Co, Cn); and, of letters and marks, those that cannot be
seen (INVISIBLE). All other letters, marks and symbols of all scripts stay.
"""

from __future__ import annotations

import re

INVISIBLE = (
    "\u034f"  # combining grapheme joiner
    "\u115f-\u1160\u3164\uffa0"  # Hangul fillers
    "\u17b4-\u17b5"  # Khmer vowels that are not written
    "\u180b-\u180d\u180f"  # Mongolian variation selectors
    "\u2800"  # the empty pattern of Braille
    "\ufe00-\ufe0f\U000e0100-\U000e01ef"  # variation selectors
)
"""Characters that `str.isprintable` accepts and nobody sees, as ranges of a regular expression."""

_SHORT = {"\b": "\\b", "\f": "\\f", "\n": "\\n", "\r": "\\r", "\t": "\\t"}

_invisible = re.compile(f"[{INVISIBLE}]").search
_unusual = re.compile(r"[^ -~]").sub
_unusual_lines = re.compile(r"[^ -~\n]").sub
_unusual_in_json = re.compile(r"[^\x00-~]").sub


def one_line(text: str) -> str:
    """The text with all these characters as escapes: it is one line, and cannot look like one of ours."""
    if text.isascii() and text.isprintable():
        return text
    return text if _is_plain(text) else _unusual(_escaped, text)


def printable(text: str) -> str:
    """The same for text of several lines: newlines stay."""
    return text if _is_plain(text) else _unusual_lines(_escaped, text)


def printable_json(document: bytes) -> bytes:
    """A JSON document of the same value with these characters as escapes. Costs nothing for usual ones.

    What is no ASCII stands in strings only. Whatever is no UTF-8 becomes U+FFFD.
    """
    if document.isascii() and b"\x7f" not in document:
        return document
    return _unusual_in_json(_escaped, document.decode("utf-8", "replace")).encode()


def _is_plain(text: str) -> bool:
    return text.isprintable() and (text.isascii() or _invisible(text) is None)


def _escaped(match: re.Match[str]) -> str:
    character = match[0]
    if _is_plain(character):
        return character
    if short := _SHORT.get(character):
        return short
    code = ord(character)
    if code < 0x10000:
        return f"\\u{code:04x}"
    high, low = divmod(code - 0x10000, 0x400)
    return f"\\u{0xD800 + high:04x}\\u{0xDC00 + low:04x}"
