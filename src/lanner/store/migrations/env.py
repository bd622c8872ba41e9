"""What Alembic runs around the migrations: on the connection it is given, within the transaction that is open there."""

from __future__ import annotations

from alembic import context

from lanner.store.schema import VERSION_TABLE

context.configure(
    connection=context.config.attributes["connection"],
    version_table=VERSION_TABLE,
    transactional_ddl=True,
)
context.run_migrations()
