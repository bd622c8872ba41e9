"""The one door to JSON text that is not decoded: objects, arrays and values, as texts.

msgspec reads them; what it refuses, the scanner reads.

A JSON text is bytes, a memoryview or a msgspec.Raw, with or without blanks around it. What these functions hand out are
JSON texts again (without blanks around them) or str. Every str is valid Unicode: invalid UTF-8 and lone surrogate
escapes become U+FFFD. Numbers keep their spelling. Of equal keys in an object the last one wins, as in the API server.

msgspec raises DecodeError for lone surrogates, UnicodeDecodeError for invalid UTF-8 in a decoded string and
RecursionError for deep nesting, even in parts that it only skips; each of them means: ask the scanner.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import TypeAlias

import msgspec
from msgspec import DecodeError, Raw, ValidationError

from lanner.jsontext.scanner import ScanError, expect_end, scan_elements, scan_members, skip_blanks, validate

JSONText: TypeAlias = bytes | memoryview | Raw

REFUSED = (DecodeError, UnicodeDecodeError, RecursionError)
"""What msgspec raises for texts that the scanner may still read."""

_BLANKS = b" \t\r\n"
_BLANK_CHARACTERS = _BLANKS.decode()
_LAST_BLANK = max(_BLANKS)
_LARGE_BYTES = 1024 * 1024  # of a string, from which on it matters how often it is copied
_CONTAINERS = b"{["
_OPENINGS = ("{", "[")
_OBJECT, _ARRAY, _STRING = b'{["'

_decode_members = msgspec.json.Decoder(dict[str, Raw]).decode
_decode_elements = msgspec.json.Decoder(list[Raw]).decode
_decode_strings = msgspec.json.Decoder(list[str]).decode
_decode_string = msgspec.json.Decoder(str).decode
_format = msgspec.json.format

_tokens = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"|[^" \t\r\n]++').findall
_unescape = re.compile(r"\\(?:u([dD][89abAB][0-9a-fA-F]{2})\\u([dD][c-fC-F][0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|(.))").sub
_ESCAPES = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}
_REPLACEMENT = "\ufffd"


class JSONError(ValueError):
    """A text is not JSON, not even for the scanner. `position`: the byte where it breaks; `reason`: why, in words."""

    def __init__(self, error: ScanError) -> None:
        super().__init__(str(error))
        self.reason = error.reason
        self.position = error.position


def members(text: JSONText) -> Mapping[str, JSONText] | None:
    """The values of an object by key, in the order in which the keys came first; None if the text is not an object.

    Raises JSONError for an object that is not JSON.
    """
    try:
        return _decode_members(text)
    except ValidationError:
        return None
    except REFUSED:
        pass
    data = bytes(text)
    start = skip_blanks(data)
    if data[start : start + 1] != b"{":
        return None
    try:
        found = {}
        end = start + 1
        for key, begin, end in scan_members(data, start):
            found[string_text(key)] = data[begin:end]
        expect_end(data, skip_blanks(data, end) + 1)
    except ScanError as error:
        raise JSONError(error) from None
    return found


def elements(text: JSONText) -> Sequence[JSONText] | None:
    """The elements of an array; None if the text is not an array. Raises JSONError for an array that is not JSON."""
    try:
        return _decode_elements(text)
    except ValidationError:
        return None
    except REFUSED:
        pass
    data = bytes(text)
    start = skip_blanks(data)
    if data[start : start + 1] != b"[":
        return None
    try:
        found = []
        end = start + 1
        for begin, end in scan_elements(data, start):
            found.append(data[begin:end])
        expect_end(data, skip_blanks(data, end) + 1)
    except ScanError as error:
        raise JSONError(error) from None
    return found


def element_texts(text: JSONText) -> list[str]:
    """What `as_text` says of each element of an array; nothing for other values."""
    try:
        return _decode_strings(text)
    except REFUSED:
        pass
    try:
        return [as_text(element) for element in elements(text) or ()]
    except JSONError:
        return []


def as_text(text: JSONText) -> str:
    """What a rule sees of a JSON value: a string without quotes and escapes, anything else as compact JSON.

    Not cut at a NUL character. A text that is not JSON comes back as it is; none that these functions hand out is.
    """
    if len(text) >= _LARGE_BYTES and is_string(text):
        with suppress(JSONError):
            return string_text(text)
    shown = str(text, "utf-8", "replace").strip(_BLANK_CHARACTERS)
    opening = shown[:1]
    try:
        if opening == '"':
            return string_text(text)
        if opening in _OPENINGS and _has_blanks(shown) and not _is_compact(text):
            return compact(text).decode("utf-8", "replace")
    except JSONError:
        pass
    return shown


def string_text(text: JSONText) -> str:
    """The characters of a JSON string. Raises JSONError."""
    try:
        return _decode_string(text)
    except REFUSED:
        pass
    data = bytes(text).strip(_BLANKS)
    try:
        validate(data)
    except ScanError as error:
        raise JSONError(error) from None
    return _unescape(_unescaped, data[1:-1].decode("utf-8", "replace"))


def compact(text: JSONText) -> bytes:
    """The same JSON without the blanks outside strings; all spellings stay. Raises JSONError."""
    data = bytes(text)
    try:
        return _format(data, indent=-1)
    except REFUSED:
        pass
    try:
        validate(data)
    except ScanError as error:
        raise JSONError(error) from None
    return b"".join(_tokens(data))


def _has_blanks(shown: str) -> bool:
    return " " in shown or "\n" in shown or "\t" in shown or "\r" in shown


def _is_compact(text: JSONText) -> bool:
    """Whether no blank stands outside strings; True is sure, False is not. Half the work of `compact`.

    The least that an object takes is the sum of its values, and of its keys if none has escapes or comes twice. One
    that takes no more has no room for blanks, except inside of values. Raises JSONError.
    """
    size = 1
    for key, value in (members(text) or {}).items():
        view = memoryview(value)
        if view[0] in _CONTAINERS:
            return False
        size += len(key) + view.nbytes + len('"":,')
    return size == memoryview(text).nbytes


def is_object(text: JSONText) -> bool:
    """Whether the text, which is JSON, is an object."""
    return _first_byte(text) == _OBJECT


def is_array(text: JSONText) -> bool:
    """Whether the text, which is JSON, is an array."""
    return _first_byte(text) == _ARRAY


def is_string(text: JSONText) -> bool:
    """Whether the text, which is JSON, is a string."""
    return _first_byte(text) == _STRING


def _first_byte(text: JSONText) -> int | None:
    view = memoryview(text)
    if view and view[0] > _LAST_BLANK:
        return view[0]
    return next((byte for byte in view if byte not in _BLANKS), None)


def _unescaped(match: re.Match[str]) -> str:
    """The character of one escape; a pair of surrogate escapes is one character, a lone one is U+FFFD."""
    high, low, code, letter = match.groups()
    if high is not None:
        return chr(0x10000 + ((int(high, 16) - 0xD800) << 10) + (int(low, 16) - 0xDC00))
    if code is not None:
        point = int(code, 16)
        return _REPLACEMENT if 0xD800 <= point <= 0xDFFF else chr(point)
    return _ESCAPES.get(letter, letter)
