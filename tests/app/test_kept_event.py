"""What is kept of events that are too large to keep."""

from __future__ import annotations

import json
from typing import Any

import pytest

from lanner.engine.field_limit import FieldLimit
from lanner.service.kept_event import KeptEvent
from tests.cli.builders import event

MAX_BYTES = 4096
LONG = "x" * 10_000


def kept(**changes: Any) -> dict[str, Any]:
    """What is kept of an event with these members, as JSON says it."""
    text = KeptEvent(MAX_BYTES, FieldLimit(64)).text(json.dumps({**event(), **changes}).encode())
    assert len(text) <= MAX_BYTES
    found: dict[str, Any] = json.loads(text)
    return found


def test_an_event_that_fits_is_kept_as_it_is() -> None:
    """Not one byte is changed."""
    text = json.dumps(event(), indent=1).encode()
    assert KeptEvent(len(text), FieldLimit(64)).text(text) is text


def test_a_mark_stands_for_each_body() -> None:
    """All else of the event stays."""
    found = kept(requestObject={"a": LONG}, responseObject=[1])
    assert found.pop("requestObject") == "[left out: 10,009 bytes]"
    assert found.pop("responseObject") == "[left out: 3 bytes]"
    assert found == event()


def test_long_texts_are_cut() -> None:
    """Who did what to which object stays, and how long the texts were."""
    user = {"username": LONG, "groups": ["a"]}
    found = kept(user=user, requestURI=LONG, objectRef={"resource": "pods", "name": LONG, "other": LONG})
    assert found["user"] == {"username": "x" * 64 + "[cut: 10,000 bytes in all]", "groups": ["a"]}
    assert found["objectRef"] == {"resource": "pods", "name": "x" * 64 + "[cut: 10,000 bytes in all]"}
    assert found["requestURI"] == "x" * 64 + "[cut: 10,000 bytes in all]"
    assert found["auditID"] == event()["auditID"]


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({f"key{number}": "x" for number in range(10_000)}, id="many members"),
        pytest.param({"annotations": {f"key{number}": "x" for number in range(10_000)}}, id="many annotations"),
        pytest.param({"user": [LONG], "objectRef": LONG, "responseStatus": 5, "verb": [LONG]}, id="odd types"),
        pytest.param({"requestURI": "\x01" * 10_000, "userAgent": "é" * 10_000}, id="escaped and wide characters"),
        pytest.param({"sourceIPs": ["192.0.2.1"] * 1000}, id="a long list"),
    ],
)
def test_whatever_is_in_it_what_is_kept_is_json_and_fits(changes: dict[str, Any]) -> None:
    """The event still says which one it is."""
    found = kept(**changes)
    assert found["auditID"] == event()["auditID"]
    assert found["stageTimestamp"] == event()["stageTimestamp"]


def test_what_does_not_fit_is_left_out_from_the_largest_on() -> None:
    """Small members are worth more than one large one."""
    changes = dict.fromkeys(("requestURI", "userAgent"), "\x01" * 64)
    text = KeptEvent(700, FieldLimit(64)).text(json.dumps({**event(), **changes, "requestObject": LONG}).encode())
    found = json.loads(text)
    assert len(text) <= 700
    assert "auditID" in found
    assert "userAgent" not in found or "requestURI" not in found
