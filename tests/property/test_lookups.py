"""Many tests on few values: lookups and blocks of rules answer what the evaluator does, test by test."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lanner.compiler import ir
from lanner.compiler.build import build
from lanner.compiler.codegen import generate
from lanner.compiler.evaluate import holds
from lanner.compiler.evaluate import value as evaluated
from lanner.compiler.lookups import Lookups, kind_of
from lanner.compiler.optimize import optimize
from lanner.event import MISSING, AuditEvent, ObjectRef, User
from lanner.fields.catalog import ValueType
from lanner.fields.k8s_catalog import k8s_audit_catalog
from lanner.fields.mentions import Mentions

CATALOG = k8s_audit_catalog()

TEXTS = st.one_of(
    st.sampled_from(("", "a", "ab", "aba", "abab", "ba", "AB", "aB", "é", "É", "aé", "a/b", "/a/b", "a\nb", "\n")),
    st.text(st.sampled_from("abAé/\n\0☃"), max_size=6),
    st.text(st.sampled_from("ab"), min_size=250, max_size=270),
)
"""Values and constants alike, so that they overlap and hold each other."""

GLOBS = st.one_of(
    st.sampled_from(("*", "**", "?", "*a*b*", "a*", "*b", "[a-b]*", "[!a]", "a\\", "\\*", "a[", "*é*", "[[:upper:]]*")),
    st.text(st.sampled_from("ab*?[]!-\\é"), max_size=6),
)
REGEXES = st.sampled_from(
    (
        "",
        "a",
        "a.*",
        "(ab|b)+",
        ".*é.*",
        "[^a]*",
        "a*",
        "^a$",
        "a$\n^b",
        ".",
        "x|ab",
        "(a|ab)(b|)",
        "[[:upper:]]+",
        ".*\n",
    )
)
PATHS = st.lists(
    st.one_of(TEXTS, st.sampled_from(("/", "/a", "a/*", "*/b", "a/b/c", "[ab]/?", "//a//b/"))), max_size=3
).map(tuple)
SETS = st.frozensets(TEXTS, max_size=3)
CONSTANTS: dict[str, st.SearchStrategy[ir.Operand]] = {
    **dict.fromkeys(("=", "!=", "contains", "icontains", "startswith", "endswith"), TEXTS),
    **dict.fromkeys(("glob", "iglob"), GLOBS),
    "regex": REGEXES,
    "pmatch": PATHS,
    "in": SETS,
    "intersects": SETS,
}
ON_LISTS = ("in", "intersects")


def values(builder: ir.Builder) -> tuple[ir.Value, ...]:
    """Attributes, a list, something from a body, something worked out."""
    user = builder.field(CATALOG.bind("ka.user.name"))
    return (
        user,
        builder.field(CATALOG.bind("ka.uri")),
        builder.field(CATALOG.bind("ka.user.groups")),
        builder.field(CATALOG.bind("ka.req.configmap.obj")),
        builder.transformed("toupper", [user], None, ValueType.STRING, False),
    )


@st.composite
def rule_sets(draw: st.DrawFn) -> tuple[list[ir.Predicate], ir.Builder]:
    """Predicates made of few values and many constants."""
    builder = ir.Builder()

    def test(value: ir.Value, operator: str, constant: ir.Operand) -> ir.Predicate:
        return builder.test(operator, value, constant)

    def tests_on(value: ir.Value) -> st.SearchStrategy[ir.Predicate]:
        operators = ON_LISTS if value.is_list else tuple(CONSTANTS)
        return st.one_of(
            *(st.builds(test, st.just(value), st.just(operator), CONSTANTS[operator]) for operator in operators)
        )

    tests = st.one_of(*map(tests_on, values(builder)))

    def connected(inner: st.SearchStrategy[ir.Predicate]) -> st.SearchStrategy[ir.Predicate]:
        several = st.lists(inner, min_size=2, max_size=4)
        return st.one_of(
            several.map(builder.all_of),
            several.map(builder.any_of),
            several.map(builder.exactly_one_of),
            inner.map(builder.negation),
        )

    predicates = draw(st.lists(st.recursive(tests, connected, max_leaves=5), min_size=1, max_size=8))
    return predicates, builder


def event(name: str, uri: str, groups: list[str], data: str) -> AuditEvent:
    return AuditEvent(
        audit_id="a",
        user=User(username=name or MISSING, groups=groups),
        request_uri=uri,
        object_ref=ObjectRef(resource="configmaps"),
        request_object=msgspec.Raw(msgspec.json.encode({"data": {"key": data}})),
    )


EVENTS = st.builds(event, TEXTS, TEXTS, st.lists(TEXTS, max_size=3), TEXTS)


@pytest.mark.property
@given(rule_sets(), st.lists(EVENTS, min_size=1, max_size=6), st.integers(1, 4), st.booleans(), st.booleans())
def test_lookups_and_blocks_answer_as_the_evaluator(
    rule_set: tuple[list[ir.Predicate], ir.Builder],
    events: Sequence[AuditEvent],
    many: int,
    first_only: bool,
    optimized: bool,
) -> None:
    """Whatever is enough for a lookup, all rules or only the first: the same rules, in the same order."""
    predicates, builder = rule_set
    mentions = Mentions()
    compiled = [optimize(predicate, builder, mentions) for predicate in predicates] if optimized else predicates
    match = build(generate(list(enumerate(compiled)), first_only, many=many))
    half = build(generate(list(enumerate(compiled))[::2], first_only, Lookups(compiled), many))
    for one in events:
        matching = [place for place, predicate in enumerate(predicates) if holds(predicate, one)]
        even = [place for place in matching if place % 2 == 0]
        assert list(match(one)) == (matching[:1] if first_only else matching)
        assert list(half(one)) == (even[:1] if first_only else even)


@pytest.mark.property
@given(rule_sets(), st.lists(EVENTS, min_size=1, max_size=6))
def test_lookups_find_what_holds(rule_set: tuple[list[ir.Predicate], ir.Builder], events: Sequence[AuditEvent]) -> None:
    """A lookup names exactly those of its tests that hold, each once, however often it is asked."""
    predicates, _ = rule_set
    lookups = Lookups(predicates)
    tests = {test for predicate in predicates for test in ir.tests_of(predicate)}
    for one in (*events, *events):
        found: dict[ir.Test, bool] = {}
        for test in tests:
            lookup = lookups.of(test)
            if lookup is None:
                assert kind_of(test) is None
                continue
            value = evaluated(lookup.value, one)
            numbers = [] if value is MISSING else list(lookup.find(value))
            assert len(numbers) == len(set(numbers))
            found[test] = lookup.numbers[test] in numbers
        assert found == {test: holds(test, one) for test in found}
