"""Since when a file is missing, which outputs retention waits for, and when an output has moved last."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Add columns; what is there counts as present, and as waited for."""
    op.add_column("positions", sa.Column("missing_ns", sa.BigInteger, nullable=False, server_default="0"))
    op.add_column("outputs", sa.Column("holds", sa.SmallInteger, nullable=False, server_default="1"))
    op.add_column("outputs", sa.Column("moved_ns", sa.BigInteger, nullable=False, server_default="0"))
