"""From a resolved condition (names) to a predicate (fields, types).

In: an `Expr` without macro references. Out: a `Predicate`, or None after reporting what is wrong: unknown fields, bad
arguments, operators that a field's type does not take. Also warns of comparisons that are valid and hardly meant.
Source of the rules: libs `filter.cpp`, `filter_compare.cpp`, `sinsp_filtercheck.cpp`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NoReturn, cast

from lanner.compiler import ir
from lanner.compiler.comparisons import compile_regex
from lanner.compiler.transformers import TransformerError, result_type
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
    walk,
)
from lanner.condition.operators import OPERATORS, TRANSFORMERS, VAL, Operands
from lanner.condition.printer import print_operand
from lanner.diagnostics.codes import Code
from lanner.diagnostics.diagnostic import Context
from lanner.diagnostics.report import Report
from lanner.diagnostics.source import Span
from lanner.fields.catalog import Catalog, FieldError, FieldErrorKind, ValueType

NOT_AVAILABLE = "<NA>"
"""What outputs print for a missing value; comparing with it is a mistake."""

_UNSAFE_PREFIXES = ("ka.", "jevt.")
_NA_OPERATORS = frozenset(("=", "!=", "in", "intersects", "pmatch"))
_NUMBER = re.compile(r"\s*([+-]?)0*([0-9]+)", re.ASCII)
_ENOUGH_DIGITS = 21
"""A number of so many is beyond 64 bits, whatever follows: more than any field can be."""
_PLAIN_REGEX = re.compile(r"(?:\^|\.[+*?])?[^.+*?^$()\[\]{}|\\]*(?:\$|\.[+*?])?")
_BLANKS = re.compile(r"\s+")
_FIELD_TEXT = re.compile(r"([a-zA-Z][\w.]*)(?:\[(.*)\])?", re.DOTALL)


class _RefusedError(Exception):
    """Stops the lowering of one check after its problem has been reported."""


class _SkippedError(_RefusedError):
    """Stops the lowering of the whole condition: the rule is left out, so nothing more is to be said of it."""


class Lowering:
    """Lowers the conditions of one rule; reports into `report` with the rule as context."""

    def __init__(
        self,
        catalog: Catalog,
        builder: ir.Builder,
        report: Report,
        context: Sequence[Context] = (),
        unknown_field: Code = Code.ERR_COMPILE_CONDITION,
    ) -> None:
        self._catalog = catalog
        self._build = builder
        self._report = report
        self._context = tuple(context)
        self._unknown_field = unknown_field
        self._failed = False
        self._warnings = Report()

    def condition(self, expr: Expr) -> ir.Predicate | None:
        """The predicate of a condition; None if any part of it was refused.

        All problems are reported, but for an unknown field that is a mere warning: it ends the lowering. Hints on how
        to write a check better come only with a condition that is good.
        """
        for check in walk(expr):
            if isinstance(check, Compare):
                self._warn_of_not_available(check)
        try:
            predicate = self._condition(expr)
        except _SkippedError:
            return None
        if predicate is not None:
            self._report.extend(self._warnings.diagnostics)
        return predicate

    def _condition(self, expr: Expr) -> ir.Predicate | None:
        results: list[ir.Predicate] = []
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
                    children = results[-count:]
                    del results[-count:]
                    combine = self._build.all_of if isinstance(node, And) else self._build.any_of
                    results.append(combine(children))
                case Not():
                    if not done:
                        work.append((node, True))
                        work.append((node.child, False))
                        continue
                    results.append(self._build.negation(results.pop()))
                case MacroRef():
                    raise ValueError(f"macro `{node.name}` is not resolved")
                case Exists() | Compare():
                    try:
                        results.append(self._check(node))
                    except _SkippedError:
                        raise
                    except _RefusedError:
                        self._failed = True
                        results.append(ir.FALSE)
        return None if self._failed else results[0]

    def operand(self, operand: FieldRef | Call) -> ir.Value | None:
        """The value of a field or transformer call, as outputs use it; None if it was refused."""
        try:
            return self._value(operand)
        except _RefusedError:
            return None

    # --- checks --------------------------------------------------------------------------------------------------

    def _check(self, check: Exists | Compare) -> ir.Predicate:
        left = self._value(check.left)
        if isinstance(check, Exists):
            return self._build.test("exists", left)
        self._check_operator(check, left)
        if isinstance(check.right, FieldRef | Call):
            return self._compare_values(check, left, check.right)
        literals = _literals(check.right)
        self._warn_of_literals(check, literals)
        constants = [self._constant(check.operator, left.type, literal) for literal in literals]
        if check.modifier is not None:
            tests = [self._build.test(check.operator, left, constant) for constant in constants]
            match check.modifier:
                case "allof" if tests:
                    return self._build.all_of(tests)
                case "oneof":
                    return self._build.exactly_one_of(tests)
                case _:
                    return self._build.any_of(tests)
        match OPERATORS[check.operator].right, check.operator:
            case Operands.LIST, "pmatch":
                return self._build.test("pmatch", left, cast("tuple[str, ...]", tuple(constants)))
            case Operands.LIST, operator:
                return self._build.test(operator, left, frozenset(constants))
            case _, operator:
                return self._build.test(operator, left, constants[0])

    def _check_operator(self, check: Compare, left: ir.Value) -> None:
        """Whether the left side's type takes the operator at all."""
        name = check.operator
        operator = OPERATORS[name]
        span = check.operator_span or check.span
        if left.is_list:
            if not operator.on_lists:
                subject = print_operand(check.left)
                self._refuse(
                    f"`{name}` cannot be used on `{subject}`, which has several values",
                    span,
                    f"write `{subject} intersects {_as_list(check.right)}` to ask whether any of them is in a list, "
                    f"or `{subject} in {_as_list(check.right)}` to ask whether all are.",
                )
            return
        if name in ("bcontains", "bstartswith"):
            self._refuse(
                f"`{name}` is for byte buffers, and `{print_operand(check.left)}` is not one",
                span,
                f"use `{name[1:]}` with a text.",
            )
        if left.type.numeric and not operator.on_numbers:
            self._refuse(
                f"`{name}` cannot be used on `{print_operand(check.left)}`, which is a number",
                span,
                "numbers take `=`, `!=`, `<`, `<=`, `>`, `>=`, `in` and `exists`.",
            )
        if left.type is ValueType.BOOL and operator.right is Operands.NUMBER:
            subject = print_operand(check.left)
            self._refuse(
                f"`{name}` cannot be used on `{subject}`, which is true or false",
                span,
                f"write `{subject} = true` or `{subject} = false`.",
            )

    def _compare_values(self, check: Compare, left: ir.Value, operand: FieldRef | Call) -> ir.Predicate:
        """A field or transformer on the right side."""
        if not OPERATORS[check.operator].field_right:
            self._refuse(
                f"`{check.operator}` takes no field on its right side",
                operand.span,
                "write the pattern itself.",
            )
        right = self._value(operand)
        if (left.type, left.is_list) != (right.type, right.is_list):
            self._refuse(
                f"`{print_operand(check.left)}` is {_describe(left)} and `{print_operand(operand)}` {_describe(right)}",
                operand.span,
                "both sides need the same type, and both or neither must be lists.",
            )
        return self._build.test(check.operator, left, right)

    # --- values --------------------------------------------------------------------------------------------------

    def _value(self, operand: Operand) -> ir.Value:
        """The value of an operand, arguments first; without recursion, since calls nest."""
        results: list[ir.Value] = []
        work: list[tuple[Operand, bool]] = [(operand, False)]
        while work:
            node, done = work.pop()
            match node:
                case Literal():
                    results.append(self._build.constant(node.value))
                case FieldRef():
                    results.append(self._field(node))
                case Call() | ListExpr() | ListLiteral():
                    parts = node.arguments if isinstance(node, Call) else node.items
                    if not done:
                        work.append((node, True))
                        work.extend((part, False) for part in reversed(parts))
                        continue
                    values = results[len(results) - len(parts) :]
                    del results[len(results) - len(parts) :]
                    results.append(self._call(node, values) if isinstance(node, Call) else self._list(node, values))
        return results[0]

    def _field(self, reference: FieldRef) -> ir.Value:
        try:
            return self._build.field(self._catalog.bind(reference.name, reference.argument))
        except FieldError as error:
            unknown = error.kind is FieldErrorKind.UNKNOWN_FIELD
            code = self._unknown_field if unknown else Code.ERR_COMPILE_CONDITION
            self._refuse(error.message, reference.span, error.help, code)

    def _call(self, call: Call, arguments: Sequence[ir.Value]) -> ir.Value:
        if call.name == VAL:
            return arguments[0]
        try:
            kind, is_list = result_type(
                call.name, [(argument.type, argument.is_list) for argument in arguments], call.argument
            )
        except TransformerError as error:
            self._refuse(str(error), call.span, "`lanner fields` shows which fields are lists.")
        return self._build.transformed(call.name, arguments, call.argument, kind, is_list)

    def _list(self, node: ListExpr | ListLiteral, items: Sequence[ir.Value]) -> ir.Value:
        if any(item.is_list or item.type.numeric for item in items):
            self._refuse("a list in an argument holds single texts only", node.span, "give a list field as it is.")
        return self._build.list_of(items)

    def _constant(self, operator: str, kind: ValueType, literal: Literal) -> str | int | bool:
        """A literal as the type on the left side reads it."""
        text = literal.value
        if operator == "regex":
            try:
                compile_regex(text)
            except ValueError as error:
                self._refuse(
                    f"`{text}` is not a regular expression: {error}",
                    literal.span,
                    "patterns are RE2 in POSIX syntax: write [0-9] for \\d, and there are no look-arounds.",
                )
        match kind:
            case ValueType.STRING:
                return text
            case ValueType.BOOL:
                if text not in ("true", "false"):
                    self._refuse(f"`{text}` is neither true nor false", literal.span, "write `true` or `false`.")
                return text == "true"
            case _:
                number = _NUMBER.fullmatch(text)
                if number is None:
                    self._refuse(f"`{text}` is not a whole number", literal.span, "write decimal digits.")
                return int(number[1] + number[2][:_ENOUGH_DIGITS])

    # --- warnings ------------------------------------------------------------------------------------------------

    def _warn_of_not_available(self, check: Compare) -> None:
        if check.operator not in _NA_OPERATORS:
            return
        if not (isinstance(check.left, FieldRef) and check.left.name.startswith(_UNSAFE_PREFIXES)):
            return
        if not isinstance(check.right, Literal | ListLiteral):
            return
        for literal in _literals(check.right):
            if literal.value == NOT_AVAILABLE:
                subject = print_operand(check.left)
                self._report.add(
                    Code.UNSAFE_NA_CHECK,
                    f"`{subject}` is never `{NOT_AVAILABLE}`: the comparison is false when the field is missing",
                    literal.span,
                    f"write `{subject} exists` or `not {subject} exists`.",
                    self._context,
                )

    def _warn_of_literals(self, check: Compare, literals: Sequence[Literal]) -> None:
        """Falco's hints (libs `filter.cpp`): a needless regex, a field or transformer written as plain text."""
        for literal in literals:
            stripped = _BLANKS.sub("", literal.value)
            if check.operator == "regex" and _needs_no_regex(literal.value):
                self._warn(
                    f"`{literal.value}` needs no regular expression",
                    literal.span,
                    "`=`, `contains`, `startswith` or `endswith` says the same and is faster.",
                )
            if self._is_field(stripped):
                self._warn(
                    f"`{literal.value}` is compared as a text, but is the name of a field",
                    literal.span,
                    f"write `val({stripped})` if the field's value is meant.",
                )
            name, bracket, _ = stripped.partition("(")
            if bracket and stripped.endswith(")") and (name in TRANSFORMERS or name == VAL):
                self._warn(
                    f"`{literal.value}` is compared as a text, but looks like a transformer",
                    literal.span,
                    f"write {stripped} without quotes and outside of a list if its result is meant.",
                )

    def _is_field(self, text: str) -> bool:
        found = _FIELD_TEXT.fullmatch(text)
        if found is None or found.group(1) not in self._catalog:
            return False
        try:
            self._catalog.bind(found.group(1), found.group(2))
        except FieldError:
            return False
        return True

    def _warn(self, message: str, span: Span, help: str) -> None:
        self._warnings.add(Code.COMPILE_CONDITION, message, span, help, self._context)

    def _refuse(self, message: str, span: Span, help: str, code: Code = Code.ERR_COMPILE_CONDITION) -> NoReturn:
        self._report.add(code, message, span, help, self._context)
        raise _SkippedError if code is Code.UNKNOWN_FILTER else _RefusedError


def _literals(operand: Operand) -> tuple[Literal, ...]:
    match operand:
        case Literal():
            return (operand,)
        case ListLiteral():
            return operand.items
        case _:
            raise ValueError("not a constant")


def _as_list(operand: Operand) -> str:
    match operand:
        case ListLiteral():
            return print_operand(operand)
        case _:
            return f"({print_operand(operand)})"


def _describe(value: ir.Value) -> str:
    kind = {
        ValueType.STRING: "text",
        ValueType.NUMBER: "number",
        ValueType.BOOL: "truth value",
        ValueType.ABSTIME: "time",
        ValueType.RELTIME: "duration",
    }[value.type]
    return f"a list of {kind}s" if value.is_list else f"a {kind}"


def _needs_no_regex(pattern: str) -> bool:
    """Whether nothing but an anchor or any-text at either end makes the pattern special."""
    return _PLAIN_REGEX.fullmatch(pattern) is not None
