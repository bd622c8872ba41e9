"""Builders for tests of rules files: texts in, what became of them out."""

from __future__ import annotations

from dataclasses import dataclass

from lanner.condition.printer import normal_form
from lanner.diagnostics.diagnostic import Diagnostic
from lanner.diagnostics.report import Report
from lanner.diagnostics.source import SourceFile
from lanner.rules.collector import RuleBook
from lanner.rules.definitions import ResolvedRule
from lanner.rules.exceptions import FieldCheck
from lanner.rules.reader import read_rules
from lanner.rules.resolver import report_unused, resolve


@dataclass(frozen=True)
class Loaded:
    """What loading gave: rules by name, and all diagnostics in order."""

    rules: dict[str, ResolvedRule]
    diagnostics: tuple[Diagnostic, ...]

    @property
    def codes(self) -> list[str]:
        """The names of the codes, with the severity as their first letter: `E:...` or `W:...`."""
        return [f"{'E' if d.is_error else 'W'}:{d.code.value.removeprefix('LOAD_')}" for d in self.diagnostics]

    def condition(self, name: str = "r") -> str:
        return normal_form(self.rules[name].condition)

    def words(self) -> list[str]:
        """The text under the span of each diagnostic."""
        return [d.span.source.text[d.span.start : d.span.end] if d.span else "" for d in self.diagnostics]


def load(*texts: str, check_field: FieldCheck | None = None, unused: bool = False) -> Loaded:
    """Load texts as files one after the other, a bad one without effect on the others."""
    book = RuleBook.empty()
    rules: tuple[ResolvedRule, ...] = ()
    diagnostics: list[Diagnostic] = []
    for number, text in enumerate(texts):
        report = Report()
        source = SourceFile(f"{number}.yaml", text)
        new = book.with_file(read_rules(source, report), report, check_field=check_field)
        resolved = tuple(resolve(new, report))
        if not report.has_errors:
            book, rules = new, resolved
        diagnostics.extend(report.diagnostics)
    if unused:
        report = Report()
        report_unused(book, rules, report)
        diagnostics.extend(report.diagnostics)
    return Loaded({rule.name: rule for rule in rules}, tuple(diagnostics))


def rule(condition: str = "ka.verb = create", more: str = "", name: str = "r") -> str:
    """A whole rule; `more` are lines of further keys, without indentation."""
    lines = [
        f"- rule: {name}",
        "desc: a rule",
        f"condition: {condition}",
        "output: seen",
        "priority: WARNING",
        "source: k8s_audit",
        *more.splitlines(),
    ]
    return "\n  ".join(lines) + "\n"
