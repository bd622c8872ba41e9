"""The store: `open_store` makes or opens one, `Store` is all that can be done with it.

Safe from several threads. Transactions that write wait for each other within the process, and across processes in the
database. After a failure the next call connects anew; nothing has to be restarted.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager

from sqlalchemy import Connection, text
from sqlalchemy.exc import SQLAlchemyError

from lanner.store import queries, retention
from lanner.store.cleaning import Cleaning
from lanner.store.database import Database, open_database
from lanner.store.errors import BatchError, StoreError
from lanner.store.migrate import is_current, migrate
from lanner.store.records import (
    AlertFilter,
    Batch,
    CommitResult,
    Counters,
    FoundAlerts,
    Outcome,
    RetentionPolicy,
    RetentionResult,
    StoredAlert,
    StoredMalformed,
)
from lanner.store.schema import outputs, state
from lanner.store.writing import Limits, insert, key, mark_missing, write

__all__ = ["BatchError", "Limits", "Store", "StoreError", "make_store", "open_store"]

PAGE_ALERTS = 500
PAGE_BYTES = 8 * 1024 * 1024
"""Alerts that are read at once: so many, and no more than take so much."""

_logger = logging.getLogger(__name__)


def open_store(url: str, *, writable: bool = True, limits: Limits | None = None) -> Store:
    """Open the store at `sqlite:////folder/lanner.db` or `postgresql://user@host/database`.

    With `writable` (who commits) it is made and migrated where needed: an SQLite file with mode 0600, missing folders
    with 0700. Without (who only looks) nothing is made or changed, and it must be there.

    Raises StoreError: no store, a newer version, unreachable, no right to open it.
    """
    store = make_store(url, writable=writable, limits=limits)
    try:
        store.connect()
    except StoreError:
        store.close()
        raise
    return store


def make_store(url: str, *, writable: bool = True, limits: Limits | None = None) -> Store:
    """The same without connecting: the first call does, or each that follows until one can.

    Raises StoreError for a URL that is none, and where the driver is missing.
    """
    return Store(open_database(url, writable), writable, limits or Limits())


class Store:
    """An open store. Every method raises StoreError if the store cannot do it now, but for `retention`."""

    def __init__(self, database: Database, writable: bool, limits: Limits) -> None:
        self._database = database
        self._writable = writable
        self._limits = limits
        self._lock = threading.RLock()
        self._connected: object = None
        self._clock: tuple[int, int] | None = None  # times of the store and of the process, at one moment
        self.failure: StoreError | None = None
        """Why the last call that wrote failed; None after one that did not. A BatchError is no failure of the store."""

    @property
    def name(self) -> str:
        """The store in words, without password."""
        return self._database.name

    def connect(self) -> None:
        """Make sure that the store is there and of the right version. All methods do it by themselves."""
        with self._lock, self._explained():
            self._connect()

    def commit(self, batches: Sequence[Batch]) -> list[Outcome]:
        """Commit the batches in one transaction, all or nothing; what became of each."""
        return list(self.apply(batches).outcomes)

    def apply(self, batches: Sequence[Batch]) -> CommitResult:
        """The same, and tells which alerts of committed batches the store had already."""
        with self._writing() as connection:
            try:
                return write(connection, batches, self._limits)
            except (ValueError, OverflowError, TypeError) as error:
                raise BatchError(f"{self.name} does not take a batch: {error}") from error

    def alerts(
        self,
        wanted: AlertFilter | None = None,
        limit: int = 100,
        after: int | None = None,
        before: tuple[int, int] | None = None,
        max_bytes: int | None = None,
    ) -> list[StoredAlert]:
        """The newest alerts by event time, newest first; no more than take `max_bytes`, but one in any case.

        A list that is shorter than `limit` need not be the end if `max_bytes` is given; an empty one is.

        To follow, pass as `after` the highest `seq` seen so far (`last_seq()` to begin with what comes from now on):
        then the alerts behind it, in the order of their commits. For older ones pass (time_ns, seq) of the last alert
        of a list as `before`.
        """
        with self._reading() as connection:
            return queries.list_alerts(connection, wanted or AlertFilter(), limit, after, before, max_bytes)

    def newest(self, wanted: AlertFilter, limit: int | None = None) -> FoundAlerts:
        """Which alerts are the newest by event time, for `read`."""
        with self._reading() as connection:
            return queries.find_newest(connection, wanted, limit)

    def read(self, found: FoundAlerts, limit: int, max_bytes: int = PAGE_BYTES) -> Iterator[list[StoredAlert]]:
        """The newest `limit` of them, oldest first, page by page; what was removed since is not there."""
        for seqs in found.pages(limit, PAGE_ALERTS, max_bytes):
            with self._reading() as connection:
                page = queries.read_alerts(connection, seqs)
            yield page

    def count(self, after: int, upto: int) -> int:
        """How many alerts have a `seq` beyond `after` and not beyond `upto`."""
        with self._reading() as connection:
            return queries.count_alerts(connection, after, upto)

    def alert(self, identifier: str) -> StoredAlert | None:
        """One alert with its event, by its id or the beginning of it; LookupError if several begin so."""
        with self._reading() as connection:
            return queries.find_alert(connection, identifier)

    def last_seq(self) -> int:
        """The number below which (and at which) no new alert will appear."""
        with self._reading() as connection:
            return queries.read_last_seq(connection)

    def malformed(
        self, limit: int = 100, after: int | None = None, source: str | None = None, cluster: str | None = None
    ) -> list[StoredMalformed]:
        """Malformed pieces, newest first; behind the seq `after` in the order of seq."""
        with self._reading() as connection:
            return queries.list_malformed(connection, limit, after, source, cluster)

    def counters(self) -> Counters:
        """All totals, as of one moment."""
        with self._reading() as connection:
            return queries.read_counters(connection)

    def position(self, source: str, file: str) -> tuple[str, str, int] | None:
        """The last committed position of a source in a file, as `Batch.position` has it."""
        with self._reading() as connection:
            found = queries.read_position(connection, source, file)
        return None if found is None else (file, *found)

    def keep_positions(self, source: str, present: Collection[str], now_ns: int | None = None) -> None:
        """Of all files that a source has a position in, these are there. The others are missing from now on, unless
        they are already; retention removes positions that have been missing for long.
        """
        now_ns = time.time_ns() if now_ns is None else now_ns
        with self._writing() as connection:
            mark_missing(connection, source, present, now_ns)

    def outputs(self) -> dict[str, int]:
        """How far each output has come: the seq of the last alert it passed."""
        with self._reading() as connection:
            return queries.read_outputs(connection)

    def advance_output(self, name: str, seq: int, *, holds: bool = True) -> None:
        """An output has passed all alerts up to `seq`; it never goes back. Retention waits for those that hold."""
        with self._writing() as connection:
            statement = insert(connection, outputs).values(
                name=key(name), seq=seq, holds=int(holds), moved_ns=time.time_ns()
            )
            connection.execute(
                statement.on_conflict_do_update(
                    index_elements=[outputs.c.name],
                    set_={column: statement.excluded[column] for column in ("seq", "holds", "moved_ns")},
                    where=statement.excluded.seq >= outputs.c.seq,
                )
            )

    def remove_output(self, name: str) -> None:
        """An output is no more: nothing is kept for it."""
        with self._writing() as connection:
            connection.execute(outputs.delete().where(outputs.c.name == key(name)))

    def trusted_time(self, now_ns: int | None = None, monotonic_ns: int | None = None) -> int:
        """The time that removal by age may go by: never beyond the system's clock, which may be wrong.

        The store has a clock of its own. It goes on while this process runs, and it is set to the time of the newest
        event that was received. The system's clock is believed while it is at most MAX_AHEAD_NS ahead of that. So one
        that is far ahead counts for nothing until events say the same; where none come, time still passes.
        """
        now_ns = time.time_ns() if now_ns is None else now_ns
        monotonic_ns = time.monotonic_ns() if monotonic_ns is None else monotonic_ns
        with self._writing() as connection:
            known = retention.known_times(connection)
            stored_ns = known.clock_ns or max(known.event_ns, known.received_ns) or now_ns
            if self._clock is None:
                self._clock = stored_ns, monotonic_ns
            begun_ns, begun = self._clock
            passed_ns = begun_ns + monotonic_ns - begun
            known_ns = max(stored_ns, passed_ns, known.event_ns)
            trusted_ns = now_ns if now_ns - known_ns <= retention.MAX_AHEAD_NS else known_ns
            if trusted_ns < passed_ns:  # the clock was set back: go on from there
                self._clock = trusted_ns, monotonic_ns
            retention.set_clock(connection, trusted_ns)
        return trusted_ns

    def retention(
        self, policy: RetentionPolicy, now_ns: int | None = None, stop: Callable[[], bool] = lambda: False
    ) -> RetentionResult:
        """Remove what the policy says, in short transactions, until `stop` says that there shall be no more.

        Raises no StoreError: a failure stands in the result, beside what was removed before it.
        """
        cleaning = Cleaning(self._reading_long, self._writing, self._shrink, stop)
        return cleaning.run(policy, time.time_ns() if now_ns is None else now_ns)

    def healthy(self) -> bool:
        """Whether the store works. If the last call that wrote failed, this writes to find out; else it reads."""
        try:
            if self._writable and self.failure is not None:
                with self._writing() as connection:
                    connection.execute(state.update().values(last_seq=state.c.last_seq))
            else:
                with self._reading() as connection:
                    connection.execute(text("SELECT 1"))
        except StoreError:
            return False
        return True

    def close(self) -> None:
        """Close all connections."""
        with self._lock:
            try:
                self._database.disconnect()
            except StoreError as error:
                _logger.error("%s", error)

    def _connect(self) -> None:
        if self._connected is None:
            self._database.disconnect()
        present = self._database.prepare()
        if present == self._connected:
            return
        with self._transaction(writing=False) as connection:
            current = is_current(connection, self.name, self._writable)
        if not current:
            with self._transaction(writing=True) as connection, self._database.migrating(connection):
                migrate(connection, self.name)
        self._connected = present

    @contextmanager
    def _writing(self) -> Iterator[Connection]:
        """A transaction that writes; committed, and where it belongs, when the block is left."""
        with self._lock:
            try:
                with self._explained():
                    if self.failure is not None:
                        # Readers may have connected since, in the state that made it fail (a file without rights).
                        self._connected = None
                    self._connect()
                    with self._transaction(writing=True) as connection:
                        yield connection
                    self._database.confirm()
            except BatchError:
                raise
            except StoreError as error:
                self.failure = error
                raise
            self.failure = None

    @contextmanager
    def _reading(self) -> Iterator[Connection]:
        with self._explained():
            if self._connected is None or self._connected != self._database.present():
                with self._lock:
                    self._connect()
            with self._transaction(writing=False) as connection:
                yield connection

    @contextmanager
    def _reading_long(self) -> Iterator[Connection]:
        """A transaction that only reads, and may look at everything."""
        with self._reading() as connection, self._database.searching(connection):
            yield connection

    def _shrink(self) -> None:
        """Give back what was freed."""
        with self._lock, self._explained():
            self._database.shrink()

    @contextmanager
    def _transaction(self, writing: bool) -> Iterator[Connection]:
        with self._database.connect(writing) as connection, connection.begin():
            yield connection

    @contextmanager
    def _explained(self) -> Iterator[None]:
        """Turns what SQLAlchemy and what stands below it raises into StoreError."""
        try:
            yield
        except BatchError:
            raise
        except StoreError:
            self._connected = None
            raise
        except (SQLAlchemyError, OSError) as error:
            explained = self._database.explain(error)
            if not isinstance(explained, BatchError):
                self._connected = None
            raise explained from error
