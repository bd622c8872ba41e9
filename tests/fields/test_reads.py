"""Events decoded with only what fields are read from show the same values as whole ones."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lanner.asked import event_type
from lanner.decode import usual_decoder, usual_list, whole
from lanner.event import AuditEvent
from lanner.fields.reads import attributes_of
from tests.fields.test_fields_never_raise import FIELDS

TEXT: dict[str, Any] = {
    "kind": "Event",
    "apiVersion": "audit.k8s.io/v1",
    "auditID": "a",
    "stage": "ResponseComplete",
    "requestURI": "/api/v1/pods?a=1",
    "verb": "create",
    "user": {"username": "eve", "groups": ["g", "h"], "uid": "7", "extra": {"a": ["b"]}},
    "impersonatedUser": {"username": "root"},
    "sourceIPs": ["10.0.0.1", "10.0.0.2"],
    "userAgent": "kubectl",
    "objectRef": {"resource": "pods", "namespace": "prod", "name": "p"},
    "responseStatus": {"code": 201, "reason": "Created"},
    "requestObject": {"spec": {"containers": [{"image": "nginx:1"}]}, "metadata": {"name": "q"}},
    "responseObject": {"metadata": {"name": "r"}},
    "annotations": {"0": "n", "x": "y"},
    "stageTimestamp": "2026-01-02T03:04:05.000000Z",
}


@given(st.sets(st.sampled_from(sorted(TEXT))))
def test_values_are_the_same(left_out: set[str]) -> None:
    """Whatever an event has: every field, read from an event with the attributes that this field asks for."""
    text = json.dumps({key: value for key, value in TEXT.items() if key not in left_out}).encode()
    full = usual_decoder()(text)
    for field in FIELDS:
        asked = attributes_of(field)
        assert asked is not None, field.text
        partly = usual_decoder(asked)(text)
        assert (partly is None) == (full is None)
        if partly is not None and full is not None:
            assert field.getter(partly) == field.getter(full), field.text


def test_only_what_is_asked_for_is_decoded() -> None:
    """Attributes that nobody asks for are not there; the whole event is, for who wants it."""
    event = usual_decoder(frozenset((("user", "username"),)))(json.dumps(TEXT).encode())
    assert event is not None
    assert event.user.username == "eve"
    with pytest.raises(AttributeError):
        _ = event.user.groups
    with pytest.raises(AttributeError):
        _ = event.verb
    assert whole(event).user.groups == ["g", "h"]
    assert isinstance(whole(event), AuditEvent)
    assert not issubclass(event_type([]), AuditEvent)


def test_what_an_event_carries_stays_with_the_whole_one() -> None:
    """Its number and the time of the first event are not in its text."""
    event = usual_decoder(frozenset())(json.dumps(TEXT).encode())
    assert event is not None
    event.number, event.start_ns = 5, 7
    assert (whole(event).number, whole(event).start_ns) == (5, 7)


@pytest.mark.parametrize("field", FIELDS, ids=lambda field: field.text)
def test_events_of_a_list_have_the_values_of_lone_ones(field: Any) -> None:
    """Also where a field reads the text of the event itself."""
    text = json.dumps(TEXT).encode()
    lone = usual_decoder()(text)
    listed = usual_list(b'{"kind":"EventList","items":[%b]}' % text)
    assert listed is not None
    ((event,),) = (part.events for part in listed)
    assert field.getter(event) == field.getter(lone)


@pytest.mark.parametrize(
    ("annotations", "value"),
    [
        ('{"x":"y","n":1}', "y"),
        ('{"x":"y","x":"z"}', "z"),
        ('{"n":"y"}', None),
        ('{"x":""}', ""),
    ],
)
def test_only_the_annotations_that_are_asked_for_are_decoded(annotations: str, value: str | None) -> None:
    """What the others are does not matter; of equal ones the last counts."""
    text = f'{{"kind":"Event","stageTimestamp":"2026-01-02T03:04:05Z","annotations":{annotations}}}'.encode()
    event = usual_decoder(frozenset((("annotations", "x"),)))(text)
    assert event is not None
    assert event.annotations
    assert event.annotations.get("x") == value


@pytest.mark.parametrize(
    "more", ['"annotations":{"x":1}', '"annotations":[]', '"stage":"Other"', '"stageTimestamp":null']
)
def test_what_api_servers_never_write_is_read_with_care(more: str) -> None:
    """It is left to `decode`."""
    text = f'{{"kind":"Event","stageTimestamp":"2026-01-02T03:04:05Z",{more}}}'.encode()
    asked = frozenset((("annotations", "x"), ("stage",)))
    assert usual_decoder(asked)(text) is None
    assert usual_decoder(asked, alone=True)(text.replace(b'"Event"', b'"EventList"')) is None


@pytest.mark.parametrize("key", ['a"b', "a\\b", "a\tb", "", "é", "_attributes", "get", "annotation0"])
def test_annotations_of_any_key(key: str) -> None:
    """Also of those that JSON has to spell with escapes, and of those that look like names in the code."""
    text = json.dumps({"kind": "Event", "stageTimestamp": "2026-01-02T03:04:05Z", "annotations": {key: "x"}}).encode()
    event = usual_decoder(frozenset((("annotations", key), ("annotations", "other"))))(text)
    assert event is not None
    assert event.annotations
    assert event.annotations.get(key) == "x"
    assert event.annotations.get("other") is None
