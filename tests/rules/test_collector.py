"""How definitions change earlier ones, in one file and across files."""

from __future__ import annotations

import pytest

from tests.rules.builders import load, rule

CHANGES: dict[str, tuple[str, list[str]]] = {
    "append to nothing": ("- rule: q\n  append: true\n  condition: and a\n", ["W:DEPRECATED_ITEM", "E:ERR_VALIDATE"]),
    "append nothing": ("- rule: r\n  append: true\n", ["W:DEPRECATED_ITEM", "E:ERR_VALIDATE"]),
    "append an empty condition": (
        '- rule: r\n  append: true\n  condition: ""\n',
        ["W:DEPRECATED_ITEM", "E:ERR_YAML_VALIDATE"],
    ),
    "append and override": (
        "- rule: r\n  append: true\n  condition: and a.b exists\n  override: {condition: append}\n",
        ["W:DEPRECATED_ITEM", "E:ERR_YAML_VALIDATE"],
    ),
    "override nothing that is there": ("- rule: q\n  desc: x\n  override: {desc: replace}\n", ["E:ERR_VALIDATE"]),
    "override a missing key": (
        "- rule: r\n  desc: x\n  override: {desc: replace, output: append}\n",
        ["E:ERR_YAML_VALIDATE"],
    ),
    "a key that override does not name": (
        "- rule: r\n  desc: x\n  output: y\n  override: {desc: replace}\n",
        ["E:ERR_YAML_VALIDATE"],
    ),
    "append to a priority": (
        "- rule: r\n  priority: DEBUG\n  override: {priority: append}\n",
        ["E:ERR_YAML_VALIDATE"],
    ),
    "override the source": ("- rule: r\n  source: x\n  override: {source: replace}\n", ["E:ERR_YAML_VALIDATE"]),
    "another way to override": ("- rule: r\n  desc: x\n  override: {desc: merge}\n", ["E:ERR_YAML_VALIDATE"]),
    "an empty override": ("- rule: r\n  desc: x\n  override: {}\n", ["E:ERR_YAML_VALIDATE"] * 3),
    "a list as override": ("- rule: r\n  desc: x\n  override: [desc]\n", ["E:ERR_VALIDATE"]),
    "another source": (
        "- rule: r\n  source: syscall\n  desc: x\n  override: {desc: replace}\n",
        ["E:ERR_VALIDATE"],
    ),
    "a definition with another source": (rule().replace("k8s_audit", "aws"), ["E:ERR_VALIDATE"]),
    "switch nothing": ("- rule: q\n  enabled: true\n", ["W:DEPRECATED_ITEM", "E:ERR_VALIDATE"]),
    "append to a list that is not there": (
        "- list: l\n  items: [a]\n  override: {items: append}\n",
        ["E:ERR_VALIDATE"],
    ),
    "append to a macro that is not there": (
        "- macro: m\n  condition: a\n  override: {condition: append}\n",
        ["E:ERR_VALIDATE"],
    ),
    "replace a macro that is not there": (
        "- macro: m\n  condition: a.b exists\n  override: {condition: replace}\n",
        [],
    ),
    "override a list's condition": (
        "- list: l\n  items: [a]\n  override: {condition: append}\n",
        ["E:ERR_YAML_VALIDATE"],
    ),
}


@pytest.mark.parametrize("name", CHANGES)
def test_changes_that_are_refused(name: str) -> None:
    """Each change gives just the diagnostics it should, and an error leaves the rule as it was."""
    text, codes = CHANGES[name]
    loaded = load(rule(), text)
    assert loaded.codes == codes
    assert loaded.condition() == '(= ka.verb "create")'


def test_appending_joins_with_a_blank() -> None:
    """Condition, output and description are joined, tags and exceptions added."""
    change = (
        "- rule: r\n  condition: and a.b exists\n  output: too\n  desc: more\n  tags: [z]\n"
        "  exceptions: [{name: e, fields: [c.d], values: [[x]]}]\n"
        "  override: {condition: append, output: append, desc: append, tags: append, exceptions: append}\n"
    )
    loaded = load(rule(more="tags: [a]"), change)
    found = loaded.rules["r"]
    assert loaded.diagnostics == ()
    assert loaded.condition() == '(and (= ka.verb "create") (exists a.b) (not (= c.d "x")))'
    assert (found.output.value, found.description, found.tags) == ("seen too", "a rule more", ("a", "z"))


def test_replacing_and_appending_at_once() -> None:
    """One item may append to some keys and replace others."""
    change = "- rule: r\n  condition: or a.b exists\n  tags: [z]\n  override: {condition: append, tags: replace}\n"
    loaded = load(rule(more="tags: [a]"), change)
    assert loaded.condition() == '(or (= ka.verb "create") (exists a.b))'
    assert loaded.rules["r"].tags == ("z",)


def test_every_part_can_be_replaced() -> None:
    """What override may replace is replaced, the rest stays."""
    change = (
        "- rule: r\n  priority: debug\n  enabled: off\n  output: o\n  desc: d\n  skip-if-unknown-filter: true\n"
        "  warn_evttypes: false\n  capture: true\n  capture_duration: 5000\n  override: {priority: replace, "
        "enabled: replace, output: replace, desc: replace, skip-if-unknown-filter: replace, warn_evttypes: replace, "
        "capture: replace, capture_duration: replace}\n"
    )
    loaded = load(rule(), change)
    found = loaded.rules["r"]
    assert loaded.diagnostics == ()
    assert (found.priority.label, found.enabled, found.output.value, found.description) == ("Debug", False, "o", "d")
    assert found.skip_if_unknown_filter


def test_a_redefinition_keeps_nothing_but_the_place() -> None:
    """A rule of the same name replaces the whole rule, in its place."""
    loaded = load(rule(more="tags: [a]\nenabled: false") + rule(name="s"), rule("ka.verb = get"))
    assert list(loaded.rules) == ["r", "s"]
    assert loaded.rules["r"].tags == ()
    assert loaded.rules["r"].enabled
    assert loaded.condition() == '(= ka.verb "get")'


def test_a_lone_enabled_switches_and_ignores_the_rest() -> None:
    """The deprecated short form changes nothing but whether a rule is on."""
    loaded = load(rule(), "- rule: r\n  enabled: false\n  tags: [x]\n")
    assert loaded.codes == ["W:DEPRECATED_ITEM"]
    assert not loaded.rules["r"].enabled
    assert loaded.rules["r"].tags == ()


def test_a_bad_file_changes_nothing() -> None:
    """All of a file with an error is dropped, and the next file does not see it."""
    loaded = load(rule(), "- macro: m\n  condition: a.b exists\n" + rule("nope"), rule("m", name="s"))
    assert loaded.codes == ["E:ERR_VALIDATE", "E:ERR_VALIDATE"]
    assert loaded.condition() == '(= ka.verb "create")'


def test_rules_of_unknown_sources_are_never_looked_into() -> None:
    """They warn, may be changed, and nothing in them is an error."""
    text = rule("((( nope", "exceptions: [{name: e, fields: [no field], values: []}]").replace("k8s_audit", "aws")
    loaded = load(text, "- rule: r\n  condition: )))\n  override: {condition: append}\n")
    assert loaded.codes == ["W:UNKNOWN_SOURCE"]
    assert loaded.rules == {}


def test_rules_for_system_calls_are_set_aside_with_a_word() -> None:
    """Once, with the file that defines them; a field of audit events in them is an error that names the source."""
    text = rule("proc.name = x").replace("  source: k8s_audit\n", "")
    assert load(text, rule(name="s")).codes == ["W:UNKNOWN_SOURCE"]
    loaded = load(text.replace("proc.name", "ka.verb"))
    assert loaded.codes == ["E:ERR_COMPILE_CONDITION"]
    assert "source: k8s_audit" in loaded.diagnostics[0].help
    assert load(text.replace("proc.name", "ka.verb") + "  skip-if-unknown-filter: yes\n").codes == ["W:UNKNOWN_FILTER"]


def test_a_misspelt_rule_to_change_is_suggested() -> None:
    """The nearest rule is named."""
    loaded = load(rule(name="Pod created"), "- rule: Pod creatd\n  desc: x\n  override: {desc: replace}\n")
    assert loaded.diagnostics[0].help == "did you mean `Pod created`?"
