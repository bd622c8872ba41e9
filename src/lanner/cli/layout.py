"""A condition over several lines, for reading: a line for each part, groups indented, long lists filled up.

The lines, put together, are the condition: parsing them gives the same tree.
"""

from __future__ import annotations

from collections.abc import Iterator

from lanner.condition.ast import And, Compare, Expr, ListLiteral, Not, Or
from lanner.condition.printer import print_condition, print_operand

WIDTH = 100
STEP = 2
DEEPEST = 40  # columns; what is nested deeper is not indented further


def layout(condition: Expr) -> Iterator[str]:
    """The lines of a condition. Without recursion, since conditions nest deep."""
    work: list[tuple[str, Expr | None, int, bool]] = [("", condition, 0, False)]
    while work:
        start, node, depth, grouped = work.pop()
        indent = " " * min(depth * STEP, DEEPEST)
        if node is None:
            yield indent + start
            continue
        printed = print_condition(node)
        closed = f"({printed})" if grouped else printed
        if len(indent) + len(start) + len(closed) <= WIDTH:
            yield indent + start + closed
            continue
        match node:
            case And() | Or():
                word = "and " if isinstance(node, And) else "or "
                inner = depth
                if node is not condition:
                    yield f"{indent}{start}("
                    work.append((")", None, depth, False))
                    inner += 1
                parts = [
                    (word if number else "", child, inner, _needs_group(child, node))
                    for number, child in enumerate(node.children)
                ]
                work.extend(reversed(parts))
            case Not():
                work.append((f"{start}not ", node.child, depth, isinstance(node.child, And | Or)))
            case Compare(right=ListLiteral(bare=False) as items):
                yield from _filled(indent, start, node, items)
            case _:
                yield indent + start + closed


def _needs_group(child: Expr, parent: And | Or) -> bool:
    """`and` binds tighter than `or`; a group of the same kind is one because it was written so."""
    return isinstance(child, Or) or (isinstance(child, And) and isinstance(parent, And))


def _filled(indent: str, start: str, node: Compare, items: ListLiteral) -> Iterator[str]:
    modifier = f" {node.modifier}" if node.modifier else ""
    line = f"{indent}{start}{print_operand(node.left)} {node.operator}{modifier} ("
    blank = True
    for number, item in enumerate(items.items, 1):
        word = print_operand(item) + ("," if number < len(items.items) else "")
        if len(line) + len(word) >= WIDTH and not blank:
            yield line
            line, blank = f"{indent}  {word}", False
        else:
            line, blank = f"{line}{'' if blank else ' '}{word}", False
    yield f"{line})"
