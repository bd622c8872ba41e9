"""The first items of texts that have very many."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lanner.jsontext.thinning import MAX_READINGS, thinned

JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=60,
)


@pytest.mark.parametrize(
    ("text", "max_items", "kept"),
    [
        ("[1,2,3]", 2, "[1,2,3]"),
        ("[1,2,3,4]", 2, "[1,2]"),
        ('{"a": [1, 2, 3, 4, 5, 6, 7, 8], "b": 1, "c": [{}]}', 6, '{"a":[1,2,3],"b":1,"c":[{}]}'),
        ('[{"a":[1,2,3,4]},5]', 3, '[{"a":[1]}]'),
        ('{"a":[1,2,3,4,5,6],"b":[1,2,3,4,5,6]}', 8, '{"a":[1,2,3],"b":[1,2,3]}'),
        ('{"a":1,"b":2,"c":3,"d":4}', 2, '{"a":1}'),
        ('{"a":{"b":1,"c":2},"d":3,"e":4,"f":5,"g":6,"h":7}', 4, '{"a":{"b":1,"c":2},"d":3}'),
        ('{"a":[1,2,3,4,5,6],"\\u0061":[7],"b":0}', 6, '{"\\u0061":[7],"b":0}'),
        ('  [ 1 , 2 , 3 , 4 ]  ', 2, "[1,2]"),
        (f'"{"," * 9}"', 2, f'"{"," * 9}"'),
        ('["\\ud800",2,3,4]', 2, '["\\ud800",2]'),
    ],
)  # fmt: skip
def test_cases(text: str, max_items: int, kept: str) -> None:
    """Arrays lose their last elements; small members stay whole, large ones share what is left."""
    assert thinned(text.encode(), max_items).decode() == kept


@given(JSON_VALUES, st.integers(1, 30))
def test_any_value(value: Any, max_items: int) -> None:
    """What is left is JSON, has about that many items, and is a part of the value."""
    text = json.dumps(value, ensure_ascii=False).encode()
    kept = thinned(text, max_items)
    if text.count(b",") <= max_items:
        assert kept == text
    assert is_part(json.loads(kept), value)


def is_part(part: Any, whole: Any) -> bool:
    """Whether lists are beginnings and mappings have some of the members, each a part."""
    if isinstance(whole, list):
        return isinstance(part, list) and len(part) <= len(whole) and all(map(is_part, part, whole))
    if isinstance(whole, dict):
        return isinstance(part, dict) and all(key in whole and is_part(part[key], whole[key]) for key in part)
    return bool(part == whole)


@given(st.integers(1, 30), st.integers(0, 3), st.integers(1, 50))
def test_items_are_bounded(max_items: int, depth: int, width: int) -> None:
    """Whatever nests in whatever."""
    value: Any = [0] * width
    for level in range(depth):
        value = [value] * 5 if level % 2 else {f"key{number}": value for number in range(5)}
    assert thinned(json.dumps(value, separators=(",", ":")).encode(), max_items).count(b",") <= 2 * max_items


def test_what_lies_very_deep_is_emptied() -> None:
    """Each level reads its text once more, so deep ones would cost a multiple of it."""
    text = b"[" * 40 + b"1," * 100 + b"1" + b"]" * 40
    assert b"1" not in thinned(text, 50)
    dense = b'{"a":' * 40 + b"[" + b"1," * 100 + b"1]" + b"}" * 40
    kept = thinned(dense, 50)
    assert kept == b'{"a":' * kept.count(b"a") + b"{}" + b"}" * kept.count(b"a")
    assert MAX_READINGS - 1 <= kept.count(b"a") < 40


def test_containers_of_a_cron_job_are_read() -> None:
    """Nothing that has containers has them deeper."""
    keys = ("requestObject", "spec", "jobTemplate", "spec", "template", "spec", "containers")
    text = b"{" + b"{".join(b'"%b":' % key.encode() for key in keys) + b"[" + b"{}," * 100 + b"{}]" + b"}" * len(keys)
    assert thinned(text, 50).count(b"{}") > 10
