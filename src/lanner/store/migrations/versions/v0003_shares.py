"""Whose alerts take how much: the part of its event that each alert stands for, and how many alerts an event has; and
the time that removal by age goes by."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Add columns. In what is there they are 0: not known."""
    op.add_column("alerts", sa.Column("event_bytes", sa.BigInteger, nullable=False, server_default="0"))
    op.add_column("events", sa.Column("alerts", sa.BigInteger, nullable=False, server_default="0"))
    op.add_column("state", sa.Column("clock_ns", sa.BigInteger, nullable=False, server_default="0"))
