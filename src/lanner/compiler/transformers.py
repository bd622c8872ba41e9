"""What each transformer makes of present values, and of which types.

Source of the behaviour: libs `sinsp_filter_transformers/` and `sinsp_filtercheck_multivalue_transformer.cpp`, without
the terminators that those count into lengths. Strings end at the first NUL, so decoded ones are cut there.
"""

from __future__ import annotations

import binascii
import re
from collections.abc import Callable, Sequence
from typing import Any

from lanner.compiler.comparisons import ascii_lower, ascii_upper
from lanner.event import MISSING, Missing
from lanner.fields.catalog import ValueType

_BASE64 = re.compile(r"(?:[A-Za-z0-9+/]++={0,2})?")


class TransformerError(Exception):
    """Arguments that a transformer does not take. The message names the transformer."""


def basename(path: str) -> str:
    return path.rpartition("/")[2]


def b64(text: str) -> str | Missing:
    """Base64 decoded, with or without padding; MISSING if it is none or leaves stray bits (RFC 4648 section 3.5)."""
    if not _BASE64.fullmatch(text):
        return MISSING
    body = text.rstrip("=")
    if len(body) % 4 == 1:
        return MISSING
    decoded = binascii.a2b_base64(body + "=" * (-len(body) % 4))
    if binascii.b2a_base64(decoded, newline=False).decode().rstrip("=") != body:
        return MISSING
    return decoded.partition(b"\0")[0].decode(errors="replace")


def length(value: str | Sequence[str]) -> int:
    """Bytes of a text, number of values of a list."""
    if isinstance(value, str):
        return len(value) if value.isascii() else len(value.encode())
    return len(value)


def join(separator: str, values: Sequence[str]) -> str:
    return separator.join(values)


def concat(*parts: str) -> str:
    return "".join(parts)


def getopt(words: Sequence[str], options: str) -> list[str]:
    """Option characters and their values in order; `?` for an unknown option, "" for a value that is not there."""
    found: list[str] = []
    for option, value in _options(words, options):
        if option is None:
            found.append("?")
        elif value is None:
            found.append("")
        else:
            found.extend([option, *value])
    return found


def getopt_option(words: Sequence[str], options: str, wanted: str) -> str | Missing:
    """The last value of one option, its own character if it takes none; MISSING if it is not given."""
    answer: str | Missing = MISSING
    for option, value in _options(words, options):
        if option == wanted:
            answer = "" if value is None else value[0] if value else option
    return answer


def _options(words: Sequence[str], options: str) -> list[tuple[str | None, list[str] | None]]:
    """(option, values) as getopt(3) reads them, short options only.

    The option is None if unknown; values is [] for an option without, None where a value is wanted and none left.
    """
    takes_value: dict[str, bool] = {}
    position = 1 if options.startswith(":") else 0
    while position < len(options):
        option = options[position]
        position += 1
        if option != ":":
            takes_value[option] = takes_value.get(option, False) or options[position : position + 1] == ":"
            position += options[position : position + 1] == ":"
    found: list[tuple[str | None, list[str] | None]] = []
    index = 0
    while index < len(words):
        word = words[index]
        index += 1
        if word == "--" or not word.startswith("-") or word == "-":
            break
        if word.startswith("--"):
            continue
        for at, option in enumerate(word[1:], start=1):
            if option not in takes_value:
                found.append((None, []))
            elif not takes_value[option]:
                found.append((option, []))
            else:
                if at + 1 < len(word):
                    found.append((option, [word[at + 1 :]]))
                elif index < len(words):
                    found.append((option, [words[index]]))
                    index += 1
                else:
                    found.append((option, None))
                break
    return found


def each(function: Callable[[str], str | Missing]) -> Callable[[Any], Any]:
    """The function on a text, or on every text of a list; MISSING if it is so for one of them."""

    def apply(value: Any) -> Any:
        if isinstance(value, str):
            return function(value)
        results = [function(item) for item in value]
        return MISSING if MISSING in results else results

    return apply


FUNCTIONS: dict[str, Callable[..., Any]] = {
    "tolower": each(ascii_lower),
    "toupper": each(ascii_upper),
    "b64": each(b64),
    "basename": each(basename),
    "len": length,
    "join": join,
    "concat": concat,
    "getopt": getopt,
}


def result_type(name: str, arguments: Sequence[tuple[ValueType, bool]], option: str | None) -> tuple[ValueType, bool]:
    """(type, is it a list) of a transformer's result, from those of its arguments.

    Raises TransformerError if it does not take them.
    """
    strings = all(kind is ValueType.STRING for kind, _ in arguments)
    lists = [is_list for _, is_list in arguments]
    if option is not None and (name != "getopt" or len(option) != 1):
        raise TransformerError(
            "`getopt()[...]` takes one option character"
            if name == "getopt"
            else f"`{name}` takes no argument in brackets"
        )
    match name:
        case "len":
            if len(arguments) != 1 or not (strings or lists[0]):
                raise TransformerError("`len` takes one text or one list")
            return ValueType.NUMBER, False
        case "join":
            if len(arguments) != 2 or not strings or lists != [False, True]:
                raise TransformerError("`join` takes a separator and a list of texts")
            return ValueType.STRING, False
        case "concat":
            if len(arguments) < 2 or not strings or any(lists):
                raise TransformerError("`concat` takes two or more texts")
            return ValueType.STRING, False
        case "getopt":
            if len(arguments) != 2 or not strings or lists != [True, False]:
                raise TransformerError("`getopt` takes a list of words and an option text")
            return ValueType.STRING, option is None
        case _:
            if len(arguments) != 1 or not strings:
                raise TransformerError(f"`{name}` takes one text or one list of texts")
            return ValueType.STRING, lists[0]
