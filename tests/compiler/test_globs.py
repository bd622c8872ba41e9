"""Shell patterns, held to the C library's fnmatch."""

from __future__ import annotations

import ctypes
import ctypes.util
from collections.abc import Callable

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from lanner.compiler.globs import compile_glob, has_wildcards, plain_parts

FNM_CASEFOLD = 16


@pytest.fixture(scope="session")
def fnmatch() -> Callable[[str, str, int], bool]:
    """fnmatch(3) of the C library this machine has; Python starts it in the C locale's collation, as Falco does."""
    library = ctypes.CDLL(ctypes.util.find_library("c"))

    def call(pattern: str, text: str, flags: int) -> bool:
        return bool(library.fnmatch(pattern.encode(), text.encode(), flags) == 0)

    return call


@pytest.mark.parametrize(
    ("pattern", "text", "matches"),
    [
        ("*", "", True),
        ("a*c", "a/b/c", True),
        ("a?c", "a/c", True),
        ("?", "é", False),
        ("??", "é", True),
        ("[a-c]x", "bx", True),
        ("[!a-c]x", "bx", False),
        ("[^a-c]x", "dx", True),
        ("[]x]", "]", True),
        ("[[:digit:]]*", "7 up", True),
        ("[[:upper:][:digit:]]", "a", False),
        ("a[", "a[", True),
        ("a\\*", "a*", True),
        ("a\\*", "ab", False),
        ("a\\", "a\\", False),
        ("line*end", "line\nend", True),
        ("[[.-.]a]", "-", True),
        ("[[=a=]]", "a", True),
        ("[[:vowel:]]", "a", False),
        ("[![:vowel:]]", "b", False),
        ("[a[:vowel:]]", "a", True),
    ],
)
def test_patterns(pattern: str, text: str, matches: bool) -> None:
    """Wildcards, classes and escapes mean what they mean to fnmatch without flags."""
    assert compile_glob(pattern)(text) is matches


def test_case_is_folded_in_ascii_only() -> None:
    """iglob ignores the case of ASCII letters and of no others."""
    assert compile_glob("SYSTEM:*", ignore_case=True)("system:node")
    assert not compile_glob("É", ignore_case=True)("é")


@pytest.mark.parametrize(
    ("pattern", "text", "matches"),
    [
        ("[[:upper:]]", "A", True),
        ("[[:upper:]]", "a", False),
        ("[[:lower:]]", "A", False),
        ("[B-D]", "c", True),
        ("[!B-D]", "c", False),
        ("[Z-a]", "z", False),
        ("[a-Z]", "m", True),
    ],
)
def test_case_in_brackets(fnmatch: Callable[[str, str, int], bool], pattern: str, text: str, matches: bool) -> None:
    """iglob folds the case of characters and ranges in brackets, but takes classes at their word."""
    assert compile_glob(pattern, ignore_case=True)(text) is matches
    assert fnmatch(pattern, text, FNM_CASEFOLD) is matches


SIMPLE = st.text(alphabet="ab/*?[]!^-\\.:", max_size=8)


@pytest.mark.property
@given(pattern=SIMPLE, text=st.text(alphabet="aAb/[]!^-\\.:", max_size=8), fold=st.booleans())
@example(pattern="[?-", text="[:-", fold=False)
@example(pattern="[[", text="[[", fold=False)
@example(pattern="[![", text="[![", fold=False)
@example(pattern="[b-a]", text="a", fold=False)
@example(pattern="[a-]", text="-", fold=False)
@example(pattern="[\\]]", text="]", fold=False)
def test_same_as_the_c_library(fnmatch: Callable[[str, str, int], bool], pattern: str, text: str, fold: bool) -> None:
    """Any pattern of ASCII characters matches what fnmatch(3) matches."""
    if "[:" in pattern or "[." in pattern:
        return  # unfinished class names are undefined there
    assert compile_glob(pattern, fold)(text) is fnmatch(pattern, text, FNM_CASEFOLD if fold else 0)


@pytest.mark.parametrize(
    ("pattern", "parts"),
    [
        ("abc", (False, "abc", False)),
        ("*abc", (True, "abc", False)),
        ("abc**", (False, "abc", True)),
        ("*", (True, "", True)),
        ("a*c", None),
        ("a?", None),
        ("a\\*", None),
    ],
)
def test_plain_parts(pattern: str, parts: tuple[bool, str, bool] | None) -> None:
    """Only stars at the ends leave a pattern plain."""
    assert plain_parts(pattern) == parts


def test_wildcards_of_a_component() -> None:
    """A backslash alone does not make a path component a pattern."""
    assert has_wildcards("a*")
    assert has_wildcards("[")
    assert not has_wildcards("a\\b")
