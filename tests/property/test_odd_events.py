"""The tolerant way against the fast way: the same answers on JSON, and an answer where the fast way has none."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw, Struct, structs

from lanner import decode as decode_module
from lanner.decode import decode
from lanner.event import MISSING, AuditEvent
from lanner.jsontext import access
from lanner.jsontext.access import as_text, compact, elements, members
from lanner.jsontext.scanner import ScanError, validate
from lanner.sources.files import expand

DATA = Path(__file__).parents[3] / "shared" / "data"

_replace_surrogates = partial(re.compile(rb"\\u[dD][89a-fA-F]..").sub, rb"\\ufffd")

texts = st.text(max_size=8) | st.text('[]{}",:\\ \n', max_size=6)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=25,
)
indents = st.sampled_from([None, 0, 2, "\t"])


def _refuse(*_: Any, **__: Any) -> Any:
    raise msgspec.DecodeError


@pytest.fixture
def _scanner_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the door ask the scanner for everything."""
    for name in ("_decode_members", "_decode_elements", "_decode_string", "_format"):
        monkeypatch.setattr(access, name, _refuse)


def _loads(text: bytes) -> Any:
    """A JSON text as Python objects, by way of the door alone."""
    found = members(text)
    if found is not None:
        return {key: _loads(bytes(value)) for key, value in found.items()}
    items = elements(text)
    if items is not None:
        return [_loads(bytes(item)) for item in items]
    if text.strip()[:1] == b'"':
        return as_text(text)
    return json.loads(text)


@pytest.mark.property
@given(value=values, indent=indents, ascii_only=st.booleans())
def test_the_scanner_reads_what_is_json(value: Any, indent: Any, ascii_only: bool) -> None:
    """Any JSON is taken apart to the same values, and compact text is what msgspec makes."""
    text = json.dumps(value, indent=indent, ensure_ascii=ascii_only).encode()
    validate(text)
    wanted = msgspec.json.format(text, indent=-1)
    with pytest.MonkeyPatch.context() as monkeypatch:
        for name in ("_decode_members", "_decode_elements", "_decode_string", "_format"):
            monkeypatch.setattr(access, name, _refuse)
        assert _loads(text) == value
        assert compact(text) == wanted


@pytest.mark.property
@given(value=values, indent=indents, data=st.data())
def test_the_scanner_judges_as_msgspec(value: Any, indent: Any, data: st.DataObject) -> None:
    """A text that was tampered with is JSON to both or to neither, lone surrogates aside."""
    text = bytearray(json.dumps(value, indent=indent).encode())
    for _ in range(data.draw(st.integers(1, 3))):
        place = data.draw(st.integers(0, len(text)))
        cut = data.draw(st.integers(0, 3))
        text[place : place + cut] = data.draw(st.binary(max_size=2) | _fragments)
    body = bytes(text)
    try:
        validate(body)
    except ScanError:
        with pytest.raises(msgspec.DecodeError):
            msgspec.json.decode(body, type=Raw)
    else:
        msgspec.json.decode(_replace_surrogates(body), type=Raw)


_fragments = st.sampled_from(
    [
        b"[",
        b"]",
        b"{",
        b"}",
        b",",
        b":",
        b'"',
        b"\\",
        b"0",
        b"-",
        b".",
        b"e",
        b"null",
        b'"k":',
        b"{}",
        b"[]",
        b" ",
        b"\\u00",
    ]
)


@pytest.mark.property
@given(body=st.binary(max_size=60) | st.lists(_fragments, max_size=30).map(b"".join))
def test_any_bytes_have_an_answer(body: bytes) -> None:
    """Whatever the bytes, decode returns."""
    decoded = decode(body)
    assert decoded.events == []


def _plain(value: Any) -> Any:
    """The contents of an event, comparable."""
    if isinstance(value, Raw):
        return bytes(value)
    if isinstance(value, Struct):
        return {name: _plain(item) for name, item in structs.asdict(value).items()}
    return value


def _recorded() -> Iterator[bytes]:
    files = ["corpus.jsonl.zst", "fields-events.jsonl.zst", "scenarios"]
    for source in expand([str(DATA / name) for name in files]):
        for number, text, _ in source.chunks():
            if number % 7 == 0 or source.size is None or source.size < 100_000:
                yield text


@pytest.mark.usefixtures("_scanner_alone")
def test_the_slow_way_builds_the_same_events() -> None:
    """On recorded events both ways of decoding give the same attributes."""
    if not DATA.is_dir():
        pytest.skip("no recorded events here")
    count = 0
    for text in _recorded():
        [fast] = decode(text).events
        found = members(text)
        assert found is not None
        assert _plain(decode_module._build_event(found)) == _plain(fast)
        count += 1
    assert count > 3000


def _event(name: str, *more: bytes) -> bytes:
    parts = [b'"kind":"Event"', b'"auditID":"%s"' % name.encode(), b'"stageTimestamp":"2024-03-05T11:00:00.000000Z"']
    return b"{" + b",".join([*parts, *more]) + b"}"


DEEP = b'{"a":[' * 10_000 + b"1" + b"]}" * 10_000
ODD: dict[str, tuple[list[bytes], dict[str, Any]]] = {
    "number as verb": ([b'"verb": 1e3'], {"verb": "1e3"}),
    "object as verb": ([b'"verb":{ "a" : [1, "x\\u00e9"] }'], {"verb": '{"a":[1,"x\\u00e9"]}'}),
    "array as user": ([b'"user":["system:admin"]'], {"user.username": MISSING, "user.groups": MISSING}),
    "string as user": ([b'"user":"system:admin"'], {"user.username": MISSING}),
    "groups are no array": ([b'"user":{"username":"x","groups":"g"}'], {"user.username": "x", "user.groups": MISSING}),
    "groups of all kinds": ([b'"user":{"groups":["a",7,null,{"k" : 1}]}'],
                            {"user.groups": ["a", "7", "null", '{"k":1}']}),
    "null username": ([b'"user":{"username":null}'], {"user.username": "null"}),
    "nulls everywhere": (
        [b'"%s":null' % key for key in b"verb user objectRef annotations sourceIPs requestObject".split()],
        {"verb": "null", "user.username": MISSING, "object_ref.name": MISSING, "annotations": MISSING,
         "source_ips": MISSING, "request_object": b"null"},
    ),
    "annotations of all kinds": ([b'"annotations":{"a":1,"b":null,"c":"x"}'],
                                 {"annotations": {"a": "1", "b": "null", "c": "x"}}),
    "string as annotations": ([b'"annotations":"x"'], {"annotations": MISSING}),
    "code in its spelling": ([b'"responseStatus":{"code": 1e3,"reason":12.50}'],
                             {"response_status.code": "1e3", "response_status.reason": "12.50"}),
    "code -0": ([b'"responseStatus":{"code":-0}'], {"response_status.code": "-0"}),
    "code in an odd event": ([b'"verb":5,"responseStatus":{"code":201}'], {"response_status.code": 201}),
    "JSON patch": ([b'"requestObject":[{"op":"add"}]'], {"request_object": b'[{"op":"add"}]'}),
    "10,000 levels in the body": ([b'"requestObject":' + DEEP], {"request_object": DEEP}),
    "10,000 levels in the verb": ([b'"verb":' + DEEP], {"verb": DEEP.decode()}),
    "lone surrogate in the body": ([b'"requestObject":{"a":"\\ud800"}'], {"request_object": b'{"a":"\\ud800"}'}),
    "lone surrogate in the verb": ([b'"verb":"a\\udfff\\ud83d\\ude00"'], {"verb": "a\ufffd😀"}),
    "lone surrogate in a key": ([b'"annotations":{"\\ud800":"x"}'], {"annotations": {"\ufffd": "x"}}),
    "invalid UTF-8 in the body": ([b'"requestObject":{"\xff":"\xc3"}'], {"request_object": b'{"\xff":"\xc3"}'}),
    "invalid UTF-8 in the verb": ([b'"verb":"a\xff"'], {"verb": "a\ufffd"}),
    "invalid UTF-8 in a key": ([b'"\xff":1', b'"verb":"get"'], {"verb": "get"}),
    "equal keys": ([b'"verb":5', b'"verb":"get"', b'"user":{"username":"a","groups":["g"]},"user":{"username":"b"}'],
                   {"verb": "get", "user.username": "b", "user.groups": MISSING}),
    "equal keys, the last one odd": ([b'"verb":"get"', b'"verb":5', b'"user":{"username":"a"}', b'"user":[]'],
                                     {"verb": "5", "user.username": MISSING}),
    "huge integer": ([b'"requestObject":{"n":' + b"9" * 10_000 + b"}", b'"verb":' + b"8" * 5000], {"verb": "8" * 5000}),
    "escaped key": ([b'"\\u0076erb":"get"'], {"verb": "get"}),
    "2 MB": ([b'"requestObject":{"a":"' + b"x" * 2_000_000 + b'","b":"\\ud800"}', b'"verb":"get"'], {"verb": "get"}),
    "many values": ([b'"requestObject":[' + b'{"a":[1,2,{}]},' * 40_000 + b'"\\ud800"]', b'"verb":"get"'],
                    {"verb": "get"}),
    "NUL": ([b'"verb":"a\\u0000b"'], {"verb": "a\0b"}),
}  # fmt: skip


def _attribute(event: AuditEvent, path: str) -> Any:
    value: Any = event
    for name in path.split("."):
        value = getattr(value, name)
    return _plain(value)


@pytest.mark.parametrize("name", ODD)
@pytest.mark.parametrize("around", ["line", "list", "array"])
def test_odd_events(name: str, around: str) -> None:
    """Each odd event is an event with the attributes a rule expects, and its neighbours are intact."""
    more, wanted = ODD[name]
    odd = _event("odd", *more)
    before, behind = _event("before", b'"verb":"list"'), _event("behind", b'"user":{"username":"u"}')
    match around:
        case "line":
            body, names = odd, ["odd"]
        case "list":
            body = b'{"kind":"EventList","items":[' + b" , ".join((before, odd, behind)) + b"]}"
            names = ["before", "odd", "behind"]
        case _:
            body, names = b"[" + b",".join((before, odd, behind)) + b"]", ["before", "odd", "behind"]
    decoded = decode(body)
    assert decoded.malformed == []
    assert [event.audit_id for event in decoded.events] == names
    event = decoded.events[names.index("odd")]
    assert {path: _attribute(event, path) for path in wanted} == wanted
    assert event.raw == odd
    assert event.time_ns == 1_709_636_400_000_000_000
    if around != "line":
        assert decoded.events[0].verb == "list"
        assert decoded.events[2].user.username == "u"


def test_the_odd_event_of_all_kinds() -> None:
    """The recorded event with a bit of everything is read as Falco reads it, the last of equal keys aside."""
    path = DATA / "conformance" / "events" / "oddities.json"
    if not path.is_file():
        pytest.skip("no recorded events here")
    [event] = decode(path.read_bytes()).events
    assert event.user.username == "null"
    assert event.user.groups == ["alpha", "7", "null", "", "true", "Ünicöde", "tab\there", '{"k":1}']
    assert event.object_ref.subresource == "null"
    assert (event.response_status.code, event.response_status.reason) == ("1e3", "12.50")
    found = members(event.raw)
    assert found is not None
    extra = members(found["extra"])
    assert extra is not None
    assert as_text(extra["dup"]) == "2"
    assert as_text(extra["obj"]) == '{"z":1,"a":[true,null],"t":"x\\ty"}'
