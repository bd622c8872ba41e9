"""What families leave of rules is what is left when every rule is told everything by itself."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lanner.compiler import ir
from lanner.compiler.optimize import optimize, specialise
from lanner.engine import families
from lanner.engine.dispatch import FACTS
from lanner.engine.families import Class, Families, Rest
from lanner.event import MISSING
from lanner.fields.mentions import Mentions
from tests.property.test_engine import CONDITIONS, WORDS, load

VALUES = st.tuples(*(st.one_of(WORDS, st.just(MISSING)) for _ in FACTS))


def each_by_itself(rules: Rest, values: Sequence[Class], builder: ir.Builder) -> Rest:
    for path, value in zip(FACTS, values, strict=True):
        rules = tuple((rule, specialise(predicate, {path: value}, builder, {})) for rule, predicate in rules)
    return tuple((rule, predicate) for rule, predicate in rules if predicate is not ir.FALSE)


@pytest.mark.property
@given(
    st.lists(CONDITIONS, min_size=1, max_size=6),
    st.lists(VALUES, min_size=1, max_size=6),
    st.sets(st.integers(0, 5)),
    st.sampled_from((0, 5, families.MAX_HELD)),
)
def test_families_leave_what_is_left_of_each_rule(
    conditions: list[str], seen: list[tuple[Class, ...]], forgotten: set[int], held: int
) -> None:
    """The same nodes in the same order, whatever was asked before and whenever it is forgotten."""
    builder = ir.Builder()
    loaded = load([f"({left}) and ({right})" for left in conditions for right in conditions[:2]], "all")
    mentions = Mentions()
    rules = tuple((number, optimize(rule.predicate, builder, mentions)) for number, rule in enumerate(loaded.rules))
    tried = Families(rules, FACTS, builder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(families, "MAX_HELD", held)
        for number, values in enumerate([*seen, *seen]):
            assert tried.rest(values) == each_by_itself(rules, values, builder)
            if number in forgotten:
                tried.forget()


def test_what_is_held_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Clients choose verbs and resources: a thousand kinds of requests leave no more than a few answers behind."""
    monkeypatch.setattr(families, "MAX_HELD", 500)
    builder, mentions = ir.Builder(), Mentions()
    loaded = load([f"ka.verb != v{number} and ka.target.resource != r{number}" for number in range(40)], "all")
    rules = tuple((number, optimize(rule.predicate, builder, mentions)) for number, rule in enumerate(loaded.rules))
    tried = Families(rules, FACTS, builder)
    for verb in range(30):
        for resource in range(30):
            values: tuple[Class, ...] = ("ResponseComplete", f"v{verb}", f"r{resource}", MISSING, "200", "eve")
            assert len(tried.rest(values)) == 40 - (1 if verb == resource else 2)
            held = sum(1 + len(found) for found in tried._left.values())
            held += sum(1 + len(found) for found in tried._open.values() if found is not tried._all)
            assert tried._held <= 500
            assert held <= 1_500
