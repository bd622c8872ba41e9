"""The first version: alerts with their documents and events, what was seen, counters, malformed pieces, outputs."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

_number = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def upgrade() -> None:
    """Create everything."""
    op.create_table(
        "state",
        sa.Column("id", sa.Integer, autoincrement=False),
        *_counts("last_seq", "bytes", "malformed_seq", "malformed_bytes"),
        sa.PrimaryKeyConstraint("id", name="pk_state"),
    )
    op.execute("INSERT INTO state (id, last_seq, bytes, malformed_seq, malformed_bytes) VALUES (1, 0, 0, 0, 0)")
    op.create_table(
        "alerts",
        sa.Column("seq", _number, autoincrement=False),
        sa.Column("id", sa.LargeBinary, nullable=False),
        *_counts("time_ns", "received_ns"),
        sa.Column("priority", sa.SmallInteger, nullable=False),
        *_texts("cluster", "source", "rule", "tags", "audit_id", "stage"),
        *_texts("namespace", "user", "resource", "name", "verb", "output"),
        sa.Column("event_id", sa.LargeBinary, nullable=False),
        *_counts("size"),
        sa.PrimaryKeyConstraint("seq", name="pk_alerts"),
    )
    op.create_index("uq_alerts_id", "alerts", ["id"], unique=True)
    op.create_index("ix_alerts_time_ns", "alerts", ["time_ns", "seq"])
    op.create_table(
        "documents",
        sa.Column("seq", _number, autoincrement=False),
        sa.Column("document", sa.LargeBinary, nullable=False),
        sa.PrimaryKeyConstraint("seq", name="pk_documents"),
        sa.ForeignKeyConstraint(["seq"], ["alerts.seq"], name="fk_documents_seq", ondelete="CASCADE"),
    )
    op.create_table(
        "events",
        sa.Column("seq", _number, autoincrement=False),
        *_counts("last_seq"),
        sa.Column("id", sa.LargeBinary, nullable=False),
        sa.Column("raw", sa.LargeBinary, nullable=False),
        sa.PrimaryKeyConstraint("seq", name="pk_events"),
    )
    op.create_index("uq_events_id", "events", ["id"], unique=True)
    op.create_table(
        "bodies",
        sa.Column("key", sa.LargeBinary, nullable=False),
        *_counts("received_ns"),
        sa.PrimaryKeyConstraint("key", name="pk_bodies"),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_bodies_received_ns", "bodies", ["received_ns"])
    op.create_table(
        "positions",
        *_texts("source", "file", "identity"),
        *_counts("offset"),
        sa.PrimaryKeyConstraint("source", "file", name="pk_positions"),
    )
    op.create_table(
        "counters",
        *_texts("source", "cluster"),
        *_counts("received", "evaluated", "matched", "duplicate", "malformed", "oversize", "truncated"),
        *_counts("bodies", "bytes", "last_event_ns", "last_received_ns", "lag_ns", "max_lag_ns"),
        sa.PrimaryKeyConstraint("source", "cluster", name="pk_counters"),
        sa.CheckConstraint("received = evaluated + duplicate + malformed", name="ck_counters_books_balance"),
    )
    op.create_table(
        "refusals",
        *_texts("source", "cluster", "reason"),
        *_counts("bodies"),
        sa.PrimaryKeyConstraint("source", "cluster", "reason", name="pk_refusals"),
    )
    op.create_table(
        "rule_counters",
        *_texts("source", "cluster", "rule"),
        *_counts("matches", "errors"),
        sa.PrimaryKeyConstraint("source", "cluster", "rule", name="pk_rule_counters"),
    )
    op.create_table(
        "malformed",
        sa.Column("seq", _number, autoincrement=False),
        *_texts("source", "cluster"),
        *_counts("received_ns"),
        *_texts("reason"),
        sa.Column("raw", sa.LargeBinary, nullable=False),
        sa.PrimaryKeyConstraint("seq", name="pk_malformed"),
    )
    op.create_table(
        "outputs",
        *_texts("name"),
        *_counts("seq"),
        sa.PrimaryKeyConstraint("name", name="pk_outputs"),
    )


def _counts(*names: str) -> list[sa.Column[int]]:
    return [sa.Column(name, sa.BigInteger, nullable=False) for name in names]


def _texts(*names: str) -> list[sa.Column[str]]:
    return [sa.Column(name, sa.Text, nullable=False) for name in names]
