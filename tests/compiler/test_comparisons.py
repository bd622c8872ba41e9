"""What operators do with present values."""

from __future__ import annotations

import pytest

from lanner.compiler.comparisons import LISTS, SCALAR, ascii_lower, ascii_upper, compile_regex


@pytest.mark.parametrize(
    ("left", "operator", "right", "holds"),
    [
        ("403", "<", "9", True),
        ("é", ">", "z", True),
        ("\uffff", "<", "\U0001f600", True),
        ("abc", "contains", "b", True),
        ("abc", "contains", "", True),
        ("Mozilla", "icontains", "MOZ", True),
        ("É", "icontains", "é", False),
        ("system:node", "startswith", "system:", True),
        ("pods/log", "endswith", "/log", True),
        ("a\nb", "regex", "a.b", False),
        ("naïve", "regex", "na.ve", True),
        ("abc", "regex", "b", False),
        ("7", "regex", "[[:digit:]]", True),
        ("x", "in", frozenset({"x", "y"}), True),
        ("x", "intersects", frozenset({"y"}), False),
        ("/etc/ssl/certs", "pmatch", ("/etc/ssl",), True),
        ("/etc/sslx", "pmatch", ("/etc/ssl",), False),
        ("/etc", "pmatch", ("/etc/ssl",), False),
        ("//etc//ssl/x", "pmatch", ("/etc/ssl/",), True),
        ("/a/b/c", "pmatch", ("/*/b",), True),
        ("/a/b/c", "pmatch", ("/?*/x", "/*/[b]"), True),
        ("/a/b", "pmatch", ("/*/*/*",), False),
        ("anything", "pmatch", ("/",), True),
        ("", "pmatch", ("/",), True),
    ],
)
def test_scalars(left: str, operator: str, right: object, holds: bool) -> None:
    """Each operator on one value."""
    assert SCALAR[operator](left, right) is holds


@pytest.mark.parametrize(
    ("left", "operator", "right", "holds"),
    [
        (["a", "b"], "in", frozenset({"a", "b", "c"}), True),
        (["a", "d"], "in", frozenset({"a", "b"}), False),
        ([], "in", frozenset({"a"}), True),
        (["a", "d"], "intersects", frozenset({"d"}), True),
        (["a"], "intersects", frozenset(), False),
    ],
)
def test_lists(left: list[str], operator: str, right: frozenset[str], holds: bool) -> None:
    """`in` asks all values, `intersects` any."""
    assert LISTS[operator](left, right) is holds


def test_case_folding_is_ascii_only() -> None:
    """Letters outside ASCII keep their case."""
    assert ascii_lower("ABCÉ") == "abcÉ"
    assert ascii_upper("abcé") == "ABCé"


def test_bad_regex_is_refused_with_the_reason() -> None:
    """A pattern that RE2 does not take raises ValueError with RE2's own words."""
    with pytest.raises(ValueError, match="missing"):
        compile_regex("(a")
    with pytest.raises(ValueError, match="invalid escape"):
        compile_regex("\\d")
