"""Whatever stands in a rules file, the outcome is diagnostics with places in the file."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lanner.diagnostics.diagnostic import Diagnostic
from lanner.diagnostics.render import falco_json, render_text
from tests.rules.builders import load, rule

WHOLE = (
    "- required_engine_version: 0.31.0\n"
    "- required_plugin_versions: [{name: k8saudit, version: 0.7.0, alternatives: [{name: json, version: 0.7.0}]}]\n"
    "- list: verbs\n  items: [create, 'a b', \"c\"]\n"
    "- list: more\n  items: [verbs, update]\n"
    "- macro: modify\n  condition: >\n    (ka.verb in (more) or\n     ka.verb = patch)\n"
    "- macro: modify\n  condition: and not jevt.value[/x] exists\n  override: {condition: append}\n"
    + rule(
        "modify and len(ka.uri) > 5",
        "tags: [a, b]\nenabled: true\nexceptions:\n  - name: e\n    fields: [ka.user.name, ka.uri]\n"
        "    comps: [in, startswith]\n    values:\n      - [[x, y], /z]\n  - {name: f, fields: ka.verb, values: [q]}",
    )
    + "- rule: r\n  tags: [z]\n  override: {tags: append}\n---\n- rule: r\n  enabled: off\n"
)
PIECES = (
    "condition",
    "override",
    "append",
    "replace",
    "items",
    "~",
    "[",
    "]",
    "{",
    "}",
    ": ",
    "- ",
    "\n",
    "'",
    '"',
    "|",
    ">",
)


def check(diagnostics: tuple[Diagnostic, ...], text: str) -> None:
    """All places lie in the file, and both renderings work."""
    for diagnostic in diagnostics:
        spans = [diagnostic.span, *(context.span for context in diagnostic.context)]
        for span in spans:
            if span is not None and span.source.text == text:
                assert 0 <= span.start <= len(text)
                assert span.start <= span.end
        assert diagnostic.message
        assert not diagnostic.message.endswith(".")
    assert render_text(diagnostics).count("[LOAD_") <= max(1, len(diagnostics)) * 10
    falco_json([("f", diagnostics)])


def test_the_whole_file_is_fine() -> None:
    """What the other tests spoil is good to begin with."""
    assert load(WHOLE).codes == ["W:DEPRECATED_ITEM"]


@pytest.mark.property
@given(st.text(max_size=200))
def test_any_text(text: str) -> None:
    """Any characters at all."""
    check(load(text, unused=True).diagnostics, text)


@pytest.mark.property
@given(
    st.lists(
        st.tuples(
            st.integers(0, len(WHOLE)),
            st.integers(0, 12),
            st.one_of(st.sampled_from(PIECES), st.text(max_size=3)),
        ),
        min_size=1,
        max_size=4,
    )
)
def test_a_good_file_with_pieces_changed(changes: list[tuple[int, int, str]]) -> None:
    """Some characters of a good file are replaced by others."""
    text = WHOLE
    for place, length, piece in changes:
        text = text[:place] + piece + text[place + length :]
    check(load(text, unused=True).diagnostics, text)


NODES = st.recursive(
    st.sampled_from(["~", "''", "a.b", "x", "yes", "append", "replace", "in", "'a b'", "0.7.0", "a.b = x", "and y"]),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3).map(lambda items: "[" + ", ".join(items) + "]"),
        st.dictionaries(
            st.sampled_from(["name", "fields", "comps", "values", "condition", "items", "tags", "version", "~", "{}"]),
            inner,
            max_size=3,
        ).map(lambda pairs: "{" + ", ".join(f"{key}: {value}" for key, value in pairs.items()) + "}"),
    ),
    max_leaves=6,
)
KEYS = (
    *("rule", "macro", "list", "condition", "output", "desc", "priority", "source", "enabled", "tags", "exceptions"),
    *("append", "override", "items", "required_engine_version", "required_plugin_versions", "skip-if-unknown-filter"),
)


@pytest.mark.property
@given(st.lists(st.dictionaries(st.sampled_from(KEYS), NODES, min_size=1, max_size=7), max_size=4))
def test_any_values_under_known_keys(items: list[dict[str, str]]) -> None:
    """Every key may hold anything."""
    text = "".join("- {" + ", ".join(f"{key}: {value}" for key, value in item.items()) + "}\n" for item in items)
    check(load(text, unused=True).diagnostics, text)
