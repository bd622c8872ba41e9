"""Removes the oldest alerts, with their documents and events, as a policy says; and what belongs to nothing any more.

In steps: each is one short transaction, so that batches need not wait long. The oldest is what was committed first.
"""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, delete, func, select

from lanner.store.records import RetentionPolicy
from lanner.store.schema import alerts, documents, events, outputs, positions
from lanner.store.writing import lock, unlock

STEP = 500
"""How many alerts a step removes at most."""


@dataclass(frozen=True, slots=True)
class Step:
    """What a step did; `more`: there is more to remove."""

    removed: int
    removed_unsent: int
    bytes: int
    more: bool


def remove_some(connection: Connection, policy: RetentionPolicy, now_ns: int) -> Step:
    """Remove alerts from the oldest on, while one of the reasons holds: too old, too much, far too much.

    Only the last of these removes what an output has not passed.
    """
    numbers = lock(connection)
    sent = connection.execute(select(func.min(outputs.c.seq)).where(outputs.c.holds != 0)).scalar()
    oldest = connection.execute(
        select(alerts.c.seq, alerts.c.received_ns, alerts.c.size).order_by(alerts.c.seq).limit(STEP)
    ).all()
    if not oldest:
        return Step(0, 0, numbers.bytes, False)
    event_sizes = _event_sizes(connection, oldest[-1].seq)
    total = numbers.bytes
    removed = unsent = upto = 0
    for seq, received_ns, size in oldest:
        waits = sent is not None and seq > sent
        old = policy.max_age_ns is not None and received_ns < now_ns - policy.max_age_ns
        large = policy.max_bytes is not None and total > policy.max_bytes
        far_too_large = policy.hard_bytes is not None and total > policy.hard_bytes
        if not (far_too_large or ((old or large) and not waits)):
            break
        removed += 1
        unsent += waits
        upto = seq
        total -= size + event_sizes.get(seq, 0)
    if not removed:
        return Step(0, 0, numbers.bytes, False)
    numbers.bytes -= _remove(connection, upto)
    unlock(connection, numbers)
    return Step(removed, unsent, numbers.bytes, removed == len(oldest))


def remove_missing(connection: Connection, before_ns: int) -> None:
    """Remove the positions of files that have been missing since then, and outputs for looking that nobody moves."""
    lock(connection)
    connection.execute(delete(positions).where(positions.c.missing_ns > 0, positions.c.missing_ns < before_ns))
    connection.execute(delete(outputs).where(outputs.c.holds == 0, outputs.c.moved_ns < before_ns))


def _event_sizes(connection: Connection, upto: int) -> dict[int, int]:
    """Bytes of each event that goes when the alerts up to a number do, by the number of its newest alert."""
    rows = connection.execute(
        select(events.c.last_seq, func.length(events.c.raw).label("size")).where(
            events.c.seq <= upto, events.c.last_seq <= upto
        )
    )
    return {row.last_seq: row.size for row in rows}


def _remove(connection: Connection, upto: int) -> int:
    """Remove the alerts up to a number; the bytes they and their events took."""
    gone = [events.c.seq <= upto, events.c.last_seq <= upto]
    freed = connection.execute(select(func.sum(alerts.c.size)).where(alerts.c.seq <= upto)).scalar() or 0
    freed += connection.execute(select(func.sum(func.length(events.c.raw))).where(*gone)).scalar() or 0
    connection.execute(delete(documents).where(documents.c.seq <= upto))
    connection.execute(delete(alerts).where(alerts.c.seq <= upto))
    connection.execute(delete(events).where(*gone))
    return int(freed)
