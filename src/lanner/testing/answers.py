"""Which rules fire on an event, asked of every evaluator there is.

In: the result of loading rules, and an event. Out: the names of the rules that fire, in order. The slow evaluator is
the one to believe: it walks the conditions as they were lowered, before any optimisation. The compiled ruleset with
dispatch (what the engine runs) and the one without must say the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from lanner.compiler import ir
from lanner.compiler.evaluate import holds
from lanner.compiler.lower import Lowering
from lanner.diagnostics.report import Report
from lanner.engine.loader import LoadResult
from lanner.event import AuditEvent


class Answers(NamedTuple):
    """The rules that fire on one event, by name and in order, according to each evaluator."""

    evaluated: tuple[str, ...]
    dispatched: tuple[str, ...]
    undispatched: tuple[str, ...]

    @property
    def agree(self) -> bool:
        return self.evaluated == self.dispatched == self.undispatched

    def disagreement(self) -> str:
        """One line that shows who says what."""
        return (
            f"evaluated: {_names(self.evaluated)}, compiled: {_names(self.dispatched)}, "
            f"compiled without dispatch: {_names(self.undispatched)}"
        )


class Evaluators:
    """All evaluators of one set of rules, with the `rule_matching` it was loaded with."""

    def __init__(self, loaded: LoadResult) -> None:
        self._ruleset = loaded.ruleset
        lowering = Lowering(loaded.ruleset.catalog, ir.Builder(), Report())
        self._predicates: list[tuple[str, ir.Predicate]] = []
        for rule in loaded.rules:
            predicate = lowering.condition(rule.resolved.condition) if rule.enabled else None
            if predicate is not None:
                self._predicates.append((rule.name, predicate))

    def ask(self, event: AuditEvent) -> Answers:
        """The rules that fire on the event, which an engine has numbered."""
        every = tuple(name for name, predicate in self._predicates if holds(predicate, event))
        return Answers(
            every[:1] if self._ruleset.first_only else every,
            tuple(rule.name for rule in self._ruleset.match(event)),
            tuple(rule.name for rule in self._ruleset.match_without_dispatch(event)),
        )


def _names(names: Sequence[str]) -> str:
    return ", ".join(f"`{name}`" for name in names) or "nothing"
