"""Small audit events for the command line to read."""

from __future__ import annotations

import json


def event(name: str = "settings", verb: str = "create", number: int = 1) -> dict[str, object]:
    """An audit event of one write to a ConfigMap."""
    return {
        "kind": "Event",
        "apiVersion": "audit.k8s.io/v1",
        "level": "Metadata",
        "auditID": f"audit-{number}",
        "stage": "ResponseComplete",
        "verb": verb,
        "user": {"username": "alice"},
        "objectRef": {"resource": "configmaps", "namespace": "default", "name": name},
        "requestReceivedTimestamp": "2026-01-02T03:04:05.000000Z",
        "stageTimestamp": f"2026-01-02T03:04:05.{number:06}Z",
    }


def lines(*events: object) -> bytes:
    """JSON lines; text goes in as it is."""
    return b"".join((e if isinstance(e, str) else json.dumps(e)).encode() + b"\n" for e in events)
