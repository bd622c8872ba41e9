"""SQLite as a store: one file, durable with every commit, readable by its owner alone.

WAL, so that readers and the writer do not wait for each other; synchronous FULL, so that a commit survives a loss of
power. Transactions that write begin IMMEDIATE: they wait for their turn at the start, never in the middle.
"""

from __future__ import annotations

import logging
import os
import sqlite3
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, Engine, create_engine, event
from sqlalchemy.exc import DBAPIError

from lanner.store.errors import BatchError, StoreError

WRITING = "lanner_writing"
"""The execution option of connections that write."""

BUSY_SECONDS = 5
"""How long a transaction waits for one in another process."""

_CACHE_KIB = 16 * 1024
_CHECKPOINT_PAGES = 4_000  # of 4 KiB: fewer, longer writes into the file itself
_WAL_LIMIT = 64 * 1024 * 1024  # what a log that had to grow is cut back to

_FREED_PAGES = 2_000  # given back at once

_logger = logging.getLogger(__name__)


class SQLite:
    """A store in a file. With `writable` the file is made where there is none."""

    def __init__(self, url: URL, writable: bool) -> None:
        if not url.database or url.database == ":memory:" or url.query:
            raise StoreError(
                "the store has to be a file, without options: `sqlite:////folder/lanner.db`", retryable=False
            )
        self._path = Path(url.database).absolute()
        self.name = f"the store `{self._path}`"
        self._writable = writable
        self._identity: tuple[int, int] | None = None
        self._openings = 0  # a new file may get the number of the removed one
        self.engine = _engine(self._path, writable)

    def present(self) -> object:
        """See Database."""
        identity = self._file_identity()
        return self._openings if identity is not None and identity == self._identity else None

    def prepare(self) -> object:
        """See Database: the folder and the file, also where somebody removed them since."""
        present = self.present()
        if present is not None:
            return present
        if self._identity is not None:
            _logger.error("%s was removed or replaced from outside: connecting anew", self.name)
        self.engine.dispose()
        self._identity = None
        if self._writable and self._file_identity() is None:
            for folder in reversed([path for path in self._path.parents if not path.exists()]):
                folder.mkdir(mode=0o700, exist_ok=True)
            os.close(os.open(self._path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600))
        self._identity = self._file_identity()
        if self._identity is None:
            raise StoreError(f"{self.name} does not exist: `lanner run` makes it", retryable=True)
        self._openings += 1
        return self._openings

    def confirm(self) -> None:
        """See Database: SQLite would go on writing into a file that was removed."""
        if self._file_identity() != self._identity:
            raise StoreError(
                f"{self.name} was removed or replaced while it was written: do that while Lanner is stopped",
                retryable=True,
            )

    def shrink(self) -> None:
        """See Database: where more than half is free. Less is not worth the writing, since it is used again."""
        pooled = self.engine.raw_connection()
        try:
            cursor = pooled.cursor()
            free, pages = (cursor.execute(f"PRAGMA {name}").fetchone()[0] for name in ("freelist_count", "page_count"))
            if free > pages // 2:
                # Only a script is run to its end: each step frees one page, and none has columns to fetch.
                connection: Any = pooled.driver_connection
                connection.executescript(f"PRAGMA incremental_vacuum({_FREED_PAGES})")
        except sqlite3.Error as error:
            raise self.explain(error) from error
        finally:
            pooled.close()

    def migrating(self, connection: Connection) -> AbstractContextManager[None]:
        """See Database: a transaction that writes is the only one."""
        return nullcontext()

    def explain(self, error: Exception) -> StoreError:
        """See Database."""
        if isinstance(error, OSError):
            return StoreError(f"{self.name} cannot be opened: {error.strerror or error}", retryable=True)
        cause = error.orig if isinstance(error, DBAPIError) else error
        code = getattr(cause, "sqlite_errorcode", 0) & 0xFF
        match code:
            case sqlite3.SQLITE_BUSY | sqlite3.SQLITE_LOCKED:
                text = f"is locked by another process for more than {BUSY_SECONDS} s: end what holds it"
            case sqlite3.SQLITE_FULL:
                text = "cannot grow, the disk is full: make room, or lower what retention keeps"
            case sqlite3.SQLITE_READONLY:
                text = (
                    "is read-only: let the user of this process write it, its `-wal` and `-shm` files, and the folder"
                )
            case sqlite3.SQLITE_CANTOPEN:
                text = "cannot be opened: let the user of this process read and write the file and its folder"
            case sqlite3.SQLITE_IOERR:
                text = f"cannot be written or read ({cause}): the disk may be full or failing"
            case sqlite3.SQLITE_CORRUPT | sqlite3.SQLITE_NOTADB:
                return StoreError(
                    f"{self.name} is damaged or no SQLite file ({cause}): put a backup in its place, or move it and"
                    " its `-wal` and `-shm` files away and a new one is made",
                    retryable=False,
                )
            case sqlite3.SQLITE_CONSTRAINT | sqlite3.SQLITE_TOOBIG | sqlite3.SQLITE_MISMATCH:
                return BatchError(f"{self.name} does not take a batch: {cause}")
            case _:
                text = f"does not work: {cause}"
        return StoreError(f"{self.name} {text}", retryable=True)

    def _file_identity(self) -> tuple[int, int] | None:
        try:
            found = self._path.stat()
        except FileNotFoundError:
            return None
        return found.st_dev, found.st_ino


def _engine(path: Path, writable: bool) -> Engine:
    engine = create_engine(
        URL.create("sqlite+pysqlite", database=str(path)),
        connect_args={"timeout": BUSY_SECONDS, "isolation_level": None, "check_same_thread": False},
        pool_size=4,
        max_overflow=4,
        pool_timeout=BUSY_SECONDS,
    )

    @event.listens_for(engine, "connect")
    def configure(connection: Any, _record: object) -> None:
        cursor = connection.cursor()
        if writable:
            if cursor.execute("PRAGMA page_count").fetchone()[0] == 0:  # later both would need a lock, or do nothing
                cursor.execute("PRAGMA auto_vacuum = INCREMENTAL")
                cursor.execute("PRAGMA journal_mode = WAL")
            cursor.execute("PRAGMA synchronous = FULL")
            cursor.execute(f"PRAGMA wal_autocheckpoint = {_CHECKPOINT_PAGES}")
            cursor.execute(f"PRAGMA journal_size_limit = {_WAL_LIMIT}")
        else:
            cursor.execute("PRAGMA query_only = ON")
        cursor.execute("PRAGMA foreign_keys = ON")
        cursor.execute(f"PRAGMA cache_size = -{_CACHE_KIB}")
        cursor.close()

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        writing = connection.get_execution_options().get(WRITING, False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writing else "BEGIN")

    return engine
