"""Reads the store: alerts, malformed pieces, totals, positions. Each function is one look at one state of the store.

In: an open connection. Lists are bounded by the caller's limit; whoever wants more goes on behind the last one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, Connection, FromClause, Row, Select, and_, func, or_, select

from lanner.store.records import (
    ID_DIGITS,
    AlertFilter,
    Counters,
    FoundAlerts,
    RuleCounters,
    SourceCounters,
    StoredAlert,
    StoredMalformed,
)
from lanner.store.schema import (
    alerts,
    counters,
    documents,
    events,
    malformed,
    outputs,
    positions,
    refusals,
    rule_counters,
    state,
)
from lanner.store.writing import clean, key, tags_text, whole

_FETCHED = 10_000  # rows of numbers that are held at once


def list_alerts(
    connection: Connection,
    wanted: AlertFilter,
    limit: int,
    after: int | None,
    before: tuple[int, int] | None,
    max_bytes: int | None,
) -> list[StoredAlert]:
    """The newest alerts by their own time, newest first; with `after` those with a higher seq, in the order of seq.

    `before` is (time_ns, seq) of an alert: the ones that stand behind it in the order of newest first. With `max_bytes`
    only as many as take no more than that, but one in any case.
    """
    query = select(alerts.c.seq, alerts.c.time_ns, alerts.c.size).where(*_conditions(wanted))
    if after is not None:
        query = query.where(alerts.c.seq > after)
    if before is not None:
        time_ns, seq = before
        query = query.where(
            alerts.c.time_ns <= whole(time_ns),
            or_(alerts.c.time_ns < whole(time_ns), and_(alerts.c.time_ns == whole(time_ns), alerts.c.seq < seq)),
        )
    # Numbers and sizes first, then texts and documents of those that are left.
    narrow = query.order_by(*_order(alerts, after)).limit(limit).subquery()
    total = func.sum(narrow.c.size).over(order_by=_order(narrow, after))
    chosen = select(narrow.c.seq, narrow.c.size, total.label("total")).subquery()
    full = _full().join(chosen, chosen.c.seq == alerts.c.seq)
    if max_bytes is not None:
        full = full.where(or_(chosen.c.total <= max_bytes, chosen.c.total == chosen.c.size))
    return [_alert(row, None) for row in connection.execute(full.order_by(*_order(alerts, after)))]


def find_newest(connection: Connection, wanted: AlertFilter, limit: int | None) -> FoundAlerts:
    """Which alerts are the newest by their own time."""
    query = (
        select(alerts.c.seq, alerts.c.size, alerts.c.cluster != "")
        .where(*_conditions(wanted))
        .order_by(*_order(alerts, None))
        .limit(limit)
    )
    found = FoundAlerts()
    for seq, size, in_cluster in connection.execute(query, execution_options={"yield_per": _FETCHED}):
        found.add(seq, size, bool(in_cluster))
    return found


def read_alerts(connection: Connection, seqs: Sequence[int]) -> list[StoredAlert]:
    """The alerts with these numbers that are there still, in the order of the numbers given."""
    rows = {row.seq: row for row in connection.execute(_full().where(alerts.c.seq.in_(seqs)))}
    return [_alert(rows[seq], None) for seq in seqs if seq in rows]


def find_alert(connection: Connection, identifier: str) -> StoredAlert | None:
    """One alert in full, with its event. `identifier` may be the beginning of an id if only one alert has it.

    Raises LookupError where several have it.
    """
    try:
        low = bytes.fromhex(identifier.ljust(ID_DIGITS, "0"))
        high = bytes.fromhex(identifier.ljust(ID_DIGITS, "f"))
    except ValueError:
        return None
    found = connection.execute(select(alerts.c.seq).where(alerts.c.id.between(low, high)).limit(2)).scalars().all()
    if len(found) > 1:
        raise LookupError(f"several alerts have an id that begins with `{identifier}`")
    if not found:
        return None
    query = _full().add_columns(events.c.raw).outerjoin(events, events.c.id == alerts.c.event_id)
    row = connection.execute(query.where(alerts.c.seq == found[0])).one_or_none()
    return None if row is None else _alert(row, row.raw)


def list_malformed(
    connection: Connection, limit: int, after: int | None, source: str | None, cluster: str | None
) -> list[StoredMalformed]:
    """Malformed pieces, newest first; with `after` those with a higher seq, in the order of seq."""
    query = select(malformed).limit(limit)
    if after is not None:
        query = query.where(malformed.c.seq > after)
    if source is not None:
        query = query.where(malformed.c.source == clean(source))
    if cluster is not None:
        query = query.where(malformed.c.cluster == clean(cluster))
    query = query.order_by(malformed.c.seq.desc() if after is None else malformed.c.seq)
    return [
        StoredMalformed(row.seq, row.source, row.cluster, row.received_ns, row.reason, bytes(row.raw))
        for row in connection.execute(query)
    ]


def read_counters(connection: Connection) -> Counters:
    """All totals."""
    refused: dict[tuple[str, str], dict[str, int]] = {}
    for row in connection.execute(select(refusals).order_by(refusals.c.reason)):
        refused.setdefault((row.source, row.cluster), {})[row.reason] = row.bodies
    sources = connection.execute(select(counters).order_by(counters.c.source, counters.c.cluster)).mappings()
    rules = connection.execute(
        select(rule_counters).order_by(rule_counters.c.source, rule_counters.c.cluster, rule_counters.c.rule)
    ).mappings()
    return Counters(
        tuple(
            SourceCounters(**row, refused_bodies=refused.get((row["source"], row["cluster"]), {})) for row in sources
        ),
        tuple(RuleCounters(**row) for row in rules),
    )


def read_position(connection: Connection, source: str, file: str) -> tuple[str, int] | None:
    """Identity and offset of what was last committed of a file."""
    row = connection.execute(
        select(positions.c.identity, positions.c.offset).where(
            positions.c.source == key(source), positions.c.file == key(file)
        )
    ).one_or_none()
    return None if row is None else (row.identity, row.offset)


def count_alerts(connection: Connection, after: int, upto: int) -> int:
    """How many alerts have a number beyond `after` and not beyond `upto`."""
    query = select(func.count()).select_from(alerts).where(alerts.c.seq > after, alerts.c.seq <= upto)
    return int(connection.execute(query).scalar_one())


def read_last_seq(connection: Connection) -> int:
    """The highest number that an alert may have by now."""
    return int(connection.execute(select(state.c.last_seq)).scalar_one())


def read_outputs(connection: Connection) -> dict[str, int]:
    """How far each output has come."""
    return {row.name: row.seq for row in connection.execute(select(outputs))}


def _conditions(wanted: AlertFilter) -> list[ColumnElement[bool]]:
    found: list[ColumnElement[bool]] = []
    if wanted.since_ns is not None:
        found.append(alerts.c.time_ns >= whole(wanted.since_ns))
    if wanted.until_ns is not None:
        found.append(alerts.c.time_ns < whole(wanted.until_ns))
    if wanted.priority is not None:
        found.append(alerts.c.priority <= wanted.priority)
    for column, values in (
        (alerts.c.rule, wanted.rules),
        (alerts.c.cluster, wanted.clusters),
        (alerts.c.namespace, wanted.namespaces),
        (alerts.c.user, wanted.users),
    ):
        if values:
            found.append(column.in_([clean(value) for value in values]))
    if wanted.tags:
        # Exact in every dialect, without a pattern to escape: taking the tag out changes the text.
        found.append(or_(*(func.replace(alerts.c.tags, tags_text((tag,)), "") != alerts.c.tags for tag in wanted.tags)))
    if wanted.text:
        text = clean(wanted.text)
        found.append(
            or_(alerts.c.output.icontains(text, autoescape=True), alerts.c.rule.icontains(text, autoescape=True))
        )
    return found


def _order(table: FromClause, after: int | None) -> tuple[ColumnElement[Any], ...]:
    if after is None:
        return table.c.time_ns.desc(), table.c.seq.desc()
    return (table.c.seq,)


def _full() -> Select[Any]:
    return select(alerts, documents.c.document).join(documents, documents.c.seq == alerts.c.seq)


def _alert(row: Row[Any], raw: bytes | None) -> StoredAlert:
    return StoredAlert(
        seq=row.seq,
        received_ns=row.received_ns,
        id=bytes(row.id).hex(),
        cluster=row.cluster,
        source=row.source,
        rule=row.rule,
        priority=row.priority,
        tags=tuple(row.tags.split("\n")[1:-1]),
        time_ns=row.time_ns,
        audit_id=row.audit_id,
        stage=row.stage,
        namespace=row.namespace,
        user=row.user,
        resource=row.resource,
        name=row.name,
        verb=row.verb,
        output=row.output,
        document=bytes(row.document),
        event_id=bytes(row.event_id).hex(),
        event=None if raw is None else bytes(raw),
    )
