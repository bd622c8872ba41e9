"""The tolerant scanner: JSON bytes in, positions of values out; for what msgspec refuses.

It takes strict JSON and is lenient in exactly these ways, since the API server accepts and audits such bodies:
nesting of any depth, lone surrogate escapes, invalid UTF-8, numbers of any size (their text is never read as a number).
Everything else is judged as msgspec judges it; control characters inside strings are malformed, for example.

No function recurses, and every one is linear in the text. The work is done by a few regular expressions with
possessive repeats, which each take a run of tokens at once; Python sees about one step per closed container.

Texts are bytes. Positions are byte offsets. "Blank" means the four whitespace characters of JSON.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

_BLANKS = rb"[ \t\r\n]*+"
_STRING = rb'"[^"\\\x00-\x1f]*+(?:\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4})[^"\\\x00-\x1f]*+)*+"'
_NUMBER = rb"-?(?:0|[1-9][0-9]*+)(?:\.[0-9]++)?+(?:[eE][+-]?[0-9]++)?+"
_EMPTY = rb"\[" + _BLANKS + rb"\]|\{" + _BLANKS + rb"\}"
_ATOM = b"(?:" + b"|".join((_STRING, _NUMBER, b"true", b"false", b"null", _EMPTY)) + b")"
"""A value that holds no other value."""

_AND_COMMA = _BLANKS + b"," + _BLANKS
_KEY = _STRING + _BLANKS + b":" + _BLANKS
_OPENERS = rb"(?:\[" + _BLANKS + rb"(?![\]])|\{" + _BLANKS + _KEY + b")*+"
_VALUE = b"(" + _OPENERS + b")" + _ATOM + _BLANKS + rb"((?:[\]}]" + _BLANKS + b")*+)"
"""Containers that open, the first atom in them, and the containers that close behind it."""

_first_step = re.compile(_VALUE).match
_array_step = re.compile(b"," + _BLANKS + b"(?:" + _ATOM + _AND_COMMA + b")*+" + _VALUE).match
_object_step = re.compile(b"," + _BLANKS + b"(?:" + _KEY + _ATOM + _AND_COMMA + b")*+" + _KEY + _VALUE).match

_atom = re.compile(_ATOM).match
_key = re.compile(b"(" + _STRING + b")" + _BLANKS + b":" + _BLANKS).match
_blanks = re.compile(_BLANKS).match
_without_strings_and_colons = re.compile(_STRING + rb"|[ \t\r\n:]++").sub
_string_start = re.compile(_STRING[: -len(b'"')]).match

_TO_CLOSERS = bytes.maketrans(b"[{", b"]}")
_BLANK_BYTES = b" \t\r\n"
_LITERALS = (b"true", b"false", b"null")
_ARRAY_END, _OBJECT_END, _QUOTE = b']}"'
_A_VALUE, _A_KEY = _STARTS = ("a value", "a key in double quotes")
_NEXT_OR_END = {_ARRAY_END: "`,` or `]`", _OBJECT_END: "`,` or `}`"}


class ScanError(ValueError):
    """A text is not JSON. `position`: where it breaks. `reason`: why, in words.

    `incomplete`: the text is a beginning of JSON that ends between two tokens, so that more text could complete it.
    """

    def __init__(self, reason: str, position: int, *, incomplete: bool = False) -> None:
        super().__init__(f"{reason} at byte {position}")
        self.reason = reason
        self.position = position
        self.incomplete = incomplete


def skip_blanks(text: bytes, position: int = 0) -> int:
    """The position of the first byte at or behind `position` that is not blank."""
    match = _blanks(text, position)
    assert match is not None
    return match.end()


def skip_value(text: bytes, position: int) -> int:
    """The position behind the value that starts at `position` (which must not be blank). Raises ScanError."""
    match = _atom(text, position)
    if match is not None:
        return match.end()
    return _skip_container(text, position)


def validate(text: bytes) -> None:
    """Accept one JSON value with blanks around it. Raises ScanError for anything else."""
    expect_end(text, skip_value(text, skip_blanks(text)))


def expect_end(text: bytes, position: int) -> None:
    """Accept nothing but blanks from `position` on. Raises ScanError for anything else."""
    end = skip_blanks(text, position)
    if end != len(text):
        raise ScanError(f"{_shown(text, end)} behind the end of the value", end)


def scan_members(text: bytes, start: int) -> Iterator[tuple[bytes, int, int]]:
    """The members of the object that opens at `start`: key (a JSON string), start and end of the value.

    Raises ScanError where the object breaks, after it gave all members before that. The end of the object is not
    told; use `skip_value` for that.
    """
    position = skip_blanks(text, start + 1)
    if text[position : position + 1] == b"}":
        return
    while True:
        match = _key(text, position)
        if match is None:
            raise _broken_key(text, position)
        value = match.end()
        end = skip_value(text, value)
        yield match[1], value, end
        position = skip_blanks(text, end)
        following = text[position : position + 1]
        if following == b"}":
            return
        if following != b",":
            raise _unexpected(text, position, _NEXT_OR_END[_OBJECT_END])
        position = skip_blanks(text, position + 1)


def broken_member(text: bytes, end: int) -> tuple[bytes, int] | None:
    """Key and start of the value of the member behind `end`, where the last complete member (or the `{`) ended.

    For an object in which `scan_members` broke; None if it broke before a value began.
    """
    position = skip_blanks(text, end)
    if text[position : position + 1] == b",":
        position = skip_blanks(text, position + 1)
    match = _key(text, position)
    return None if match is None else (match[1], match.end())


def scan_elements(text: bytes, start: int) -> Iterator[tuple[int, int]]:
    """Start and end of each element of the array that opens at `start`.

    Raises ScanError where the array breaks, after it gave all elements before that.
    """
    position = skip_blanks(text, start + 1)
    if text[position : position + 1] == b"]":
        return
    while True:
        end = skip_value(text, position)
        yield position, end
        position = skip_blanks(text, end)
        following = text[position : position + 1]
        if following == b"]":
            return
        if following != b",":
            raise _unexpected(text, position, _NEXT_OR_END[_ARRAY_END])
        position = skip_blanks(text, position + 1)


def _skip_container(text: bytes, position: int) -> int:
    """The position behind the container (or broken value) at `position`, blanks behind it not included."""
    closers = bytearray()  # what must close, innermost last
    match = _first_step(text, position)
    while match is not None:
        opened, closed = match.groups()
        if opened:
            if opened.count(b'"') == 2 and opened.count(b"{") == 1 and b"[" not in opened:
                closers.append(_OBJECT_END)
            else:
                closers += _without_strings_and_colons(b"", opened).translate(_TO_CLOSERS)
        position = match.end()
        if closed:
            if len(closed) > 1 or closed[0] != closers[-1]:
                end = _close(text, *match.span(2), closers)
                if end is not None:
                    return end
            elif len(closers) == 1:
                return position
            else:
                closers.pop()
        match = _array_step(text, position) if closers[-1] == _ARRAY_END else _object_step(text, position)
    raise _broken_step(text, position, closers)


def _close(text: bytes, start: int, end: int, closers: bytearray) -> int | None:
    """Take the run of closing brackets at start:end off `closers`; the position behind the last one if none is left.

    Raises ScanError for the wrong kind of bracket.
    """
    run = text[start:end].translate(None, _BLANK_BYTES)
    count = len(run)
    wanted = closers[-count:]
    wanted.reverse()
    if wanted == run:
        del closers[-count:]
        if closers:
            return None
        return start + len(text[start:end].rstrip(_BLANK_BYTES))
    position = start
    while closers:
        position = skip_blanks(text, position)
        if text[position] != closers[-1]:
            raise _unexpected(text, position, _NEXT_OR_END[closers[-1]])
        closers.pop()
        position += 1
    return position


_lead_in_first = re.compile(_OPENERS).match
_lead_in_array = re.compile(b"," + _BLANKS + b"(?:" + _ATOM + _AND_COMMA + b")*+" + _OPENERS).match
_lead_in_object = re.compile(
    b"," + _BLANKS + b"(?:" + _KEY + _ATOM + _AND_COMMA + b")*+(?:" + _KEY + _OPENERS + b")?+"
).match
_key_start = re.compile(_STRING + _BLANKS).match


def _broken_step(text: bytes, position: int, closers: bytearray) -> ScanError:
    """The error of a step that did not match at `position`, inside the containers `closers`; at its exact place."""
    if not closers:
        lead_in = _lead_in_first
    elif text[position : position + 1] != b",":
        return _unexpected(text, position, _NEXT_OR_END[closers[-1]])
    else:
        lead_in = _lead_in_array if closers[-1] == _ARRAY_END else _lead_in_object
    match = lead_in(text, position)
    assert match is not None
    place = match.end()
    if text[place : place + 1] == b"{":
        return _broken_key(text, skip_blanks(text, place + 1))
    last = text[position:place].rstrip(_BLANK_BYTES)[-1:]
    if last == b"," and closers[-1] == _OBJECT_END:
        return _broken_key(text, place)
    return _unexpected(text, place, _A_VALUE)


def _broken_key(text: bytes, position: int) -> ScanError:
    """The error of a member whose key was expected at `position`."""
    match = _key_start(text, position)
    if match is not None:
        return _unexpected(text, match.end(), "`:`")
    return _unexpected(text, position, _A_KEY)


def _unexpected(text: bytes, position: int, wanted: str) -> ScanError:
    """The error at `position`, where `wanted` should stand."""
    if position >= len(text):
        return ScanError(f"the text ends where {wanted} should stand", position, incomplete=True)
    if text[position] == _QUOTE and wanted in _STARTS:
        match = _string_start(text, position)
        assert match is not None
        position = match.end()
        if position >= len(text):
            return ScanError("the text ends inside a string", position)
        if text[position] < 0x20:
            return ScanError(f"control character 0x{text[position]:02x} inside a string", position)
        return ScanError("invalid escape inside a string", position)
    rest = text[position : position + 5]
    if wanted == _A_VALUE and any(literal.startswith(rest) for literal in _LITERALS):
        return ScanError("the text ends inside a value", len(text))
    return ScanError(f"{_shown(text, position)} where {wanted} should stand", position)


def _shown(text: bytes, position: int) -> str:
    byte = text[position]
    return f"unexpected `{chr(byte)}`" if 0x20 < byte < 0x7F else f"unexpected byte 0x{byte:02x}"
