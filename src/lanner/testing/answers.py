"""Which rules fire on an event, asked of every evaluator there is.

In: the result of loading rules, and an event. Out: the names of the rules that fire, in order. The slow evaluator is
the one to believe; the compiled ruleset with dispatch (what the engine runs) and the one without must say the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from lanner.compiler.evaluate import holds
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


def ask(loaded: LoadResult, event: AuditEvent) -> Answers:
    """The rules that fire on `event`, from all evaluators. `rule_matching` is the one `loaded` was loaded with."""
    ruleset = loaded.ruleset
    every = tuple(rule.name for rule in loaded.rules if rule.enabled and holds(rule.predicate, event))
    return Answers(
        every[:1] if ruleset.first_only else every,
        tuple(rule.name for rule in ruleset.match(event)),
        tuple(rule.name for rule in ruleset.match_without_dispatch(event)),
    )


def _names(names: Sequence[str]) -> str:
    return ", ".join(f"`{name}`" for name in names) or "nothing"
