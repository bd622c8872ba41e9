"""Puts batches into the store, within one transaction that other writers wait for.

In: an open transaction and batches in their order. Out: an outcome for each. Steps: lock the numbers, tell duplicates,
insert what is new, add to the counters, drop what is too old, put the numbers back.

Rows go to the driver as they are, with SQL text that is compiled once: SQLAlchemy's own handling of each row costs more
than SQLite's.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import lru_cache
from hashlib import blake2b
from itertools import chain
from typing import Any, TypeAlias

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Connection,
    Dialect,
    Table,
    bindparam,
    case,
    delete,
    func,
    select,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite

from lanner.store.records import AlertRecord, Batch, CommitResult, Outcome
from lanner.store.schema import (
    alerts,
    bodies,
    counters,
    documents,
    events,
    malformed,
    positions,
    refusals,
    rule_counters,
    state,
)

REMEMBER_NS = 3600 * 1_000_000_000
"""How long a body is known after it arrived."""

ROW_BYTES = 512
"""What an alert is accounted for besides its texts."""

_INT64_MAX = 2**63 - 1
_KEY_BYTES = 600  # PostgreSQL takes some 2,700 bytes for all columns of a key together
_CHUNK = 1_000  # values of one statement
_ROWS = (512, 64, 8, 1)  # rows of one statement; SQLite takes 32,766 values
_PRUNED = 5_000  # bodies forgotten with one commit

Insert: TypeAlias = "sqlite.Insert | postgresql.Insert"
Row: TypeAlias = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of what is kept for a while."""

    malformed_count: int = 10_000
    malformed_bytes: int = 64 * 1024 * 1024
    remember_ns: int = REMEMBER_NS


@dataclass(slots=True)
class Numbers:
    """The row of `state`, while it is locked."""

    last_seq: int
    bytes: int
    malformed_seq: int
    malformed_bytes: int


def write(connection: Connection, batches: Sequence[Batch], limits: Limits) -> CommitResult:
    """Put the batches into the store. Raises what the driver raises; the caller then rolls back."""
    numbers = lock(connection)
    outcomes = _outcomes(connection, batches, limits)
    new = [batch for batch, outcome in zip(batches, outcomes, strict=True) if outcome is Outcome.COMMITTED]
    known = _put_alerts(connection, new, numbers)
    _count(connection, batches, outcomes)
    _put_malformed(connection, new, numbers, limits)
    _forget_bodies(connection, max((batch.received_ns for batch in batches), default=0) - limits.remember_ns)
    unlock(connection, numbers)
    return CommitResult(tuple(outcomes), known, numbers.last_seq)


def lock(connection: Connection) -> Numbers:
    """The numbers so far. Other writers wait from here to the end of the transaction."""
    row = connection.execute(
        select(state.c.last_seq, state.c.bytes, state.c.malformed_seq, state.c.malformed_bytes).with_for_update()
    ).one()
    return Numbers(*row)


def unlock(connection: Connection, numbers: Numbers) -> None:
    """Keep the numbers."""
    connection.execute(
        update(state).values(
            last_seq=numbers.last_seq,
            bytes=numbers.bytes,
            malformed_seq=numbers.malformed_seq,
            malformed_bytes=numbers.malformed_bytes,
        )
    )


def clean(text: str) -> str:
    """The text as every database takes it: no NUL, no lone surrogates."""
    if "\0" in text:
        text = text.replace("\0", "\ufffd")
    return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode()


def key(text: str) -> str:
    """A name as part of a key: a very long one becomes its beginning and a digest."""
    encoded = text.encode("utf-8", "backslashreplace")
    if len(encoded) <= _KEY_BYTES:
        return clean(text)
    return f"{clean(text[:120])}...{blake2b(encoded, digest_size=16).hexdigest()}"


def insert(connection: Connection, table: Table) -> Insert:
    """An INSERT that knows ON CONFLICT, in the dialect of the connection."""
    return _insert(connection.dialect.name, table)


def _insert(dialect: str, table: Table) -> Insert:
    return sqlite.insert(table) if dialect == "sqlite" else postgresql.insert(table)


def _outcomes(connection: Connection, batches: Sequence[Batch], limits: Limits) -> list[Outcome]:
    new_bodies = _remember_bodies(connection, batches, limits)
    reached = _positions(connection, batches)
    moved: dict[tuple[str, str], tuple[str, int]] = {}
    outcomes: list[Outcome] = []
    for index, batch in enumerate(batches):
        outcome = Outcome.COMMITTED
        if batch.digest is not None and index not in new_bodies:
            outcome = Outcome.DUPLICATE
        if batch.position is not None:
            file, identity, offset = batch.position
            place = (key(batch.source), key(file))
            identity = clean(identity)
            stored = reached.get(place)
            if stored is not None and stored[0] == identity and offset <= stored[1]:
                outcome = Outcome.DUPLICATE
            elif outcome is Outcome.COMMITTED:
                reached[place] = moved[place] = (identity, offset)
        outcomes.append(outcome)
    if moved:
        statement = insert(connection, positions)
        statement = statement.on_conflict_do_update(
            index_elements=[positions.c.source, positions.c.file],
            set_={"identity": statement.excluded.identity, "offset": statement.excluded.offset, "missing_ns": 0},
        )
        connection.execute(
            statement,
            [
                {"source": source, "file": file, "identity": identity, "offset": offset}
                for (source, file), (identity, offset) in moved.items()
            ],
        )
    return outcomes


def _remember_bodies(connection: Connection, batches: Sequence[Batch], limits: Limits) -> set[int]:
    """The indices of batches whose body was not seen within the time; it is remembered from now on."""
    first: dict[bytes, int] = {}
    for index, batch in enumerate(batches):
        if batch.digest is not None:
            names = f"{len(batch.source)},{len(batch.cluster)},{batch.source}{batch.cluster}"
            digest = blake2b(names.encode("utf-8", "surrogatepass"), digest_size=16)
            digest.update(batch.digest)
            first.setdefault(digest.digest(), index)
    new: set[int] = set()
    keys = sorted(first)
    for start in range(0, len(keys), _CHUNK):
        chunk = keys[start : start + _CHUNK]
        values = [value for body in chunk for value in (body, whole(batches[first[body]].received_ns))]
        told = connection.exec_driver_sql(_remember_text(connection.dialect, len(chunk), limits), tuple(values))
        new.update(first[bytes(body)] for body in told.scalars())
    return new


@lru_cache(maxsize=64)
def _remember_text(dialect: Dialect, count: int, limits: Limits) -> str:
    """Inserts bodies, or renews what came too long ago, and tells which. SQLAlchemy would compile it each time."""
    row = f"({_mark(dialect)}, {_mark(dialect)})"
    return (
        f"INSERT INTO bodies (key, received_ns) VALUES {', '.join([row] * count)}"
        " ON CONFLICT (key) DO UPDATE SET received_ns = excluded.received_ns"
        f" WHERE bodies.received_ns < excluded.received_ns - {limits.remember_ns} RETURNING key"
    )


def _positions(connection: Connection, batches: Sequence[Batch]) -> dict[tuple[str, str], tuple[str, int]]:
    files: dict[str, set[str]] = {}
    for batch in batches:
        if batch.position is not None:
            files.setdefault(key(batch.source), set()).add(key(batch.position[0]))
    found: dict[tuple[str, str], tuple[str, int]] = {}
    for source, names in files.items():
        wanted = sorted(names)
        for start in range(0, len(wanted), _CHUNK):
            rows = connection.execute(
                select(positions.c.file, positions.c.identity, positions.c.offset).where(
                    positions.c.source == source, positions.c.file.in_(wanted[start : start + _CHUNK])
                )
            )
            found.update({(source, file): (identity, offset) for file, identity, offset in rows})
    return found


def mark_missing(connection: Connection, source: str, present: Collection[str], now_ns: int) -> None:
    """Note since when files of a source are missing: all that it has a position in, but for those that are present."""
    lock(connection)
    there = set(map(key, present))
    rows = connection.execute(
        select(positions.c.file, positions.c.missing_ns).where(positions.c.source == key(source))
    ).all()
    changed = [
        {"changed": file, "since": 0 if file in there else now_ns}
        for file, missing_ns in rows
        if (file in there) == bool(missing_ns)
    ]
    if changed:
        connection.execute(
            update(positions)
            .where(positions.c.source == key(source), positions.c.file == bindparam("changed"))
            .values(missing_ns=bindparam("since")),
            changed,
        )


_ALERT_COLUMNS = (
    "seq", "id", "time_ns", "received_ns", "priority", "cluster", "source", "rule", "tags", "audit_id", "stage",
    "namespace", "user", "resource", "name", "verb", "output", "event_id", "event_bytes", "size",
)  # fmt: skip


def _put_alerts(connection: Connection, batches: Sequence[Batch], numbers: Numbers) -> frozenset[str]:
    """Insert alerts that are not there yet, with their documents and events; the ids of those that were there."""
    first = numbers.last_seq + 1
    taken: dict[bytes, tuple[int, AlertRecord]] = {}
    rows: list[tuple[Any, ...]] = []
    repeated: set[str] = set()
    for batch in batches:
        received_ns = whole(batch.received_ns)
        sharing = Counter([alert.event_id for alert in batch.alerts])
        for alert in batch.alerts:
            identifier = bytes.fromhex(alert.id)
            if identifier in taken:
                # The first of the two is new all the same, so nobody may be told that the store had it.
                continue
            seq = first + len(rows)
            taken[identifier] = (seq, alert)
            rows.append(_alert_row(seq, identifier, alert, received_ns, sharing[alert.event_id]))
    if not rows:
        return frozenset()
    numbers.last_seq += len(rows)
    inserted = _insert_new(connection, alerts, _ALERT_COLUMNS, rows)
    if inserted is not None:
        repeated.update(alert.id for seq, alert in taken.values() if seq not in inserted)
        rows = [row for row in rows if row[0] in inserted]
    fresh = [(seq, alert) for seq, alert in taken.values() if inserted is None or seq in inserted]
    numbers.bytes += sum(row[-1] for row in rows)
    _bulk(connection, documents, ("seq", "document"), [(seq, alert.document) for seq, alert in fresh])
    _put_events(connection, fresh, numbers)
    return frozenset(repeated)


def _alert_row(seq: int, identifier: bytes, alert: AlertRecord, received_ns: int, sharing: int) -> tuple[Any, ...]:
    return (
        seq,
        identifier,
        whole(alert.time_ns),
        received_ns,
        alert.priority,
        clean(alert.cluster),
        clean(alert.source),
        clean(alert.rule),
        tags_text(alert.tags),
        clean(alert.audit_id),
        clean(alert.stage),
        clean(alert.namespace),
        clean(alert.user),
        clean(alert.resource),
        clean(alert.name),
        clean(alert.verb),
        clean(alert.output),
        bytes.fromhex(alert.event_id),
        len(alert.event) // sharing,
        len(alert.document) + len(alert.output) + ROW_BYTES,
    )


@lru_cache(maxsize=4096)
def tags_text(tags: tuple[str, ...]) -> str:
    """Tags as they are kept: each between two line ends, so that one can be looked for."""
    return clean("".join(f"\n{tag.replace(chr(10), ' ')}" for tag in tags) + "\n") if tags else ""


def _put_events(connection: Connection, fresh: Sequence[tuple[int, AlertRecord]], numbers: Numbers) -> None:
    """Insert the events of new alerts that are not there yet; those that are learn of their newest alert."""
    chosen: dict[bytes, list[Any]] = {}  # id -> first seq, last seq, alerts, raw
    for seq, alert in fresh:
        if alert.event:
            entry = chosen.setdefault(bytes.fromhex(alert.event_id), [seq, seq, 0, alert.event])
            entry[1] = seq
            entry[2] += 1
    if not chosen:
        return
    rows = [(seq, last, identifier, count, raw) for identifier, (seq, last, count, raw) in chosen.items()]
    inserted = _insert_new(connection, events, ("seq", "last_seq", "id", "alerts", "raw"), rows)
    if inserted is not None:
        connection.execute(
            update(events)
            .where(events.c.id == bindparam("known"))
            .values(
                last_seq=bindparam("newest"),
                alerts=case((events.c.alerts > 0, events.c.alerts + bindparam("more", type_=BigInteger)), else_=0),
            ),
            [{"known": row[2], "newest": row[1], "more": row[3]} for row in rows if row[0] not in inserted],
        )
        rows = [row for row in rows if row[0] in inserted]
    numbers.bytes += sum(len(row[-1]) for row in rows)


def _insert_new(
    connection: Connection, table: Table, columns: tuple[str, ...], rows: Sequence[tuple[Any, ...]]
) -> set[int] | None:
    """Insert rows whose id is not in the table. The numbers of those that were inserted; None means all.

    `rows` begin with ascending numbers, higher than any in the table.
    """
    before = rows[0][0] - 1
    if _bulk(connection, table, columns, rows) == len(rows):
        return None
    return set(connection.execute(select(table.c.seq).where(table.c.seq > before)).scalars())


def _bulk(connection: Connection, table: Table, columns: tuple[str, ...], rows: Sequence[tuple[Any, ...]]) -> int:
    """Insert rows, past SQLAlchemy's handling of them, but for those whose `id` is known; how many were inserted.

    Many rows go in one statement: around each of them the driver lets go of the interpreter, and gets it back late
    while events are evaluated beside it.
    """
    inserted = start = 0
    while start < len(rows):
        count = next(size for size in _ROWS if size <= len(rows) - start)
        statement = _insert_text(connection.dialect, table, columns, count)
        values = tuple(chain.from_iterable(rows[start : start + count]))
        inserted += connection.exec_driver_sql(statement, values).rowcount
        start += count
    return inserted


@lru_cache(maxsize=128)
def _insert_text(dialect: Dialect, table: Table, columns: tuple[str, ...], count: int) -> str:
    preparer = dialect.identifier_preparer
    names = ", ".join(preparer.quote(column) for column in columns)
    row = f"({', '.join([_mark(dialect)] * len(columns))})"
    known = " ON CONFLICT (id) DO NOTHING" if "id" in columns else ""
    return f"INSERT INTO {preparer.format_table(table)} ({names}) VALUES {', '.join([row] * count)}{known}"


def _mark(dialect: Dialect) -> str:
    return "?" if dialect.paramstyle == "qmark" else "%s"


def _count(connection: Connection, batches: Sequence[Batch], outcomes: Sequence[Outcome]) -> None:
    totals: dict[tuple[str, str], Row] = {}
    rules: dict[tuple[str, str, str], Row] = {}
    refused: dict[tuple[str, str, str], int] = {}
    for batch, outcome in zip(batches, outcomes, strict=True):
        place = (key(batch.source), key(batch.cluster))
        row = totals.get(place)
        if row is None:
            row = totals[place] = dict.fromkeys(counters.c.keys(), 0)
            row["source"], row["cluster"] = place
        pieces = batch.pieces
        row["received"] += pieces
        row["bytes"] += batch.size
        row["bodies"] += batch.digest is not None
        if pieces or batch.digest is not None:
            row["last_received_ns"] = max(row["last_received_ns"], whole(batch.received_ns))
        for reason, number in batch.refused.items():
            refusal = (*place, key(reason))
            refused[refusal] = refused.get(refusal, 0) + number
        if outcome is Outcome.DUPLICATE:
            row["duplicate"] += pieces
            continue
        row["evaluated"] += batch.evaluated
        row["malformed"] += len(batch.malformed) + batch.unkept
        row["matched"] += batch.matched
        row["oversize"] += batch.oversize
        row["truncated"] += batch.truncated
        if batch.last_event_ns > 0:
            # No event comes before it happened: a clock that is ahead, or a lie, does not stay the newest for ever.
            latest = min(batch.last_event_ns, batch.received_ns)
            row["last_event_ns"] = max(row["last_event_ns"], whole(latest))
            row["lag_ns"] = whole(batch.received_ns - latest)
            row["max_lag_ns"] = max(row["max_lag_ns"], row["lag_ns"])
        for rule, number in batch.rule_matches.items():
            _rule(rules, place, rule)["matches"] += number
        for rule, number in batch.rule_errors.items():
            _rule(rules, place, rule)["errors"] += number
    _add(connection, counters, list(totals.values()))
    _add(connection, rule_counters, list(rules.values()))
    rows = [
        {"source": source, "cluster": cluster, "reason": reason, "bodies": number}
        for (source, cluster, reason), number in refused.items()
    ]
    _add(connection, refusals, rows)


def _rule(rules: dict[tuple[str, str, str], Row], place: tuple[str, str], rule: str) -> Row:
    name = key(rule)
    whole_key = (*place, name)
    found = rules.get(whole_key)
    if found is None:
        found = rules[whole_key] = {
            "source": place[0],
            "cluster": place[1],
            "rule": name,
            "matches": 0,
            "errors": 0,
        }
    return found


_LATEST = {"last_event_ns", "last_received_ns", "max_lag_ns"}


def _add(connection: Connection, table: Table, rows: list[Row]) -> None:
    """Add deltas to the totals of a table. Of times the later one stays, of the lag the last one that was told."""
    if rows:
        connection.execute(_adding(connection.dialect.name, table), rows)


@lru_cache(maxsize=16)
def _adding(dialect: str, table: Table) -> Insert:
    statement = _insert(dialect, table)
    changes: dict[str, ColumnElement[Any]] = {}
    for column in table.c:
        if column.primary_key:
            continue
        given = statement.excluded[column.name]
        if column.name in _LATEST:
            changes[column.name] = case((given > column, given), else_=column)
        elif column.name == "lag_ns":
            changes[column.name] = case((statement.excluded.last_event_ns > 0, given), else_=column)
        else:
            changes[column.name] = column + given
    return statement.on_conflict_do_update(index_elements=list(table.primary_key.columns), set_=changes)


_MALFORMED_COLUMNS = ("seq", "source", "cluster", "received_ns", "reason", "raw")


def _put_malformed(connection: Connection, batches: Sequence[Batch], numbers: Numbers, limits: Limits) -> None:
    """Insert malformed pieces; the oldest leave beyond the bounds. Of many at once only the last are written."""
    pieces = [(batch, record) for batch in batches for record in batch.malformed]
    if not pieces:
        return
    kept: list[tuple[Any, ...]] = []
    size = 0
    last = numbers.malformed_seq + len(pieces)
    for distance, (batch, record) in enumerate(reversed(pieces)):
        size += len(record.raw)
        if distance >= limits.malformed_count or size > limits.malformed_bytes:
            size -= len(record.raw)
            break
        kept.append(
            (
                last - distance,
                clean(batch.source),
                clean(batch.cluster),
                whole(batch.received_ns),
                clean(record.reason),
                record.raw,
            )
        )
    numbers.malformed_seq = last
    if len(kept) < len(pieces):
        connection.execute(delete(malformed))
        numbers.malformed_bytes = 0
    kept.reverse()
    _bulk(connection, malformed, _MALFORMED_COLUMNS, kept)
    numbers.malformed_bytes += size
    _trim_malformed(connection, numbers, limits)


def _trim_malformed(connection: Connection, numbers: Numbers, limits: Limits) -> None:
    lowest = numbers.malformed_seq - limits.malformed_count
    surplus = numbers.malformed_bytes - limits.malformed_bytes
    query = select(malformed.c.seq, func.length(malformed.c.raw)).order_by(malformed.c.seq)
    if surplus <= 0:
        query = query.where(malformed.c.seq <= lowest)
    upto = 0
    freed = 0
    oldest = connection.execute(query)
    with oldest:
        for seq, size in oldest:
            if seq > lowest and freed >= surplus:
                break
            upto = seq
            freed += size
    if upto:
        connection.execute(delete(malformed).where(malformed.c.seq <= upto))
        numbers.malformed_bytes -= freed


def _forget_bodies(connection: Connection, before_ns: int) -> None:
    """Drop some of the bodies that arrived too long ago."""
    if before_ns <= 0:
        return
    old = select(bodies.c.key).where(bodies.c.received_ns < before_ns).order_by(bodies.c.received_ns).limit(_PRUNED)
    connection.execute(delete(bodies).where(bodies.c.key.in_(old)))


def whole(number: int) -> int:
    """The number within 64 bits."""
    return max(-_INT64_MAX, min(number, _INT64_MAX))
