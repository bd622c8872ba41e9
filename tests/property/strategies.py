"""Random syntax trees of conditions, every one of which some condition text has.

Import as `from tests.property import strategies`. Spans point at nothing; they take no part in equality.
"""

from __future__ import annotations

from hypothesis import strategies as st

from lanner.condition.ast import (
    And,
    Call,
    Compare,
    Exists,
    Expr,
    FieldRef,
    ListExpr,
    ListLiteral,
    Literal,
    MacroRef,
    Not,
    Operand,
    Or,
)
from lanner.condition.operators import MODIFIERS, OPERATORS, TRANSFORMERS, VAL, Operands
from lanner.diagnostics.source import SourceFile, Span

NOWHERE = Span(SourceFile("<nowhere>", ""), 0, 0)

_LETTERS = "abcxyzABC"
_WORDS = (*OPERATORS, *MODIFIERS, *TRANSFORMERS, VAL, "and", "or", "not")

names: st.SearchStrategy[str] = st.one_of(
    st.sampled_from([word for word in _WORDS if word.isalnum()]),
    st.builds(str.__add__, st.sampled_from(_LETTERS), st.text(_LETTERS + "019_", max_size=5)),
)
"""What may name a macro or a list, the words of the language among them."""

field_names: st.SearchStrategy[str] = st.lists(names, min_size=2, max_size=3).map(".".join)

values: st.SearchStrategy[str] = st.one_of(
    names,
    st.text(st.sampled_from("ab09 \t\n\b\f\r\\/\"'()[]=,.<>!*%\x01\x7fé☃\u00a0"), max_size=6),
    st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=6),
)
"""Any value that a condition can hold: everything but NUL."""

numbers: st.SearchStrategy[str] = st.one_of(
    st.integers(-(10**6), 10**6).map(str),
    st.integers(0, 10**6).map(hex),
    st.sampled_from(("+1", "007", "1.", "1.5", "-2.50e+10", "0X1f")),
)

literals: st.SearchStrategy[Literal] = st.builds(Literal, values, st.just(NOWHERE), st.booleans())
number_literals: st.SearchStrategy[Literal] = st.builds(Literal, numbers, st.just(NOWHERE))
list_literals: st.SearchStrategy[ListLiteral] = st.one_of(
    st.builds(ListLiteral, st.lists(literals, max_size=4).map(tuple), st.just(NOWHERE)),
    st.builds(
        ListLiteral,
        st.tuples(st.builds(Literal, names, st.just(NOWHERE))),
        st.just(NOWHERE),
        st.just(True),
    ),
)

_selectors = st.none() | values
fields: st.SearchStrategy[FieldRef] = st.builds(FieldRef, field_names, _selectors, st.just(NOWHERE))


def _calls(arguments: st.SearchStrategy[Operand]) -> st.SearchStrategy[Call]:
    lists = st.builds(ListExpr, st.lists(arguments, max_size=3).map(tuple), st.just(NOWHERE))
    return st.builds(
        Call,
        st.sampled_from(tuple(TRANSFORMERS)),
        st.lists(st.one_of(arguments, lists), min_size=1, max_size=3).map(tuple),
        _selectors,
        st.just(NOWHERE),
    )


_leaves: st.SearchStrategy[Operand] = st.one_of(fields, literals, number_literals)
calls: st.SearchStrategy[Call] = _calls(st.recursive(_leaves, _calls, max_leaves=4))
"""Transformer calls, nested ones among them, with arguments of every kind."""

operands: st.SearchStrategy[FieldRef | Call] = st.one_of(fields, calls)

_vals = st.builds(Call, st.just(VAL), st.tuples(fields), _selectors, st.just(NOWHERE))
_right_sides = st.one_of(calls, _vals)


def _operators(kind: Operands) -> st.SearchStrategy[str]:
    return st.sampled_from([operator.name for operator in OPERATORS.values() if operator.right is kind])


def _compares(
    kind: Operands, right: st.SearchStrategy[Operand], modifier: st.SearchStrategy[str | None]
) -> st.SearchStrategy[Compare]:
    return st.builds(Compare, operands, _operators(kind), right, st.just(NOWHERE), modifier)


macros: st.SearchStrategy[MacroRef] = st.builds(MacroRef, names, st.just(NOWHERE))
checks: st.SearchStrategy[MacroRef | Exists | Compare] = st.one_of(
    macros,
    st.builds(Exists, operands, st.just(NOWHERE)),
    _compares(Operands.NUMBER, st.one_of(number_literals, _right_sides), st.none()),
    _compares(Operands.STRING, st.one_of(literals, _right_sides), st.none()),
    _compares(Operands.STRING, list_literals, st.sampled_from(tuple(MODIFIERS))),
    _compares(Operands.LIST, st.one_of(list_literals, _right_sides), st.none()),
)


def _negated(child: Expr) -> Expr:
    return child.child if isinstance(child, Not) else Not(child, NOWHERE)


def _connectives(children: st.SearchStrategy[Expr]) -> st.SearchStrategy[Expr]:
    chains = st.lists(children, min_size=2, max_size=4).map(tuple)
    return st.one_of(
        st.builds(And, chains, st.just(NOWHERE)),
        st.builds(Or, chains, st.just(NOWHERE)),
        children.map(_negated),
    )


conditions: st.SearchStrategy[Expr] = st.recursive(checks, _connectives, max_leaves=8)
"""Whole conditions."""
