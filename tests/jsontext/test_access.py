"""The one door to JSON text: the same answers whether msgspec or the scanner gives them."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lanner.jsontext import access
from lanner.jsontext.access import (
    JSONError,
    JSONText,
    as_text,
    compact,
    element_texts,
    elements,
    is_array,
    is_object,
    is_string,
    members,
)


@pytest.fixture(params=["msgspec", "scanner"])
def door(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Both ways; the second with a msgspec that refuses everything."""
    if request.param == "scanner":

        def refuse(*_: Any, **__: Any) -> Any:
            raise msgspec.DecodeError

        for name in ("_decode_members", "_decode_elements", "_decode_strings", "_decode_string", "_format"):
            monkeypatch.setattr(access, name, refuse)
    return str(request.param)


def _bytes(text: JSONText) -> bytes:
    return bytes(text)


@pytest.mark.usefixtures("door")
def test_members() -> None:
    """Values by key, keys unescaped, blanks off, the last of equal keys; None for what is not an object."""
    found = members(b' { "a" : 1 , "\\u00e9" : [ 1 ] , "a" : {"b" : 2} , "" : "x" } ')
    assert found is not None
    assert {key: _bytes(value) for key, value in found.items()} == {
        "a": b'{"b" : 2}',
        "é": b"[ 1 ]",
        "": b'"x"',
    }
    assert members(b" { } ") == {}
    for other in (b"[1]", b"5", b'"{"', b"null"):
        assert members(other) is None


@pytest.mark.usefixtures("door")
def test_elements() -> None:
    """The elements in order; None for what is not an array."""
    found = elements(msgspec.Raw(b'[ 1e3 , "," , [ ] ]'))
    assert found is not None
    assert [_bytes(item) for item in found] == [b"1e3", b'","', b"[ ]"]
    assert elements(b"[]") == []
    for other in (b'{"a":1}', b"5", b'"["', b"null"):
        assert elements(other) is None


TEXTS = [
    (b"null", "null"),
    (b" true ", "true"),
    (b"1e3", "1e3"),
    (b"12.50", "12.50"),
    (b"-0", "-0"),
    (b"12345678901234567890123", "12345678901234567890123"),
    (b'"tab\\tq\\"b\\\\s\\/ \\u2603 \\ud83d\\ude00 a\\u0000b"', 'tab\tq"b\\s/ ☃ 😀 a\0b'),
    (b'{ "z" : 1 , "a" : [ true , null ] , "t" : "x\\ty  \\" ]" }', '{"z":1,"a":[true,null],"t":"x\\ty  \\" ]"}'),
    (b"[ ]", "[]"),
    (b'{"dup":1, "dup":1.0}', '{"dup":1,"dup":1.0}'),
    (b'{"a":"x y","b":""}', '{"a":"x y","b":""}'),
    (b'{"a":"x y", "b":""}', '{"a":"x y","b":""}'),
    (b'{"a": "x y","a":""}', '{"a":"x y","a":""}'),
    (b'{"\\u0061": "x"}', '{"\\u0061":"x"}'),
    (b'{"\xc3\xa9": "x"}', '{"\u00e9":"x"}'),
    (b'{"a":[1, "x y"]}', '{"a":[1,"x y"]}'),
    (b'{"a":"x y"}\n', '{"a":"x y"}'),
    (b'{"a":\n1}', '{"a":1}'),
    (b'{"a":\t1}', '{"a":1}'),
    (b'{"a":\r1}', '{"a":1}'),
    (b"{ }", "{}"),
]


@pytest.mark.usefixtures("door")
@pytest.mark.parametrize(("text", "wanted"), TEXTS)
def test_as_text(text: bytes, wanted: str) -> None:
    """Strings without quotes and escapes, all else as compact JSON in its own spelling."""
    assert as_text(text) == wanted
    assert as_text(memoryview(text)) == wanted


ODD_TEXTS = [
    (b'"a\\ud800b"', "a\ufffdb"),
    (b'"\\ud800\\ud83d\\ude00\\udc00"', "\ufffd😀\ufffd"),
    (b'"\\\\ud800"', "\\ud800"),
    (b'"\xff\xe2\x98x"', "\ufffd\ufffdx"),
    (b'["\\ud800", "\xff"]', '["\\ud800","\ufffd"]'),
    (b"[" * 3000 + b" 1 " + b"]" * 3000, "[" * 3000 + "1" + "]" * 3000),
]


@pytest.mark.parametrize(("text", "wanted"), ODD_TEXTS, ids=lambda part: repr(part)[:20])
def test_as_text_is_always_valid_unicode(text: bytes, wanted: str) -> None:
    """Lone surrogates and invalid bytes become U+FFFD; depth does not matter."""
    assert as_text(text) == wanted
    as_text(text).encode()


def test_odd_keys_and_values() -> None:
    """An object is opened although a key or a value in it is what msgspec refuses."""
    found = members(b'{"\\ud800":1,"\xff":2,"ok":"\\udc00","deep":' + b"[" * 5000 + b"]" * 5000 + b"}")
    assert found is not None
    assert list(found) == ["\ufffd", "ok", "deep"]
    assert _bytes(found["\ufffd"]) == b"2"


@pytest.mark.usefixtures("door")
@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        (b'["get", "a\\u0000b"]', ["get", "a\0b"]),
        (b' [ "a" , 1e3 , null , [ 1 ] , {"a": "x y"} ] ', ["a", "1e3", "null", "[1]", '{"a":"x y"}']),
        (b"[]", []),
        (b'{"a":["b"]}', []),
        (b'"a"', []),
        (b"null", []),
        (b'["a",nope]', []),
    ],
)
def test_element_texts(text: bytes, wanted: list[str]) -> None:
    """The texts of an array's elements; none for what is not an array, or not JSON."""
    assert element_texts(text) == wanted


def test_element_texts_are_always_valid_unicode() -> None:
    """One element that msgspec refuses costs none of its neighbours."""
    assert element_texts(b'["a","\\ud800","\xff",["\xfe"]]') == ["a", "\ufffd", "\ufffd", '["\ufffd"]']


_documents = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)


@pytest.mark.property
@given(document=_documents, indent=st.sampled_from((None, 0, 1)), ascii=st.booleans(), gap=st.sampled_from(("", " ")))
def test_as_text_takes_out_all_blanks(document: Any, indent: int | None, ascii: bool, gap: str) -> None:
    """However a value is laid out, rules see its compact form, in the spelling in which it is written."""
    text = json.dumps(document, indent=indent, ensure_ascii=ascii, separators=("," + gap, ":" + gap))
    compact_text = json.dumps(document, ensure_ascii=ascii, separators=(",", ":"))
    wanted = document if isinstance(document, str) else compact_text
    assert as_text(text.encode("utf-8", "replace")) == wanted
    if isinstance(document, list):
        assert element_texts(text.encode()) == [
            as_text(json.dumps(item, ensure_ascii=ascii).encode()) for item in document
        ]


@pytest.mark.parametrize("text", [b'{"a":nope}', b'{"a": nope}', b'"a', b"[1,", b""])
def test_as_text_of_what_is_not_json(text: bytes) -> None:
    """What is not JSON is shown as it is."""
    assert as_text(text) == text.decode()


@pytest.mark.usefixtures("door")
@pytest.mark.parametrize("function", [members, elements, compact])
def test_what_is_not_json(function: Callable[[bytes], object]) -> None:
    """A broken container is an error that tells the place."""
    text = b"[1,nope]" if function is elements else b'{"a":nope}'
    with pytest.raises(JSONError) as caught:
        function(text)
    assert (caught.value.position, caught.value.reason) == (
        text.index(b"n"),
        "unexpected `n` where a value should stand",
    )


def test_kinds() -> None:
    """The first byte that is not blank tells the type."""
    assert is_object(b" {}")
    assert is_array(memoryview(b"\n[]"))
    assert is_string(msgspec.Raw(b'""'))
    assert not is_string(b"")
    assert not is_object(b"[{}]")
