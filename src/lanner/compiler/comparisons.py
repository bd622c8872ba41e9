"""What each operator does with two present values. Evaluator and generated code both come here.

Texts are compared as UTF-8 bytes would be: code points order alike, and case is folded in ASCII only.
Source of the behaviour: libs `filter_compare.cpp` and `sinsp_filtercheck.cpp`, `prefix_search.h` for pmatch.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import Any

import re2

from lanner.compiler.globs import compile_glob, has_wildcards

_UPPER_TO_LOWER = {upper: upper + 32 for upper in range(ord("A"), ord("Z") + 1)}
_LOWER_TO_UPPER = {lower: lower - 32 for lower in range(ord("a"), ord("z") + 1)}


def ascii_lower(text: str) -> str:
    """ASCII letters in lower case, everything else as it is."""
    return text.lower() if text.isascii() else text.translate(_UPPER_TO_LOWER)


def ascii_upper(text: str) -> str:
    """ASCII letters in upper case, everything else as it is."""
    return text.upper() if text.isascii() else text.translate(_LOWER_TO_UPPER)


def contains(value: str, part: str) -> bool:
    return part in value


def icontains(value: str, part: str) -> bool:
    return ascii_lower(part) in ascii_lower(value)


def startswith(value: str, prefix: str) -> bool:
    return value.startswith(prefix)


def endswith(value: str, suffix: str) -> bool:
    return value.endswith(suffix)


def glob(value: str, pattern: str) -> bool:
    return compile_glob(pattern)(value)


def iglob(value: str, pattern: str) -> bool:
    return compile_glob(pattern, ignore_case=True)(value)


@lru_cache(maxsize=4096)
def compile_regex(pattern: str) -> Callable[[str], bool]:
    """A function that tells whether all of a text matches. RE2, POSIX syntax. Raises ValueError for a bad pattern."""
    try:
        fullmatch = re2.compile(pattern, regex_options()).fullmatch
    except re2.error as error:
        reason = error.args[0] if error.args else "invalid pattern"
        raise ValueError(reason.decode() if isinstance(reason, bytes) else str(reason)) from None
    return lambda text: fullmatch(text.encode()) is not None


def regex_options() -> re2.Options:
    """The options for expressions as rules write them."""
    options = re2.Options()
    options.posix_syntax = True
    options.longest_match = True
    options.log_errors = False
    options.never_capture = True
    return options


def regex(value: str, pattern: str) -> bool:
    return compile_regex(pattern)(value)


def is_in(value: Any, items: Iterable[Any]) -> bool:
    return value in items


def components(path: str) -> tuple[str, ...]:
    """The parts of a path between slashes; empty parts do not count."""
    return tuple(part for part in path.split("/") if part)


def pmatch(value: str, paths: tuple[str, ...]) -> bool:
    """Whether the value is one of the paths or lies below one. A component with `?*[` in it is a pattern."""
    parts = components(value)
    return any(_below(parts, components(path)) for path in paths)


def _below(parts: tuple[str, ...], prefix: tuple[str, ...]) -> bool:
    if len(prefix) > len(parts):
        return False
    return all(
        compile_glob(wanted)(part) if has_wildcards(wanted) else part == wanted
        for part, wanted in zip(parts, prefix, strict=False)
    )


def subset(values: Iterable[Any], items: Iterable[Any]) -> bool:
    """`in` on a list: every value is an item; true for no values (only getopt yields a present, empty list)."""
    wanted = set(items)
    return all(value in wanted for value in values)


def intersects(values: Iterable[Any], items: Iterable[Any]) -> bool:
    """`intersects` on a list: at least one value is an item."""
    wanted = set(items)
    return any(value in wanted for value in values)


SCALAR: dict[str, Callable[[Any, Any], bool]] = {
    "=": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "contains": contains,
    "icontains": icontains,
    "startswith": startswith,
    "endswith": endswith,
    "glob": glob,
    "iglob": iglob,
    "regex": regex,
    "in": is_in,
    "intersects": is_in,
    "pmatch": pmatch,
}
"""Operators on one value."""

LISTS: dict[str, Callable[[Any, Any], bool]] = {"in": subset, "intersects": intersects}
"""Operators on several values."""
