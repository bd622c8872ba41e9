"""Batches and alerts for tests."""

from __future__ import annotations

import os
from dataclasses import replace
from hashlib import blake2b
from typing import Any

import msgspec

from lanner.store.records import AlertRecord, Batch, Counters, EventIdentity, MalformedRecord, SourceCounters
from lanner.store.store import Store

SECOND = 1_000_000_000
NOW = 1_750_000_000 * SECOND


def alert(audit_id: str = "a1", rule: str = "Rule", **changes: Any) -> AlertRecord:
    """An alert whose ids fit what it says."""
    cluster = changes.get("cluster", "prod")
    made = AlertRecord(
        id=EventIdentity(cluster, audit_id, "ResponseComplete", "t1", "t2").alert_id(rule),
        cluster="prod",
        source="k8s_audit",
        rule=rule,
        priority=4,
        tags=("k8s", "mitre"),
        time_ns=NOW,
        audit_id=audit_id,
        stage="ResponseComplete",
        namespace="default",
        user="jane",
        resource="pods",
        name="web",
        verb="create",
        output=f"{rule} on {audit_id}",
        document=f'{{"rule":"{rule}"}}'.encode("utf-8", "replace"),
        event=f'{{"auditID":"{audit_id}"}}'.encode("utf-8", "replace"),
        event_id=EventIdentity(cluster, audit_id, "ResponseComplete", "t1", "t2").event_id(),
    )
    return msgspec.structs.replace(made, **changes)


def digest(name: str) -> bytes:
    """The digest of some body."""
    return blake2b(name.encode(), digest_size=16).digest()


def pieces(count: int) -> tuple[MalformedRecord, ...]:
    """So many malformed pieces."""
    return tuple(MalformedRecord("not JSON", f"piece {index}".encode()) for index in range(count))


def body(
    name: str | None = None, *alerts: AlertRecord, malformed: int | tuple[MalformedRecord, ...] = 0, **changes: Any
) -> Batch:
    """A webhook body with ten events; without a name it is unlike any other."""
    made = Batch(
        source="webhook",
        cluster="prod",
        received_ns=NOW + 2 * SECOND,
        size=1_000,
        digest=os.urandom(16) if name is None else digest(name),
        evaluated=10,
        malformed=pieces(malformed) if isinstance(malformed, int) else malformed,
        matched=len({found.event_id for found in alerts}),
        last_event_ns=NOW,
        alerts=alerts,
    )
    return replace(made, **changes)


def lines(file: str, identity: str, offset: int, *alerts: AlertRecord, **changes: Any) -> Batch:
    """A block of lines of a file."""
    return replace(body(None, *alerts), source="audit-log", digest=None, position=(file, identity, offset), **changes)


def totals(store: Store, source: str = "webhook", cluster: str = "prod") -> SourceCounters:
    """The totals of one source and cluster."""
    (found,) = (one for one in store.counters().sources if (one.source, one.cluster) == (source, cluster))
    return found


def balanced(counters: Counters) -> bool:
    """Whether all books balance."""
    return all(one.received == one.evaluated + one.duplicate + one.malformed for one in counters.sources)
