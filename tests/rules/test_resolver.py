"""Macros, lists and the conditions that come of them."""

from __future__ import annotations

import pytest

from lanner.rules.resolver import MAX_CHECKS, MAX_ITEMS
from tests.rules.builders import load, rule

CONDITIONS: dict[str, tuple[str, str, str]] = {
    "a macro": ("- macro: m\n  condition: a.b = x\n", "m and c.d exists", '(and (= a.b "x") (exists c.d))'),
    "a redefined macro changes its users": (
        "- macro: m\n  condition: a.b = x\n- macro: n\n  condition: m\n- macro: m\n  condition: a.b = y\n",
        "n",
        '(= a.b "y")',
    ),
    "an appended macro": (
        "- macro: m\n  condition: a.b = x\n- macro: m\n  condition: or a.b = y\n  override: {condition: append}\n",
        "not m",
        '(not (or (= a.b "x") (= a.b "y")))',
    ),
    "a negated macro that negates": ("- macro: m\n  condition: not a.b = x\n", "not m", '(= a.b "x")'),
    "a list": ("- list: l\n  items: [x, 'y z']\n", "a.b in (l, w)", '(in a.b ["x", "y z", "w"])'),
    "items are values": (
        "- list: l\n  items: [\"it's\", 'x,y', 'f(x', '\"q r\"']\n",
        "a.b in (l)",
        '(in a.b ["it\'s", "x,y", "f(x", "q r"])',
    ),
    "a list for a modifier": ("- list: l\n  items: [x, y]\n", "a.b glob anyof (l)", '(glob anyof a.b ["x", "y"])'),
    "a bare list of one item": ("- list: l\n  items: [x]\n", "a.b in l", '(in a.b ["x"])'),
    "a bare word that is no list": ("", "a.b in l", '(in a.b ["l"])'),
    "a list name where a value belongs": ("- list: l\n  items: [x]\n", "a.b = l", '(= a.b "l")'),
    "a list name in quotes": ("- list: l\n  items: [x]\n", "a.b in ('l')", '(in a.b ["l"])'),
    "lists of lists of lists": (
        "- list: k\n  items: [x]\n- list: l\n  items: [k, y]\n- list: m\n  items: [l, z]\n",
        "a.b in (m)",
        '(in a.b ["x", "y", "z"])',
    ),
    "a list that is defined later": (
        "- list: l\n  items: [k]\n- list: k\n  items: [x]\n",
        "a.b in (l)",
        '(in a.b ["x"])',
    ),
    "a list that holds its own name": ("- list: l\n  items: [l, x]\n", "a.b in (l)", '(in a.b ["l", "x"])'),
    "lists that hold each other": (
        "- list: k\n  items: [l, x]\n- list: l\n  items: [k, y]\n",
        "a.b in (k)",
        '(in a.b ["k", "y", "x"])',
    ),
    "an empty list": ("- list: l\n  items: []\n", "a.b in (l, x)", '(in a.b ["x"])'),
    "an appended list": (
        "- list: l\n  items: [x]\n- list: l\n  items: [y]\n  override: {items: append}\n",
        "a.b in (l)",
        '(in a.b ["x", "y"])',
    ),
}


@pytest.mark.parametrize("name", CONDITIONS)
def test_what_conditions_become(name: str) -> None:
    """No macro is left, and list names are their items."""
    definitions, condition, expected = CONDITIONS[name]
    loaded = load(definitions + rule(f'"{condition}"' if '"' not in condition else condition))
    assert loaded.diagnostics == ()
    assert loaded.condition() == expected


def test_odd_list_names_work_and_keep_positions() -> None:
    """A name that conditions have no place for is known there all the same."""
    text = "- list: my verbs\n  items: [get, list]\n" + rule("ka.verb in (x, my verbs) and a.b contains 'my verbs (' ")
    loaded = load(text)
    assert loaded.codes == ["W:INVALID_LIST_NAME"]
    assert loaded.condition() == '(and (in ka.verb ["x", "get", "list"]) (contains a.b "my verbs ("))'
    assert load(text.replace("a.b contains", "nope and a.b contains")).words()[-1] == "nope"


ODD_NAMES: dict[str, tuple[str, str, str]] = {
    "that reads as two values": ("v,w", "a.b in (v,w)", '(in a.b ["get"])'),
    "in quotes": ("v w", 'a.b in ("v w")', '(in a.b ["v w"])'),
    "in the argument of a field": (
        "v w",
        'a.b in (v w) and c.d["/v w"] exists',
        '(and (in a.b ["get"]) (exists c.d["/v w"]))',
    ),
    "in the argument of a field alone": ("v w", 'c.d["/ v w "] exists', '(exists c.d["/ v w "])'),
}


@pytest.mark.parametrize("name", ODD_NAMES)
def test_odd_list_names_count_where_a_list_can_stand(name: str) -> None:
    """They come before other readings of the condition, but never into quotes or arguments."""
    odd, condition, expected = ODD_NAMES[name]
    loaded = load(f"- list: {odd}\n  items: [get]\n" + rule(f"'{condition}'"))
    assert loaded.codes == ["W:INVALID_LIST_NAME"]
    assert loaded.condition() == expected


PROBLEMS: dict[str, tuple[str, str, str]] = {
    "unknown": (rule("ka.verb = x and nope"), "nope", "define the macro, or compare a field: `ka.verb = create`."),
    "misspelt": (
        "- macro: kmodify\n  condition: a.b exists\n" + rule(">\n    a.b exists\n    and modify"),
        "modify",
        "did you mean `kmodify`?",
    ),
    "defined later": (
        "- macro: m\n  condition: later\n- macro: later\n  condition: a.b exists\n",
        "later",
        "macro `later` is defined later: a macro sees only those before it, so move it up.",
    ),
    "a list": ("- list: l\n  items: [x]\n" + rule("l"), "l", "`l` is a list: write `field in (l)`."),
    "itself": ("- macro: m\n  condition: a.b exists or m\n", "m", ""),
    "not seen before its own addition": (
        "- macro: m\n  condition: a.b exists\n- macro: m\n  condition: or m\n  override: {condition: append}\n",
        "m",
        "a macro cannot contain itself, not even by way of others.",
    ),
    "each other": (
        "- macro: m\n  condition: a.b exists\n- macro: n\n  condition: m\n- macro: m\n  condition: n\n",
        "m",
        "a macro cannot contain itself, not even by way of others.",
    ),
    "only once for its users": ("- macro: m\n  condition: ghost\n" + rule("m") + rule("not m", name="s"), "ghost", ""),
    "in an appended condition": (
        rule("a.b exists") + '- rule: r\n  condition: "and\\n nope"\n  override: {condition: append}\n',
        "nope",
        "",
    ),
}


@pytest.mark.parametrize("name", PROBLEMS)
def test_unknown_macros(name: str) -> None:
    """There is one error, at the very word."""
    text, word, advice = PROBLEMS[name]
    loaded = load(text)
    assert loaded.codes == ["E:ERR_VALIDATE"]
    assert loaded.words() == [word]
    assert loaded.diagnostics[0].help == advice or not advice


def test_a_word_in_another_file_is_pointed_at_there() -> None:
    """An appended condition of a second file has its own places."""
    loaded = load(rule("a.b exists"), "- rule: r\n  condition: and nope\n  override: {condition: append}\n")
    span = loaded.diagnostics[0].span
    assert span is not None
    assert span.location[:3] == ("1.yaml", 2, 18)


def test_conditions_that_do_not_parse_are_all_told_macros_first() -> None:
    """One diagnostic for each, where the text goes wrong."""
    loaded = load(
        rule("a.b =") + "- macro: m\n  condition: and\n- macro: n\n  condition: a.b = (\n" + rule("m", name="s")
    )
    assert [(d.code.value, d.context[0].name) for d in loaded.diagnostics] == [
        ("LOAD_ERR_COMPILE_CONDITION", "n"),
        ("LOAD_ERR_VALIDATE", "m"),
        ("LOAD_ERR_COMPILE_CONDITION", "r"),
    ]


def test_bare_lists_of_several_items_are_refused() -> None:
    """Only a list of one item may stand without parentheses."""
    loaded = load("- list: l\n  items: [x, y]\n" + rule("a.b in l"))
    assert loaded.codes == ["E:ERR_COMPILE_CONDITION"]
    assert loaded.diagnostics[0].help == "write `(l)`."


def test_names_used_are_told_in_order_of_first_use() -> None:
    """Directly or by way of others."""
    loaded = load(
        "- list: k\n  items: [x]\n- list: l\n  items: [k]\n- list: e\n  items: [z]\n"
        "- macro: m\n  condition: a.b in (l)\n- macro: n\n  condition: not m\n"
        + rule("n and a.b in (k)", "exceptions: [{name: e, fields: a.b, values: [e]}]")
    )
    assert loaded.rules["r"].macros == ("n", "m")
    assert loaded.rules["r"].lists == ("l", "k", "e")


def test_unused_macros_and_lists() -> None:
    """What is used by anything that is defined, even if that is not used itself, is used."""
    text = (
        "- list: in_macro\n  items: [x]\n- list: in_list\n  items: [x]\n- list: outer\n  items: [in_list]\n"
        "- list: as_value\n  items: [x]\n- list: later\n  items: [after]\n- list: after\n  items: []\n"
        "- macro: inner\n  condition: a.b in (in_macro)\n- macro: top\n  condition: inner and a.b = as_value\n"
    )
    loaded = load(text, unused=True)
    assert [(d.code.value, d.context[0].name) for d in loaded.diagnostics] == [
        ("LOAD_UNUSED_MACRO", "top"),
        ("LOAD_UNUSED_LIST", "outer"),
        ("LOAD_UNUSED_LIST", "as_value"),
        ("LOAD_UNUSED_LIST", "later"),
        ("LOAD_UNUSED_LIST", "after"),
    ]


def test_macros_in_macros_have_a_limit() -> None:
    """Forty macros that double each other end in an error, not in a full memory."""
    doubling = "".join(f"- macro: m{i}\n  condition: m{i - 1} or m{i - 1}\n" for i in range(1, 40))
    loaded = load("- macro: m0\n  condition: a.b exists\n" + doubling + rule("m39"))
    assert loaded.codes == ["E:ERR_VALIDATE"]
    assert f"{MAX_CHECKS:,}" in loaded.diagnostics[0].message


def test_lists_in_lists_have_a_limit() -> None:
    """Forty lists that treble each other end in an error, not in a full memory."""
    trebling = "".join(f"- list: l{i}\n  items: [l{i - 1}, l{i - 1}, l{i - 1}]\n" for i in range(1, 40))
    loaded = load("- list: l0\n  items: [x]\n" + trebling + rule("a.b in (l39)"))
    assert loaded.codes == ["E:ERR_VALIDATE"]
    assert f"{MAX_ITEMS:,}" in loaded.diagnostics[0].message


def test_long_chains_need_no_recursion() -> None:
    """2,000 macros and lists, each referring to the next, are fine."""
    macros = "".join(f"- macro: m{i}\n  condition: a.b exists\n" for i in range(2000))
    chained = "".join(f"- macro: m{i}\n  condition: m{i + 1}\n" for i in range(1999))
    lists = "".join(f"- list: l{i}\n  items: [l{i + 1}]\n" for i in range(2000))
    loaded = load(macros + chained + lists + rule("m0 and a.b in (l0)"))
    assert loaded.diagnostics == ()
    assert loaded.condition() == '(and (exists a.b) (in a.b ["l2000"]))'
