"""Reads the store: alerts, malformed pieces, totals, positions. Each function is one look at one state of the store.

In: an open connection. Lists are bounded by the caller's limit; whoever wants more goes on behind the last one.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, Select, and_, func, or_, select

from lanner.store.records import (
    ID_DIGITS,
    AlertFilter,
    Counters,
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


def list_alerts(
    connection: Connection,
    wanted: AlertFilter,
    limit: int,
    after: int | None,
    before: tuple[int, int] | None,
) -> list[StoredAlert]:
    """The newest alerts by their own time, newest first; with `after` those with a higher seq, in the order of seq.

    `before` is (time_ns, seq) of an alert: the ones that stand behind it in the order of newest first.
    """
    query = select(alerts).where(*_conditions(wanted))
    if after is not None:
        query = query.where(alerts.c.seq > after)
    if before is not None:
        time_ns, seq = before
        query = query.where(
            alerts.c.time_ns <= whole(time_ns),
            or_(alerts.c.time_ns < whole(time_ns), and_(alerts.c.time_ns == whole(time_ns), alerts.c.seq < seq)),
        )
    query = query.order_by(*_order(after)).limit(limit)
    # First the narrow rows, then the documents of those that are left.
    chosen = query.subquery()
    full = select(chosen, documents.c.document).join(documents, documents.c.seq == chosen.c.seq)
    order = (chosen.c.time_ns.desc(), chosen.c.seq.desc()) if after is None else (chosen.c.seq,)
    return [_alert(row, None) for row in connection.execute(full.order_by(*order))]


def find_alert(connection: Connection, identifier: str) -> StoredAlert | None:
    """One alert in full, with its event. `identifier` may be the beginning of an id if only one alert has it.

    Raises LookupError where several have it.
    """
    try:
        low = bytes.fromhex(identifier.ljust(ID_DIGITS, "0"))
        high = bytes.fromhex(identifier.ljust(ID_DIGITS, "f"))
    except ValueError:
        return None
    query: Select[Any] = (
        select(alerts, documents.c.document, events.c.raw)
        .join(documents, documents.c.seq == alerts.c.seq)
        .outerjoin(events, events.c.id == alerts.c.event_id)
        .where(alerts.c.id.between(low, high))
        .limit(2)
    )
    found = connection.execute(query).all()
    if len(found) > 1:
        raise LookupError(f"several alerts have an id that begins with `{identifier}`")
    return _alert(found[0], found[0].raw) if found else None


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


def _order(after: int | None) -> tuple[ColumnElement[Any], ...]:
    if after is None:
        return alerts.c.time_ns.desc(), alerts.c.seq.desc()
    return (alerts.c.seq,)


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
