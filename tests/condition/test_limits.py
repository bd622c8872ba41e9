"""How deep and how long conditions may be."""

from __future__ import annotations

import pytest

from lanner.condition.ast import And, Compare, walk
from lanner.condition.parser import MAX_DEPTH, ConditionError, parse
from lanner.condition.printer import normal_form, print_condition
from lanner.diagnostics.source import Text

OPENINGS = {
    "(": ("(", ")", "a"),
    "not(": ("not(", ")", "a"),
    "not (": ("not ( ", ")", "a"),
    "and(": ("a and(", ")", "a"),
    "or(": ("a or(", ")", "a"),
    "or and": ("a or a and (", ")", "a"),
    "call": ("tolower(", ")", "a.b"),
}


def nested(kind: str, depth: int) -> str:
    opening, closing, leaf = OPENINGS[kind]
    return opening * depth + leaf + closing * depth + (" exists" if kind == "call" else "")


@pytest.mark.parametrize("kind", OPENINGS)
def test_the_depth_limit(kind: str) -> None:
    """The deepest allowed condition reads, prints and reads back; one more level does not read."""
    tree = parse(Text.plain(nested(kind, MAX_DEPTH)))
    assert normal_form(parse(Text.plain(print_condition(tree)))) == normal_form(tree)
    with pytest.raises(ConditionError, match="nested too deep"):
        parse(Text.plain(nested(kind, MAX_DEPTH + 1)))


@pytest.mark.parametrize("kind", OPENINGS)
def test_absurd_depth_is_a_problem_like_any_other(kind: str) -> None:
    """100,000 levels end at the first one too many, also if they are never closed."""
    opening = OPENINGS[kind][0]
    for text in (opening * 100_000, nested(kind, 100_000)):
        with pytest.raises(ConditionError) as caught:
            parse(Text.plain(text))
        assert caught.value.span.start == len(opening) * MAX_DEPTH + len(opening.rstrip()) - len(
            opening.rstrip() if kind == "call" else "("
        )


def test_a_smaller_limit() -> None:
    """The limit is the caller's to set, and calls within parentheses count on."""
    text = Text.plain("((tolower(a.b) = x))")
    assert parse(text, max_depth=3)
    with pytest.raises(ConditionError, match="more than 2 levels"):
        parse(text, max_depth=2)


def test_closed_levels_do_not_count() -> None:
    """Depth is what is open at once."""
    assert parse(Text.plain("(a) and (tolower(b.c) = x) and ((d))"), max_depth=2)


def test_chains_are_not_deep() -> None:
    """A chain of any length is one level."""
    for word in ("and", "or"):
        tree = parse(Text.plain(f" {word} ".join(["a"] * 5_000)), max_depth=1)
        assert len(list(walk(tree))) == 5_000


def test_many_negations_are_not_deep() -> None:
    """`not not` folds as it is read."""
    assert normal_form(parse(Text.plain("not " * 10_001 + "a"), max_depth=1)) == "(not $a)"


def test_long_lists() -> None:
    """A list may have any number of items."""
    tree = parse(Text.plain(f"a.b in ({', '.join(['x'] * 5_000)}) and c"))
    assert isinstance(tree, And)
    check = tree.children[0]
    assert isinstance(check, Compare)
    assert len(getattr(check.right, "items", ())) == 5_000


@pytest.mark.parametrize(
    "text",
    [
        "a" * 200_000 + ".",
        "a." * 100_000,
        "a.b = '" + "\\" * 200_001,
        "a.b = '" + "\\\\x" * 50_000,
        "a.b " + "c" * 200_000,
        "a.b > " + "1" * 200_000 + "x",
        "not" * 100_000 + "'",
        "a.b[" + "x" * 200_000,
    ],
    ids=["name", "dots", "backslashes", "escapes", "operator", "number", "nots", "argument"],
)
def test_long_nonsense_is_refused_in_one_pass(text: str) -> None:
    """No token is read in more than linear time, or these would not end."""
    with pytest.raises(ConditionError):
        parse(Text.plain(text))
