"""Collects the problems of a file, or of a whole run, in the order in which they are found."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from lanner.diagnostics.codes import Code
from lanner.diagnostics.diagnostic import Context, Diagnostic
from lanner.diagnostics.source import Span


class Report:
    """A growing list of diagnostics. Nothing is raised: whoever loads decides at the end what an error means."""

    __slots__ = ("_diagnostics", "_errors")

    def __init__(self) -> None:
        self._diagnostics: list[Diagnostic] = []
        self._errors = 0

    def add(
        self, code: Code, message: str, span: Span | None = None, help: str = "", context: Sequence[Context] = ()
    ) -> None:
        """Note one problem; the severity is that of its code. What the file notes of the place goes to the message."""
        if span is not None:
            message = ": ".join((message, *span.source.notes_at(span.start)))
        self.extend((Diagnostic(code, message, span, help, tuple(context)),))

    def extend(self, diagnostics: Iterable[Diagnostic]) -> None:
        """Note problems found elsewhere."""
        for diagnostic in diagnostics:
            self._diagnostics.append(diagnostic)
            self._errors += diagnostic.is_error

    @property
    def diagnostics(self) -> tuple[Diagnostic, ...]:
        """All problems so far, in order."""
        return tuple(self._diagnostics)

    @property
    def has_errors(self) -> bool:
        return self._errors > 0

    @property
    def error_count(self) -> int:
        """How many errors there are; compare two readings to learn whether a step failed."""
        return self._errors
