"""Conditions over several lines."""

from __future__ import annotations

import pytest
from hypothesis import given

from lanner.cli.layout import WIDTH, layout
from lanner.cli.loading import shipped_rules
from lanner.condition.ast import Expr
from lanner.condition.parser import parse
from lanner.condition.printer import print_condition
from lanner.diagnostics.source import Text
from lanner.engine.loader import load_rules
from tests.property.strategies import conditions


def tree(text: str) -> Expr:
    return parse(Text.plain(text))


def test_a_short_condition_stays_on_its_line() -> None:
    """What fits is not broken."""
    text = "ka.verb = create and (ka.target.resource = pods or ka.target.resource = jobs)"
    assert list(layout(tree(text))) == [text]


def test_a_long_condition_is_broken_where_its_parts_are() -> None:
    """Groups are indented, and long lists are filled up."""
    names = ", ".join(f"user{n:02}" for n in range(20))
    text = (
        f"ka.verb = create and not (ka.user.name in ({names}) or ka.user.name startswith system and ka.stage exists)"
        " and ka.target.resource = pods"
    )
    assert list(layout(tree(text))) == [
        "ka.verb = create",
        "and not (",
        "  ka.user.name in (user00, user01, user02, user03, user04, user05, user06, user07, user08, user09,",
        "    user10, user11, user12, user13, user14, user15, user16, user17, user18, user19)",
        "  or ka.user.name startswith system and ka.stage exists",
        ")",
        "and ka.target.resource = pods",
    ]


@pytest.mark.property
@given(conditions)
def test_the_lines_are_the_condition(condition: Expr) -> None:
    """Put together, they read back as the same tree."""
    assert tree("\n".join(layout(condition))) == condition


def test_the_conditions_that_ship_keep_their_meaning_and_fit() -> None:
    """Real conditions, with all macros and lists put in; only a long pattern makes a long line."""
    for rule in load_rules(shipped_rules()).rules:
        lines = list(layout(rule.resolved.condition))
        assert tree("\n".join(lines)) == rule.resolved.condition
        assert all(len(line) <= WIDTH or " regex " in line for line in lines)


def test_the_deepest_conditions() -> None:
    """Nesting costs no recursion."""
    text = "not (ka.verb = a or " * 400 + "ka.verb = b" + ")" * 400
    assert print_condition(tree("\n".join(layout(tree(text))))) == print_condition(tree(text))
