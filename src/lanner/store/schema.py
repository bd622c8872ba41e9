"""The tables of the store, as the newest migration leaves them (a test compares).

Writers are one behind the other: each begins by locking the one row of `state`, which also hands out the numbers. So
`seq` grows in the order of commits, and whoever has read up to a number has missed nothing below it.

Names in keys are bounded (see `writing.key`), since PostgreSQL refuses long values in an index.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    SmallInteger,
    Table,
    Text,
)

VERSION = "0003"
"""The version of this schema: the newest migration."""

VERSION_TABLE = "lanner_version"

metadata = MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "uq": "uq_%(table_name)s_%(column_0_name)s",
        "ix": "ix_%(table_name)s_%(column_0_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
    }
)

# SQLite makes an INTEGER key the number of the row itself, and holds 64 bits in it.
_number = BigInteger().with_variant(Integer, "sqlite")


def _count(name: str) -> Column[int]:
    return Column(name, BigInteger, nullable=False)


# One row: the numbers given out so far, and the bytes that alerts with their events, and malformed pieces, take.
# `clock_ns`: the time that removal by age goes by, 0 for none yet.
state = Table(
    "state",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    _count("last_seq"),
    _count("bytes"),
    _count("malformed_seq"),
    _count("malformed_bytes"),
    Column("clock_ns", BigInteger, nullable=False, server_default="0"),
)

# Narrow, so that a search through all of them reads little; the documents are apart. `event_bytes`: the part of its
# event that an alert stands for, 0 in those from before it was noted.
alerts = Table(
    "alerts",
    metadata,
    Column("seq", _number, primary_key=True, autoincrement=False),
    Column("id", LargeBinary, nullable=False),
    Column("time_ns", BigInteger, nullable=False),
    Column("received_ns", BigInteger, nullable=False),
    Column("priority", SmallInteger, nullable=False),
    Column("cluster", Text, nullable=False),
    Column("source", Text, nullable=False),
    Column("rule", Text, nullable=False),
    Column("tags", Text, nullable=False),
    Column("audit_id", Text, nullable=False),
    Column("stage", Text, nullable=False),
    Column("namespace", Text, nullable=False),
    Column("user", Text, nullable=False),
    Column("resource", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("verb", Text, nullable=False),
    Column("output", Text, nullable=False),
    Column("event_id", LargeBinary, nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("event_bytes", BigInteger, nullable=False, server_default="0"),
    Index("uq_alerts_id", "id", unique=True),
    Index("ix_alerts_time_ns", "time_ns", "seq"),
)

documents = Table(
    "documents",
    metadata,
    Column("seq", _number, ForeignKey("alerts.seq", ondelete="CASCADE"), primary_key=True, autoincrement=False),
    Column("document", LargeBinary, nullable=False),
)

# `seq` is that of the alert that brought the event, `last_seq` that of the newest alert on it; `alerts` is how many
# there are on it, 0 in those from before they were counted.
events = Table(
    "events",
    metadata,
    Column("seq", _number, primary_key=True, autoincrement=False),
    Column("last_seq", BigInteger, nullable=False),
    Column("id", LargeBinary, nullable=False),
    Column("raw", LargeBinary, nullable=False),
    Column("alerts", BigInteger, nullable=False, server_default="0"),
    Index("uq_events_id", "id", unique=True),
)

# `key` is a digest of source, cluster and the body's digest.
bodies = Table(
    "bodies",
    metadata,
    Column("key", LargeBinary, primary_key=True),
    Column("received_ns", BigInteger, nullable=False),
    Index("ix_bodies_received_ns", "received_ns"),
    sqlite_with_rowid=False,
)

# `missing_ns`: since when the source does not find the file any more, 0 while it does.
positions = Table(
    "positions",
    metadata,
    Column("source", Text, primary_key=True),
    Column("file", Text, primary_key=True),
    Column("identity", Text, nullable=False),
    Column("offset", BigInteger, nullable=False),
    Column("missing_ns", BigInteger, nullable=False, server_default="0"),
)

counters = Table(
    "counters",
    metadata,
    Column("source", Text, primary_key=True),
    Column("cluster", Text, primary_key=True),
    _count("received"),
    _count("evaluated"),
    _count("matched"),
    _count("duplicate"),
    _count("malformed"),
    _count("oversize"),
    _count("truncated"),
    _count("bodies"),
    _count("bytes"),
    _count("last_event_ns"),
    _count("last_received_ns"),
    _count("lag_ns"),
    _count("max_lag_ns"),
    CheckConstraint("received = evaluated + duplicate + malformed", name="books_balance"),
)

refusals = Table(
    "refusals",
    metadata,
    Column("source", Text, primary_key=True),
    Column("cluster", Text, primary_key=True),
    Column("reason", Text, primary_key=True),
    _count("bodies"),
)

rule_counters = Table(
    "rule_counters",
    metadata,
    Column("source", Text, primary_key=True),
    Column("cluster", Text, primary_key=True),
    Column("rule", Text, primary_key=True),
    _count("matches"),
    _count("errors"),
)

malformed = Table(
    "malformed",
    metadata,
    Column("seq", _number, primary_key=True, autoincrement=False),
    Column("source", Text, nullable=False),
    Column("cluster", Text, nullable=False),
    Column("received_ns", BigInteger, nullable=False),
    Column("reason", Text, nullable=False),
    Column("raw", LargeBinary, nullable=False),
)

# How far each output has come, and when that was noted. What lies behind the slowest that `holds` is not removed.
outputs = Table(
    "outputs",
    metadata,
    Column("name", Text, primary_key=True),
    _count("seq"),
    Column("holds", SmallInteger, nullable=False, server_default="1"),
    Column("moved_ns", BigInteger, nullable=False, server_default="0"),
)
