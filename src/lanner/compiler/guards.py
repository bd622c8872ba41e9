"""Which rules are found by a lookup instead of being asked one after the other.

A rule whose condition needs one of some tests to hold, as `ka.uri contains x and ...` does, cannot match unless the
lookup of these tests finds one. Where many rules are of that kind, they form a block: one lookup for all of them, and
of the rules only those that it names are asked for what else they need.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from lanner.compiler import ir
from lanner.compiler.lookups import Kind, Lookup
from lanner.fields.paths import Attribute, TextList

_DEAR_VALUE = 40
_NO_CONDITION_FIRST = 5
_DEAR_LOOKUP = Kind.PATTERN.cost
"""Costs, in units of comparing two attributes: of reading a value that is not near, of asking a lookup always, of a
lookup that is worth another question first."""

LookupOf: TypeAlias = Callable[[ir.Test], "Lookup | None"]


@dataclass(frozen=True, slots=True)
class Guarded:
    """A rule, by its place among all rules: it matches if what the block needs, one of the tests and `rest` hold."""

    place: int
    tests: tuple[ir.Test, ...]
    rest: ir.Predicate


@dataclass(frozen=True, slots=True)
class Block:
    """Rules that one lookup finds; it is asked if `first` holds."""

    lookup: Lookup
    first: ir.Predicate
    rules: list[Guarded] = field(default_factory=list)

    @property
    def cost(self) -> float:
        """What a block costs an event, roughly: its lookup, and the rules that come up together."""
        tests = {test for rule in self.rules for test in rule.tests}
        always = _NO_CONDITION_FIRST if self.first is ir.TRUE else 0
        return _lookup_cost(self.lookup) + always + len(self.rules) / len(tests)


def blocks(
    predicates: Sequence[ir.Predicate], lookup_of: LookupOf, builder: ir.Builder, least: int
) -> tuple[list[Block], set[int]]:
    """The blocks of at least so many rules, and the places of the rules in them; each rule is in one at most."""
    found: dict[tuple[Lookup, ir.Predicate], Block] = {}
    for place, predicate in enumerate(predicates):
        for lookup, first, tests, rest in _guards(predicate, lookup_of, builder):
            block = found.setdefault((lookup, first), Block(lookup, first))
            block.rules.append(Guarded(place, tests, rest))
    chosen: list[Block] = []
    taken: set[int] = set()
    for block in sorted((block for block in found.values() if len(block.rules) >= least), key=lambda block: block.cost):
        rules = [rule for rule in block.rules if rule.place not in taken]
        if len(rules) >= least:
            chosen.append(Block(block.lookup, block.first, rules))
            taken.update(rule.place for rule in rules)
    return chosen, taken


def _guards(
    predicate: ir.Predicate, lookup_of: LookupOf, builder: ir.Builder
) -> Iterator[tuple[Lookup, ir.Predicate, tuple[ir.Test, ...], ir.Predicate]]:
    """(lookup, what to ask first, tests one of which must hold, what else must) for every way to guard a predicate.

    What is cheaper than the lookup may be asked first, so that rules with the same cheap part share a block. Without,
    all rules of the lookup do, whatever they ask besides; but a value that is dear to read is not read for that.
    """
    children = predicate.children if isinstance(predicate, ir.All) else (predicate,)
    for at, child in enumerate(children):
        guard = _guard(child, lookup_of)
        if guard is None:
            continue
        lookup, tests = guard
        others = (*children[:at], *children[at + 1 :])
        dear = not is_near(lookup.value)
        if lookup.kind.cost >= _DEAR_LOOKUP or dear:
            cheap = [child for child in others if _is_cheap(child)]
            if cheap:
                rest = builder.all_of(child for child in others if not _is_cheap(child))
                yield lookup, builder.all_of(cheap), tests, rest
        if not dear or all(not _is_cheap(child) for child in others):
            yield lookup, ir.TRUE, tests, builder.all_of(others)


def _guard(predicate: ir.Predicate, lookup_of: LookupOf) -> tuple[Lookup, tuple[ir.Test, ...]] | None:
    """The tests of one lookup that a predicate says one of must hold, and no more than that."""
    children: Iterable[ir.Predicate] = predicate.children if isinstance(predicate, ir.Any) else (predicate,)
    tests: list[ir.Test] = []
    found: Lookup | None = None
    for child in children:
        lookup = lookup_of(child) if isinstance(child, ir.Test) else None
        if lookup is None or found not in (None, lookup):
            return None
        found = lookup
        tests.append(child)  # type: ignore[arg-type]
    return None if found is None else (found, tuple(tests))


def _is_cheap(predicate: ir.Predicate) -> bool:
    """Whether only near values are compared, and only in simple ways."""
    return all(
        test.operator in ("=", "!=", "in", "exists", "startswith", "endswith")
        and all(is_near(value) for value in ir.values_of(test) if isinstance(value, ir.FieldValue))
        for test in ir.tests_of(predicate)
    )


def _lookup_cost(lookup: Lookup) -> int:
    return lookup.kind.cost + (0 if is_near(lookup.value) else _DEAR_VALUE)


def is_near(value: ir.Value) -> bool:
    """Whether a value stands in the typed event: no body is read for it, nothing is worked out."""
    return isinstance(value, ir.FieldValue) and isinstance(value.field.getter, Attribute | TextList)
