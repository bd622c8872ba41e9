"""Exceptions in all their forms."""

from __future__ import annotations

import pytest

from lanner.condition.ast import FieldRef
from tests.rules.builders import load, rule

LISTS = "- list: people\n  items: [dana, 'bob the builder']\n"

CONDITIONS: dict[str, tuple[str, str]] = {
    "the default operator": ("fields: [a.b], values: [[x]]", '(= a.b "x")'),
    "several fields": ("fields: [a.b, c.d], values: [[x, y]]", '(and (= a.b "x") (= c.d "y"))'),
    "several values": ("fields: [a.b], values: [[x], [y]]", '(or (= a.b "x") (= a.b "y"))'),
    "a flat list": ("fields: a.b, values: [x, y]", '(in a.b ["x", "y"])'),
    "a flat list with an operator": ("fields: a.b, comps: pmatch, values: [/x, /y]", '(pmatch a.b ["/x", "/y"])'),
    "a flat list with a modifier": (
        "fields: a.b, comps: startswith anyof, values: [x]",
        '(startswith anyof a.b ["x"])',
    ),
    "a list operator": ("fields: [a.b], comps: [in], values: [[[x, y]]]", '(in a.b ["x", "y"])'),
    "one value for a list operator": ("fields: [a.b], comps: [in], values: [[x]]", '(in a.b ["x"])'),
    "a list name": (
        "fields: [a.b], comps: [in], values: [[people], [(people)], [[people, x]]]",
        (
            '(or (in a.b ["dana", "bob the builder"]) (in a.b ["dana", "bob the builder"]) '
            '(in a.b ["dana", "bob the builder", "x"]))'
        ),
    ),
    "a list name where no list belongs": ("fields: [a.b], values: [[people]]", '(= a.b "people")'),
    "a written list": ("fields: [a.b], comps: [in], values: [['(x, \"y z\")']]", '(in a.b ["x", "y z"])'),
    "a modifier": (
        "fields: [a.b], comps: [endswith oneof], values: [[[x, y]], [z]]",
        '(or (endswith oneof a.b ["x", "y"]) (endswith oneof a.b ["z"]))',
    ),
    "the double equals sign": ("fields: [a.b], comps: [==], values: [[x]]", '(= a.b "x")'),
    "a number": ("fields: [len(a.b)], comps: ['>='], values: [[0x10]]", '(>= len(a.b) "0x10")'),
    "a transformer": ("fields: ['tolower(a.b)'], values: [[x]]", '(= tolower(a.b) "x")'),
    "no character means anything": (
        'fields: [a.b], values: [["it\'s"], ["x,y"], ["f(x"], ["tolower(c.d)"], ["a b"], ["=" ]]',
        '(or (= a.b "it\'s") (= a.b "x,y") (= a.b "f(x") (= a.b "tolower(c.d)") (= a.b "a b") (= a.b "="))',
    ),
    "quotes within the value": ("fields: [a.b], values: [['\"x y\"'], [\"'z'\"]]", '(or (= a.b "x y") (= a.b "z"))'),
}


@pytest.mark.parametrize("name", CONDITIONS)
def test_what_an_exception_becomes(name: str) -> None:
    """The rule's condition and not the exception."""
    text, expected = CONDITIONS[name]
    loaded = load(LISTS + rule(more=f"exceptions: [{{name: e, {text}}}]"))
    assert loaded.diagnostics == ()
    assert loaded.condition() == f'(and (= ka.verb "create") (not {expected}))'


def test_field_arguments_in_quotes_may_hold_anything() -> None:
    """A blank or a bracket in a quoted argument is part of it."""
    loaded = load(rule(more="exceptions:\n  - name: e\n    fields: ['a.b[\"c ] d\"]']\n    values: [[x]]"))
    assert loaded.condition() == '(and (= ka.verb "create") (not (= a.b["c ] d"] "x")))'


@pytest.mark.parametrize("values", ["", ", values: []"])
@pytest.mark.parametrize("fields", ["a.b", "[a.b, c.d]"])
def test_an_exception_without_values_changes_nothing(fields: str, values: str) -> None:
    """It is there to be filled."""
    loaded = load(rule(more=f"exceptions: [{{name: e, fields: {fields}{values}}}]"))
    assert loaded.diagnostics == ()
    assert loaded.condition() == '(= ka.verb "create")'


PROBLEMS: dict[str, tuple[str, list[str]]] = {
    "no name": ("fields: a.b", ["E:ERR_YAML_VALIDATE"]),
    "no fields": ("name: e, values: [[x]]", ["E:ERR_YAML_VALIDATE"]),
    "null fields": ("name: e, fields: ~", ["E:ERR_VALIDATE"]),
    "an empty list of fields": ("name: e, fields: []", ["E:ERR_VALIDATE"]),
    "an empty field": ("name: e, fields: ''", ["E:ERR_YAML_VALIDATE"]),
    "not a field": ("name: e, fields: [a b]", ["E:ERR_VALIDATE"]),
    "a field that does not exist": ("name: e, fields: [no.field]", ["E:ERR_VALIDATE"]),
    "a list of lists of fields": ("name: e, fields: [[a.b]]", ["E:ERR_VALIDATE"]),
    "more fields than operators": ("name: e, fields: [a.b, c.d], comps: [in]", ["E:ERR_VALIDATE"]),
    "one operator for a list of fields": ("name: e, fields: [a.b], comps: in", ["E:ERR_VALIDATE"]),
    "a list of operators for one field": ("name: e, fields: a.b, comps: [in]", ["E:ERR_VALIDATE"]),
    "an operator that takes no list": ("name: e, fields: a.b, comps: startswith", ["E:ERR_VALIDATE"]),
    "no operator": ("name: e, fields: [a.b], comps: [like]", ["E:ERR_VALIDATE"]),
    "values that are no list": ("name: e, fields: a.b, values: x", ["E:ERR_YAML_VALIDATE"]),
    "lists for a single field": ("name: e, fields: a.b, values: [[x]]", ["E:ERR_VALIDATE"]),
    "no lists for several fields": ("name: e, fields: [a.b], values: [x]", ["E:ERR_VALIDATE"]),
    "too few parts": ("name: e, fields: [a.b, c.d], values: [[x]]", ["E:ERR_VALIDATE"]),
    "an empty value": ("name: e, fields: a.b, values: ['']", ["E:ERR_YAML_VALIDATE"]),
    "a null value": ("name: e, fields: [a.b], values: [[~]]", ["E:ERR_COMPILE_CONDITION"]),
    "a null among values": ("name: e, fields: a.b, values: [x, ~]", ["E:ERR_COMPILE_CONDITION"]),
    "a null in a list of values": (
        "name: e, fields: [a.b], comps: [in], values: [[[x, ~]]]",
        ["E:ERR_COMPILE_CONDITION"],
    ),
    "a list for one value": ("name: e, fields: [a.b], values: [[[x]]]", ["E:ERR_COMPILE_CONDITION"]),
    "a value for exists": ("name: e, fields: [a.b], comps: [exists], values: [[x]]", ["E:ERR_COMPILE_CONDITION"]),
    "a word for a number": ("name: e, fields: [a.b], comps: ['<'], values: [[x]]", ["E:ERR_COMPILE_CONDITION"]),
    "a broken written list": ("name: e, fields: [a.b], comps: [in], values: [['(x']]", ["E:ERR_COMPILE_CONDITION"]),
    "an unknown key": ("name: e, fields: a.b, value: [x]", ["W:UNKNOWN_KEY"]),
}


def check_field(field: FieldRef) -> tuple[str, str] | None:
    return ("there is no such field", "") if field.name == "no.field" else None


@pytest.mark.parametrize("replacing", [False, True])
@pytest.mark.parametrize("name", PROBLEMS)
def test_problems_of_exceptions(name: str, replacing: bool) -> None:
    """Said of a new rule and of an exception that replaces others alike."""
    text, codes = PROBLEMS[name]
    exceptions = f"exceptions: [{{{text}}}]"
    if replacing:
        loaded = load(
            rule(), f"- rule: r\n  {exceptions}\n  override: {{exceptions: replace}}\n", check_field=check_field
        )
    else:
        loaded = load(rule(more=exceptions), check_field=check_field)
    assert loaded.codes == codes


APPENDED: dict[str, tuple[str, list[str], str]] = {
    "more values": ("name: e, values: [[y]]", [], '(or (= a.b "x") (= a.b "y"))'),
    "nothing": ("name: e", ["W:APPEND_NO_VALUES"], '(= a.b "x")'),
    "fields of an old one": ("name: e, fields: [a.b], values: [[y]]", ["E:ERR_VALIDATE"], '(= a.b "x")'),
    "operators of an old one": ("name: e, comps: [in], values: [[y]]", ["E:ERR_VALIDATE"], '(= a.b "x")'),
    "a new one without fields": ("name: n, values: [[y]]", ["E:ERR_VALIDATE"], '(= a.b "x")'),
    "a new one without values": (
        "name: n, fields: [a.b]",
        ["W:APPEND_NO_VALUES", "E:ERR_VALIDATE"],
        '(= a.b "x")',
    ),
    "too few parts": ("name: e, values: [[]]", ["E:ERR_VALIDATE"], '(= a.b "x")'),
}


@pytest.mark.parametrize("name", APPENDED)
def test_appending_to_exceptions(name: str) -> None:
    """An old exception takes values only, a new one needs all its parts."""
    text, codes, expected = APPENDED[name]
    first = rule(more="exceptions: [{name: e, fields: [a.b], values: [[x]]}]")
    change = f"- rule: r\n  exceptions: [{{{text}}}]\n  override: {{exceptions: append}}\n"
    loaded = load(first, change)
    assert loaded.codes == codes
    assert loaded.condition() == f'(and (= ka.verb "create") (not {expected}))'


def test_two_exceptions_of_one_name_warn_and_both_count() -> None:
    """The second does not replace the first."""
    one = "{name: e, fields: [a.b], values: [[x]]}"
    loaded = load(rule(more=f"exceptions: [{one}, {one}]"))
    assert loaded.codes == ["W:EXCEPTION_NAME_NOT_UNIQUE"]
    assert loaded.condition() == '(and (= ka.verb "create") (not (= a.b "x")) (not (= a.b "x")))'


def test_problems_point_at_the_word() -> None:
    """The wrong operator, not the exception, is underlined, and the context names it."""
    loaded = load(rule(more="exceptions:\n  - name: e\n    fields: [a.b]\n    comps: ['like']"))
    assert loaded.words() == ["'like'"]
    assert [(context.kind, context.name) for context in loaded.diagnostics[0].context] == [
        ("rule", "r"),
        ("exception", "e"),
    ]
