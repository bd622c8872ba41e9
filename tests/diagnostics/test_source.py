"""Places in files, and values that keep theirs."""

from __future__ import annotations

import pytest

from lanner.diagnostics.source import SourceFile, Text


def test_lines_and_columns_count_from_one() -> None:
    """Also behind the last line end, and past the end."""
    source = SourceFile("f", "ab\ncd\r\n")
    assert [source.location(offset)[1:3] for offset in (0, 2, 3, 7, 99)] == [(1, 1), (1, 3), (2, 1), (3, 1), (3, 1)]
    assert [source.line(number) for number in (1, 2, 3)] == ["ab", "cd", ""]


def test_joined_values_keep_the_places_of_both() -> None:
    """The separator stands at the end of the first."""
    first, second = SourceFile("a", "xx one"), SourceFile("b", "two")
    text = Text.at("one", first, range(3, 7)).joined(Text.whole(second))
    assert text.value == "one two"
    assert [text.span(i, i + 1).location[0:3:2] for i in (0, 2, 3, 4, 6)] == [
        ("a", 4),
        ("a", 6),
        ("a", 7),
        ("b", 1),
        ("b", 3),
    ]


@pytest.mark.parametrize("value", ["  a b ", "a b", "   ", ""])
def test_stripped_values_keep_their_places(value: str) -> None:
    """What is taken away in front moves nothing."""
    stripped = Text.plain(value).stripped(" ")
    assert stripped.value == value.strip(" ")
    for index, char in enumerate(stripped.value):
        span = stripped.span(index, index + 1)
        assert span.source.text[span.start] == char


def test_stripping_reaches_over_joined_values() -> None:
    """A first value of blanks only leaves nothing behind."""
    text = Text.plain("  ", "a").joined(Text.plain("x ", "b")).stripped(" ")
    assert text.value == "x"
    assert text.span(0, 1).location[0:3:2] == ("b", 1)


def test_another_value_must_have_the_same_length() -> None:
    """Places belong to characters."""
    text = Text.plain("abc").with_value("xyz")
    assert text.span(1, 2).start == 1
    with pytest.raises(ValueError, match="length"):
        text.with_value("x")
