"""Many tests on one value: one look at it answers all of them, and names the rules to ask."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from lanner.compiler import ir, lookups
from lanner.compiler.build import build
from lanner.compiler.codegen import MANY, generate
from lanner.compiler.lookups import Lookups
from lanner.compiler.lower import Lowering
from lanner.compiler.path_trie import PathTrie
from lanner.condition.parser import parse
from lanner.diagnostics.report import Report
from lanner.diagnostics.source import Text
from lanner.event import AuditEvent, User
from lanner.fields.k8s_catalog import k8s_audit_catalog

CATALOG = k8s_audit_catalog()
MANY_RULES = 2 * MANY


def lowered(*conditions: str) -> list[ir.Predicate]:
    lowering = Lowering(CATALOG, ir.Builder(), Report())
    predicates = [lowering.condition(parse(Text.plain(condition))) for condition in conditions]
    return [predicate for predicate in predicates if predicate is not None]


def event(uri: str = "/x", user: str = "eve", groups: tuple[str, ...] = ()) -> AuditEvent:
    return AuditEvent(audit_id="a", verb="get", user=User(username=user, groups=list(groups)), request_uri=uri)


@pytest.mark.parametrize(
    ("conditions", "value", "found"),
    [
        (("ka.uri = a", "ka.uri in (a, b)", "ka.uri in (b, c)"), "a", {0, 1}),
        (("ka.uri = a", "ka.uri in (a, b)", "ka.uri in (b, c)"), "d", set()),
        (("ka.user.groups intersects (a, b)", "ka.user.groups intersects (c)"), ["x", "b", "c", "b"], {0, 1}),
        (('ka.uri startswith "/a"', "ka.uri startswith /", "ka.uri startswith /a/b"), "/a/c", {0, 1}),
        (("ka.uri startswith ab", "ka.uri startswith abc", "ka.uri startswith abcd"), "abd", {0}),
        (('ka.uri startswith ""', "ka.uri startswith a"), "b", {0}),
        (("ka.uri endswith b", "ka.uri endswith ab", 'ka.uri endswith ""', "ka.uri endswith cab"), "aab", {0, 1, 2}),
        (("ka.uri contains ab", "ka.uri contains b", "ka.uri contains ba", 'ka.uri contains ""'), "abc", {0, 1, 3}),
        (("ka.uri contains é", "ka.uri icontains É", "ka.uri icontains É", "ka.uri contains Ã"), "caFé", {0}),
        (("ka.uri icontains CAF", "ka.uri contains CAF", "ka.uri iglob C*"), "café", {0, 2}),
        (("ka.uri glob a*c", "ka.uri glob *b*", "ka.uri glob ???", "ka.uri glob a\\"), "abc", {0, 1, 2}),
        (("ka.uri glob *b", "ka.uri contains .", "ka.uri contains b*"), "a\nb", {0}),
        (('ka.uri regex "a|b"', 'ka.uri regex "[a-c]+"', 'ka.uri regex ".*"', 'ka.uri regex b'), "ab", {1, 2}),
        (('ka.uri regex "a.*"', 'ka.uri regex "a$"'), "a\nb", set()),
        (("ka.uri pmatch (/a, /b)", "ka.uri pmatch (/a/*)", "ka.uri pmatch (/a/b/c)"), "/a/b", {0, 1}),
    ],
)  # fmt: skip
def test_a_lookup_finds_the_tests_that_hold(conditions: tuple[str, ...], value: Any, found: set[int]) -> None:
    """All of them, none twice, and the same again when the value comes again."""
    tests = [test for test in lowered(*conditions) if isinstance(test, ir.Test)]
    both = Lookups(tests)
    [lookup] = {both.of(test) for test in tests}
    assert lookup is not None
    expected = sorted({lookup.numbers[tests[number]] for number in found})
    assert sorted(lookup.find(value)) == expected
    assert sorted(lookup.find(value)) == expected


@pytest.mark.parametrize("condition", ["ka.verb != a", "ka.verb < 1", "ka.verb = val(ka.uri)", "ka.user.groups in (a)"])
def test_other_tests_have_no_lookup(condition: str) -> None:
    """A test that compares values or orders, or that holds for an empty list, stands for itself."""
    [test] = lowered(condition)
    assert isinstance(test, ir.Test)
    assert Lookups([test]).of(test) is None


def test_an_automaton_that_would_be_too_big_is_not_made(monkeypatch: pytest.MonkeyPatch) -> None:
    """Then the patterns are asked one by one, and say the same."""
    monkeypatch.setattr(lookups, "_MOST_MEMORY", 0)
    tests = lowered("ka.uri contains a", "ka.uri contains b", "ka.uri glob *c")
    lookup = Lookups(tests).of(tests[0])  # type: ignore[arg-type]
    assert lookup is not None
    assert list(lookup.find("abc")) == [0, 1, 2]


def test_what_a_lookup_remembers_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """In number and in length: clients choose the values."""
    monkeypatch.setattr(lookups, "MAX_ANSWERS", 2)
    asked: list[str] = []

    def find(value: str) -> tuple[int, ...]:
        asked.append(value)
        return (len(value),)

    remembering = lookups._remembering(find)
    long = "x" * (lookups.MAX_LENGTH + 1)
    for value in ("a", "a", long, long, "b", "c", "a"):
        assert remembering(value) == (len(value),)
    assert asked == ["a", long, long, "b", "c", "a"]


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("/a/b/c", {0, 1, 3, 4}),
        ("a//b/", {0, 1, 3, 4}),
        ("/a", {0, 4}),
        ("/ab/b", {3, 4}),
        ("", {4}),
        ("/x/y", {4}),
    ],
)
def test_paths(path: str, found: set[int]) -> None:
    """Components by name and by pattern; an empty path is above all."""
    paths = enumerate(("/a", "/a/*", "/a/b/c/d", "a*/[bx]", "/"))
    assert set(PathTrie(paths).find(path)) == found


RULES: dict[str, Callable[[int], str]] = {
    "contains": lambda n: f"ka.uri contains /word{n}/",
    "alternatives": lambda n: f"ka.uri contains /word{n}/ or ka.uri contains /other{n}/",
    "with more": lambda n: f"ka.verb = get and ka.uri contains /word{n}/ and not ka.user.name startswith system{n}",
    "with the same": lambda n: f"not ka.user.name startswith system and ka.uri contains /word{n}/",
    "equal": lambda n: f"ka.uri = /word{n}/ and ka.user.name != nobody{n}",
    "prefix": lambda n: f"ka.uri startswith /word{n}/ and ka.verb != list",
    "regex": lambda n: f'ka.uri regex "(/[a-z]+)?/word{n}/.*"',
    "pmatch": lambda n: f"ka.uri pmatch (/word{n}, /other{n})",
    "not": lambda n: f"not ka.uri contains /word{n}/ and ka.uri contains word{n}",
}


@pytest.mark.parametrize("name", RULES)
@pytest.mark.parametrize("first_only", [False, True])
def test_many_rules_are_asked_by_one_lookup(name: str, first_only: bool) -> None:
    """None of them stands in a line of its own, and those that match come in their order, between the others."""
    conditions = [RULES[name](number) for number in range(MANY_RULES)]
    others = {0: "ka.verb = get", MANY_RULES + 1: "ka.verb exists"}
    predicates = lowered(others[0], *conditions, others[MANY_RULES + 1])
    source = generate(list(enumerate(predicates)), first_only)
    assert len(source.text.partition("def match")[2].splitlines()) < MANY_RULES
    match = build(source)
    expected = {
        "/x": [0, MANY_RULES + 1],
        "/word7/": [0, 8, MANY_RULES + 1],
        "/word30/": [0, 31, MANY_RULES + 1],
    }
    for uri, places in expected.items():
        if name == "not":
            uri = uri.removesuffix("/")
        if name == "not" and uri == "/word30":
            places = [0, 4, 31, MANY_RULES + 1]
        assert list(match(event(uri))) == (places[:1] if first_only else places)


def test_rules_that_ask_the_same_first_are_left_at_once() -> None:
    """A body is not read for rules whose cheap part, which they share, does not hold."""
    predicates = lowered(
        *(f"ka.user.name = eve and ka.req.configmap.obj contains word{number}" for number in range(MANY_RULES))
    )
    match = build(generate(list(enumerate(predicates))))
    [value] = {value for predicate in predicates for value in bodies(predicate)}
    reads: list[AuditEvent] = []
    match.__globals__.update({name: reads.append for name, thing in match.__globals__.items() if thing is value})
    match(event(user="bob"))
    assert reads == []
    with pytest.raises(AttributeError):
        match(event(user="eve"))
    assert len(reads) == 1


def bodies(predicate: ir.Predicate) -> set[object]:
    tests = ir.tests_of(predicate)
    fields = [value for test in tests for value in ir.values_of(test) if isinstance(value, ir.FieldValue)]
    return {value.field.getter for value in fields if value.field.definition.name == "ka.req.configmap.obj"}


def test_few_rules_are_asked_one_by_one() -> None:
    """A lookup costs more than a few comparisons."""
    predicates = lowered(*(f"ka.uri contains word{number}" for number in range(MANY - 1)))
    assert "find" not in generate(list(enumerate(predicates))).text


def test_many_alternatives_are_one_question() -> None:
    """However many words a condition asks for, the code stays short; its legend tells the first of them."""
    words = ", ".join(f"word{number}" for number in range(1000))
    [predicate] = lowered(f"ka.verb = get and not ka.uri contains anyof ({words})")
    source = generate([("rule", predicate)])
    assert len(source.text) < 1000
    assert "0: contains 'word0'" in source.listing()
    match = build(source)
    assert list(match(event("/x/word"))) == ["rule"]
    assert list(match(event("/x/word999"))) == []


def test_exactly_one_of_many() -> None:
    """`oneof` counts what a lookup found, whatever the number of items."""
    words = ", ".join(f"word{number}x" for number in range(3000))
    [predicate] = lowered(f"ka.uri contains oneof ({words})")
    match = build(generate([("rule", predicate)]))
    assert list(match(event("word7x"))) == ["rule"]
    assert list(match(event("word7xword8x"))) == []
    assert list(match(event("word"))) == []


def test_lookups_may_be_shared() -> None:
    """Functions for parts of a set of rules use the automata of all."""
    predicates = lowered(*(f"ka.uri contains word{number}." for number in range(3 * MANY)))
    shared = Lookups(predicates)
    rules = list(enumerate(predicates))
    for part in (rules[: 2 * MANY], rules[MANY:]):
        source = generate(part, lookups=shared)
        assert any(thing is shared.of(predicates[0]) for thing in source.namespace.values())  # type: ignore[arg-type]
        match = build(source)
        assert list(match(event("word0. word20. word40."))) == [n for n in (0, 20, 40) if rules[n] in part]


def test_the_listing_shows_which_rules_a_number_leads_to() -> None:
    """A row for each number: the places of its rules, their names, and what else they need."""
    conditions = [f"ka.uri contains word{number} and not ka.useragent contains x" for number in range(MANY)]
    predicates = lowered(*conditions, "ka.uri contains word0")
    source = generate([(f"the rule {place}", predicate) for place, predicate in enumerate(predicates)])
    names = {str(thing): name for name, thing in source.namespace.items()}
    [rows] = source.tables.values()
    assert sorted(rows) == list(range(MANY))
    [(place, rule, needs), (last, other, nothing)] = rows[0]
    assert (place, rule, last, other, nothing) == (0, names["the rule 0"], MANY, names[f"the rule {MANY}"], None)
    assert f"\n    0: ((0, {rule}, {needs}), ({MANY}, {other}, None),),\n" in source.listing()
    assert f"def {needs}(e, m):\n" in source.text


def test_a_rule_may_stand_twice_in_a_block() -> None:
    """A rule that one lookup finds by either of two tests needs the other one besides."""
    [predicate] = lowered("ka.uri contains a and ka.uri contains b")
    match = build(generate([("rule", predicate)], many=1))
    assert [list(match(event(uri))) for uri in ("a", "b", "ab", "c")] == [[], [], ["rule"], []]
