"""Syntax tree -> text: as a condition that parses to an equal tree, or in a normal form to compare trees by.

In: any tree. Out: one line. Neither recurses: a stack holds what is still to be written, nodes and pieces of text.

A value is written bare only if that reads back as the same value in that place and it was not quoted in its source.
Trees that no text has (a NUL in a value, a negation of a negation) print as the nearest text.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Sequence
from types import UnionType
from typing import TypeAlias

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
from lanner.condition.lexer import BARE_ARGUMENT, BARE_WORD, IDENTIFIER, NUMBER
from lanner.condition.operators import MODIFIERS, OPERATORS, Operands

_Piece: TypeAlias = "str | Expr | Operand"

_SPECIAL = re.compile(r'["\\\x00-\x1f\x7f]')
_ESCAPES = {'"': '\\"', "\\": "\\\\", "\b": "\\b", "\f": "\\f", "\n": "\\n", "\r": "\\r", "\t": "\\t"}


def print_condition(expr: Expr) -> str:
    """The tree as a condition: `parse(print_condition(e)) == e`."""
    return _written(expr, _condition_pieces)


def print_operand(operand: Operand) -> str:
    """A field, call, value or list as it stands in a condition."""
    return _written(operand, _condition_pieces)


def normal_form(expr: Expr) -> str:
    """The tree as an s-expression that is the same for every way to write the same condition.

    `(and x y)` and `(or x y)` without nested ones of the same kind, `(not x)` without double negation, `$name` for a
    macro, `(exists LEFT)`, `(op LEFT RIGHT)`, `(op modifier LEFT RIGHT)`; values are JSON strings and lists of them.
    """
    return _written(expr, _normal_pieces)


def quote(value: str) -> str:
    """A value between double quotes, escaped."""
    return f'"{_SPECIAL.sub(_escape, value)}"'


def _escape(match: re.Match[str]) -> str:
    character = match[0]
    return _ESCAPES.get(character) or f"\\x{ord(character):02x}"


def _written(root: Expr | Operand, pieces: Callable[[Expr | Operand], Sequence[_Piece]]) -> str:
    parts: list[str] = []
    work: list[_Piece] = [root]
    while work:
        piece = work.pop()
        if isinstance(piece, str):
            parts.append(piece)
        else:
            work.extend(reversed(pieces(piece)))
    return "".join(parts)


def _joined(runs: Iterable[Sequence[_Piece]], separator: str) -> list[_Piece]:
    pieces: list[_Piece] = []
    for run in runs:
        pieces += (separator, *run)
    return pieces[1:]


# As a condition


def _condition_pieces(node: Expr | Operand) -> Sequence[_Piece]:
    match node:
        case And():
            return _joined((_grouped(child, And | Or) for child in node.children), " and ")
        case Or():
            return _joined((_grouped(child, Or) for child in node.children), " or ")
        case Not():
            return ("not ", *_grouped(node.child, And | Or))
        case MacroRef():
            # What follows a macro of this name would read as negated.
            return ("(not)" if node.name == "not" else node.name,)
        case Exists():
            return (node.left, " exists")
        case Compare():
            modifier = f" {node.modifier}" if node.modifier else ""
            return (node.left, f" {node.operator}{modifier} ", _right(node))
        case FieldRef():
            return (node.name + _selector(node.argument),)
        case Call():
            arguments = _joined((_argument(item) for item in node.arguments), ", ")
            return (f"{node.name}(", *arguments, ")" + _selector(node.argument))
        case ListExpr():
            return ("(", *_joined((_argument(item) for item in node.items), ", "), ")")
        case Literal():
            return (_value(node),)
        case ListLiteral():
            return (_list(node),)


def _grouped(child: Expr, kinds: UnionType | type) -> Sequence[_Piece]:
    """The child, in parentheses if it is of these kinds."""
    return ("(", child, ")") if isinstance(child, kinds) else (child,)


def _right(check: Compare) -> _Piece:
    right = check.right
    if isinstance(right, Literal):
        if OPERATORS[check.operator].right is Operands.NUMBER:
            return right.value
        if right.value in MODIFIERS:
            return quote(right.value)
    return right


def _selector(argument: str | None) -> str:
    if argument is None:
        return ""
    return f"[{argument if BARE_ARGUMENT.fullmatch(argument) else quote(argument)}]"


def _argument(operand: Operand) -> Sequence[_Piece]:
    """An argument of a call, where only numbers stand bare."""
    if isinstance(operand, Literal):
        bare = not operand.quoted and NUMBER.fullmatch(operand.value)
        return (operand.value if bare else quote(operand.value),)
    return (operand,)


def _value(literal: Literal) -> str:
    bare = not literal.quoted and BARE_WORD.fullmatch(literal.value) and not _SPECIAL.search(literal.value)
    return literal.value if bare else quote(literal.value)


def _list(values: ListLiteral) -> str:
    if values.bare and len(values.items) == 1:
        name = values.items[0].value
        if IDENTIFIER.fullmatch(name) and name not in ("and", "or"):
            return name
    return f"({', '.join(_value(item) for item in values.items)})"


# In normal form


def _normal_pieces(node: Expr | Operand) -> Sequence[_Piece]:
    match node:
        case And() | Or():
            return (
                "(and " if isinstance(node, And) else "(or ",
                *_joined(((child,) for child in _flat(node)), " "),
                ")",
            )
        case Not():
            child = node.child
            if isinstance(child, Not):
                return (child.child,)
            return ("(not ", child, ")")
        case MacroRef():
            return (f"${node.name}",)
        case Exists():
            return ("(exists ", node.left, ")")
        case Compare():
            modifier = f" {node.modifier}" if node.modifier else ""
            return (f"({node.operator}{modifier} ", node.left, " ", node.right, ")")
        case FieldRef():
            return (node.name + _normal_selector(node.argument),)
        case Call():
            arguments = _joined(((item,) for item in node.arguments), ", ")
            return (f"{node.name}(", *arguments, ")" + _normal_selector(node.argument))
        case ListExpr():
            return ("(", *_joined(((item,) for item in node.items), ", "), ")")
        case Literal():
            return (_json(node.value),)
        case ListLiteral():
            return (f"[{', '.join(_json(item.value) for item in node.items)}]",)


def _flat(node: And | Or) -> list[Expr]:
    """The operands of a chain, with those of nested chains of the same kind in their place."""
    flat: list[Expr] = []
    work: list[Expr] = [node]
    while work:
        item = work.pop()
        while isinstance(item, Not) and isinstance(item.child, Not):
            item = item.child.child
        if isinstance(item, type(node)):
            work.extend(reversed(item.children))
        else:
            flat.append(item)
    return flat


def _normal_selector(argument: str | None) -> str:
    return "" if argument is None else f"[{_json(argument)}]"


def _json(value: str) -> str:
    return json.dumps(value, ensure_ascii=False)
