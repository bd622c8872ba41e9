"""Bodies of the usual form: the same values as read level by level, for any body."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw

from lanner.event import MISSING, AuditEvent
from lanner.fields import usual
from lanner.fields.nodes import collect, request
from lanner.fields.paths import RequestValue, pointer
from lanner.fields.usual import SINGLE, values
from lanner.jsontext.access import JSONText

Keys = tuple[str, ...]

PLACES: list[Keys] = [
    *sorted(SINGLE),
    ("rules", "verbs"),
    ("spec", "containers", "image"),
    ("spec", "containers", "securityContext", "privileged"),
    ("spec", "initContainers", "securityContext", "capabilities", "add"),
    ("spec", "volumes", "hostPath", "path"),
]
INDICES = (None, 0, 1, 10**19)


def _event(body: bytes) -> AuditEvent:
    return AuditEvent(request_object=Raw(body))


def _plain(found: list[JSONText | Any] | None) -> list[bytes | None] | None:
    return None if found is None else [None if value is MISSING else bytes(value) for value in found]


def _check(body: bytes) -> None:
    """Every place of the body has the same values, read in either way."""
    event = _event(body)
    for keys in PLACES:
        for index in INDICES:
            fast, slow = values(event, keys, index), collect(request(event), keys, index)
            assert _plain(fast) == _plain(slow), (keys, index)
    for keys in SINGLE:
        getter = pointer("/requestObject/" + "/".join(keys))
        assert isinstance(getter, RequestValue)
        assert getter(event) == getter.pointer(event), keys


BODIES: list[tuple[str, bytes, bool]] = [
    ("empty", b"{}", True),
    ("pod", b'{"spec":{"containers":[{"image":"a"},{"image":7}],"volumes":[{"hostPath":{"path":"/"}}]}}', True),
    ("no containers", b'{"spec":{"containers":[]}}', True),
    ("blanks", b'{ "spec" : { "containers" : [ { "image" : [ 1 , 2 ] } ] } , "data" : { "a" : 1 } }', True),
    ("escaped keys", b'{"sp\\u0065c":{"cont\\u0061iners":[{"im\\u0061ge":"x"}]},"d\\u0061ta":1}', True),
    ("the last of equal keys", b'{"spec":{"hostPID":1},"spec":{"hostIPC":1,"hostIPC":2}}', True),
    ("equal arrays", b'{"rules":[{"verbs":[1]},{}],"rules":[{"verbs":[2],"verbs":null}]}', True),
    ("values of any type", b'{"data":null,"roleRef":{"name":{"a":[]}},"spec":{"type":1e3,"hostPID":-0}}', True),
    ("an object for the first of equal arrays", b'{"rules":{},"rules":[{"verbs":[1]}]}', False),
    ("an object for an array", b'{"spec":{"containers":{"image":"a"}}}', False),
    ("arrays in an array", b'{"spec":{"containers":[{"image":"a"},[{"image":"b"},[]],3]}}', False),
    ("an array for an object", b'{"spec":{"containers":[{"securityContext":[{"privileged":true}]}]}}', False),
    ("null for an array", b'{"rules":null,"spec":{"containers":null},"data":1}', True),
    ("null for an object", b'{"spec":null,"data":1}', False),
    ("a patch", b'[{"op":"add","path":"/spec","value":1}]', False),
    ("an array of bodies", b'[{"data":1,"spec":{"containers":[{"image":2}]}},{}]', False),
    ("a lone surrogate", b'{"data":1,"x":"\\ud800","spec":{"containers":[{"image":"\\udc00"}]}}', False),
    ("a string", b'"spec"', False),
    ("no JSON", b'{"data":1', False),
    ("nothing", b"", False),
    ("deep", b'{"data":1,"x":' + b"[" * 5_000 + b"]" * 5_000 + b"}", False),
]


@pytest.mark.parametrize(("body", "is_usual"), [row[1:] for row in BODIES], ids=[row[0] for row in BODIES])
def test_bodies(body: bytes, is_usual: bool) -> None:
    """Usual and odd bodies give what reading level by level gives, each in its own way."""
    assert (usual.value(_event(body), ("data",)) is not None) is is_usual
    _check(body)


def test_invalid_utf_8() -> None:
    """Bytes that are no UTF-8, in a key or a value, change nothing."""
    for body in (b'{"data":"\xff","spec":{"hostPID":1}}', b'{"\xff":1,"data":2}', b'{"spec":{"\xff":1,"type":"\xff"}}'):
        _check(body)


def test_no_body() -> None:
    """An event without a body has no values."""
    event = AuditEvent()
    assert values(event, ("spec", "containers", "image")) is None
    assert pointer("/requestObject/data")(event) is MISSING


NAMES = sorted({key for keys in PLACES for key in keys})
odd = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 2) | st.text(max_size=2),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(NAMES) | st.text(max_size=1), inner, max_size=3)
    ),
    max_leaves=6,
)


def _at(keys: Keys, value: Any) -> Any:
    """An object with the value at the place, in its usual form."""
    for key in reversed(keys):
        value = {key: value}
        if key in ("containers", "initContainers", "volumes", "rules"):
            value = {key: [value[key], {}]}
    return value


def _steps(value: Any) -> Iterator[tuple[Any, Any]]:
    """Every container in the value with every step from it."""
    pending = [value]
    while pending:
        container = pending.pop()
        steps = list(container) if isinstance(container, dict) else range(len(container))
        for step in steps:
            yield container, step
            if isinstance(container[step], dict | list):
                pending.append(container[step])


@pytest.mark.property
@given(keys=st.sampled_from(PLACES), value=odd, replacement=st.none() | st.tuples(st.integers(0, 9), odd))
def test_any_value_on_the_way(keys: Keys, value: Any, replacement: tuple[int, Any] | None) -> None:
    """A place with any value, and anything at all anywhere before it, read in either way."""
    body = _at(keys, value)
    if replacement is not None:
        steps = list(_steps(body))
        container, step = steps[replacement[0] % len(steps)]
        container[step] = replacement[1]
    _check(json.dumps(body).encode())
