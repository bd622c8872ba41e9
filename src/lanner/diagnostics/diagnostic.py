"""A problem found in user input, as data. Rendering is apart, in render.py."""

from __future__ import annotations

from dataclasses import dataclass

from lanner.diagnostics.codes import Code, Severity
from lanner.diagnostics.source import Span


@dataclass(frozen=True, slots=True)
class Context:
    """An item around the place of a problem, outermost first: the rule, then its condition, then a macro in it.

    `kind` is Falco's word for it: `rules content`, `rule`, `condition`, `macro`, `list`, `exception`, `output`, ...
    """

    kind: str
    name: str
    span: Span | None = None


@dataclass(frozen=True, slots=True)
class Diagnostic:
    """One problem: what (code, message), where (span, context), and what to do about it (help).

    The message is lower-case, quotes user text in backticks and has no full stop; `help` is a sentence that tells
    the way out, or empty.
    """

    code: Code
    message: str
    span: Span | None = None
    help: str = ""
    context: tuple[Context, ...] = ()

    @property
    def severity(self) -> Severity:
        return self.code.severity

    @property
    def is_error(self) -> bool:
        return self.code.severity is Severity.ERROR
