"""A rule book -> rules whose conditions stand alone.

Conditions are parsed, macros put in, list names replaced by their items, and exceptions added, all as tree nodes.
Behaviour: Falco `rule_loader_compiler.cpp` and `filter_macro_resolver.cpp`; where Falco replaces list names in the
text of conditions, here only a bare word that is, or is in, the right side of `in`, `intersects`, `pmatch` or a
modifier is a list name, and lists of lists are followed all the way.

The order of problems is Falco's: macros that do not parse, macros that do not fit together, then rule by rule: its
exceptions, its output, its condition.
Limits: an expanded condition has at most MAX_CHECKS checks, an expanded list at most MAX_ITEMS items.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TypeAlias

from lanner.condition.ast import (
    And,
    Check,
    Compare,
    Expr,
    FieldRef,
    ListLiteral,
    Literal,
    MacroRef,
    Not,
    operands,
    rewrite,
    walk,
)
from lanner.condition.parser import ConditionError, parse
from lanner.diagnostics.codes import Code
from lanner.diagnostics.diagnostic import Context
from lanner.diagnostics.report import Report
from lanner.diagnostics.source import Span, Text
from lanner.rules.collector import AUDIT_SOURCE, SYSCALL_SOURCE, RuleBook, foreign_field
from lanner.rules.definitions import ListDef, MacroDef, ResolvedRule, RuleDef
from lanner.rules.exceptions import exception_expr
from lanner.rules.odd_names import OddNames
from lanner.rules.suggest import Suggester
from lanner.rules.values import literal

MAX_CHECKS = 100_000
MAX_ITEMS = 200_000


OutputCheck: TypeAlias = Callable[[RuleDef], bool]
"""Looks at the output of a rule and says whether its condition is to be looked at: not if the rule is left out."""


def resolve(book: RuleBook, report: Report, check_output: OutputCheck | None = None) -> Iterator[ResolvedRule]:
    """All rules of a book in the order of their definition; those with a problem are reported and left out.

    They are resolved as they are asked for, so that whoever looks further into each of them has its problems in
    order. Rules of an unknown source are left out unseen. Rules of source `syscall` are resolved, reported as set
    aside (once, with the file that defines them), and returned: whoever evaluates rules passes over them by their
    `source`.
    """
    resolver = _Resolver(book, report, check_output)
    resolver.resolve_macros()
    for rule in book.rules.values():
        resolved = resolver.rule(rule) if rule.known_source else None
        if resolved is not None:
            yield resolved


def report_unused(book: RuleBook, rules: Iterable[ResolvedRule], report: Report) -> None:
    """Warn of macros and lists that nothing refers to. `rules` are all rules that `resolve` gave for the book."""
    macros: set[str] = set()
    lists: set[str] = set()
    for rule in rules:
        macros.update(rule.macros)
        lists.update(rule.lists)
    expander = _Lists(book.lists, Report())
    for macro in book.macros.values():
        _, tree = book.parsed.get(id(macro.condition), (None, None))
        for check in walk(tree) if tree is not None else ():
            if isinstance(check, MacroRef):
                macros.add(check.name)
            elif isinstance(check, Compare) and isinstance(check.right, ListLiteral):
                lists.update(expander.replaced(check.right)[1])
    for listed in book.lists.values():
        for item in listed.items:
            other = book.lists.get(item.value)
            if other is not None and other.index < listed.visibility:
                lists.add(other.name)
    for macro in book.macros.values():
        if macro.name not in macros:
            _unused(Code.UNUSED_MACRO, "macro", macro, report)
    for listed in book.lists.values():
        if listed.name not in lists:
            _unused(Code.UNUSED_LIST, "list", listed, report)


def _unused(code: Code, kind: str, item: MacroDef | ListDef, report: Report) -> None:
    report.add(
        code,
        f"{kind} `{item.name}` is not used",
        item.span,
        "remove it, or use it in a rule; what later files use does not count.",
        (Context(kind, item.name, item.span),),
    )


class _Lists:
    """Replaces list names by items; every list is expanded once."""

    def __init__(self, lists: Mapping[str, ListDef], report: Report) -> None:
        self._lists = lists
        self._report = report
        self._done: dict[str, tuple[tuple[Literal, ...], tuple[str, ...]]] = {}
        self._overflowed = False

    def replaced(self, right: ListLiteral) -> tuple[ListLiteral, tuple[str, ...]]:
        """The list with list names replaced, and the lists used, the nested ones behind the one that names them."""
        if not any(item.value in self._lists and not item.quoted for item in right.items):
            return right, ()
        items: list[Literal] = []
        names: list[str] = []
        for item in right.items:
            if item.value in self._lists and not item.quoted:
                members, nested = self.expand(item.value)
                items.extend(members)
                names.extend((item.value, *nested))
            else:
                items.append(item)
        return ListLiteral(tuple(items), right.span, right.bare), tuple(names)

    def expand(self, name: str) -> tuple[tuple[Literal, ...], tuple[str, ...]]:
        """The items of a list, and the lists named in it, directly or not. A list within itself is a plain value."""
        opened: set[str] = set()
        work = [name]
        while work:
            current = work[-1]
            if current in self._done:
                work.pop()
                continue
            items = self._lists[current].items
            if current not in opened:
                opened.add(current)
                nested = [word.value for word in items if word.value in self._lists]
                waiting = [other for other in nested if other not in self._done and other not in opened]
                if waiting:
                    work.extend(waiting)
                    continue
            self._done[current] = self._built(self._lists[current])
            work.pop()
        return self._done[name]

    def _built(self, definition: ListDef) -> tuple[tuple[Literal, ...], tuple[str, ...]]:
        items: list[Literal] = []
        names: dict[str, None] = {}
        for word in definition.items:
            done = self._done.get(word.value)
            if done is None:
                items.append(literal(word))
                continue
            if len(items) + len(done[0]) > MAX_ITEMS:
                self._overflow(definition, word.span)
                break
            items.extend(done[0])
            names[word.value] = None
            names.update(dict.fromkeys(done[1]))
        return tuple(items), tuple(names)

    def _overflow(self, definition: ListDef, span: Span) -> None:
        """Report the first list that grows too long; those that hold it would say the same again."""
        if self._overflowed:
            return
        self._overflowed = True
        self._report.add(
            Code.ERR_VALIDATE,
            f"list `{definition.name}` has more than {MAX_ITEMS:,} items",
            span,
            "do not put lists into lists so often.",
            (Context("list", definition.name, definition.span),),
        )


@dataclass(frozen=True, slots=True)
class _Expanded:
    """A condition without macros and list names, what it used, and how many checks it has."""

    expr: Expr
    macros: tuple[str, ...]
    lists: tuple[str, ...]
    checks: int


class _Resolver:
    def __init__(self, book: RuleBook, report: Report, check_output: OutputCheck | None) -> None:
        self._book = book
        self._report = report
        self._check_output = check_output
        self._lists = _Lists(book.lists, report)
        self._odd_names = OddNames(book.lists)
        self._suggester = Suggester()
        self._trees: dict[str, Expr] = {}
        self._macros: dict[str, _Expanded] = {}
        # Macros with a problem that is reported already: that others use them is none of theirs.
        self._bad = {name for kind, name in book.broken if kind == "macro"}

    def _parse(self, text: Text, context: tuple[Context, ...]) -> Expr | None:
        known = self._book.parsed.get(id(text))
        if known is not None:
            return known[1]
        try:
            expr = self._odd_names.parse(text) if self._odd_names.within(text.value) else parse(text)
        except ConditionError as error:
            self._report.add(Code.ERR_COMPILE_CONDITION, error.message, error.span, error.help, context)
            return None
        self._book.parsed[id(text)] = (text, expr)
        return expr

    # Macros

    def resolve_macros(self) -> None:
        for macro in self._book.macros.values():
            tree = self._parse(macro.condition, self._macro_context(macro))
            if tree is None:
                self._bad.add(macro.name)
            else:
                self._trees[macro.name] = tree
        for name in self._trees:
            self._resolve_macro(name)

    def _macro_context(self, macro: MacroDef) -> tuple[Context, ...]:
        return (Context("macro", macro.name, macro.span), Context("macro condition", "", macro.condition.span(0, 0)))

    def _resolve_macro(self, name: str) -> None:
        """Expand a macro and, before it, those it refers to; without recursion, since chains may be long."""
        opened: set[str] = set()
        work = [name]
        while work:
            current = work[-1]
            if current in self._macros or current in self._bad:
                work.pop()
                continue
            if current not in opened:
                opened.add(current)
                waiting = [
                    other
                    for other in self._references(current)
                    if other not in self._macros and other not in self._bad and other not in opened
                ]
                if waiting:
                    work.extend(waiting)
                    continue
            work.pop()
            macro = self._book.macros[current]
            expanded = self._expand(self._trees[current], self._macro_context(macro), macro, opened)
            if expanded is None:
                self._bad.add(current)
            else:
                self._macros[current] = expanded

    def _references(self, name: str) -> Iterator[str]:
        """The macros that a macro refers to and may see."""
        macro = self._book.macros[name]
        for check in walk(self._trees[name]):
            if isinstance(check, MacroRef) and self._sees(macro, check.name):
                yield check.name

    def _sees(self, macro: MacroDef | None, name: str) -> bool:
        """Whether a macro, or a rule (None), may refer to the macro of that name."""
        other = self._book.macros.get(name)
        return other is not None and (macro is None or other.index < macro.visibility)

    def _expand(
        self, tree: Expr, context: tuple[Context, ...], macro: MacroDef | None, opened: set[str]
    ) -> _Expanded | None:
        macros: dict[str, None] = {}
        lists: dict[str, None] = {}
        checks = 0
        failed = False

        def leaf(check: Check) -> Expr:
            nonlocal checks, failed
            checks += 1
            if isinstance(check, MacroRef):
                expanded = self._macros.get(check.name) if self._sees(macro, check.name) else None
                if expanded is None:
                    failed = True
                    self._report_macro(check, context, macro, opened)
                    return check
                macros[check.name] = None
                macros.update(dict.fromkeys(expanded.macros))
                lists.update(dict.fromkeys(expanded.lists))
                checks += expanded.checks - 1
                return expanded.expr
            if isinstance(check, Compare) and isinstance(check.right, ListLiteral):
                right, used = self._lists.replaced(check.right)
                if used and check.right.bare and len(right.items) != 1:
                    failed = True
                    self._report_bare(check.right, len(right.items), context)
                lists.update(dict.fromkeys(used))
                return replace(check, right=right) if used else check
            return check

        expr = rewrite(tree, leaf)
        if checks > MAX_CHECKS and not failed:
            failed = True
            message = f"with its macros the condition has more than {MAX_CHECKS:,} checks"
            self._report.add(Code.ERR_VALIDATE, message, tree.span, "do not use macros in macros so often.", context)
        return None if failed else _Expanded(expr, tuple(macros), tuple(lists), checks)

    def _report_macro(
        self, ref: MacroRef, context: tuple[Context, ...], macro: MacroDef | None, opened: set[str]
    ) -> None:
        name = ref.name
        if self._sees(macro, name) and name in opened and name not in self._bad:
            advice = "a macro cannot contain itself, not even by way of others."
            self._report.add(Code.ERR_VALIDATE, f"macro `{name}` refers to itself here", ref.span, advice, context)
        elif name not in self._bad or (macro is not None and not self._sees(macro, name) and name in self._book.macros):
            self._report.add(
                Code.ERR_VALIDATE, f"there is no macro `{name}`", ref.span, self._macro_help(ref, macro), context
            )

    def _macro_help(self, ref: MacroRef, macro: MacroDef | None) -> str:
        name = ref.name
        if name in self._book.macros:
            return f"macro `{name}` is defined later: a macro sees only those before it, so move it up."
        if name in self._book.lists:
            return f"`{name}` is a list: write `field in ({name})`."
        visible = [other for other in self._book.macros if self._sees(macro, other)]
        return self._suggester.near(name, visible) or "define the macro, or compare a field: `ka.verb = create`."

    def _report_bare(self, right: ListLiteral, count: int, context: tuple[Context, ...]) -> None:
        name = right.items[0].value
        self._report.add(
            Code.ERR_COMPILE_CONDITION,
            f"list `{name}` has {count} items and stands without parentheses",
            right.span,
            f"write `({name})`.",
            context,
        )

    # Rules

    def rule(self, rule: RuleDef) -> ResolvedRule | None:
        context = (Context("rule", rule.name, rule.span),)
        errors = self._report.error_count
        exceptions: list[Expr] = []
        for exception in rule.exceptions:
            expr = exception_expr(exception, self._report, context)
            if expr is not None:
                exceptions.append(Not(expr, expr.span))
        if self._check_output is not None and not self._check_output(rule):
            return None
        inner = (*context, Context("rule condition", "", rule.condition.span(0, 0)))
        tree = self._parse(rule.condition, inner)
        if tree is None:
            return None
        if exceptions:
            tree = And((tree, *exceptions), tree.span)
        expanded = self._expand(tree, inner, None, set())
        if expanded is None or self._report.error_count > errors:
            return None
        if rule.source == SYSCALL_SOURCE and not self._set_aside(rule, expanded.expr, inner):
            return None
        return ResolvedRule(
            name=rule.name,
            description=rule.description,
            source=rule.source,
            priority=rule.priority,
            tags=tuple(sorted(rule.tags)),
            enabled=rule.enabled,
            skip_if_unknown_filter=rule.skip_if_unknown_filter,
            output=rule.output,
            condition=expanded.expr,
            condition_text=rule.condition,
            span=rule.span,
            macros=expanded.macros,
            lists=expanded.lists,
            exceptions=rule.exceptions,
        )

    def _set_aside(self, rule: RuleDef, expr: Expr, context: tuple[Context, ...]) -> bool:
        """Report a rule of the syscall source; False if it asks for a field of audit events."""
        problem: tuple[str, str] | None = None
        span: Span | None = None
        for check in walk(expr):
            for operand in operands(check):
                if isinstance(operand, FieldRef) and problem is None:
                    problem, span = foreign_field(operand), operand.span
        if problem is None:
            if rule.name in self._book.fresh:
                self._report.add(
                    Code.UNKNOWN_SOURCE,
                    f"rule `{rule.name}` is for system calls, which are not read here; it is set aside",
                    rule.source_span or rule.span,
                    f"if it is for audit events, add `source: {AUDIT_SOURCE}`.",
                    context[:1],
                )
            return True
        if not rule.skip_if_unknown_filter:
            self._report.add(Code.ERR_COMPILE_CONDITION, problem[0], span, problem[1], context)
            return False
        if rule.name in self._book.fresh:
            self._report.add(Code.UNKNOWN_FILTER, problem[0], span, problem[1], context)
        return True
