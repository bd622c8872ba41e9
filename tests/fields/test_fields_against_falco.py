"""Our values against those that Falco extracts from the same recorded events."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import zstandard

from lanner.decode import decode
from lanner.event import MISSING, AuditEvent
from lanner.fields.catalog import Value
from tests.fields.builders import bind

DATA = Path(__file__).resolve().parents[3] / "shared" / "data"
EVENTS = DATA / "fields-events.jsonl.zst"
VALUES = DATA / "fields-values.jsonl.zst"

pytestmark = pytest.mark.skipif(not EVENTS.exists() or not VALUES.exists(), reason="the recorded events are not here")

DIFFERENCES = {
    "ka.sourceips": "Falco looks for the addresses in the rules of a role and finds none",
    "ka.req.binding.subject.has_name": "Falco says true of everything",
    "ka.req.service.ports": "Falco gives the whole array as one text, whatever the index",
    "image.repository": "Falco cuts at the first colon, also at that of a registry's port",
    "add_capabilities": "Falco gives one JSON array for each container",
    "eff_run_as_user": "Falco never looks into security contexts, and takes JSON patch operations for containers",
    "eff_run_as_group": "as eff_run_as_user",
}
"""Where values differ on purpose, by name or end of a name, and what Falco does there."""


def lines(path: Path) -> list[bytes]:
    return zstandard.ZstdDecompressor().stream_reader(path.read_bytes()).readall().splitlines()


@pytest.fixture(scope="module")
def recorded() -> tuple[list[str], list[tuple[AuditEvent, dict[str, Any]]]]:
    """The fields that Falco was asked for, and each event with the values that Falco found."""
    head, *rows = (json.loads(line) for line in lines(VALUES))
    events = [event for line in lines(EVENTS) for event in decode(line).events]
    return head["fields"], list(zip(events, (row["values"] for row in rows), strict=True))


def differs(field: str) -> bool:
    name = field.partition("[")[0]
    return any(name == known or name.endswith(f".{known}") for known in DIFFERENCES)


def test_equal_values(recorded: tuple[list[str], list[tuple[AuditEvent, dict[str, Any]]]]) -> None:
    """All fields but the listed ones have Falco's value in every event."""
    fields, rows = recorded
    wrong: dict[str, tuple[str | None, Value | None, Any]] = {}
    for field in fields:
        if differs(field):
            continue
        bound = bind(field)
        for event, values in rows:
            found = bound.value(event)
            ours = None if found is MISSING else found
            if ours != values.get(field):
                wrong[field] = (str(event.audit_id), ours, values.get(field))
    assert wrong == {}


def test_differences_are_still_there(recorded: tuple[list[str], list[tuple[AuditEvent, dict[str, Any]]]]) -> None:
    """Each listed difference shows in the events, so the list names nothing that is equal."""
    fields, rows = recorded
    shown = set()
    for field in filter(differs, fields):
        bound = bind(field)
        for event, values in rows:
            found = bound.value(event)
            if (None if found is MISSING else found) != values.get(field):
                name = field.partition("[")[0]
                shown |= {known for known in DIFFERENCES if name == known or name.endswith(f".{known}")}
                break
    assert shown == set(DIFFERENCES)


def test_pods_with_differences(recorded: tuple[list[str], list[tuple[AuditEvent, dict[str, Any]]]]) -> None:
    """Where Falco's slips cannot show, values are equal for these fields too: images of registries without a port."""
    _, rows = recorded
    bound = bind("ka.req.pod.containers.image.repository")
    images = bind("ka.req.pod.containers.image")
    compared = 0
    for event, values in rows:
        full = images.value(event)
        if isinstance(full, list) and not any(":" in image.partition("/")[0] for image in full if "/" in image):
            assert bound.value(event) == values["ka.req.pod.containers.image.repository"]
            compared += 1
    assert compared > 0
