"""A set of compiled rules. The rules do not change; what is learnt of events belongs to one thread: see `copy`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from lanner.compiler import ir
from lanner.compiler.optimize import optimize
from lanner.engine.dispatch import FACTS, Dispatch
from lanner.engine.output_format import OutputFormat
from lanner.event import AuditEvent, Path
from lanner.fields.catalog import BoundField, Catalog
from lanner.fields.generic import COUNTED
from lanner.fields.mentions import Mentions
from lanner.fields.reads import attributes_of
from lanner.priority import Priority
from lanner.rules.definitions import ResolvedRule


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class CompiledRule:
    """A rule ready to run.

    `predicate` is the condition as it was written, before any optimisation. `enabled` is what the files, the selection
    and the minimum priority came to.
    """

    resolved: ResolvedRule
    predicate: ir.Predicate
    output: OutputFormat
    enabled: bool

    def __repr__(self) -> str:
        return f"<CompiledRule {self.name}>"

    @property
    def name(self) -> str:
        return self.resolved.name

    @property
    def priority(self) -> Priority:
        return self.resolved.priority

    @property
    def source(self) -> str:
        return self.resolved.source

    @property
    def tags(self) -> tuple[str, ...]:
        return self.resolved.tags


class Ruleset:
    """All rules of one load in definition order; only the enabled ones match.

    `first_only`: an event matches at most the first rule that holds (`rule_matching: first`). `counts`: some rule
    asks how many events there were or how long ago the first one was.
    """

    def __init__(
        self, rules: Sequence[CompiledRule], catalog: Catalog, builder: ir.Builder, first_only: bool = False
    ) -> None:
        self.rules = tuple(rules)
        self.catalog = catalog
        self.first_only = first_only
        mentions = Mentions()
        running = [(rule, optimize(rule.predicate, builder, mentions)) for rule in self.rules if rule.enabled]
        fields = _fields(ir.tests_of(*(predicate for _, predicate in running)))
        self.counts = any(field.definition.name in COUNTED for field in fields)
        self.asks = _asked(fields.union(*(rule.output.asks for rule, _ in running)))
        """Attributes of events that conditions and outputs may read; None for all."""
        self._dispatch = Dispatch(running, builder, first_only)
        self.match = self._dispatch.match

    def match_without_dispatch(self, event: AuditEvent) -> Sequence[CompiledRule]:
        """The same answer as `match` from the one function that fits every event."""
        return self._dispatch.match_any_shape(event)

    def source_for(self, event: AuditEvent) -> str:
        """The generated Python source that answers for events of this one's shape."""
        return self._dispatch.source_for(event)

    def copy(self) -> Ruleset:
        """The same rules with caches of their own, for another thread."""
        return Ruleset(self.rules, self.catalog, ir.Builder(), self.first_only)

    def __len__(self) -> int:
        return len(self.rules)


def _fields(tests: Iterable[ir.Test]) -> set[BoundField]:
    return {value.field for test in tests for value in ir.values_of(test) if isinstance(value, ir.FieldValue)}


def _asked(fields: Iterable[BoundField]) -> frozenset[Path] | None:
    asked = set(FACTS)
    for field in fields:
        attributes = attributes_of(field)
        if attributes is None:
            return None
        asked |= attributes
    return frozenset(asked)
