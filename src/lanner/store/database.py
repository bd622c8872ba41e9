"""A database and what is special about its kind: connections, what to check around a transaction, its errors in words.

`open_database` turns a URL into one. What follows the URL is the same for all kinds.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Protocol

from sqlalchemy import URL, Connection, Engine, make_url
from sqlalchemy.exc import ArgumentError

from lanner.store.errors import StoreError
from lanner.store.postgresql import PostgreSQL
from lanner.store.sqlite import SQLite


class Database(Protocol):
    """One database. `name` is for messages and holds no password."""

    @property
    def name(self) -> str: ...

    @property
    def engine(self) -> Engine:
        """What writes."""
        ...

    def connect(self, writing: bool) -> Connection:
        """A connection, for a transaction that writes or one that only reads. One that writes is for one thread."""
        ...

    def present(self) -> object:
        """What is there now, as `prepare` tells it; a look that is quick and changes nothing."""
        ...

    def prepare(self) -> object:
        """Before a transaction: make what has to be there. Another result than the last time means: another database.

        Raises StoreError, OSError and SQLAlchemyError.
        """
        ...

    def disconnect(self) -> None:
        """Close all connections, so that the next call makes new ones. Nothing that is committed is lost by that.

        Raises StoreError where it would be; then nothing is closed.
        """
        ...

    def confirm(self) -> None:
        """After a commit: raises StoreError if what was committed is not where it belongs."""
        ...

    def shrink(self) -> None:
        """Give some of the space that is free within the database back to the disk, if much is. Raises StoreError."""
        ...

    def migrating(self, connection: Connection) -> AbstractContextManager[None]:
        """Around a migration: it may take as long as it needs, and until the transaction ends nobody else migrates."""
        ...

    def searching(self, connection: Connection) -> AbstractContextManager[None]:
        """Around statements that look at everything there is: they may take as long as they need."""
        ...

    def explain(self, error: Exception) -> StoreError:
        """What an exception of SQLAlchemy, of the driver below it, or of the system means."""
        ...


def open_database(url: str, writable: bool) -> Database:
    """The database of a URL: `sqlite:////folder/file` or `postgresql://user@host/name`. Connects to nothing yet.

    Raises StoreError for a URL that is none, and where the driver is missing.
    """
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):
        raise StoreError(
            "the store's URL cannot be read: it has the form `sqlite:////folder/lanner.db` or"
            " `postgresql://user:password@host/database`",
            retryable=False,
        ) from None
    return _database(parsed, writable)


def _database(url: URL, writable: bool) -> Database:
    match url.drivername:
        case "sqlite":
            return SQLite(url, writable)
        case "postgresql" | "postgres":
            return PostgreSQL(url, writable)
        case other:
            raise StoreError(
                f"a store of the kind `{other}` is not known: use `sqlite` or `postgresql`", retryable=False
            )
