"""Definitions -> a rule book: what is defined after a file, given what was defined before it.

Behaviour: Falco `rule_loader_collector.cpp`. Lists, macros and rules keep the place of their first definition
(`index`); every later change moves their `visibility` behind all that is defined by then.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType

from lanner.condition.ast import Expr, FieldRef
from lanner.diagnostics.codes import Code
from lanner.diagnostics.diagnostic import Context
from lanner.diagnostics.report import Report
from lanner.diagnostics.source import Span
from lanner.rules.definitions import (
    Broken,
    Definition,
    EngineRequirement,
    ExceptionDef,
    ExceptionItem,
    ListDef,
    MacroDef,
    PluginRequirement,
    RuleChange,
    RuleDef,
    RuleItem,
    RuleSwitch,
    Versions,
)
from lanner.rules.exceptions import FieldCheck, check_exception, is_nothing
from lanner.rules.suggest import Suggester
from lanner.rules.versions import OWN_VERSIONS, compatible, dotted, parse_version, unmet

AUDIT_SOURCE = "k8s_audit"
"""The event source whose rules are evaluated."""

SYSCALL_SOURCE = "syscall"
"""The source of a rule that names none. Its rules are read and resolved as Falco does, and set aside."""

KNOWN_SOURCES = (SYSCALL_SOURCE, AUDIT_SOURCE)


@dataclass(frozen=True, slots=True, eq=False)
class RuleBook:
    """All lists, macros and rules defined so far, by name, in order of first definition. Never changed.

    `broken` are items of the last file that could not be read: (kind, name). `fresh` are the names of the rules that
    the last file defined or changed. `size` counts definitions and changes. `parsed` keeps syntax trees of conditions
    that later books share, by the identity of their text.
    """

    lists: Mapping[str, ListDef] = field(default_factory=lambda: MappingProxyType({}))
    macros: Mapping[str, MacroDef] = field(default_factory=lambda: MappingProxyType({}))
    rules: Mapping[str, RuleDef] = field(default_factory=lambda: MappingProxyType({}))
    broken: frozenset[tuple[str, str]] = frozenset()
    fresh: frozenset[str] = frozenset()
    size: int = 0
    parsed: dict[int, tuple[object, Expr]] = field(default_factory=dict, repr=False)

    @classmethod
    def empty(cls) -> RuleBook:
        return cls()

    def with_file(
        self,
        definitions: Iterable[Definition],
        report: Report,
        versions: Versions = OWN_VERSIONS,
        check_field: FieldCheck | None = None,
    ) -> RuleBook:
        """The book after one more file. Problems go to the report; what has one is left out.

        `check_field` tells whether a field of the audit source exists; it is asked about the fields of exceptions.
        """
        collector = _Collector(self, report, versions, check_field)
        for definition in definitions:
            collector.take(definition)
        collector.check_plugins()
        return collector.book()


class _Collector:
    def __init__(self, book: RuleBook, report: Report, versions: Versions, check_field: FieldCheck | None) -> None:
        self._before = book
        self._lists = dict(book.lists)
        self._macros = dict(book.macros)
        self._rules = dict(book.rules)
        self._size = book.size
        self._report = report
        self._versions = versions
        self._check_field = check_field
        self._broken: set[tuple[str, str]] = set()
        self._fresh: set[str] = set()
        self._plugins: list[PluginRequirement] = []
        self._suggester = Suggester()

    def book(self) -> RuleBook:
        return RuleBook(
            MappingProxyType(self._lists),
            MappingProxyType(self._macros),
            MappingProxyType(self._rules),
            frozenset(self._broken),
            frozenset(self._fresh),
            self._size,
            self._before.parsed,
        )

    def take(self, definition: Definition) -> None:
        match definition:
            case ListDef():
                self._list(definition)
            case MacroDef():
                self._macro(definition)
            case RuleItem():
                self._rule(definition)
            case RuleChange():
                self._change(definition)
            case RuleSwitch():
                self._switch(definition)
            case EngineRequirement():
                self._engine(definition)
            case PluginRequirement():
                self._plugin(definition)
            case Broken(kind, name):
                self._broken.add((kind, name))

    def check_plugins(self) -> None:
        """Requirements on plugins come last, as in Falco: what the file itself does wrong is told before."""
        for requirement in self._plugins:
            versions = [(name, parse_version(version) or (0, 0, 0)) for name, version in requirement.alternatives]
            reason = unmet(versions, self._versions.plugins)
            if reason:
                present = ", ".join(f"`{name}` {dotted(version)}" for name, version in self._versions.plugins.items())
                self._report.add(
                    Code.ERR_PLUGIN_VERSION, f"the file {reason}", requirement.span, f"present are {present}."
                )

    def _next(self) -> int:
        self._size += 1
        return self._size - 1

    def _missing(self, kind: str, name: str, span: Span, known: Collection[str]) -> None:
        """Report a change to something that does not exist, unless it could not be read."""
        if (kind, name) in self._broken:
            return
        self._report.add(
            Code.ERR_VALIDATE,
            f"there is no {kind} `{name}` to change",
            span,
            self._suggester.near(name, known) or f"a {kind} must be defined before it is changed.",
            (Context(kind, name, span),),
        )
        self._broken.add((kind, name))

    def _list(self, item: ListDef) -> None:
        previous = self._lists.get(item.name)
        if not item.append:
            index = self._next()
            self._lists[item.name] = replace(item, index=previous.index if previous else index, visibility=index)
        elif previous is None:
            self._missing("list", item.name, item.span, self._lists)
        else:
            self._lists[item.name] = replace(previous, items=previous.items + item.items, visibility=self._next())

    def _macro(self, item: MacroDef) -> None:
        previous = self._macros.get(item.name)
        if not item.append:
            index = self._next()
            self._macros[item.name] = replace(item, index=previous.index if previous else index, visibility=index)
        elif previous is None:
            self._missing("macro", item.name, item.span, self._macros)
        else:
            condition = previous.condition.joined(item.condition)
            self._macros[item.name] = replace(previous, condition=condition, visibility=self._next())

    def _rule(self, item: RuleItem) -> None:
        context = (Context("rule", item.name, item.span),)
        previous = self._rules.get(item.name)
        if previous is not None and not self._same_source(previous, item.source, item.source_span or item.span):
            return
        known = item.source in KNOWN_SOURCES
        if not known:
            self._report.add(
                Code.UNKNOWN_SOURCE,
                f"rule `{item.name}` is for events of the unknown source `{item.source}`; it is set aside",
                item.source_span or item.span,
                f"`{AUDIT_SOURCE}` is the source of Kubernetes audit events.",
                context,
            )
        exceptions = self._exceptions(item.exceptions, item.source, context)
        if exceptions is None:
            self._broken.add(("rule", item.name))
            return
        index = self._next()
        self._fresh.add(item.name)
        self._rules[item.name] = RuleDef(
            name=item.name,
            span=item.span,
            condition=item.condition,
            output=item.output,
            description=item.description,
            priority=item.priority,
            source=item.source,
            source_span=item.source_span,
            tags=frozenset(item.tags),
            exceptions=exceptions,
            enabled=item.enabled,
            skip_if_unknown_filter=item.skip_if_unknown_filter,
            known_source=known,
            index=previous.index if previous else index,
            visibility=index,
        )

    def _same_source(self, previous: RuleDef, source: str, span: Span) -> bool:
        if previous.source == source:
            return True
        self._report.add(
            Code.ERR_VALIDATE,
            f"rule `{previous.name}` has source `{previous.source}` and cannot change it to `{source}`",
            span,
            f"write `source: {previous.source}`, or give the rule another name.",
            (Context("rule", previous.name, span),),
        )
        return False

    def _exceptions(
        self, items: Iterable[ExceptionItem], source: str, context: tuple[Context, ...]
    ) -> tuple[ExceptionDef, ...] | None:
        """The checked exceptions; None after an error."""
        checked: list[ExceptionDef] = []
        errors = self._report.error_count
        for item in items:
            exception = check_exception(item, self._report, context, self._field_check(source), source in KNOWN_SOURCES)
            if exception:
                checked.append(exception)
        return None if self._report.error_count > errors else tuple(checked)

    def _field_check(self, source: str) -> FieldCheck | None:
        """Who knows the fields of a source; None where nobody does."""
        match source:
            case "k8s_audit":
                return self._check_field
            case "syscall":
                return foreign_field
        return None

    def _change(self, change: RuleChange) -> None:
        previous = self._rules.get(change.name)
        if previous is None:
            self._missing("rule", change.name, change.span, self._rules)
            return
        context = (Context("rule", change.name, change.span),)
        if change.source and not self._same_source(previous, change.source.value, change.source.span):
            return
        appended = (change.condition, change.exceptions, change.output, change.description, change.tags)
        if change.append and all(part is None for part in appended):
            self._report.add(
                Code.ERR_VALIDATE,
                f"there is nothing to append to rule `{change.name}`",
                change.span,
                "give a `condition` or `exceptions`.",
                context,
            )
            return
        changed = self._appended(previous, change, context) if change.append else self._replaced(previous, change)
        if changed is not None:
            self._fresh.add(change.name)
            self._rules[change.name] = replace(changed, visibility=self._next())

    def _replaced(self, rule: RuleDef, change: RuleChange) -> RuleDef | None:
        context = (Context("rule", change.name, change.span),)
        exceptions = rule.exceptions
        if change.exceptions is not None:
            checked = self._exceptions(change.exceptions, rule.source, context)
            if checked is None:
                return None
            exceptions = checked
        return replace(
            rule,
            condition=rule.condition if change.condition is None else change.condition,
            output=rule.output if change.output is None else change.output,
            description=rule.description if change.description is None else change.description,
            tags=rule.tags if change.tags is None else frozenset(change.tags),
            priority=rule.priority if change.priority is None else change.priority,
            enabled=rule.enabled if change.enabled is None else change.enabled,
            skip_if_unknown_filter=(
                rule.skip_if_unknown_filter if change.skip_if_unknown_filter is None else change.skip_if_unknown_filter
            ),
            exceptions=exceptions,
        )

    def _appended(self, rule: RuleDef, change: RuleChange, context: tuple[Context, ...]) -> RuleDef | None:
        exceptions: list[ExceptionDef] = list(rule.exceptions)
        errors = self._report.error_count
        for item in change.exceptions or ():
            self._append_exception(exceptions, item, rule.source, context)
        if self._report.error_count > errors:
            return None
        return replace(
            rule,
            condition=rule.condition.joined(change.condition) if change.condition else rule.condition,
            output=rule.output.joined(change.output) if change.output else rule.output,
            description=f"{rule.description} {change.description}" if change.description else rule.description,
            tags=rule.tags | frozenset(change.tags or ()),
            exceptions=tuple(exceptions),
        )

    def _append_exception(
        self, exceptions: list[ExceptionDef], item: ExceptionItem, source: str, context: tuple[Context, ...]
    ) -> None:
        inner = (*context, Context("exception", item.name, item.span))
        place = next((index for index, known in enumerate(exceptions) if known.name == item.name), None)
        if place is not None:
            for key, entry in (("fields", item.fields), ("comps", item.comps)):
                if not is_nothing(entry):
                    self._report.add(
                        Code.ERR_VALIDATE,
                        f"exception `{item.name}` exists; only values can be added to it",
                        item.span,
                        f"remove `{key}`, or give the exception another name.",
                        inner,
                    )
                    return
            exceptions[place] = replace(exceptions[place], values=exceptions[place].values + item.values)
            return
        if not is_nothing(item.fields) and not item.values:
            self._report.add(
                Code.ERR_VALIDATE,
                f"new exception `{item.name}` has no values",
                item.span,
                "add `values:` with one list for each case.",
                inner,
            )
            return
        checked = check_exception(item, self._report, context, self._field_check(source), source in KNOWN_SOURCES)
        if checked:
            exceptions.append(checked)

    def _switch(self, switch: RuleSwitch) -> None:
        rule = self._rules.get(switch.name)
        if rule is None:
            self._missing("rule", switch.name, switch.span, self._rules)
        else:
            self._rules[switch.name] = replace(rule, enabled=switch.enabled)

    def _engine(self, requirement: EngineRequirement) -> None:
        if not compatible(self._versions.engine, requirement.version):
            self._report.add(
                Code.ERR_VALIDATE,
                f"the file needs engine version {dotted(requirement.version)}, "
                f"but this is {dotted(self._versions.engine)}",
                requirement.span,
                "use a newer version of this program, or an older version of the rules.",
            )

    def _plugin(self, requirement: PluginRequirement) -> None:
        names: set[str] = set()
        for name, version in requirement.alternatives:
            if parse_version(version) is None:
                self._report.add(
                    Code.ERR_VALIDATE,
                    f"`{version}` is not a version of plugin `{name}`",
                    requirement.span,
                    "write three numbers, such as 0.18.0.",
                )
                return
            if name in names:
                self._report.add(
                    Code.ERR_VALIDATE,
                    f"plugin `{name}` is named twice in one requirement",
                    requirement.span,
                    "keep one version: the first alternative that is loaded decides.",
                )
                return
            names.add(name)
        self._plugins.append(requirement)


def foreign_field(field: FieldRef) -> tuple[str, str] | None:
    """What is wrong with a field in a rule of the syscall source: those of audit events do not exist there."""
    if not field.name.startswith("ka."):
        return None
    return (
        f"field `{field.name}` is not one of source `{SYSCALL_SOURCE}`",
        f"add `source: {AUDIT_SOURCE}` to the rule: without it a rule is for system calls.",
    )
