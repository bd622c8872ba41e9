"""The slow, obvious answer: read values and work out a predicate node by node.

Generated code is held to it, and it is what explanations of alerts are made from.
"""

from __future__ import annotations

from typing import Any, cast

from lanner.compiler import ir
from lanner.compiler.comparisons import LISTS, SCALAR
from lanner.compiler.transformers import FUNCTIONS, getopt_option
from lanner.event import MISSING, AuditEvent, Missing
from lanner.fields.catalog import Value


def holds(predicate: ir.Predicate, event: AuditEvent) -> bool:
    """Whether the predicate is true of the event."""

    def combine(node: ir.Predicate, children: tuple[bool, ...]) -> bool:
        match node:
            case ir.Truth():
                return node.value
            case ir.Test():
                return test_holds(node, event)
            case ir.All():
                return all(children)
            case ir.Any():
                return any(children)
            case ir.ExactlyOne():
                return sum(children) == 1
            case ir.Negation():
                return not children[0]

    return ir.fold(predicate, combine)


def test_holds(test: ir.Test, event: AuditEvent) -> bool:
    """Whether one comparison is true of the event; false if a value is missing on either side."""
    left = value(test.left, event)
    if left is MISSING:
        return False
    if test.operator == "exists":
        return True
    right: Any = test.right
    if ir.is_value(right):
        right = value(right, event)
        if right is MISSING:
            return False
        if test.operator in LISTS and not isinstance(right, list):
            right = [right]
    compare = LISTS[test.operator] if test.left.is_list else SCALAR[test.operator]
    return compare(left, right)


def value(node: ir.Value, event: AuditEvent) -> Value | Missing:
    """The value of a node in the event; MISSING if it, or one that it is made of, is missing."""
    match node:
        case ir.FieldValue():
            return node.field.value(event)
        case ir.Constant():
            return node.value
        case ir.ListOf():
            items = [value(item, event) for item in node.items]
            return MISSING if MISSING in items else cast("list[str]", items)
        case ir.Transformed():
            arguments = [value(argument, event) for argument in node.arguments]
            return MISSING if MISSING in arguments else transform(node, arguments)


def transform(node: ir.Transformed, arguments: list[Any]) -> Value | Missing:
    """The result of a transformer for present arguments."""
    if node.option is not None:
        return getopt_option(arguments[0], arguments[1], node.option)
    return cast("Value | Missing", FUNCTIONS[node.transformer](*arguments))
