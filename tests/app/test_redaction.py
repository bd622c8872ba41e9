"""Redaction: what is taken out of events, and that nothing else changes."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lanner.config.service import DEFAULT_REDACTION, Redaction
from lanner.decode import decode
from lanner.event import AuditEvent
from lanner.service.redaction import MAX_PLACES, Redactor, redact
from tests.cli.builders import event


def steps(pointer: str) -> tuple[str, ...]:
    return tuple(pointer.removeprefix("/").split("/"))


@pytest.mark.parametrize(
    ("text", "pointer", "want"),
    [
        ('{"a":{"b":1}}', "/a/b", '{"a":{"b":"[redacted]"}}'),
        ('{"a":{"b":1}}', "/a", '{"a":"[redacted]"}'),
        ('{"a":{"b":1,"c":[2]}}', "/a/*", '{"a":{"b":"[redacted]","c":"[redacted]"}}'),
        ('{"a":"text"}', "/a/*", '{"a":"[redacted]"}'),
        ('{"a":null}', "/a/*", '{"a":null}'),
        ('{"a":[{"k":1},{"k":2},3]}', "/a/*/k", '{"a":[{"k":"[redacted]"},{"k":"[redacted]"},3]}'),
        ('{"a":[1,2]}', "/a/1", '{"a":[1,"[redacted]"]}'),
        ('{"a":[1,2]}', "/a/2", '{"a":[1,2]}'),
        ('{"a": 1 , "b" : 2}', "/x/y", '{"a": 1 , "b" : 2}'),
        ('{"a":"first","a":"second"}', "/a", '{"a":"[redacted]"}'),
        ('{"\\ud800":1,"a":"\\ud800"}', "/a", '{"\ufffd":1,"a":"[redacted]"}'),
        ("not json", "/a", "not json"),
        ('{"a":{"broken":}}', "/a/broken", '{"a":{"broken":}}'),
    ],
)
def test_values_in_places(text: str, pointer: str, want: str) -> None:
    """Every value at the pointer is replaced, of equal keys all; texts without it stay to the byte."""
    assert redact(text.encode(), [steps(pointer)]).decode() == want


def test_a_text_without_the_place_is_the_same_object() -> None:
    """So whoever asks knows that nothing was taken."""
    text = b'{"a":1}'
    assert redact(text, [("b",)]) is text


def audit(**more: object) -> AuditEvent:
    (found,) = decode(json.dumps({**event(), **more}).encode()).events
    return found


ANNOTATIONS = [
    "kubectl.kubernetes.io/last-applied-configuration",
    "example.org/last-applied-configuration",
    "banzaicloud.com/last-applied",
    "kapp.k14s.io/original",
    "objectset.rio.cattle.io/applied",
]
SECRETS = {"resource": "secrets", "namespace": "default", "name": "s"}


@pytest.mark.parametrize(
    "bodies",
    [
        {"requestObject": {"data": {"k": "HIDDEN"}}},
        {"requestObject": {"stringData": {"k": "HIDDEN"}}},
        {"responseObject": {"data": {"k": "HIDDEN"}}},
        {"responseObject": {"items": [{"data": {"k": "HIDDEN"}}, {"stringData": {"k": "HIDDEN"}}]}},
        {"requestObject": [{"op": "replace", "path": "/data/k", "value": "HIDDEN"}]},
        {"requestObject": {"data": "HIDDEN"}},
        *({"requestObject": {"metadata": {"annotations": {key: "HIDDEN"}}}} for key in ANNOTATIONS),
        *({"responseObject": {"items": [{"metadata": {"annotations": {key: "HIDDEN"}}}]}} for key in ANNOTATIONS),
        {"responseObject": {"kind": "Table", "rows": [{"cells": ["s"], "object": {"data": {"k": "HIDDEN"}}}]}},
        {
            "responseObject": {
                "kind": "Table",
                "rows": [{"object": {"metadata": {"annotations": {ANNOTATIONS[0]: "HIDDEN"}}}}],
            }
        },
        {"responseObject": {"kind": "Table", "rows": [{"object": "HIDDEN"}]}},
        {"responseObject": {"type": "ADDED", "object": {"stringData": {"k": "HIDDEN"}}}},
        {"requestObject": '{"data":{"k":"HIDDEN"}}'},
        {"requestObject": "data:\n  k: HIDDEN\n"},
        {"responseObject": '{"items":[{"data":{"k":"HIDDEN"}}]}'},
        {"responseObject": {"items": "HIDDEN"}},
        {"responseObject": {"items": ["HIDDEN"]}},
        {"requestObject": [{"op": "add", "path": "/data", "value": {"k": ["HIDDEN"]}}]},
        {"requestObject": ["HIDDEN"]},
        {"requestObject": {"data": {"k": {"nested": ["HIDDEN"]}}}},
        {"responseStatus": {"code": 400, "message": 'cannot decode |"data":{"k":"HIDDEN"}|'}},
        {"responseObject": {"kind": "Status", "message": "HIDDEN", "details": {"causes": [{"message": "HIDDEN"}]}}},
    ],
)
def test_secrets_by_default(bodies: dict[str, object]) -> None:
    """Whichever way a secret is written or read, its values are redacted; the same in a ConfigMap is not, but in an
    event that does not say what it is about."""
    redactor = Redactor(DEFAULT_REDACTION)
    redacted = redactor.event(audit(objectRef=SECRETS, **bodies))
    assert b"HIDDEN" not in redacted.raw
    assert redacted == decode(redacted.raw).events[0]
    assert b"HIDDEN" not in redactor.event(audit(objectRef=None, **bodies)).raw
    config_map = audit(**bodies)
    assert redactor.event(config_map) is config_map


def test_what_stays_of_a_table_and_of_a_secret() -> None:
    """Name, type, number of values and age; names of values, and whatever else an object has."""
    row = {
        "cells": ["s", "Opaque", 1, "5m"],
        "object": {"kind": "Secret", "data": {"password": "HIDDEN"}, "type": "Opaque"},
    }
    body = {"kind": "Table", "columnDefinitions": [{"name": "Name", "type": "string"}], "rows": [row]}
    found = json.loads(Redactor(DEFAULT_REDACTION).event(audit(objectRef=SECRETS, responseObject=body)).raw)
    row["object"] = {"kind": "Secret", "data": {"password": "[redacted]"}, "type": "Opaque"}
    assert found["responseObject"] == body


@pytest.mark.parametrize(
    "bodies",
    [
        '"requestObject":{"data":{"k":"HIDDEN"}},"requestObject":{}',
        '"requestObject":{"data":{"k":"HIDDEN"}},"requestObject":null',
        '"requestObject":{"data":{"k":"HIDDEN"},"data":{}}',
        '"requestObject":{"data":{"k":"HIDDEN","k":1}}',
        '"requestObject":{"data":{"k":"HIDDEN"},"data":null}',
        '"requestObject":{"metadata":{"annotations":{"x":1}, "annotations":{"y":"HIDDEN"},"annotations":{}}}',
        '"responseObject":{"items":[{"data":{"k":"HIDDEN"},"data":{"k":"HIDDEN"}}]}',
        '"responseObject":{"items":[{"data":{"k":"HIDDEN"}}],"items":[]}',
        '"request\\u004fbject":{"data":{"k":"HIDDEN"}}',
        '"requestObject":{"d\\u0061ta":{"k":"HIDDEN"},"data":{}}',
        '"requestObject" : { "data" : { "k" : "HIDDEN" } , "data" : {} }',
        '"requestURI":"/a?token=HIDDEN","requestURI":"/b"',
        '"requestURI":"/a","requestURI":"/b?token=HIDDEN"',
        '"requestURI":"/a?token=HIDDEN","request\\u0055RI":"/b"',
        '"requestObject":{"data":{"k":"HIDDEN","deep":' + "[" * 5_000 + "]" * 5_000 + "}}",
        '"requestObject":{"data":{"k":"HIDDEN","odd":"\\ud800"}}',
    ],
)
def test_keys_that_are_there_twice_or_odd(bodies: str) -> None:
    """Only the last value of a key is read, and no other is kept."""
    text = json.dumps({**event(), "objectRef": SECRETS})[:-1] + f",{bodies}}}"
    (whole,) = decode(text.encode()).events
    redacted = Redactor(DEFAULT_REDACTION).event(whole)
    assert b"HIDDEN" not in redacted.raw
    assert redacted == decode(redacted.raw).events[0]
    assert b"HIDDEN" in whole.raw


def test_what_makes_an_event_one_stays() -> None:
    """Whatever pointers say that get that far."""
    pointers = ("/kind/x", "/stageTimestamp/", "/*/*", "/*Timestamp", "/*/x", "/auditID/*")
    redacted = Redactor([Redaction("", pointers)]).event(audit(requestObject={"x": 1}))
    assert redacted.time_ns == audit().time_ns
    assert (redacted.kind, redacted.audit_id, redacted.stage) == ("Event", "audit-1", "ResponseComplete")
    assert b'"requestObject":{"x":"[redacted]"}' in redacted.raw


@pytest.mark.parametrize("body", ['{"data":{%s}}', '{"items":[%s]}', '{"items":[{"data":{%s}}]}', "[%s]"])
def test_more_than_is_looked_at(body: str) -> None:
    """What has too many parts is taken as a whole."""
    part = '{"value":"HIDDEN"}' if body[-2:] != "}}" and "{%s" not in body else '"k%d":"HIDDEN"'
    many = ",".join(part.replace("%d", str(number)) for number in range(MAX_PLACES + 1))
    raw = audit(objectRef=SECRETS).raw[:-1] + f',"requestObject":{body % many}}}'.encode()
    redacted = Redactor(DEFAULT_REDACTION).event(decode(raw).events[0])
    assert b"HIDDEN" not in redacted.raw
    assert len(redacted.raw) < 2_000


class Pairs(list[tuple[str, object]]):
    """An object whose keys may be there twice."""


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.sampled_from(["", "HIDDEN", '{"data":1}']),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.lists(st.tuples(st.sampled_from(["data", "a", "b", "x/b", "0"]), inner), max_size=4).map(Pairs)
    ),
    max_leaves=12,
)
POINTERS = st.lists(
    st.lists(st.sampled_from(["data", "a", "b", "*", "*b", "0", "x/b"]), min_size=1, max_size=4).map(tuple), max_size=4
)


@settings(max_examples=400)
@given(JSON, POINTERS, st.booleans())
def test_the_redactor_does_what_a_plain_walk_does(tree: object, pointers: list[tuple[str, ...]], blanks: bool) -> None:
    """A parser that keeps all, a walk that goes everywhere: the same values, and nothing of others."""
    text = written({"a": tree}, " " if blanks else "").encode()
    want = walked({"a": tree}, pointers)
    found = redact(text, pointers)
    assert json.loads(found) == want
    assert (b"HIDDEN" in found) == ("HIDDEN" in json.dumps(want)) or found is text
    if found is text:
        assert json.loads(text) == want


def written(tree: object, blank: str) -> str:
    match tree:
        case Pairs():
            return f"{{{blank}" + ",".join(f"{json.dumps(k)}{blank}:{written(v, blank)}" for k, v in tree) + "}"
        case dict():
            return written(Pairs(tree.items()), blank)
        case list():
            return f"[{','.join(written(item, blank) for item in tree)}{blank}]"
    return json.dumps(tree)


def walked(tree: object, pointers: list[tuple[str, ...]], expected: bool = True) -> object:
    """What should be left of a value, as the module's head says it."""
    if () in pointers:
        return "[redacted]"
    match tree:
        case Pairs() | dict():
            found: dict[str, object] = {}
            for key, value in dict(tree).items():
                rests = [rest for head, *rest in pointers if head == key or (head[0] == "*" and key.endswith(head[1:]))]
                named = any(head == key for head, *_ in pointers)
                found[key] = walked(value, [tuple(rest) for rest in rests], named) if rests else plain(value)
            return found
        case list():
            return [
                walked(item, rests) if rests else plain(item)
                for place, item in enumerate(tree)
                for rests in [[tuple(rest) for head, *rest in pointers if head in ("*", str(place))]]
            ]
    if ("*",) in pointers:
        return tree if tree is None else "[redacted]"
    return "[redacted]" if isinstance(tree, str) and expected else tree


def plain(tree: object) -> object:
    return json.loads(written(tree, ""))


def test_a_subresource() -> None:
    """`serviceaccounts/token` is about the token, not about service accounts."""
    redactor = Redactor(DEFAULT_REDACTION)
    ref = {"resource": "serviceaccounts", "name": "s"}
    body = {"status": {"token": "HIDDEN"}}
    assert b"HIDDEN" in redactor.event(audit(objectRef=ref, responseObject=body)).raw
    assert b"HIDDEN" not in redactor.event(audit(objectRef={**ref, "subresource": "token"}, responseObject=body)).raw


@pytest.mark.parametrize("body", ["requestObject", "responseObject"])
def test_tokens_that_are_reviewed(body: str) -> None:
    """The API server answers with the object that was posted, token and all."""
    review = audit(objectRef={"resource": "tokenreviews"}, **{body: {"spec": {"token": "HIDDEN"}}})
    assert b"HIDDEN" not in Redactor(DEFAULT_REDACTION).event(review).raw


def test_the_redacted_event_is_an_event() -> None:
    """Fields read the rest of it as before; what the engine counts stays."""
    original = audit(objectRef=SECRETS, requestObject={"data": {"k": "HIDDEN"}})
    original.number = 7
    redacted = Redactor(DEFAULT_REDACTION).event(original)
    assert (redacted.audit_id, redacted.verb, redacted.time_ns) == (original.audit_id, "create", original.time_ns)
    assert redacted.number == 7
    assert b"HIDDEN" in original.raw


EVENT = json.dumps({"kind": "Event", "requestObject": {"kind": "Secret", "data": {"k": "HIDDEN"}}, "verb": "get"})
PIECES = {
    "an event without a time": EVENT,
    "a secret": '{"kind":"Secret","data":{"k":"HIDDEN"}}',
    "secrets in an array": '[[{"data":{"k":"HIDDEN"}}, {"stringData" : {"k":["HIDDEN"]}}]]',
    "a last applied object": json.dumps({"annotations": {ANNOTATIONS[1]: '{"data":"HIDDEN"}'}}),
    "an event in a string": json.dumps({"log": EVENT}),
    "in a string in a string": json.dumps({"message": json.dumps({"log": EVENT})}),
    "in strings, printed in many lines": json.dumps({"log": json.dumps(json.loads(EVENT), indent=2)}),
    "behind words of a log": f"I0203 10:11:12 it's 12\" of {EVENT}",
    "behind a torn string": f'{{"a":"b {EVENT}',
    "torn in a value": EVENT[: EVENT.index("HIDDEN") + 6],
    "torn in a list": '{"data":["HIDDEN", {"a":"HIDDEN"',
    "a body that is a string": json.dumps({"requestObject": "data:\n  k: HIDDEN"}),
    "a key with escapes": '{"d\\u0061ta":{"k":"HIDDEN"}}',
    "keys that are there twice": '{"data":{"k":"HIDDEN"},"data":{}}',
    "a value with quotes and backslashes": '{"data":"a\\\\\\"HIDDEN\\\\"}',
    "a token": '{"status":{"token":"HIDDEN"}}',
    "a patch": '[{"op":"add","path":"/data/k","value":"HIDDEN"}]',
    "a URI": '{"requestURI":"/a?x=1&token=HIDDEN"}',
    "a URI as Go writes it": '{"requestURI":"/a?x=1\\u0026token=HIDDEN"}',
    "a URI in a string": json.dumps({"log": '{"requestURI":"/a?x=1\\u0026token=HIDDEN"}'}),
    "not UTF-8": '{"\xff":1,"data":"HIDDEN"}',
}


@pytest.mark.parametrize("piece", PIECES.values(), ids=PIECES)
def test_malformed_pieces(piece: str) -> None:
    """A piece does not say what it is about, so everything is looked for, wherever it may be."""
    raw = piece.encode("latin-1")
    assert b"HIDDEN" in raw
    assert b"HIDDEN" not in Redactor(DEFAULT_REDACTION).piece(raw)


def test_what_stays_of_malformed_pieces() -> None:
    """All else, to the byte; JSON stays JSON."""
    redactor = Redactor([Redaction("secrets", ("/requestObject/data",))])
    assert redactor.piece(b'{"requestObject":{"data":"HIDDEN"}}') == b'{"requestObject":{"data":"[redacted]"}}'
    assert redactor.piece(b'{"data":"","b":"\xff" , "data": {"a":[1]}}') == (
        b'{"data":"[redacted]","b":"\xff" , "data": "[redacted]"}'
    )
    wrapped = json.loads(json.loads(redactor.piece(json.dumps({"log": EVENT}).encode()))["log"])
    assert wrapped == {"kind": "Event", "requestObject": {"kind": "Secret", "data": "[redacted]"}, "verb": "get"}
    for piece in (b'{"requestURI":"/a?b=c"}', b'"data" is a word', b"not json", b""):
        assert redactor.piece(piece) is piece


@given(
    st.lists(st.sampled_from(['"', "\\", '\\"', "data", ":", "{", "}", "[", "]", "\\n", "requestURI", "?token=", " "]))
)
def test_any_piece(parts: list[str]) -> None:
    """No piece makes it fail, and what is redacted stays so."""
    redactor = Redactor(DEFAULT_REDACTION)
    once = redactor.piece("".join(parts).encode())
    assert redactor.piece(b'{"data":"HIDDEN"}' + once).count(b"HIDDEN") == 0
