"""From a body to events: what is an event, what is malformed and why, and that neighbours never suffer."""

from __future__ import annotations

import pytest

from lanner import decode as decode_module
from lanner.decode import (
    MAX_ARRAYS,
    MAX_KEPT,
    PART,
    USUAL_PART,
    EventError,
    decode,
    decode_object,
    decode_parts,
    usual_list,
)
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


MANY = 5_000
JUNK = [
    "1",
    "-1.5e3",
    '"a,b"',
    '"\\",\\""',
    "null",
    "{}",
    "{ }",
    "[]",
    '{"kind":"Pod"}',
    '{"kind":5,"x":"\\ud800"}',
    '{"kind":"Event","stageTimestamp":5}',
]


@pytest.mark.parametrize("junk", JUNK)
@pytest.mark.parametrize("separator", [",", " , "])
def test_very_many_malformed_pieces(junk: str, separator: str) -> None:
    """The first are kept, all are counted, and the event behind them is found."""
    items = separator.join([A, *[junk] * MANY, B, junk, C])
    decoded = decode(f"{LIST}[{items}]}}".encode())
    assert [found.audit_id for found in decoded.events] == ["a", "b", "c"]
    assert (len(decoded.malformed), decoded.unkept) == (MAX_KEPT, MANY + 1 - MAX_KEPT)
    assert {piece.raw.decode() for piece in decoded.malformed} == {junk}
    assert decoded.malformed[-1].reason.startswith(f"item {MAX_KEPT + 1}: ")
    array = decode(f"[{items}]".encode())
    assert array.events == decoded.events
    # In an array an empty array is an array of no events.
    assert len(array.malformed) + array.unkept == (0 if junk == "[]" else MANY + 1)


@pytest.mark.parametrize(
    ("body", "wanted", "count", "reason"),
    [
        (f"{LIST}[{'1,' * MANY}{A}", ["a"], MANY + 1, f"behind item {MANY + 1}: not JSON: the text ends"),
        (f"[{'1,' * MANY}{A},nope,{B}]", ["a"], MANY + 1, f"behind item {MANY + 1}: not JSON: unexpected `n`"),
        (f"[{A},[{'1,' * MANY}{B},nope],{C}]", ["a", "b"], MANY + 1, ""),
        (f"[{'1,' * MANY}]", [], MANY + 1, ""),
        (f"[[{'{},' * MANY}[{A}]],{'2,' * MANY}{B}]", ["a", "b"], 2 * MANY, ""),
        (f"[{','.join([LIST + '[1,2,' + A + ',3]}'] * 1000)}]", ["a"] * 1000, 3000, ""),
    ],
)
def test_counts_are_exact(body: str, wanted: list[str], count: int, reason: str) -> None:
    """Wherever malformed pieces are and however the body ends: each counts once, and costs no event."""
    decoded = decode(body.encode())
    assert [found.audit_id for found in decoded.events] == wanted
    assert len(decoded.malformed) + decoded.unkept == count
    assert len(decoded.malformed) == MAX_KEPT


def test_a_break_in_an_inner_array() -> None:
    """What stands before it in that array counts; the rest is one piece, which says behind what it is."""
    decoded = decode(f"[{A},[{B},{{}},{LIST}[{C}, {{]}}],{A}]".encode())
    assert [found.audit_id for found in decoded.events] == ["a", "b", "c"]
    assert [piece.reason.partition(" stand")[0] for piece in decoded.malformed] == [
        "item 2: item 2: not an event: it has no `kind`",
        "behind item 1: behind item 2: behind item 1: not JSON: unexpected `]` where a key in double quotes should",
    ]
    assert decoded.malformed[-1].raw.decode() == f"{{]}}],{A}]"


@pytest.mark.parametrize(
    "form", ["[%s]", "[[%s]]", f"{LIST}[%s]}}", f'{LIST}[%s],"x":"\\ud800"}}', f"{LIST}[%s", f"{LIST}[%s]}}x"]
)
def test_parts_are_the_whole(form: str) -> None:
    """A body in parts is the same events and pieces in the same order, and no part has many."""
    items = [event(str(number)) if number % 7 else "[1]" for number in range(6 * PART)]
    body = (form % ",".join(items)).encode()
    whole, parts = decode(body), list(decode_parts(body))
    assert len(whole.events) > 5 * PART
    assert max(len(part.events) for part in parts) == PART
    assert [found for part in parts for found in part.events] == whole.events
    assert [found.raw for part in parts for found in part.events] == [found.raw for found in whole.events]
    assert [piece for part in parts for piece in part.malformed] == whole.malformed
    assert [decode(A.encode())] == list(decode_parts(A.encode()))


@pytest.mark.parametrize("odd", ["", ',"verb":"\\ud800"'])
def test_events_with_very_many_items(monkeypatch: pytest.MonkeyPatch, odd: str) -> None:
    """Of each list the first items are read; everything else is as ever, and the event knows its full size."""
    monkeypatch.setattr(decode_module, "MAX_EVENT_ITEMS", 100)
    monkeypatch.setattr(decode_module, "UNCOUNTED_BYTES", 100)
    monkeypatch.setattr(decode_module, "_LARGE", 100)
    numbers = ",".join(f'"{number}"' for number in range(150))
    pods = ",".join(['{"image":"x"}'] * 150)
    more = f',"user":{{"username":"u","groups":[{numbers}]}},"requestObject":{{"hostPID":true,"containers":[{pods}]}}'
    big = event("big", more + odd)
    for body in (big, f"[{A},{big}]", f"{LIST}[{A},{big}]}}", f"\n{big}"):
        found = decode(body.encode()).events[-1]
        assert (found.audit_id, found.user.username, found.full_size) == ("big", "u", len(big))
        assert 10 < len(found.user.groups or ()) < 100
        assert found.user.groups == [str(number) for number in range(len(found.user.groups or ()))]
        assert found.raw.count(b",") <= 100
        assert b'"hostPID":true' in found.raw
        assert found.raw.count(b'{"image":"x"}') > 10


def test_events_of_few_items_are_read_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    """However large they are."""
    monkeypatch.setattr(decode_module, "MAX_EVENT_ITEMS", 20)
    monkeypatch.setattr(decode_module, "UNCOUNTED_BYTES", 100)
    big = event("big", f',"requestURI":"{"x" * 1000}"')
    [found] = decode(big.encode()).events
    assert (found.raw, found.full_size) == (big.encode(), 0)


@pytest.mark.parametrize("odd", ["", "5", "{}", event("odd", time='"yesterday"'), event("o", ',"verb":5')])
@pytest.mark.parametrize("behind", [0, 1, USUAL_PART, 2 * USUAL_PART + 1])
def test_a_usual_list_and_its_rest(odd: str, behind: int) -> None:
    """The quick way gives whole parts up to the first that holds anything odd; with the rest it is all of the list."""
    items = [event(f"e{number}") for number in range(2 * USUAL_PART + 1)]
    if odd:
        items.insert(behind, odd)
    body = f"{LIST}[{','.join(items)}]}}".encode()
    listed = usual_list(body)
    assert listed is not None
    quick = [found for part in listed for found in part.events]
    assert listed.done == (not odd)
    assert len(quick) == (behind // USUAL_PART * USUAL_PART if odd else len(items))
    rest = list(listed.rest())
    whole = decode(body)
    found = quick + [one for part in rest for one in part.events]
    assert found == whole.events
    assert [one.raw for one in found] == [one.raw for one in whole.events]
    assert [piece for part in rest for piece in part.malformed] == whole.malformed


@pytest.mark.parametrize(
    "body", [event("e"), f"[{event('e')}]", f"{LIST}[{event('e')}]", f"{LIST}null}}", f'{LIST}["\\ud800"]}}', "5", ""]
)
def test_what_is_no_usual_list(body: str) -> None:
    """Anything but an EventList with an array of items, whole."""
    assert usual_list(body.encode()) is None


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
