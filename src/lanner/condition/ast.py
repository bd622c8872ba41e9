"""The syntax tree of a condition.

Every node carries the span of its text. Spans take no part in equality: two trees are equal if they say the same.
Conditions may nest 1,000 deep, so whoever walks a tree does it without recursion (`rewrite`, `walk`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TypeAlias

from lanner.diagnostics.source import Span


@dataclass(frozen=True, slots=True)
class Literal:
    """A value as written, escapes decoded: a string, a number's spelling, an item of a list."""

    value: str
    span: Span = field(compare=False, repr=False)
    quoted: bool = field(default=False, compare=False)


@dataclass(frozen=True, slots=True)
class ListLiteral:
    """`(a, b, "c d")`. A bare word on the right of a list operator is a list of that one word, with `bare` set."""

    items: tuple[Literal, ...]
    span: Span = field(compare=False, repr=False)
    bare: bool = field(default=False, compare=False)


@dataclass(frozen=True, slots=True)
class FieldRef:
    """`name` or `name[argument]`; the argument without quotes, escapes decoded."""

    name: str
    argument: str | None
    span: Span = field(compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Call:
    """A transformer call such as `tolower(ka.verb)`, `val(ka.resp.name)`, or `getopt(list, "ab:")[a]`."""

    name: str
    arguments: tuple[Operand, ...]
    argument: str | None
    span: Span = field(compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class ListExpr:
    """A parenthesised list of operands among the arguments of a call: `join("-", (ka.verb, "x"))`."""

    items: tuple[Operand, ...]
    span: Span = field(compare=False, repr=False)


Operand: TypeAlias = "Literal | ListLiteral | FieldRef | Call | ListExpr"


@dataclass(frozen=True, slots=True)
class And:
    """All of at least two children hold."""

    children: tuple[Expr, ...]
    span: Span = field(compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Or:
    """At least one of at least two children holds."""

    children: tuple[Expr, ...]
    span: Span = field(compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Not:
    """The child does not hold."""

    child: Expr
    span: Span = field(compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class MacroRef:
    """A macro by name."""

    name: str
    span: Span = field(compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Exists:
    """`left exists`."""

    left: FieldRef | Call
    span: Span = field(compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Compare:
    """`left operator right`, or `left operator modifier (list)`.

    `operator` is one of operators.py, with `==` written `=`; `modifier` is oneof, anyof, allof or None.
    `right` is a ListLiteral for list operators and modifiers, unless it is a field or transformer expression.
    """

    left: FieldRef | Call
    operator: str
    right: Operand
    span: Span = field(compare=False, repr=False)
    modifier: str | None = None
    operator_span: Span | None = field(default=None, compare=False, repr=False)


Check: TypeAlias = MacroRef | Exists | Compare
Expr: TypeAlias = "And | Or | Not | MacroRef | Exists | Compare"


def rewrite(expr: Expr, leaf: Callable[[Check], Expr]) -> Expr:
    """Replace every check by `leaf(check)`, bottom up and without recursion; the connectives stay as they are.

    A `not` over a check that becomes a `not` folds. A part in which nothing changed is returned as it was.
    """
    results: list[Expr] = []
    work: list[tuple[Expr, bool]] = [(expr, False)]
    while work:
        node, done = work.pop()
        match node:
            case And() | Or():
                if not done:
                    work.append((node, True))
                    work.extend((child, False) for child in reversed(node.children))
                    continue
                count = len(node.children)
                children = tuple(results[-count:])
                del results[-count:]
                same = all(new is old for new, old in zip(children, node.children, strict=True))
                results.append(node if same else type(node)(children, node.span))
            case Not():
                if not done:
                    work.append((node, True))
                    work.append((node.child, False))
                    continue
                child = results.pop()
                if isinstance(child, Not):
                    results.append(child.child)
                else:
                    results.append(node if child is node.child else Not(child, node.span))
            case _:
                results.append(leaf(node))
    return results[0]


def walk(expr: Expr) -> Iterator[Check]:
    """All checks of a condition, left to right."""
    work = [expr]
    while work:
        node = work.pop()
        match node:
            case And() | Or():
                work.extend(reversed(node.children))
            case Not():
                work.append(node.child)
            case _:
                yield node


def operands(check: Check) -> Iterator[Operand]:
    """All operands of a check, the nested ones included, left to right."""
    match check:
        case MacroRef():
            return
        case Exists():
            work: list[Operand] = [check.left]
        case Compare():
            work = [check.right, check.left]
    while work:
        operand = work.pop()
        yield operand
        match operand:
            case Call():
                work.extend(reversed(operand.arguments))
            case ListExpr() | ListLiteral():
                work.extend(reversed(operand.items))
