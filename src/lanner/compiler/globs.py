"""Shell patterns as Falco matches them: fnmatch(3) without flags, on bytes, in the C locale.

`*` and `?` cross `/`; `?` is one byte; `[...]` holds ranges and POSIX classes, `!` or `^` negates; a backslash takes
the next character as it is. Patterns become RE2 expressions on Latin-1 bytes, so that matching takes linear time.
Source of the behaviour: libs `utils.cpp` glob_match and glibc's fnmatch.
"""

from __future__ import annotations

import re
import string
from collections.abc import Callable, Set
from functools import cache, lru_cache
from typing import TypeAlias

import re2

_BYTES = frozenset(range(256))
_LOWER = bytes(range(256)).lower()
_CLASS = re.compile(rb"\[:([a-y]*+):\]")
_SYMBOL = re.compile(rb"\[([=.])(.)\1\]", re.S)

_CLASSES: dict[bytes, frozenset[int]] = {
    name: frozenset(byte for byte in range(128) if holds(chr(byte)))
    for name, holds in {
        b"alnum": str.isalnum,
        b"alpha": str.isalpha,
        b"blank": " \t".__contains__,
        b"cntrl": lambda character: character < " " or character == "\x7f",
        b"digit": str.isdigit,
        b"graph": lambda character: "!" <= character <= "~",
        b"lower": str.islower,
        b"print": lambda character: " " <= character <= "~",
        b"punct": string.punctuation.__contains__,
        b"space": string.whitespace.__contains__,
        b"upper": str.isupper,
        b"xdigit": string.hexdigits.__contains__,
    }.items()
}
_STARS = b".*"
_WILD = re.compile(r"[*?\[\\]")


def has_wildcards(pattern: str) -> bool:
    """Whether a path component is matched as a pattern: it holds `?`, `*` or `[`."""
    return any(character in pattern for character in "?*[")


def plain_parts(pattern: str) -> tuple[bool, str, bool] | None:
    """(starts with stars, text, ends with stars) of a pattern without other wildcards, else None."""
    text = pattern.strip("*")
    if _WILD.search(text):
        return None
    return pattern.startswith("*"), text, pattern.endswith("*")


@lru_cache(maxsize=4096)
def compile_glob(pattern: str, ignore_case: bool = False) -> Callable[[str], bool]:
    """A function that tells whether all of a text matches the pattern."""
    expression = _translate(pattern.encode(), _either_case if ignore_case else _itself)
    if expression is None:
        return lambda text: False
    fullmatch = re2.compile(expression, byte_options()).fullmatch
    return lambda text: fullmatch(text.encode()) is not None


def byte_options() -> re2.Options:
    """The options for expressions on bytes."""
    options = re2.Options()
    options.encoding = re2.Options.Encoding.LATIN1
    options.dot_nl = True
    options.log_errors = False
    options.never_capture = True
    return options


def searching(operator: str, text: str) -> bytes | None:
    """An expression on bytes that is found in a value where `contains`, `icontains`, `glob` or `iglob` holds.

    None if it never does.
    """
    spread = _either_case if operator in ("icontains", "iglob") else _itself
    if operator in ("contains", "icontains"):
        return b"".join([_one(byte, spread) for byte in text.encode(errors="surrogatepass")])
    expression = _translate(text.encode(), spread)
    if expression is None:
        return None
    start = b"" if expression.startswith(_STARS) else rb"\A"
    end = b"" if expression.endswith(_STARS) else rb"\z"
    return start + expression.removeprefix(_STARS).removesuffix(_STARS) + end


Spread: TypeAlias = Callable[[int, int], set[int]]
"""The bytes that a range of the pattern stands for, given its ends."""


def _itself(low: int, high: int) -> set[int]:
    return set(range(low, high + 1))


def _either_case(low: int, high: int) -> set[int]:
    """Every byte whose lower case lies between the lower cases of the ends."""
    return {byte for byte in range(256) if _LOWER[low] <= _LOWER[byte] <= _LOWER[high]}


def _translate(pattern: bytes, spread: Spread) -> bytes | None:
    """The pattern as a regular expression; None for a pattern that matches nothing (it ends in a lone backslash)."""
    out: list[bytes] = []
    position = 0
    while position < len(pattern):
        character = pattern[position]
        position += 1
        match chr(character):
            case "*":
                if not out or out[-1] != _STARS:
                    out.append(_STARS)
                continue
            case "?":
                out.append(b".")
                continue
            case "[":
                bracket = _bracket(pattern, position, spread)
                if bracket is not None:
                    members, position = bracket
                    out.append(_one_of(members))
                    continue
            case "\\":
                if position == len(pattern):
                    return None
                character = pattern[position]
                position += 1
        out.append(_one(character, spread))
    return b"".join(out)


@cache
def _one(byte: int, spread: Spread) -> bytes:
    """A regular expression for one byte of a pattern; there are 256, spread in two ways."""
    return _one_of(spread(byte, byte))


def _one_of(members: Set[int]) -> bytes:
    """A regular expression for one byte out of a set."""
    if len(members) == 256:
        return b"."
    if not members:
        return rb"[^\x00-\xff]"
    most = len(members) > 128
    listed = sorted(_BYTES - members if most else members)
    return b"[" + b"^" * most + b"".join(b"\\x%02x" % byte for byte in listed) + b"]"


def _bracket(pattern: bytes, position: int, spread: Spread) -> tuple[Set[int], int] | None:
    """The bytes that match a bracket expression, and the position behind its `]`; None if the `[` is a plain one.

    `position` is that behind the `[`. A class of an unknown name spoils the rest: only what stands before it matches.
    A `[` that is never closed is a plain one; but where the pattern ends within a range, fnmatch matches nothing,
    unless `[` is a member by then.
    """
    negated = pattern[position : position + 1] in (b"!", b"^")
    start = position = position + negated
    members: set[int] = set()
    spoilt = False
    while position < len(pattern):
        if pattern[position] == ord("]") and position > start:
            found = _BYTES - members if negated else members
            return frozenset() if spoilt and negated else found, position + 1
        named = _CLASS.match(pattern, position)
        if named:
            spoilt = spoilt or named[1] not in _CLASSES
            if not spoilt:
                members |= _CLASSES[named[1]]
            position = named.end()
            continue
        low, position = _member(pattern, position)
        high = low
        if pattern[position : position + 1] == b"-" and pattern[position + 1 : position + 2] not in (b"]", b""):
            high, position = _member(pattern, position + 1)
        elif pattern[position:] == b"-" and (negated or ord("[") not in {*members, low}):
            return frozenset(), len(pattern)
        if low is None or high is None:
            break
        if not spoilt:
            members |= spread(low, high)
    return None


def _member(pattern: bytes, position: int) -> tuple[int | None, int]:
    """One character of a bracket expression, and the position behind it.

    It may be protected by a backslash, or written as `[=x=]` or `[.x.]`.
    """
    symbol = _SYMBOL.match(pattern, position)
    if symbol:
        return symbol[2][0], symbol.end()
    if pattern[position : position + 1] == b"\\":
        position += 1
    if position >= len(pattern):
        return None, position
    return pattern[position], position + 1
