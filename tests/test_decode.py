"""From a body to events: what is an event, what is malformed and why, and that neighbours never suffer."""

from __future__ import annotations

import pytest

from lanner.decode import MAX_ARRAYS, EventError, decode, decode_object
from lanner.event import MISSING


def event(name: str, more: str = "", time: str = '"2024-03-05T11:00:00.000000Z"') -> str:
    """The JSON text of an event with that auditID."""
    return f'{{"kind":"Event","auditID":"{name}","stageTimestamp":{time}{more}}}'


A, B, C = event("a"), event("b"), event("c")
LIST = '{"kind":"EventList","apiVersion":"audit.k8s.io/v1","items":'

BODIES = [
    (A, ["a"]),
    (f" \n{A}\r\n", ["a"]),
    (f"[{A},{B}]", ["a", "b"]),
    ("[]", []),
    (f"[{A},[{B},{LIST}[{C}]}}],[]]", ["a", "b", "c"]),
    (f"{LIST}[{A}, {B}]}}", ["a", "b"]),
    (f'{{"items":[{A}],"kind":"EventList"}}', ["a"]),
    (f"{LIST}[]}}", []),
    (f"{LIST}null}}", []),
    ('{"kind":"EventList"}', []),
    (LIST + '[{"auditID":"a","stageTimestamp":"2024-03-05T11:00:00Z"}]}', ["a"]),
    (LIST + '[{"kind":5,"auditID":"a","stageTimestamp":"2024-03-05T11:00:00Z"}]}', ["a"]),
    (A.replace("Event", "\\u0045vent", 1), ["a"]),
    (A.replace('"kind"', '"kind":"Pod","kind"', 1), ["a"]),
    (event("a", time='"2024-03-05T1:00:00,5+01:00"'), ["a"]),
    (event("a", ',"apiVersion":"audit.k8s.io/v1beta1","timestamp":"2024-03-05T11:00:00Z"', "null"), ["a"]),
    ("[" * MAX_ARRAYS + A + "]" * MAX_ARRAYS, ["a"]),
]


@pytest.mark.parametrize(("body", "wanted"), BODIES, ids=lambda part: str(part)[:40])
def test_events_of_a_body(body: str, wanted: list[str]) -> None:
    """One event, lists and arrays give their events in order, and nothing is malformed."""
    decoded = decode(body.encode())
    assert [found.audit_id for found in decoded.events] == wanted
    assert decoded.malformed == []
    assert all(found.time_ns > 0 for found in decoded.events)


def test_each_event_carries_its_own_text() -> None:
    """`raw` is the JSON text of the one event, without blanks around it."""
    decoded = decode(f"[ {A} , {LIST}[ {B} ]}} ]".encode())
    assert [found.raw.decode() for found in decoded.events] == [A, B]
    assert decode(f" {A}\n".encode()).events[0].raw.decode() == A


MALFORMED = [
    ("", [], "the body is empty"),
    (" \r\n", [], "the body is empty"),
    ("\ufeff{}", [], "not JSON: a byte order mark at byte 0"),
    ("5", [], "not an event: a number instead of an object"),
    ('"Event"', [], "not an event: a string instead of an object"),
    ("null", [], "not an event: null instead of an object"),
    ("not json", [], "not JSON: unexpected `n` where a value should stand at byte 0"),
    ("{}", [], "not an event: it has no `kind`"),
    ('{"kind":"Pod"}', [], "not an event: its `kind` is `Pod`"),
    (A.replace('"Event"', "5"), [], "not an event: its `kind` is `5`"),
    (LIST + '"x"}', [], "the `items` of an EventList are a string instead of an array"),
    ('{"kind":"Event"}', [], "the event has no `stageTimestamp`"),
    (event("a", time='""'), [], "the event has a `stageTimestamp` that is not a time: ``"),
    (event("a", time="null"), [], "the event has a `stageTimestamp` that is not a time: `null`"),
    (event("a", time="5"), [], "the event has a `stageTimestamp` that is not a time: `5`"),
    (event("a", time='"2023-02-29T11:00:00.000000Z"'), [], "the event has a `stageTimestamp` that is not a time"),
    ('{"kind":"Event","apiVersion":"audit.k8s.io/v1alpha1"}', [], "the event has no `timestamp`"),
    ("[" * (MAX_ARRAYS + 1) + A + "]" * (MAX_ARRAYS + 1), [], "more than 16 arrays in arrays"),
    (f'[{A},{{"kind":"Pod"}},{C}]', ["a", "c"], "item 2: not an event: its `kind` is `Pod`"),
    (f"[[{A},7],{C}]", ["a", "c"], "item 1: item 2: not an event: a number instead of an object"),
    (f"{LIST}[{A},[1],{C}]}}", ["a", "c"], "item 2: not an event: an array instead of an object"),
    (f"{LIST}[{A},{{}},{C}]}}", ["a", "c"], "item 2: the event has no `stageTimestamp`"),
    # what is not JSON: everything before the break counts
    (A[:-1], [], "not JSON: the text ends where `,` or `}` should stand at byte 76"),
    (A + "x", [], "not JSON: unexpected `x` behind the end of the value at byte 77"),
    (f'[{A},{B},{{"x":nope}},{C}]', ["a", "b"], "behind item 2: not JSON: unexpected `n`"),
    (f"[{A},{B}", ["a", "b"], "behind item 2: not JSON: the text ends where `,` or `]` should stand"),
    (f"[{A},{B}] x", ["a", "b"], "behind item 2: not JSON: unexpected `x` behind the end of the value"),
    (f'{LIST}[{A},{B},{{"verb":"ge', ["a", "b"], "behind item 2: not JSON: the text ends inside a string"),
    (f'[{A},{LIST}[{B},{C},{{"a":', ["a", "b", "c"], "behind item 1: behind item 2: not JSON: the text ends"),
    (f'{LIST}[{A},{B}],"metadata":nope}}', ["a", "b"], "behind item 2: not JSON: unexpected `n`"),
    (f'{{"items":[{A},{B},', [], "not JSON: the text ends where a value should stand"),
    ("[" * 200_000, [], "not JSON: the text ends where a value should stand at byte 200000"),
]


@pytest.mark.parametrize(("body", "wanted", "reason"), MALFORMED, ids=lambda part: str(part)[:40])
def test_malformed_pieces(body: str, wanted: list[str], reason: str) -> None:
    """Exactly one piece is malformed, it says where and why, and the others are events."""
    decoded = decode(body.encode())
    assert [found.audit_id for found in decoded.events] == wanted
    [piece] = decoded.malformed
    assert reason in piece.reason
    assert piece.raw in body.encode()


def test_two_broken_items_are_two_pieces() -> None:
    """Pieces that are JSON but no events are told one by one."""
    decoded = decode(f"[5,{A},{{}}]".encode())
    assert [piece.raw for piece in decoded.malformed] == [b"5", b"{}"]


def test_python_objects() -> None:
    """A mapping is read as its JSON would be, lone surrogates included."""
    found = decode_object(
        {"kind": "Event", "stageTimestamp": "2024-03-05T11:00:00Z", "verb": "\ud800", "user": {"groups": ["x", 1]}}
    )
    assert (found.verb, found.user.groups, found.user.username) == ("\ufffd", ["x", "1"], MISSING)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (5, "a number instead of an object"),
        ({"kind": "Pod"}, "its `kind` is `Pod`"),
        ({"kind": "EventList", "items": []}, "holds 0 events instead of one"),
        ({"kind": "Event", "verb": object()}, "has no form in JSON"),
    ],
)
def test_python_objects_that_are_no_event(value: object, message: str) -> None:
    """Anything but one event is an error that says what is wrong."""
    with pytest.raises(EventError, match=message):
        decode_object(value)
