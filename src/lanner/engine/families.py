"""What is left of many rules when some attributes of an event are known.

Thousands of rules ask few different questions about the shape of a request. Rules that ask the same ones are a family:
what is known of the shape is told to its questions once, and only the rules of families that are still open are looked
at one by one, to tell them the last fact and to put together what is left of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from lanner.compiler import ir
from lanner.compiler.optimize import specialise
from lanner.event import Missing, Path

MAX_HELD = 500_000
"""Answers that are remembered, and families and rules in them, each counted as often as it is in one."""

Class: TypeAlias = "str | Missing"
"""A value that stands for its class."""
Rest: TypeAlias = "tuple[tuple[Any, ir.Predicate], ...]"
"""(rule, what is left of its predicate) for all rules that can still match, in their order."""


@dataclass(slots=True, eq=False)
class _Family:
    """Rules that ask the same of all facts but the last one.

    `questions`: the parts of their conditions that these facts tell something of; all of them have to hold. `members`:
    places of the rules, with all parts of their conditions in order.
    """

    questions: tuple[ir.Predicate, ...]
    members: list[tuple[int, tuple[ir.Predicate, ...]]] = field(default_factory=list)
    asks_last: bool = False


_Open: TypeAlias = "tuple[tuple[_Family, tuple[ir.Predicate, ...]], ...]"
"""Families that may still match, with what is left of their questions."""
_Left: TypeAlias = "tuple[tuple[int, ir.Predicate], ...]"
"""Places of the rules of a family that may still match, with what is left of them."""


class Families:
    """All rules, by what they ask of the facts: attributes of an event, which are told in this order.

    One fact at a time is told, so that a test which compares two attributes stays: a value stands for its class in
    tests on its own attribute only.
    """

    def __init__(
        self, rules: Sequence[tuple[object, ir.Predicate]], facts: Sequence[Path], builder: ir.Builder
    ) -> None:
        *shape, self._last = self._facts = tuple(facts)
        self._rules = rules
        self._builder = builder
        self._held = 0
        self._left: dict[tuple[_Family, tuple[ir.Predicate, ...], Class | None], _Left] = {}
        families: dict[tuple[ir.Predicate, ...], _Family] = {}
        for place, (_, predicate) in enumerate(rules):
            parts = predicate.children if isinstance(predicate, ir.All) else (predicate,)
            questions = tuple(part for part in parts if not builder.paths_of(part).isdisjoint(shape))
            family = families.setdefault(questions, _Family(questions))
            family.members.append((place, parts))
            family.asks_last = family.asks_last or self._last in builder.paths_of(predicate)
        self._all: _Open = tuple((family, family.questions) for family in families.values())
        self._open: dict[tuple[Class, ...], _Open] = {(): self._all}

    def rest(self, classes: Sequence[Class]) -> Rest:
        """What is left of the rules for these values of the facts."""
        *shape, last = classes
        left = [
            pair for family, questions in self._open_for(tuple(shape)) for pair in self._of(family, questions, last)
        ]
        left.sort(key=_place)
        return tuple([(self._rules[place][0], predicate) for place, predicate in left])

    def any_for(self, classes: Sequence[Class]) -> bool:
        """Whether any rule may be left for these values of the first facts, but for the last fact."""
        return bool(self._open_for(tuple(classes)))

    def forget(self) -> None:
        """Forget all answers."""
        self._open = {(): self._all}
        self._left.clear()
        self._held = 0

    def _open_for(self, classes: tuple[Class, ...]) -> _Open:
        """The families that are open for these values of the first facts.

        It is worked out from what one fact less leaves, which most events share.
        """
        found = self._open.get(classes)
        if found is None:
            *before, last = classes
            facts = {self._facts[len(before)]: last}
            done: dict[ir.Predicate, ir.Predicate] = {}
            former = self._open_for(tuple(before))
            still: list[tuple[_Family, tuple[ir.Predicate, ...]]] = []
            for pair in former:
                family, questions = pair
                left = tuple([specialise(part, facts, self._builder, done) for part in questions])
                if ir.FALSE not in left:
                    still.append(pair if left == questions else (family, left))
            found = former if len(still) == len(former) and tuple(still) == former else tuple(still)
            self._hold(1 if found is former else 1 + len(found))
            self._open[classes] = found
        return found

    def _of(self, family: _Family, questions: tuple[ir.Predicate, ...], last: Class) -> _Left:
        """What the last fact leaves of a family, given what is left of its questions."""
        key = (family, questions, last if family.asks_last else None)
        found = self._left.get(key)
        if found is None:
            facts = {self._last: last}
            done: dict[ir.Predicate, ir.Predicate] = {}
            told = dict(zip(family.questions, questions, strict=True))
            all_of = self._builder.all_of
            rest = (
                (place, all_of(specialise(told.get(part, part), facts, self._builder, done) for part in parts))
                for place, parts in family.members
            )
            found = tuple((place, predicate) for place, predicate in rest if predicate is not ir.FALSE)
            self._hold(1 + len(found))
            self._left[key] = found
        return found

    def _hold(self, count: int) -> None:
        """Make room for an answer with so many rules or families."""
        if self._held + count > MAX_HELD:
            self.forget()
        self._held += count


def _place(left: tuple[int, ir.Predicate]) -> int:
    return left[0]
