"""Redaction: what is taken out of events, and that nothing else changes."""

from __future__ import annotations

import json

import pytest

from lanner.config.service import DEFAULT_REDACTION, Redaction
from lanner.decode import decode
from lanner.event import AuditEvent
from lanner.service.redaction import Redactor, redact
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
        {
            "requestObject": {
                "metadata": {"annotations": {"kubectl.kubernetes.io/last-applied-configuration": '{"data":"HIDDEN"}'}}
            }
        },
    ],
)
def test_secrets_by_default(bodies: dict[str, object]) -> None:
    """Whichever way a secret is written or read, its values are redacted; the same in a ConfigMap is not."""
    redactor = Redactor(DEFAULT_REDACTION)
    assert b"HIDDEN" not in redactor.event(audit(objectRef=SECRETS, **bodies)).raw
    config_map = audit(**bodies)
    assert redactor.event(config_map) is config_map


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


def test_malformed_pieces() -> None:
    """A piece does not say what it is about, so all pointers are tried."""
    redactor = Redactor([Redaction("secrets", ("/requestObject/data",))])
    assert redactor.piece(b'{"requestObject":{"data":"HIDDEN"}}') == b'{"requestObject":{"data":"[redacted]"}}'
