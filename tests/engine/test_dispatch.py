"""Dispatch by the shape of a request: the same answers, few functions, bounded memory."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from lanner.config import Config
from lanner.decode import decode_object
from lanner.diagnostics.source import SourceFile
from lanner.engine import dispatch
from lanner.engine.loader import load_sources
from lanner.engine.ruleset import Ruleset
from lanner.event import MISSING


def rules_text(**conditions: str) -> str:
    """One rule per condition, named by its keyword."""
    rule = "- rule: {}\n  desc: d\n  condition: {}\n  output: o\n  priority: INFO\n  source: k8s_audit\n"
    return "".join(rule.format(name, condition) for name, condition in conditions.items())


def ruleset(**conditions: str) -> Ruleset:
    result = load_sources([SourceFile("rules.yaml", rules_text(**conditions))])
    assert result.ok, result.diagnostics
    return result.ruleset


def event(verb: object = "get", resource: object = "pods", **more: Any) -> Any:
    body: Mapping[str, Any] = {
        "kind": "Event",
        "auditID": "a",
        "stage": "ResponseComplete",
        "verb": verb,
        "objectRef": {"resource": resource},
        "stageTimestamp": "2024-01-01T00:00:00Z",
        **more,
    }
    return decode_object(body)


def names(rules: Ruleset, **of: Any) -> list[str]:
    found = [rule.name for rule in rules.match(event(**of))]
    assert found == [rule.name for rule in rules.match_without_dispatch(event(**of))]
    return found


def steps(values: Mapping[Any, Any]) -> Iterator[Any]:
    """All values that lead somewhere, but for the classes of users."""
    for value, step in values.items():
        yield value
        if step and not callable(next(iter(step.values()))):
            yield from steps(step)


def test_rules_match_in_definition_order() -> None:
    """All rules that hold, in the order in which they are defined."""
    rules = ruleset(second="ka.verb exists", first="ka.verb = get", third="ka.verb = list")
    assert names(rules) == ["second", "first"]


def test_values_that_no_test_tells_apart_share_a_function() -> None:
    """A thousand invented verbs and resources end in the function of the first one."""
    rules = ruleset(a="ka.verb = get and ka.user.name = eve", b="ka.target.resource startswith pod")
    shapes = rules._dispatch
    for number in range(1000):
        assert names(rules, verb=f"v{number}", resource=f"r{number}") == []
    assert shapes._choices == 1
    assert names(rules, verb="v1", resource="pods") == ["b"]
    assert shapes._choices == 2


def test_users_that_no_rule_names_share_a_function() -> None:
    """A thousand users are one class, and one that a rule names is another."""
    rules = ruleset(a="ka.verb = get and ka.user.name = eve", b="ka.user.name startswith system and ka.verb = get")
    for number in range(1000):
        assert names(rules, user={"username": f"u{number}"}) == []
        assert names(rules, user={"username": f"system:u{number}"}) == ["b"]
    assert names(rules, user={"username": "eve"}) == ["a"]
    assert names(rules) == names(rules, user={"username": None}) == []
    assert rules._dispatch._choices == 4


def test_long_values_are_not_remembered() -> None:
    """Clients choose resources and verbs, of any length; what is kept of them is bounded in bytes."""
    rules = ruleset(a="ka.verb startswith x and ka.target.resource = pods")
    for number in range(20):
        assert names(rules, verb="x" * 100_000 + str(number)) == ["a"]
        assert names(rules, verb="get", resource="r" * 100_000 + str(number)) == []
        assert names(rules, verb="get", user={"username": "u" * 100_000 + str(number)}) == []
    kept = list(steps(rules._dispatch._by_values))
    kept += [value for classes in rules._dispatch._classes for value in classes.by_value]
    assert max(len(value) for value in kept if isinstance(value, str)) <= dispatch.MAX_LENGTH


@pytest.mark.parametrize(("choices", "functions"), [(1, 4096), (2, 4096), (65_536, 3), (1, 3)])
def test_overflowing_caches_change_no_answer(monkeypatch: pytest.MonkeyPatch, choices: int, functions: int) -> None:
    """With every cache full from the first event on, the answers stay the same."""
    monkeypatch.setattr(dispatch, "MAX_VALUES", 2)
    monkeypatch.setattr(dispatch, "MAX_STEPS", 10)
    monkeypatch.setattr(dispatch, "MAX_CHOICES", choices)
    monkeypatch.setattr(dispatch, "MAX_FUNCTIONS", functions)
    rules = ruleset(a="ka.verb in (get, list)", b="ka.verb = list", c="not ka.target.resource contains s")
    for _ in range(2):
        assert names(rules, verb="get") == ["a"]
        assert names(rules, verb="list") == ["a", "b"]
        assert names(rules, verb="odd", resource="x") == ["c"]
        assert names(rules, verb="odd", resource="secrets") == []
        assert len(list(steps(rules._dispatch._by_values))) == rules._dispatch._steps <= 10
    assert rules._dispatch._choices <= choices


@pytest.mark.parametrize(
    ("condition", "of", "holds"),
    [
        ("ka.verb = get", {"verb": "get\0x"}, True),
        ("ka.verb = null", {"verb": None}, True),
        ("ka.verb exists", {"objectRef": None}, True),
        ("ka.target.resource exists", {"objectRef": None}, False),
        ("ka.response.code = 200", {"responseStatus": {"code": 200}}, True),
        ("ka.response.code startswith 2", {"responseStatus": {"code": 204}}, True),
        ("ka.response.code = 2e2", {"responseStatus": {"code": "2e2"}}, True),
        ("ka.response.code exists", {}, False),
        ("tolower(ka.verb) = get", {"verb": "GET"}, True),
        ("ka.verb = val(ka.target.resource)", {"verb": "pods"}, True),
        ("ka.verb in val(ka.target.resource)", {"verb": "pods"}, True),
        ("ka.verb = val(ka.user.name)", {"verb": "eve", "user": {"username": "eve"}}, True),
        ("not ka.verb != val(ka.user.name)", {"verb": "eve"}, True),
    ],
)
def test_what_is_decided_by_the_shape(condition: str, of: dict[str, Any], holds: bool) -> None:
    """Attributes of the shape answer like fields do, whatever the event has in their place."""
    assert names(ruleset(r=condition), **of) == (["r"] if holds else [])


def test_attributes_of_the_shape_compared_with_each_other() -> None:
    """A value's class says nothing about how it compares with another attribute."""
    rules = ruleset(same="ka.verb = val(ka.target.resource)", joined='concat(ka.verb, "/", ka.target.resource) = b/c')
    assert names(rules, verb="a", resource="b") == []
    assert names(rules, verb="b", resource="b") == ["same"]
    assert names(rules, verb="b", resource="c") == ["joined"]
    assert names(rules, verb="c", resource="b") == []


def test_transformed_attributes_compared_with_each_other() -> None:
    """A transformer may have a value for one verb of a class and none for another."""
    rules = ruleset(r="b64(ka.verb) != val(ka.target.resource)")
    assert names(rules, verb="get", resource="pods") == []
    assert names(rules, verb="null", resource="pods") == ["r"]
    assert names(rules, verb="get", resource="pods") == []


def test_an_event_without_audit_id_has_no_ka_fields() -> None:
    """Only fields that need no auditID see anything of it."""
    rules = ruleset(ka="ka.verb exists", jevt="jevt.value[/verb] = get", missing="not ka.verb exists")
    odd = event()
    odd.audit_id = MISSING
    assert [rule.name for rule in rules.match(odd)] == ["jevt", "missing"]
    assert [rule.name for rule in rules.match_without_dispatch(odd)] == ["jevt", "missing"]


def test_the_source_for_a_shape_holds_what_is_left() -> None:
    """The printed function asks for the namespace only, since the shape has decided the rest."""
    rules = ruleset(
        a="ka.verb = get and ka.user.name = eve and ka.target.namespace = prod",
        b="ka.verb = list and ka.target.namespace = test",
    )
    source = rules.source_for(event(user={"username": "eve"}))
    assert "e.object_ref.namespace" in source
    assert "'prod'" in source
    assert "e.verb" not in source
    assert "e.user" not in source
    assert "test" not in source


def test_rules_without_a_chance_cost_nothing() -> None:
    """For a shape that no rule is for, the function has no test at all."""
    rules = ruleset(a="ka.verb = get and ka.user.name = eve")
    assert " if " not in rules.source_for(event(verb="watch"))


def test_first_matching_rule_only() -> None:
    """`rule_matching: first` stops at the first rule that holds."""
    text = rules_text(one="ka.verb = list", two="ka.verb = get", three="ka.verb = get")
    result = load_sources([SourceFile("r", text)], Config.load(None, ["rule_matching=first"]))
    assert [rule.name for rule in result.ruleset.match(event())] == ["two"]


def test_values_behind_the_last_rule_are_not_remembered() -> None:
    """Where a stage or a verb tells that no rule is left, what follows is neither looked at nor kept."""
    rules = ruleset(a="ka.stage = ResponseComplete and ka.verb = get and ka.target.resource = pods")
    for number in range(100):
        assert names(rules, stage="RequestReceived", verb=f"v{number}") == []
        assert names(rules, verb="list", resource=f"r{number}") == []
    assert names(rules) == ["a"]
    assert rules._dispatch._by_values["RequestReceived"] is None
    assert rules._dispatch._by_values["ResponseComplete"]["list"] is None
    assert rules._dispatch._steps < 10


@pytest.mark.parametrize(
    ("time", "found"),
    [("1970-01-01T00:00:00Z", ["never", "a"]), ("1999-01-01T00:00:00Z", ["a"]), ("2024-01-01T00:00:00Z", ["a"])],
)
def test_events_of_another_century(time: str, found: list[str]) -> None:
    """What no event of this one needs to be asked is asked of them."""
    rules = ruleset(never="jevt.rawtime = 0 and ka.verb = get", a="ka.verb = get")
    assert names(rules, stageTimestamp=time) == found
