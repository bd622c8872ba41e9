"""What makes two events two: whatever differs in the request makes two alerts, and sending one twice does not."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lanner.decode import decode, usual_decoder
from lanner.event import AuditEvent
from lanner.service.records import MAX_NORMALIZED_BYTES, RECORDED, event_identity
from lanner.store.records import EventIdentity
from tests.cli.builders import event

FINE, COARSE = "2026-01-02T03:04:05.678901Z", "2026-01-02T03:04:05Z"


def audit(time: str = FINE, **more: Any) -> dict[str, Any]:
    """An event of a client that has chosen its audit id. A value of None leaves the key out."""
    whole = {**event(), "auditID": "chosen", "requestURI": "/api/v1/namespaces/default/pods", "user": {"username": "u"}}
    whole |= {"requestReceivedTimestamp": time, "stageTimestamp": time, **more}
    return {key: value for key, value in whole.items() if value is not None}


def old(**more: Any) -> dict[str, Any]:
    """An event of an API server that knows one time, to the second."""
    times = {"stageTimestamp": None, "requestReceivedTimestamp": None, "timestamp": COARSE}
    return audit(apiVersion="audit.k8s.io/v1beta1", **{**times, **more})


def only(text: bytes) -> AuditEvent:
    (found,) = decode(text).events
    return found


def identifier(text: dict[str, Any] | bytes, cluster: str = "prod") -> str:
    whole = only(text if isinstance(text, bytes) else json.dumps(text).encode())
    return event_identity(whole, cluster).event_id()


REQUESTS: dict[str, dict[str, Any]] = {
    "audit id": {"auditID": "other"},
    "stage": {"stage": "RequestReceived"},
    "URI": {"requestURI": "/api/v1/namespaces/default/pods?limit=1"},
    "empty URI": {"requestURI": ""},
    "no URI": {"requestURI": None},
    "verb": {"verb": "patch"},
    "user": {"user": {"username": "v"}},
    "no user": {"user": {}},
    "impersonated user": {"impersonatedUser": {"username": "admin"}},
    "another impersonated user": {"impersonatedUser": {"username": "editor"}},
    "time received": {"requestReceivedTimestamp": "2026-01-02T03:04:05.678900Z"},
    "time of the stage": {"stageTimestamp": "2026-01-02T03:04:05.678902Z"},
}
COARSE_REQUESTS: dict[str, dict[str, Any]] = {
    **{name: changes for name, changes in REQUESTS.items() if not name.startswith("time")},
    "body": {"requestObject": {"rules": []}},
    "another body": {"requestObject": {"rules": [{"verbs": ["*"]}]}},
    "response": {"responseObject": {"metadata": {"name": "web-1"}}},
    "another response": {"responseObject": {"metadata": {"name": "web-2"}}},
    "code": {"responseStatus": {"code": 403}},
    "user agent": {"userAgent": "curl"},
    "address": {"sourceIPs": ["10.0.0.1"]},
    "groups": {"user": {"username": "u", "groups": ["system:masters"]}},
    "name": {"objectRef": {"resource": "configmaps", "namespace": "default", "name": "other"}},
}


@pytest.mark.parametrize(
    "events",
    [
        pytest.param([audit(), *(audit(**changes) for changes in REQUESTS.values())], id="to the microsecond"),
        pytest.param(
            [audit(COARSE), *(audit(COARSE, **changes) for changes in COARSE_REQUESTS.values())], id="to the second"
        ),
        pytest.param(
            [
                audit(time) | {"requestObject": body}
                for time in ("2026-01-02T03:04:05.678Z", "2026-01-02T03:04:05.678000Z", "2026-01-02T03:04:05.000000Z")
                for body in (1, 2)
            ],
            id="to the millisecond",
        ),
        pytest.param(
            [old(), old(timestamp="2026-01-02T03:04:06Z"), *(old(**changes) for changes in COARSE_REQUESTS.values())],
            id="old versions",
        ),
        pytest.param([audit(auditID=None), audit(auditID=None, requestObject={})], id="without audit id"),
        pytest.param([audit(user={"username": "ab"}, verb="c"), audit(user={"username": "a"}, verb="bc")], id="moved"),
        pytest.param([audit(user={"username": '"'}), audit(user={"username": '\\"'})], id="quotes"),
        pytest.param(
            [audit(COARSE, requestObject="x" * MAX_NORMALIZED_BYTES + last) for last in "yz"], id="large bodies"
        ),
    ],
)
def test_requests_that_differ(events: list[dict[str, Any]]) -> None:
    """Events whose requests differ have different ids, and ids are of one cluster only."""
    ids = [identifier(one, cluster) for one in events for cluster in ("prod", "dev")]
    assert len(set(ids)) == len(ids)


def respelt(value: Any) -> str:
    """The same JSON with its keys the other way round, blanks, and every character of its strings as an escape."""
    match value:
        case dict():
            pairs = (f"{respelt(key)} : {respelt(inner)}" for key, inner in reversed(value.items()))
            return f"{{ {' , '.join(pairs)} }}"
        case list():
            return f"[ {' , '.join(map(respelt, value))} ]"
        case str():
            units = value.encode("utf-16-be")
            return '"' + "".join(f"\\u{units[i : i + 2].hex()}" for i in range(0, len(units), 2)) + '"'
        case _:
            return json.dumps(value)


ODD = {"a\u2028": [1, {"b": None}, "\U0001f600"], "c": {"d": {}, "e": []}}


@pytest.mark.parametrize("time", [FINE, COARSE])
@pytest.mark.parametrize("make", [audit, old, lambda time=FINE, **more: audit(time, auditID=None, **more)])
def test_one_event_in_two_spellings(make: Any, time: str) -> None:
    """The order of keys, escapes and blanks do not make two of one."""
    if make is old:
        one = old(requestObject=ODD, requestURI="/a?b=\u00e9")
    else:
        one = make(time, requestObject=ODD, requestURI="/a?b=\u00e9")
    assert identifier(respelt(one).encode()) == identifier(one)


@pytest.mark.parametrize("changes", [*REQUESTS.values(), {"requestObject": {"a": 1}}])
@pytest.mark.parametrize("time", [FINE, COARSE])
def test_one_event_read_in_two_ways(time: str, changes: dict[str, Any]) -> None:
    """An event of which only the attributes of RECORDED were read has the id that it has with all of them."""
    text = json.dumps(audit(time) | changes).encode() if None not in changes.values() else json.dumps(audit()).encode()
    partial = usual_decoder(RECORDED)(text)
    assert partial is not None
    assert event_identity(partial, "prod").event_id() == identifier(text)


def test_bodies_that_one_copy_lacks() -> None:
    """A copy that the API server has truncated is the same event, as long as its times tell it from others."""
    assert identifier(audit(requestObject={"a": 1})) == identifier(audit())


PARTS = st.lists(st.none() | st.text(max_size=4), min_size=1, max_size=4)


@given(PARTS, PARTS, st.text(max_size=3), st.text(max_size=3))
def test_ids_are_equal_for_equal_parts_alone(one: list[str | None], other: list[str | None], a: str, b: str) -> None:
    """Wherever one part ends and the next begins, missing or empty; and the rule's name is apart from all of them."""
    first, second = EventIdentity(*one), EventIdentity(*other)
    assert (first.event_id() == second.event_id()) == (one == other)
    assert (first.alert_id(a) == second.alert_id(b)) == ((one, a) == (other, b))
    assert first.event_id() != first.alert_id(a)
    assert EventIdentity(*one).alert_id(a) == first.alert_id(a)


@given(
    st.dictionaries(st.sampled_from(["requestURI", "verb", "user", "impersonatedUser", "auditID"]), st.text(max_size=3))
)
def test_any_request(values: dict[str, str]) -> None:
    """An id says nothing of an event but whether it is the same: equal for the same, and new with every new text."""
    users = ("user", "impersonatedUser")
    one = {**audit(), **{key: {"username": value} if key in users else value for key, value in values.items()}}
    assert identifier(one) == identifier(respelt(one).encode())
    for key, value in values.items():
        longer = f"{value}x"
        assert identifier({**one, key: {"username": longer} if key in users else longer}) != identifier(one)
