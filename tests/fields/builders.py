"""Builders: an event from JSON, and a field from its text."""

from __future__ import annotations

import json
import re
from typing import Any, TypeAlias

from lanner.decode import decode
from lanner.event import AuditEvent
from lanner.fields.catalog import BoundField, Catalog
from lanner.fields.k8s_catalog import k8s_audit_catalog

Found: TypeAlias = str | int | bool | list[str] | None
"""A field's value, None where it is missing."""

CATALOG = k8s_audit_catalog({"team": "blue"}, hostname="host-1")


def bind(field: str, catalog: Catalog = CATALOG) -> BoundField:
    """The field of a text such as `ka.verb` or `ka.uri.param[command]`."""
    parts = re.fullmatch(r"([\w.]+)(?:\[(.*)\])?", field, re.DOTALL)
    assert parts is not None
    return catalog.bind(parts[1], parts[2])


def make_event(text: str | bytes) -> AuditEvent:
    (event,) = decode(text if isinstance(text, bytes) else text.encode()).events
    return event


def event_text(members: dict[str, Any]) -> str:
    """The JSON of an event with these members, and with what every event has."""
    base = {
        "kind": "Event",
        "apiVersion": "audit.k8s.io/v1",
        "auditID": "id-1",
        "stageTimestamp": "2024-03-05T09:08:07Z",
    }
    return json.dumps(base | members)
