"""Removes alerts, with their documents and events, as a policy says; and what belongs to nothing any more.

By age the oldest go, by size those of whoever takes the most (`shares`). In steps: what goes is looked for while others
may commit, and each removal is one short transaction, so that batches need not wait long.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, bindparam, delete, func, select, update

from lanner.store.schema import alerts, counters, documents, events, outputs, positions, state
from lanner.store.writing import lock, unlock

MAX_AHEAD_NS = 24 * 3600 * 1_000_000_000
"""How far the system's clock may be ahead of all that the store knows, to be believed."""

STEP = 500
STEP_BYTES = 32 * 1024 * 1024
"""How many alerts a step removes at most, and of how many bytes (or one)."""

MAX_ROUNDS = 10
"""How often in one cleaning it is looked who takes the most: what an event takes is free when its last alert goes."""


@dataclass(frozen=True, slots=True)
class Step:
    """What a step did: the numbers of the alerts that went, and the bytes that stay."""

    removed: frozenset[int]
    bytes: int


def passed_by_all(connection: Connection) -> int | None:
    """The number up to which every output that holds has come; None if none holds."""
    return connection.execute(select(func.min(outputs.c.seq)).where(outputs.c.holds != 0)).scalar()


def size(connection: Connection) -> int:
    """The bytes of all alerts with their events."""
    return int(connection.execute(select(state.c.bytes)).scalar_one())


def too_old(connection: Connection, before_ns: int, now_ns: int, limit: int | None) -> list[int]:
    """The oldest alerts that arrived before a time, a step of them. What was committed first is the oldest.

    An arrival after `now_ns` says that the clock was wrong then: such an alert is as old as the one after it.
    """
    known = [] if limit is None else [alerts.c.seq <= limit]
    upto = 0
    query = select(alerts.c.seq, alerts.c.received_ns).where(alerts.c.received_ns <= now_ns, *known)
    latest = 0
    for seq, received_ns in connection.execute(query.order_by(alerts.c.seq).limit(STEP)):
        latest = max(latest, received_ns)
        if latest >= before_ns:
            break
        upto = seq
    if not upto:
        return []
    oldest = select(alerts.c.seq, alerts.c.size + alerts.c.event_bytes).where(alerts.c.seq <= upto)
    chosen: list[int] = []
    total = 0
    for seq, taken in connection.execute(oldest.order_by(alerts.c.seq).limit(STEP)):
        chosen.append(seq)
        total += taken
        if total >= STEP_BYTES:
            break
    return chosen


def remove(connection: Connection, seqs: Sequence[int], target: int | None = None) -> Step:
    """Remove these alerts, where they are there still; with `target` only until no more bytes than that are left."""
    numbers = lock(connection)
    chosen: list[int] = []
    left = numbers.bytes
    rows = connection.execute(
        select(alerts.c.seq, alerts.c.size, alerts.c.event_bytes).where(alerts.c.seq.in_(seqs)).order_by(alerts.c.seq)
    )
    for seq, own, of_event in rows.all():
        if target is not None and left <= target:
            break
        chosen.append(seq)
        left -= own + of_event
    if chosen:
        numbers.bytes -= _remove(connection, chosen)
        unlock(connection, numbers)
    return Step(frozenset(chosen), numbers.bytes)


def remove_missing(connection: Connection, before_ns: int) -> None:
    """Remove the positions of files that have been missing since then, and outputs for looking that nobody moves."""
    lock(connection)
    connection.execute(delete(positions).where(positions.c.missing_ns > 0, positions.c.missing_ns < before_ns))
    connection.execute(delete(outputs).where(outputs.c.holds == 0, outputs.c.moved_ns < before_ns))


@dataclass(frozen=True, slots=True)
class Known:
    """Times that the store knows: its own clock (0: none yet), that of the newest event, the last arrival."""

    clock_ns: int
    event_ns: int
    received_ns: int


def known_times(connection: Connection) -> Known:
    """What the store knows about the time; no other writer changes its clock meanwhile."""
    lock(connection)
    clock_ns = connection.execute(select(state.c.clock_ns)).scalar_one()
    event_ns, received_ns = connection.execute(
        select(func.max(counters.c.last_event_ns), func.max(counters.c.last_received_ns))
    ).one()
    return Known(clock_ns, event_ns or 0, received_ns or 0)


def set_clock(connection: Connection, clock_ns: int) -> None:
    """Set the clock of the store."""
    connection.execute(update(state).values(clock_ns=clock_ns))


def _remove(connection: Connection, seqs: Sequence[int]) -> int:
    """Remove alerts, and the events that have none any more; the bytes they took."""
    gone = alerts.c.seq.in_(seqs)
    freed = int(connection.execute(select(func.sum(alerts.c.size)).where(gone)).scalar_one())
    counted = {
        bytes(row.event_id): row.number
        for row in connection.execute(
            select(alerts.c.event_id, func.count().label("number")).where(gone).group_by(alerts.c.event_id)
        )
    }
    connection.execute(delete(documents).where(documents.c.seq.in_(seqs)))
    connection.execute(delete(alerts).where(gone))
    unused: list[int] = []
    kept: list[dict[str, object]] = []
    query = select(
        events.c.seq, events.c.last_seq, events.c.id, events.c.alerts, func.length(events.c.raw).label("bytes")
    )
    for row in connection.execute(query.where(events.c.id.in_(list(counted)))).all():
        left = row.alerts - counted[bytes(row.id)]
        if left <= 0 and (row.alerts or not _has_alerts(connection, row.id, row.seq, row.last_seq)):
            unused.append(row.seq)
            freed += row.bytes
        elif row.alerts:
            kept.append({"changed": row.seq, "left": left})
    if unused:
        connection.execute(delete(events).where(events.c.seq.in_(unused)))
    if kept:
        connection.execute(
            update(events).where(events.c.seq == bindparam("changed")).values(alerts=bindparam("left")), kept
        )
    return freed


def _has_alerts(connection: Connection, identifier: bytes, first: int, last: int) -> bool:
    """Whether an event from before alerts were counted has any; they have numbers from `first` to `last`."""
    query = select(alerts.c.seq).where(alerts.c.seq.between(first, last), alerts.c.event_id == identifier)
    return connection.execute(query.limit(1)).first() is not None
