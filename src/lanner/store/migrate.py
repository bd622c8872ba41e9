"""Brings a store to the version this Lanner knows: in one transaction, whatever version it was.

In: a connection in a transaction that keeps other writers out. Out: the tables of schema.py. Raises StoreError for a
store of a newer version, and for a database that is something else.
"""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, inspect, text

from lanner.store.errors import StoreError
from lanner.store.schema import VERSION, VERSION_TABLE, metadata
from lanner.version import __version__


def migrate(connection: Connection, name: str) -> None:
    """Create or upgrade the tables. `name` is the store's, for messages."""
    if stored_version(connection, name) == VERSION:  # somebody else was faster
        return
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).with_name("migrations")).replace("%", "%%"))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


def is_current(connection: Connection, name: str, migratable: bool) -> bool:
    """Whether nothing has to be migrated. Raises StoreError if something had to be and must not (`migratable`)."""
    version = stored_version(connection, name)
    if version == VERSION or migratable:
        return version == VERSION
    if version is None:
        raise StoreError(f"{name} has nothing in it yet: `lanner run` fills it", retryable=True)
    raise StoreError(
        f"{name} is of version {version}, and this Lanner needs {VERSION}: `lanner run` upgrades it", retryable=True
    )


def stored_version(connection: Connection, name: str) -> str | None:
    """The version of the store, None if there is nothing in it; raises StoreError unless it can be used from here."""
    present = set(inspect(connection).get_table_names())
    if VERSION_TABLE not in present:
        taken = sorted(present & set(metadata.tables) if connection.dialect.name == "postgresql" else present)
        if taken:
            raise StoreError(
                f"{name} is not a store of Lanner, it holds the table `{taken[0]}` of something else:"
                " name another place for the store",
                retryable=False,
            )
        return None
    version = connection.execute(text(f"SELECT version_num FROM {VERSION_TABLE}")).scalar()
    if version is None:
        return None
    if not isinstance(version, str) or not version.isdigit() or int(version) > int(VERSION):
        raise StoreError(
            f"{name} is of version {version}, newer than {VERSION}, the newest that Lanner {__version__} knows:"
            " run the Lanner that wrote it or a newer one, or name another place for the store",
            retryable=False,
        )
    return version
