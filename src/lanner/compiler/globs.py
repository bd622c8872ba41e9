"""Shell patterns as Falco matches them: fnmatch(3) without flags, on bytes, in the C locale.

`*` and `?` cross `/`; `?` is one byte; `[...]` holds ranges and POSIX classes, `!` or `^` negates; a backslash takes
the next character as it is. Patterns become RE2 expressions on Latin-1 bytes, so that matching takes linear time.
Source of the behaviour: libs `utils.cpp` glob_match and glibc's fnmatch.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache

import re2

_CLASS_NAMES = frozenset(
    ("alnum", "alpha", "blank", "cntrl", "digit", "graph", "lower", "print", "punct", "space", "upper", "xdigit")
)
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
    expression = _translate(pattern.encode())
    if expression is None:
        return lambda text: False
    options = re2.Options()
    options.encoding = re2.Options.Encoding.LATIN1
    options.dot_nl = True
    options.log_errors = False
    options.never_capture = True
    options.case_sensitive = not ignore_case
    fullmatch = re2.compile(expression, options).fullmatch
    return lambda text: fullmatch(text.encode()) is not None


def _translate(pattern: bytes) -> bytes | None:
    """The pattern as a regular expression; None for a pattern that matches nothing (it ends in a lone backslash)."""
    out: list[bytes] = []
    position = 0
    while position < len(pattern):
        character = pattern[position : position + 1]
        position += 1
        if character == b"*":
            if not out or out[-1] != b".*":
                out.append(b".*")
        elif character == b"?":
            out.append(b".")
        elif character == b"[":
            bracket = _bracket(pattern, position)
            if bracket is None:
                out.append(rb"\[")
            else:
                expression, position = bracket
                out.append(expression)
        elif character == b"\\":
            if position == len(pattern):
                return None
            out.append(_literal(pattern[position]))
            position += 1
        else:
            out.append(_literal(character[0]))
    return b"".join(out)


def _literal(byte: int) -> bytes:
    return b"\\x%02x" % byte


def _bracket(pattern: bytes, position: int) -> tuple[bytes, int] | None:
    """The bracket expression behind a `[`, and the position behind its `]`; None if it is never closed."""
    negated = pattern[position : position + 1] in (b"!", b"^")
    if negated:
        position += 1
    members: list[bytes] = []
    first = True
    while True:
        if position >= len(pattern):
            return None
        if pattern[position : position + 1] == b"]" and not first:
            position += 1
            break
        first = False
        named = re.compile(rb"\[:([a-z]+):\]").match(pattern, position)
        if named and named.group(1).decode() in _CLASS_NAMES:
            members.append(named.group(0))
            position = named.end()
            continue
        low, position = _member(pattern, position)
        if low is None:
            return None
        high = low
        if pattern[position : position + 1] == b"-" and pattern[position + 1 : position + 2] not in (b"]", b""):
            end, after = _member(pattern, position + 1)
            if end is None:
                return None
            high, position = end, after
        if low <= high:
            members.append(_literal(low) + (b"-" + _literal(high) if high > low else b""))
    if not members:
        # Only empty ranges: nothing is in the set.
        return (b"." if negated else rb"[^\x00-\xff]"), position
    return b"[" + (b"^" if negated else b"") + b"".join(members) + b"]", position


def _member(pattern: bytes, position: int) -> tuple[int | None, int]:
    """One character of a bracket expression, which a backslash may protect, and the position behind it."""
    if pattern[position : position + 1] == b"\\":
        position += 1
    if position >= len(pattern):
        return None, position
    return pattern[position], position + 1
