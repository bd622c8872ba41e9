"""The parser and the printer on random trees and random texts."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lanner.condition.ast import And, Call, Compare, Exists, Expr, FieldRef, MacroRef, Not, Or, operands
from lanner.condition.operators import VAL
from lanner.condition.parser import ConditionError, parse, parse_operand, parse_operand_at
from lanner.condition.printer import normal_form, print_condition, print_operand
from lanner.diagnostics.source import Span, Text
from tests.property import strategies

pytestmark = pytest.mark.property

_PIECES = (
    *("and", "or", "not", "not(", "(", ")", "a", "a.b", "a.b[", "]", "'", '"', "\\", "[0]", "=", "==", "!=", "<=", ">"),
    *("in", "exists", "contains ", "glob", "oneof", "anyof (", ",", "x", "10", "0x1f", "tolower(", "join(", "val("),
    *(" ", "\n", "\t", "\b", "\f", "\0", "\\x41", "\\x4", "é", "é", "&&"),
)
texts = st.one_of(st.text(max_size=40), st.lists(st.sampled_from(_PIECES), max_size=25).map("".join))


def shown(span: Span) -> str:
    return span.source.text[span.start : span.end]


@given(strategies.conditions)
def test_what_is_printed_reads_back_as_the_same_tree(tree: Expr) -> None:
    """parse(print(e)) == e, and both have the same normal form."""
    again = parse(Text.plain(print_condition(tree)))
    assert again == tree
    assert normal_form(again) == normal_form(tree)


@given(strategies.operands)
def test_a_printed_operand_reads_back(operand: FieldRef | Call) -> None:
    """A field or call reads back alone, and in the midst of other text."""
    printed = print_operand(operand)
    assert parse_operand(Text.plain(printed)) == operand
    assert parse_operand_at(Text.plain(f"% {printed} %"), 2) == (operand, 2 + len(printed))


@given(strategies.conditions, st.text(" \t\r\n", min_size=1, max_size=4))
def test_whitespace_changes_nothing(tree: Expr, blank: str) -> None:
    """Any blanks in the place of a blank between tokens give the same tree."""
    outside_and_inside_quotes = re.split(r'("(?:[^"\\]|\\.)*")', print_condition(tree))
    spread = "".join(
        part if index % 2 else part.replace(" ", blank) for index, part in enumerate(outside_and_inside_quotes)
    )
    assert parse(Text.plain(blank + spread + " ")) == tree


@given(texts)
def test_any_text_gives_a_tree_or_a_problem(text: str) -> None:
    """No text raises anything but ConditionError; what is read prints and reads back."""
    tree = problem = None
    try:
        tree = parse(Text.plain(text))
    except ConditionError as error:
        problem = error
    if tree is not None:
        assert parse(Text.plain(print_condition(tree))) == tree
    if problem is not None:
        assert 0 <= problem.span.start <= problem.span.end <= len(text)
        assert problem.message
        assert problem.help.endswith(".")


@given(texts)
def test_any_text_gives_an_operand_or_a_problem(text: str) -> None:
    """The same holds where one operand is wanted."""
    operand = problem = None
    try:
        operand = parse_operand(Text.plain(text))
    except ConditionError as error:
        problem = error
    if operand is not None:
        assert parse_operand(Text.plain(print_operand(operand))) == operand
    if problem is not None:
        assert 0 <= problem.span.start <= problem.span.end <= len(text)


def nodes(tree: Expr) -> Iterator[Expr]:
    work = [tree]
    while work:
        node = work.pop()
        yield node
        match node:
            case And() | Or():
                work.extend(node.children)
            case Not():
                work.append(node.child)


@given(strategies.conditions)
def test_the_text_of_a_node_is_the_node(tree: Expr) -> None:
    """The span of each node lies in the text, and what it covers reads back as that node."""
    for node in nodes(parse(Text.plain(print_condition(tree)))):
        assert parse(Text.plain(shown(node.span))) == node


@given(strategies.checks)
def test_the_text_of_an_operand_lies_in_its_check(check: MacroRef | Exists | Compare) -> None:
    """The spans of operands lie in those of their checks, and those of fields and calls cover just them."""
    found = parse(Text.plain(print_condition(check)))
    assert isinstance(found, MacroRef | Exists | Compare)
    for operand in operands(found):
        assert found.span.start <= operand.span.start <= operand.span.end <= found.span.end
        if isinstance(operand, FieldRef) or (isinstance(operand, Call) and operand.name != VAL):
            assert parse_operand(Text.plain(shown(operand.span))) == operand
