"""Exceptions of rules: checked when a file is read, and turned into syntax tree nodes when rules are resolved.

Behaviour: Falco `rule_loader_collector.cpp` (validate_exception_info) and `rule_loader_compiler.cpp`
(build_rule_exception_infos). Falco builds text and parses it again; here values become literals of the tree, so that
no character in them has a meaning. One exception to that, since existing rules use it: a value that is quoted within
its YAML value, as in `'"a b"'`, loses its inner quotes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TypeAlias

from lanner.condition.ast import And, Call, Compare, Expr, FieldRef, ListExpr, ListLiteral, Literal, Operand, Or
from lanner.condition.operators import MODIFIERS, OPERATORS, Operands
from lanner.condition.parser import ConditionError, parse_operand
from lanner.diagnostics.codes import Code
from lanner.diagnostics.diagnostic import Context
from lanner.diagnostics.report import Report
from lanner.diagnostics.source import Span, Text
from lanner.rules.definitions import Entry, ExceptionDef, ExceptionItem, Word, Words
from lanner.rules.values import NUMBER, literal, written_list

COMPARATORS: dict[str, tuple[str, str | None]] = {
    **{name: (name, None) for name in OPERATORS},
    "==": ("=", None),
    **{
        f"{name} {modifier}": ("=" if name == "==" else name, modifier)
        for name in (*(name for name, operator in OPERATORS.items() if operator.modifiers), "==")
        for modifier in MODIFIERS
    },
}
"""What may stand in `comps`: the word -> operator and modifier."""

SINGLE_COMPARATORS = tuple(
    word for word, (name, modifier) in COMPARATORS.items() if modifier or OPERATORS[name].right is Operands.LIST
)
"""What an exception with a single field may compare by: whatever takes a list."""

FieldCheck: TypeAlias = Callable[[FieldRef], "tuple[str, str] | None"]
"""Whether a field exists: None, or what is wrong with it and what helps."""


def is_nothing(entry: Entry | None) -> bool:
    """Whether a part of an exception is not there, null, or an empty list."""
    return entry is None or not (entry.items if isinstance(entry, Words) else entry.value)


class _Checker:
    def __init__(self, item: ExceptionItem, report: Report, context: tuple[Context, ...]) -> None:
        self._item = item
        self._report = report
        self._context = (*context, Context("exception", item.name, item.span))

    def error(self, message: str, span: Span, help: str) -> None:
        self._report.add(Code.ERR_VALIDATE, message, span, help, self._context)

    def check(self, check_field: FieldCheck | None, known_source: bool) -> ExceptionDef | None:
        item = self._item
        if item.fields is None or is_nothing(item.fields):
            self.error(f"exception `{item.name}` has no fields", item.span, "add `fields:` with one or more fields.")
            return None
        single = isinstance(item.fields, Word)
        names = [item.fields] if isinstance(item.fields, Word) else list(item.fields.items)
        operators = self._single_operator() if single else self._operators(len(names))
        if operators is None:
            return None
        fields = [self._field(name, check_field, known_source) for name in names]
        good = tuple(field for field in fields if field is not None)
        if len(good) < len(fields):
            return None
        return ExceptionDef(item.name, item.span, good, operators, item.values, single)

    def _single_operator(self) -> tuple[str, ...] | None:
        comps = self._item.comps
        if comps is None or is_nothing(comps):
            return ("in",)
        if isinstance(comps, Words):
            self.error(
                "a single field needs a single operator",
                comps.span,
                "write `comps: in`, or `fields` as a list.",
            )
        elif comps.value not in SINGLE_COMPARATORS:
            self.error(
                f"a single field cannot be compared by `{comps.value}`",
                comps.span,
                "use `in`, `pmatch` or `intersects`, or write `fields` and `comps` as lists.",
            )
        else:
            return (comps.value,)
        return None

    def _operators(self, count: int) -> tuple[str, ...] | None:
        comps = self._item.comps
        if comps is None or is_nothing(comps):
            return ("=",) * count
        entries = comps.items if isinstance(comps, Words) else ()
        if len(entries) != count:
            self.error(
                f"there are {count} fields and {len(entries)} operators",
                comps.span,
                "`comps` is a list of one operator for each field.",
            )
            return None
        for entry in entries:
            word = entry.value if isinstance(entry, Word) else ""
            if word not in COMPARATORS:
                self.error(f"`{word}` is not an operator", entry.span, "use for example `=`, `in` or `startswith`.")
                return None
        return tuple(entry.value for entry in entries if isinstance(entry, Word))

    def _field(self, entry: Entry, check_field: FieldCheck | None, known_source: bool) -> FieldRef | Call | None:
        name = entry.value if isinstance(entry, Word) else ""
        if not known_source:
            return FieldRef(name, None, entry.span)
        try:
            operand = parse_operand(entry.text() if isinstance(entry, Word) else Text.at("", entry.span.source, [0]))
        except ConditionError as error:
            self.error(f"`{name}` is not a field: {error.message}", entry.span, error.help)
            return None
        for field in fields_of(operand):
            problem = check_field(field) if check_field else None
            if problem:
                self.error(problem[0], field.span, problem[1])
                return None
        return operand


def check_exception(
    item: ExceptionItem,
    report: Report,
    context: tuple[Context, ...],
    check_field: FieldCheck | None,
    known_source: bool,
) -> ExceptionDef | None:
    """The exception with its fields and operators understood; None after an error.

    The number of values is looked at when the rule is resolved: more may be appended. Of a rule whose source is not
    known the fields are not looked into.
    """
    return _Checker(item, report, context).check(check_field, known_source)


def fields_of(operand: Operand) -> Iterator[FieldRef]:
    """The fields in an operand."""
    work: list[Operand] = [operand]
    while work:
        match work.pop():
            case FieldRef() as field:
                yield field
            case Call(arguments=parts) | ListExpr(items=parts):
                work.extend(reversed(parts))


def exception_expr(exception: ExceptionDef, report: Report, context: tuple[Context, ...]) -> Expr | None:
    """The condition under which an exception applies; None if it has no values, or after an error.

    List names in it are not yet replaced.
    """
    builder = _Builder(exception, report, context)
    if not exception.values:
        return None
    return builder.single() if exception.single else builder.cases()


class _Builder:
    def __init__(self, exception: ExceptionDef, report: Report, context: tuple[Context, ...]) -> None:
        self._exception = exception
        self._report = report
        self._context = (*context, Context("exception", exception.name, exception.span))

    def error(self, code: Code, message: str, span: Span, help: str) -> None:
        self._report.add(code, message, span, help, self._context)

    def single(self) -> Expr | None:
        """`field in (all values)`."""
        exception = self._exception
        for value in exception.values:
            if isinstance(value, Words):
                self.error(
                    Code.ERR_VALIDATE,
                    "the values of a single field are one flat list",
                    value.span,
                    "write `values: [a, b]`, or `fields` as a list.",
                )
                return None
        name, modifier = COMPARATORS[exception.operators[0]]
        right = self._literals(exception.values, exception.span)
        return Compare(exception.fields[0], name, right, exception.span, modifier) if right is not None else None

    def cases(self) -> Expr | None:
        """For each of the values: all fields compare to their parts."""
        exception = self._exception
        cases: list[Expr] = []
        for value in exception.values:
            parts = value.items if isinstance(value, Words) else ()
            if len(parts) != len(exception.fields):
                got = f"{len(parts)} parts" if isinstance(value, Words) else "no list"
                self.error(
                    Code.ERR_VALIDATE,
                    f"an exception of {len(exception.fields)} fields has {got} in its values",
                    value.span,
                    "each of `values` is a list with one part for each field.",
                )
                return None
            checks: list[Expr] = []
            for field, word, part in zip(exception.fields, exception.operators, parts, strict=True):
                check = self._check(field, word, part)
                if check is None:
                    return None
                checks.append(check)
            cases.append(checks[0] if len(checks) == 1 else And(tuple(checks), value.span))
        return cases[0] if len(cases) == 1 else Or(tuple(cases), exception.span)

    def _check(self, field: FieldRef | Call, word: str, part: Entry) -> Expr | None:
        name, modifier = COMPARATORS[word]
        operator = OPERATORS[name]
        if operator.right is Operands.LIST or modifier:
            right = self._list(part)
            return Compare(field, name, right, part.span, modifier) if right is not None else None
        value = part.value if isinstance(part, Word) else ""
        if isinstance(part, Words) or not value or operator.right is Operands.NONE:
            got = "a list" if isinstance(part, Words) else f"`{value}`" if value else "nothing"
            takes = operator.right.value if operator.right is not Operands.STRING else "one value"
            self.error(
                Code.ERR_COMPILE_CONDITION,
                f"`{word}` takes {takes}, not {got}",
                part.span,
                "use `in` for lists." if isinstance(part, Words) else "change the operator in `comps`, or the value.",
            )
            return None
        assert isinstance(part, Word)
        if operator.right is Operands.NUMBER and not NUMBER.fullmatch(value):
            self.error(
                Code.ERR_COMPILE_CONDITION, f"`{word}` takes a number, not `{value}`", part.span, "write a number."
            )
            return None
        return Compare(field, name, literal(part), part.span, modifier)

    def _list(self, part: Entry) -> ListLiteral | None:
        if isinstance(part, Words):
            return self._literals(part.items, part.span)
        if not part.value.startswith("("):
            return self._literals((part,), part.span)
        try:
            return written_list(part)
        except ConditionError as error:
            self.error(Code.ERR_COMPILE_CONDITION, error.message, error.span, error.help)
            return None

    def _literals(self, entries: tuple[Entry, ...], span: Span) -> ListLiteral | None:
        """The list of the values; empty if none of them is one, None after an error."""
        items: list[Literal] = []
        empty: Entry | None = None
        for entry in entries:
            if isinstance(entry, Word) and entry.value:
                items.append(literal(entry))
            else:
                empty = entry
        if items and empty is not None:
            self.error(
                Code.ERR_COMPILE_CONDITION,
                "one of the values is no single value",
                empty.span,
                "remove it, or put it in quotes.",
            )
            return None
        return ListLiteral(tuple(items), span)
