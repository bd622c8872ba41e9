"""SQLite as a store: one file, durable with every commit, readable by its owner alone.

WAL, so that readers and the writer do not wait for each other; synchronous FULL, so that a commit survives a loss of
power. Transactions that write begin IMMEDIATE: they wait for their turn at the start, never in the middle.

One connection writes and stays open. Each read opens one of its own, which can change nothing: not the file, and at its
end not the log either. So what is committed and still in the log can only be moved by the connection that wrote it;
`sqlite_files` saves that where somebody takes the log away.
"""

from __future__ import annotations

import logging
import os
import sqlite3
from contextlib import AbstractContextManager, nullcontext, suppress
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, Engine, NullPool, create_engine, event
from sqlalchemy.exc import DBAPIError

from lanner.store import sqlite_files
from lanner.store.errors import BatchError, StoreError
from lanner.store.sqlite_files import Files

BUSY_SECONDS = 5
"""How long a transaction waits for one in another process."""

_CACHE_KIB = 16 * 1024
_CHECKPOINT_PAGES = 4_000  # of 4 KiB: fewer, longer writes into the file itself

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
        self._files: Files | None = None
        self._openings = 0  # a new file may get the number of the removed one
        self._guard: sqlite3.Connection | None = None
        """Keeps SQLite from taking the writing connection for the last one, when that is closed without a look."""
        self._readers = _reading_engine(self._path)
        self.engine = _writing_engine(self._path) if writable else self._readers

    def connect(self, writing: bool) -> Connection:
        """See Database."""
        return (self.engine if writing else self._readers).connect()

    def present(self) -> object:
        """See Database."""
        found = Files.at(self._path)
        return self._openings if self._files is not None and found.fault(self._files) is None else None

    def prepare(self) -> object:
        """See Database: the folder and the file, also where somebody removed them since."""
        found = Files.at(self._path)
        if self._files is not None and self._fault(found) is None:
            self._files = found if self._writable else self._files
            return self._openings
        self.disconnect()
        if self._writable and Files.at(self._path).main is None:
            for folder in reversed([path for path in self._path.parents if not path.exists()]):
                folder.mkdir(mode=0o700, exist_ok=True)
            os.close(os.open(self._path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600))
        if Files.at(self._path).main is None:
            raise StoreError(f"{self.name} does not exist: `lanner run` makes it", retryable=True)
        if self._writable:
            with self.engine.connect():  # opens the log and its index, which are looked after from here on
                try:
                    self._guard = _read_only(self._path)
                except sqlite3.Error as error:
                    raise self.explain(error) from error
            self._files = Files.at(self._path)
        else:
            self._files = Files.at(self._path).only_main()
        self._openings += 1
        return self._openings

    def confirm(self) -> None:
        """See Database: SQLite would go on writing into files that were removed."""
        found = Files.at(self._path)
        fault = self._fault(found)
        if fault is not None:
            raise StoreError(
                f"{self.name} was removed or replaced while it was written ({fault}): do that while Lanner is stopped",
                retryable=True,
            )
        self._files = found

    def _fault(self, found: Files) -> str | None:
        """What was done to the files that SQLite does not do, in words: another program may have it cut the log."""
        if self._files is None:
            return None
        fault = found.fault(self._files)
        if fault is None or not found.log_is_cut(self._files) or not sqlite_files.has_all(found):
            return fault
        return found.fault(self._files._replace(wal_size=0))

    def disconnect(self) -> None:
        """See Database."""
        if self._files is None or not self._writable:
            self._files = None
            self._close()
            return
        found = Files.at(self._path)
        fault = self._fault(found)
        files, self._files = self._files, None
        if fault is None:
            self._close()
            return
        _logger.error("%s was removed or replaced from outside (%s): connecting anew", self.name, fault)
        if found.main != files.main:
            self._close()
        elif found.log_is_cut(files):
            self._save_what_is_left(found)
        else:
            self._files = files  # until it is done, nothing else may be connected
            self._save_the_log(files)
            self._files = None

    def _save_the_log(self, files: Files) -> None:
        """Have the connection that wrote a log which is not there any more put it into the file itself."""
        self._close_guard()
        pooled = self.engine.raw_connection()
        connection: Any = pooled.driver_connection
        try:
            sqlite_files.save_log(self._path, files, connection, BUSY_SECONDS)
        except (sqlite3.Error, TimeoutError) as error:
            raise StoreError(
                f"{self.name} cannot be written until nobody else has it open, since its `-wal` or `-shm` was removed"
                f" or replaced from outside ({error}): end other programs that use it",
                retryable=True,
            ) from error
        finally:
            pooled.close()
        self._close()

    def _save_what_is_left(self, found: Files) -> None:
        """The log was cut: go on from the last commit that is whole."""
        pooled = self.engine.raw_connection()
        try:
            connection: Any = pooled.driver_connection
            rest = sqlite_files.rest_of_log(found, connection)
        finally:
            pooled.close()
        self.engine.dispose()  # while the guard is there, so that SQLite moves nothing of the rest
        self._close_guard()
        if not rest.needed:
            with suppress(FileNotFoundError):
                sqlite_files.log_of(self._path).unlink()
        if not rest.whole:
            raise StoreError(
                f"{self.name} has lost commits that were acknowledged: its `-wal` was cut from outside, to"
                f" {found.wal_size:,} bytes; do such things while Lanner is stopped",
                retryable=True,
            )

    def _close(self) -> None:
        self._close_guard()
        self.engine.dispose()

    def _close_guard(self) -> None:
        if self._guard is not None:
            self._guard.close()
            self._guard = None

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

    def searching(self, connection: Connection) -> AbstractContextManager[None]:
        """See Database: nobody waits for a reader."""
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


def _writing_engine(path: Path) -> Engine:
    engine = create_engine(
        URL.create("sqlite+pysqlite", database=str(path)),
        connect_args={"timeout": BUSY_SECONDS, "isolation_level": None, "check_same_thread": False},
        pool_size=1,
        max_overflow=0,
        pool_timeout=BUSY_SECONDS,
    )

    @event.listens_for(engine, "connect")
    def configure(connection: Any, _record: object) -> None:
        cursor = connection.cursor()
        if cursor.execute("PRAGMA page_count").fetchone()[0] == 0:  # later it would do nothing
            cursor.execute("PRAGMA auto_vacuum = INCREMENTAL")
        if cursor.execute("PRAGMA journal_mode").fetchone()[0] != "wal":
            cursor.execute("PRAGMA journal_mode = WAL")
        cursor.execute("PRAGMA synchronous = FULL")
        cursor.execute(f"PRAGMA wal_autocheckpoint = {_CHECKPOINT_PAGES}")
        cursor.execute(f"PRAGMA journal_size_limit = {sqlite_files.LOG_LIMIT}")
        cursor.execute("PRAGMA foreign_keys = ON")
        cursor.execute(f"PRAGMA cache_size = -{_CACHE_KIB}")
        cursor.execute("SELECT count(*) FROM sqlite_master").fetchone()
        cursor.close()

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE")

    return engine


def _reading_engine(path: Path) -> Engine:
    engine = create_engine("sqlite+pysqlite://", creator=lambda: _read_only(path), poolclass=NullPool)

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        connection.exec_driver_sql("BEGIN")

    return engine


def _read_only(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(
        f"{path.as_uri()}?mode=ro", timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False, uri=True
    )
    try:
        connection.execute(f"PRAGMA cache_size = -{_CACHE_KIB}")
        connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    except sqlite3.Error:
        connection.close()
        raise
    return connection
