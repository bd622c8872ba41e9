"""From rules files to a `Ruleset`.

Files are loaded in order. Each one is read, collected into the rule book and compiled together with the files before
it; whatever is wrong in it is reported at once. A file with an error is left out whole, the others stay.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from lanner.compiler import ir
from lanner.compiler.lower import Lowering
from lanner.condition.ast import FieldRef
from lanner.config import Config
from lanner.diagnostics.codes import Code
from lanner.diagnostics.diagnostic import Context, Diagnostic
from lanner.diagnostics.report import Report
from lanner.diagnostics.source import SourceFile
from lanner.engine.field_limit import FieldLimit
from lanner.engine.output_format import OutputFormat, append_to_output, compile_output
from lanner.engine.ruleset import CompiledRule, Ruleset
from lanner.engine.selection import select
from lanner.fields.catalog import FieldError
from lanner.fields.k8s_catalog import k8s_audit_catalog
from lanner.rules.collector import RuleBook
from lanner.rules.definitions import ResolvedRule, RuleDef
from lanner.rules.reader import read_rules
from lanner.rules.resolver import report_unused, resolve
from lanner.yamltext import read_source

SOURCE = "k8s_audit"
"""The event source whose fields and events Lanner knows."""


@dataclass(frozen=True, slots=True)
class FileResult:
    """What came of one file."""

    name: str
    diagnostics: tuple[Diagnostic, ...]

    @property
    def ok(self) -> bool:
        """Whether its rules are in the ruleset."""
        return not any(diagnostic.is_error for diagnostic in self.diagnostics)


@dataclass(frozen=True, slots=True)
class LoadResult:
    """The ruleset of all good files, and what was said of each file."""

    ruleset: Ruleset
    files: tuple[FileResult, ...]

    @property
    def ok(self) -> bool:
        """Whether every file was good; warnings do not count."""
        return all(file.ok for file in self.files)

    @property
    def diagnostics(self) -> tuple[Diagnostic, ...]:
        """Everything that was said, file by file."""
        return tuple(diagnostic for file in self.files for diagnostic in file.diagnostics)

    @property
    def rules(self) -> tuple[CompiledRule, ...]:
        """All rules in definition order, the disabled ones included."""
        return self.ruleset.rules


def load_rules(files: Iterable[str | Path], config: Config | None = None) -> LoadResult:
    """Load rules files in order. Never raises for a bad file: see `LoadResult.diagnostics`."""
    loader = _Loader(config or Config.default())
    for file in files:
        report = Report()
        loader.add(str(file), read_source(file, report), report)
    return loader.result()


def load_sources(sources: Iterable[SourceFile], config: Config | None = None) -> LoadResult:
    """Load rules from texts in memory, each under its name."""
    loader = _Loader(config or Config.default())
    for source in sources:
        loader.add(source.name, source, Report())
    return loader.result()


@dataclass(frozen=True, slots=True)
class _Compiled:
    """A rule that passed all checks, not yet selected."""

    rule: ResolvedRule
    predicate: ir.Predicate
    output: OutputFormat


@dataclass(frozen=True, slots=True)
class _Loaded:
    """One file that was added."""

    name: str
    report: Report


class _Loader:
    """Loads one sequence of files."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._catalog = k8s_audit_catalog(config.static_fields, config.hostname)
        self._builder = ir.Builder()
        self._limit = FieldLimit(config.service.limits.field)
        self._files: list[_Loaded] = []
        self._book = RuleBook.empty()
        self._compiled: list[_Compiled] = []

    def add(self, name: str, source: SourceFile | None, report: Report) -> None:
        """Add a file to those before it. With an error in the report, now or in the end, everything stays as it is."""
        self._files.append(_Loaded(name, report))
        if source is None:
            return
        book = self._book.with_file(read_rules(source, report), report, check_field=self._field_problem)
        compiled = self._compile(book, report)
        if not report.has_errors:
            self._book, self._compiled = book, compiled

    def result(self) -> LoadResult:
        """The ruleset of all good files."""
        return LoadResult(self._ruleset(), tuple(self._results()))

    def _results(self) -> Iterator[FileResult]:
        """What came of each file. Compiling a file again with a later one repeats its warnings; they count once."""
        said: set[Diagnostic] = set()
        for file in self._files:
            new = tuple(diagnostic for diagnostic in dict.fromkeys(file.report.diagnostics) if diagnostic not in said)
            said.update(new)
            yield FileResult(file.name, new)

    def _field_problem(self, field: FieldRef) -> tuple[str, str] | None:
        """What is wrong with a field, and what helps; None for a good one."""
        try:
            self._catalog.bind(field.name, field.argument)
        except FieldError as error:
            return error.message, error.help
        return None

    def _compile(self, book: RuleBook, report: Report) -> list[_Compiled]:
        """The rules of a book that are good. What nobody uses is reported if nothing else is wrong, as in Falco."""
        outputs: dict[str, OutputFormat | None] = {}

        def check_output(rule: RuleDef) -> bool:
            if rule.source != SOURCE:
                return True
            errors = report.error_count
            output = outputs[rule.name] = self._output(rule, report)
            return output is not None or report.error_count > errors

        compiled: list[_Compiled] = []
        resolved: list[ResolvedRule] = []
        for rule in resolve(book, report, check_output):
            resolved.append(rule)
            if rule.source == SOURCE:
                predicate, output = self._predicate(rule, report), outputs[rule.name]
                if predicate is not None and output is not None:
                    compiled.append(_Compiled(rule, predicate, output))
        if not report.has_errors:
            report_unused(book, resolved, report)
        return compiled

    def _output(self, rule: RuleDef, report: Report) -> OutputFormat | None:
        template, extra = append_to_output(
            rule.output, rule.name, rule.source, tuple(rule.tags), self._config.append_output
        )
        return compile_output(
            template,
            self._catalog,
            report,
            self._limit,
            (
                Context("rule", rule.name, rule.span),
                Context("output", "", rule.output.span(0, len(rule.output.value))),
            ),
            extra,
            rule.skip_if_unknown_filter,
        )

    def _predicate(self, rule: ResolvedRule, report: Report) -> ir.Predicate | None:
        lowering = Lowering(
            self._catalog,
            self._builder,
            report,
            (Context("rule", rule.name, rule.span), Context("condition", "", rule.condition.span)),
            Code.UNKNOWN_FILTER if rule.skip_if_unknown_filter else Code.ERR_COMPILE_CONDITION,
        )
        return lowering.condition(rule.condition)

    def _ruleset(self) -> Ruleset:
        enabled = select([item.rule for item in self._compiled], self._config.rules, self._config.priority)
        rules = [
            CompiledRule(item.rule, item.predicate, item.output, on)
            for item, on in zip(self._compiled, enabled, strict=True)
        ]
        return Ruleset(rules, self._catalog, self._builder, self._config.rule_matching == "first")
