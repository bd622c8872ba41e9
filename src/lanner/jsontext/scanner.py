"""The tolerant scanner: JSON bytes in, positions of values out; for what msgspec refuses.

It takes strict JSON and is lenient in exactly these ways, since the API server accepts and audits such bodies:
nesting of any depth, lone surrogate escapes, invalid UTF-8, numbers of any size (their text is never read as a number).
Everything else is judged as msgspec judges it; control characters inside strings are malformed, for example.

No function recurses, and every one is linear in the text. The work is done by a few regular expressions with
possessive repeats, which each take a run of tokens at once; Python sees about one step per container that closes around
more than three levels.

Texts are bytes. Positions are byte offsets. "Blank" means the four whitespace characters of JSON.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from functools import cache
from itertools import islice

_ARRAY_END, _OBJECT_END, _QUOTE = b']}"'

_BLANKS = rb"[ \t\r\n]*+"
_STRING = rb'"[^"\\\x00-\x1f]*+(?:\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4})[^"\\\x00-\x1f]*+)*+"'
_NUMBER = rb"-?(?:0|[1-9][0-9]*+)(?:\.[0-9]++)?+(?:[eE][+-]?[0-9]++)?+"
_EMPTY = rb"\[" + _BLANKS + rb"\]|\{" + _BLANKS + rb"\}"
_FLAT = b"(?:" + b"|".join((_STRING, _NUMBER, b"true", b"false", b"null")) + b")"
_ATOM = b"(?:" + _FLAT + b"|" + _EMPTY + b")"
"""A value that holds no other value."""

_AND_COMMA = _BLANKS + b"," + _BLANKS
_KEY = _STRING + _BLANKS + b":" + _BLANKS
_OPENER = rb"(?:\[(?:[\[ \t\r\n]*\[)?" + _BLANKS + rb"(?!\])|\{" + _BLANKS + _KEY + b")"
_LEAD_IN = _OPENER + b"*+"
_VALUE = b"(" + _LEAD_IN + b")" + _ATOM + _BLANKS + rb"([\]} \t\r\n]*+)"
"""Containers that open, the first atom in them, and the containers that close behind it."""


def _small(levels: int) -> bytes:
    """The pattern of values that nest at most so many levels. It doubles with each."""
    if not levels:
        return _FLAT
    value = _small(levels - 1)
    separator = _BLANKS + b"(?:,(?=" + _BLANKS + rb"[^ \t\r\n\]}])|(?=[\]}]))" + _BLANKS
    array = rb"\[" + _BLANKS + b"(?:" + value + separator + rb")*+\]"
    map_ = rb"\{" + _BLANKS + b"(?:" + _KEY + value + separator + rb")*+\}"
    return b"(?:" + _FLAT + b"|" + array + b"|" + map_ + b")"


_LEVELS = 3
_SMALL = _small(_LEVELS)
_IN_ARRAY = b"," + _BLANKS + b"(?:" + _SMALL + _AND_COMMA + b")*+"
_IN_OBJECT = b"," + _BLANKS + b"(?:" + _KEY + _SMALL + _AND_COMMA + b")*+"


@cache
def _match(pattern: bytes) -> Callable[[bytes, int], re.Match[bytes] | None]:
    """For patterns that take milliseconds to compile, which most processes never need."""
    return re.compile(pattern).match


_STEPS = {_ARRAY_END: _IN_ARRAY + _VALUE, _OBJECT_END: _IN_OBJECT + _KEY + _VALUE}
_LEAD_INS = {_ARRAY_END: _IN_ARRAY + _LEAD_IN, _OBJECT_END: _IN_OBJECT + b"(?:" + _KEY + _LEAD_IN + b")?+"}

_first_step = re.compile(_VALUE).match
_comma = re.compile(_AND_COMMA).match
_flat_elements = re.compile(rb"(?:(?:" + _FLAT + rb"|\{" + _BLANKS + rb"\})" + _AND_COMMA + b"){1,100000}+").match
_strings = re.compile(_STRING).sub
_without_brackets_in_keys = re.compile(rb'(?:[\[{ \t\r\n:]++|"[^"\\\[{]*+")*+').fullmatch
_closers = re.compile(rb"[\]}]").finditer
_opener_runs = re.compile(_OPENER + b"{1,10000}+").finditer
_key = re.compile(b"(" + _STRING + b")" + _BLANKS + b":" + _BLANKS).match
_blanks = re.compile(_BLANKS).match
_without_strings_and_colons = re.compile(_STRING + rb"|[ \t\r\n:]++").sub
_string_start = re.compile(_STRING[: -len(b'"')]).match

_TO_CLOSERS = bytes.maketrans(b"[{", b"]}")
_NO_OPENERS = bytes(set(range(256)) - set(b"[{"))
_BLANK_BYTES = b" \t\r\n"
_LITERALS = (b"true", b"false", b"null")
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
    match = _match(_SMALL)(text, position)
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
    position = first_element(text, start)
    while position is not None:
        end = skip_value(text, position)
        yield position, end
        position = next_element(text, end)


def first_element(text: bytes, start: int) -> int | None:
    """Where the first element of the array that opens at `start` should begin; None if the array is empty."""
    position = skip_blanks(text, start + 1)
    return None if text[position : position + 1] == b"]" else position


def next_element(text: bytes, end: int) -> int | None:
    """Where the element behind the one that ended at `end` should begin; None if the array ends. Raises ScanError."""
    match = _comma(text, end)
    if match is not None:
        return match.end()
    position = skip_blanks(text, end)
    if text[position : position + 1] == b"]":
        return None
    raise _unexpected(text, position, _NEXT_OR_END[_ARRAY_END])


def skip_flat_elements(text: bytes, position: int) -> tuple[int, int]:
    """How many elements that are no arrays and have no members, each with a comma behind it, stand at `position`, up to
    100,000 of them; and the position behind them."""
    match = _flat_elements(text, position)
    if match is None:
        return 0, position
    run = match[0]
    return (_strings(b"", run) if b'"' in run else run).count(b","), match.end()


def _skip_container(text: bytes, position: int) -> int:
    """The position behind the container (or broken value) at `position`, blanks behind it not included."""
    closers = bytearray()  # what must close, innermost last
    match = _first_step(text, position)
    while match is not None:
        opened, closed = match.groups()
        if _without_brackets_in_keys(opened):
            closers += opened.translate(_TO_CLOSERS, _NO_OPENERS)
        else:
            for run in _opener_runs(opened):  # not all at once: each takes some 250 bytes
                closers += _without_strings_and_colons(b"", run[0]).translate(_TO_CLOSERS)
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
        match = _match(_STEPS[closers[-1]])(text, position)
    raise _broken_step(text, position, closers)


def _close(text: bytes, start: int, end: int, closers: bytearray) -> int | None:
    """Take the run of closing brackets at start:end off `closers`; the position behind the last one if none is left.

    Raises ScanError for the wrong kind of bracket.
    """
    run = text[start:end].translate(None, _BLANK_BYTES)
    wanted = closers[-len(run) :]
    wanted.reverse()
    if run.startswith(wanted):
        del closers[-len(wanted) :]
        if closers:
            return None
        if len(run) == end - start:
            return start + len(wanted)
        return next(islice(_closers(text, start), len(wanted) - 1, None)).end()
    position = start
    while closers:
        position = skip_blanks(text, position)
        if text[position] != closers[-1]:
            raise _unexpected(text, position, _NEXT_OR_END[closers[-1]])
        closers.pop()
        position += 1
    return position


_key_start = re.compile(_STRING + _BLANKS).match


def _broken_step(text: bytes, position: int, closers: bytearray) -> ScanError:
    """The error of a step that did not match at `position`, inside the containers `closers`; at its exact place."""
    if not closers:
        pattern = _LEAD_IN
    elif text[position : position + 1] != b",":
        return _unexpected(text, position, _NEXT_OR_END[closers[-1]])
    else:
        pattern = _LEAD_INS[closers[-1]]
    match = _match(pattern)(text, position)
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
