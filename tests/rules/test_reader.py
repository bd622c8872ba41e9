"""What may stand in a rules file, and what is said of what may not."""

from __future__ import annotations

import pytest

from tests.rules.builders import load, rule

PROBLEMS: dict[str, tuple[str, list[str]]] = {
    "a mapping instead of a list": ("rule: r\ndesc: d\n", ["E:ERR_YAML_VALIDATE"]),
    "a text instead of a list": ("hello\n", ["E:ERR_YAML_VALIDATE"]),
    "an item that is a list": ("- [a]\n", ["E:ERR_YAML_VALIDATE"]),
    "an unknown item": ("- rul: r\n", ["W:UNKNOWN_ITEM"]),
    "an empty item": ("- {}\n", ["W:UNKNOWN_ITEM"]),
    "null items": ("- ~\n-\n- null\n", []),
    "no items at all": ("[]\n", []),
    "a null name": ("- list:\n  items: []\n", ["E:ERR_YAML_VALIDATE"]),
    "a name that is a mapping": ("- rule: {a: b}\n", ["E:ERR_YAML_VALIDATE"]),
    "a list without items": ("- list: l\n", ["E:ERR_YAML_VALIDATE"]),
    "items that are no list": ("- list: l\n  items: a\n", ["E:ERR_YAML_VALIDATE"]),
    "null items of a list": ("- list: l\n  items: ~\n", ["E:ERR_YAML_VALIDATE"]),
    "every bad item of a list": ("- list: l\n  items: [a, ~, [b], 'Null', {}]\n", ["E:ERR_YAML_VALIDATE"] * 3),
    "a macro without condition": ("- macro: m\n", ["E:ERR_YAML_VALIDATE"]),
    "an empty condition": ('- macro: m\n  condition: ""\n', ["E:ERR_YAML_VALIDATE"]),
    "a rule that only switches": ("- rule: r\n", ["E:ERR_YAML_VALIDATE"]),
    "each missing key of a rule": ("- rule: r\n  condition: a\n", ["E:ERR_YAML_VALIDATE"] * 3),
    "a bad priority": (rule().replace("WARNING", "HIGH"), ["E:ERR_YAML_VALIDATE"]),
    "a bad flag": (rule(more="enabled: maybe"), ["E:ERR_YAML_VALIDATE"]),
    "a null flag": (rule(more="enabled:"), ["E:ERR_YAML_VALIDATE"]),
    "a duration in octal": (rule(more="capture_duration: 017"), []),
    "a duration that is no number": (rule(more="capture_duration: 018"), ["E:ERR_YAML_VALIDATE"]),
    "a duration over 32 bits": (rule(more="capture_duration: 4294967296"), ["E:ERR_YAML_VALIDATE"]),
    "tags that are no list": (rule(more="tags: a"), ["E:ERR_YAML_VALIDATE"]),
    "an unknown key": (rule(more="severity: high"), ["W:UNKNOWN_KEY"]),
    "an unknown key in a bad item": (rule(more="severity: high\nenabled: 7"), ["E:ERR_YAML_VALIDATE"]),
    "a merge key": (rule(more="<<: {tags: [x]}"), ["W:UNKNOWN_KEY"]),
    "a key of another kind of item": ("- list: l\n  items: []\n  rule: r\n", ["W:UNKNOWN_KEY"]),
    "an odd list name": ("- list: my verbs\n  items: []\n", ["W:INVALID_LIST_NAME"]),
    "an odd macro name": ("- macro: my-macro\n  condition: a.b exists\n", ["W:INVALID_MACRO_NAME"]),
    "an engine version": ("- required_engine_version: 0.31.0\n", []),
    "an engine number": ("- required_engine_version: 26\n", []),
    "an engine number that is too new": ("- required_engine_version: 64\n", ["E:ERR_VALIDATE"]),
    "another major version": ("- required_engine_version: 1.0.0\n", ["E:ERR_VALIDATE"]),
    "half an engine version": ("- required_engine_version: 0.31\n", ["E:ERR_YAML_VALIDATE"]),
    "a negative engine number": ("- required_engine_version: -1\n", ["E:ERR_YAML_VALIDATE"]),
    "no engine version": ("- required_engine_version:\n", ["E:ERR_YAML_VALIDATE"]),
    "an unclosed bracket": ("- rule: [r\n", ["E:ERR_YAML_PARSE"]),
    "an unknown alias": ("- list: *nope\n  items: []\n", ["E:ERR_YAML_PARSE"]),
    "two documents, one of them bad": ("- list: l\n  items: []\n---\na: b\n", ["E:ERR_YAML_VALIDATE"]),
    "exceptions that are no list": (rule(more="exceptions: {}"), ["E:ERR_YAML_VALIDATE"]),
    "an exception that is no mapping": (rule(more="exceptions: [e]"), ["E:ERR_YAML_VALIDATE"]),
    "null exceptions": (rule(more="exceptions:"), []),
}


@pytest.mark.parametrize("name", PROBLEMS)
def test_problems_of_items(name: str) -> None:
    """Each form gives just the diagnostics it should, all of them at once."""
    text, codes = PROBLEMS[name]
    assert load(text).codes == codes


PLUGINS: dict[str, tuple[str, list[str]]] = {
    "present": ("[{name: k8saudit, version: 0.18.0}]", []),
    "older is fine": ("[{name: k8saudit, version: 0.7.0}, {name: json, version: 0.7.0}]", []),
    "too new": ("[{name: k8saudit, version: 0.99.0}]", ["E:PLUGIN_REQUIREMENT"]),
    "another major": ("[{name: k8saudit, version: 1.0.0}]", ["E:PLUGIN_REQUIREMENT"]),
    "not there": ("[{name: cloudtrail, version: 0.1.0}]", ["E:PLUGIN_REQUIREMENT"]),
    "an alternative is there": (
        "[{name: k8saudit-eks, version: 0.4.0, alternatives: [{name: k8saudit, version: 0.7.0}]}]",
        [],
    ),
    "the first that is there decides": (
        "[{name: k8saudit, version: 0.99.0, alternatives: [{name: json, version: 0.7.0}]}]",
        ["E:PLUGIN_REQUIREMENT"],
    ),
    "one name twice": (
        "[{name: k8saudit, version: 0.7.0, alternatives: [{name: k8saudit, version: 0.8.0}]}]",
        ["E:ERR_VALIDATE"],
    ),
    "not a version": ("[{name: k8saudit, version: 0.7}]", ["E:ERR_VALIDATE"]),
    "no name": ("[{version: 0.7.0}]", ["E:ERR_YAML_VALIDATE"]),
    "no mapping": ("[k8saudit]", ["E:ERR_YAML_VALIDATE"]),
    "no list": ("k8saudit", ["E:ERR_YAML_VALIDATE"]),
    "alternatives that are no list": ("[{name: json, version: 0.7.0, alternatives: x}]", ["E:ERR_YAML_VALIDATE"]),
}


@pytest.mark.parametrize("name", PLUGINS)
def test_plugin_requirements(name: str) -> None:
    """Requirements on plugins are read and held against the plugins that are stood in for."""
    text, codes = PLUGINS[name]
    assert load(f"- required_plugin_versions: {text}\n").codes == codes


@pytest.mark.parametrize("word", ["y", "Yes", "TRUE", "on", "'true'"])
def test_true_words(word: str) -> None:
    """The words of yaml-cpp, quoted or not, switch a rule on."""
    assert load(rule(more=f"enabled: {word}")).rules["r"].enabled


@pytest.mark.parametrize("word", ["n", "No", "FALSE", "off", '"false"'])
def test_false_words(word: str) -> None:
    """The words of yaml-cpp, quoted or not, switch a rule off."""
    assert not load(rule(more=f"enabled: {word}")).rules["r"].enabled


def test_scalars_keep_their_text() -> None:
    """No scalar becomes a number, a date or a truth value, and the first of equal keys counts."""
    items = "[1.10, yes, 0x1F, 2024-03-05, 012, 1e3, on, 'null']"
    loaded = load(f"- list: l\n  items: {items}\n  items: [x]\n" + rule("ka.verb in (l)", "tags: [2, 1, 1]", "123"))
    assert loaded.condition("123") == ('(in ka.verb ["1.10", "yes", "0x1F", "2024-03-05", "012", "1e3", "on", "null"])')
    assert loaded.rules["123"].tags == ("1", "2")


def test_the_output_is_trimmed_and_the_description_is_not() -> None:
    """As in Falco."""
    loaded = load("- {rule: r, desc: ' d ', output: ' o ', condition: a.b exists, priority: INFO, source: k8s_audit}")
    assert (loaded.rules["r"].output.value, loaded.rules["r"].description) == ("o", " d ")


def test_misspelt_words_are_suggested() -> None:
    """Keys, items and priorities that are nearly right bring the right one along."""
    text = "- rulee: x\n- macro: m\n  condition: a.b exists\n  conditoin: x\n" + rule().replace("WARNING", "waring")
    assert [d.help for d in load(text).diagnostics] == [
        "did you mean `rule`?",
        "did you mean `condition`?",
        "did you mean `warning`?",
    ]


def test_problems_come_in_the_order_of_the_file() -> None:
    """Reading an item and fitting it in are told before the next item."""
    text = "- list: a\n  append: true\n  items: []\n- list: b\n  items: 3\n- list: c\n  append: yes\n  items: []\n"
    codes = ["W:DEPRECATED_ITEM", "E:ERR_VALIDATE", "E:ERR_YAML_VALIDATE", "W:DEPRECATED_ITEM", "E:ERR_VALIDATE"]
    assert load(text).codes == codes


def test_what_could_not_be_read_is_no_further_problem() -> None:
    """Those who use or change a broken item are not blamed for it."""
    text = (
        "- macro: m\n  condition: []\n- macro: m\n  condition: or a.b = c\n  override: {condition: append}\n"
        + rule("m")
        + "- rule: q\n  condition: x\n- rule: q\n  enabled: false\n  override: {enabled: replace}\n"
    )
    assert load(text).codes == ["E:ERR_YAML_VALIDATE"] * 4
