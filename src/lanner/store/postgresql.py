"""PostgreSQL as a store, also of several replicas at once: psycopg, durable with every commit."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import URL, Connection, Engine, create_engine, event
from sqlalchemy.exc import DataError, DBAPIError

from lanner.secrecy import MASK, is_secret_key
from lanner.store.errors import BatchError, StoreError
from lanner.store.place import place
from lanner.store.watchdog import Watchdog

_LOCK_SECONDS = 10
_ANSWER_SECONDS = 15.0
"""How long a server that is written to may take for one statement; longer than a lock may be waited for."""

_MIGRATION_LOCK = 0x6C616E6E6572  # "lanner"; advisory locks are numbers
_CONNECT = {
    "connect_timeout": 5,
    "application_name": "lanner",
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 30_000,
}
_BATCH_CLASSES = {"22", "23", "54"}  # data exception, integrity violation, program limit exceeded


class PostgreSQL:
    """A store in a PostgreSQL database, whose first schema in the search path is Lanner's."""

    def __init__(self, url: URL, writable: bool) -> None:
        self.name = f"the store `{place(url.render_as_string(hide_password=False))}`"
        self._secrets = _secrets(url)
        try:
            self.engine = _engine(url.set(drivername="postgresql+psycopg"), writable)
        except ModuleNotFoundError:
            raise StoreError(
                f"{self.name} needs the package psycopg: install `lanner[postgresql]`", retryable=False
            ) from None

    def connect(self, writing: bool) -> Connection:
        """See Database."""
        return self.engine.connect()

    def present(self) -> object:
        """See Database."""
        return self.name

    def prepare(self) -> object:
        """See Database: a database is always the same."""
        return self.name

    def disconnect(self) -> None:
        """See Database."""
        self.engine.dispose()

    def confirm(self) -> None:
        """See Database: a commit is one."""

    def shrink(self) -> None:
        """See Database: the server's vacuum frees space for later alerts; it rarely shrinks files."""

    @contextmanager
    def migrating(self, connection: Connection) -> Iterator[None]:
        """See Database."""
        connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_MIGRATION_LOCK})")
        with self.searching(connection):
            yield

    @contextmanager
    def searching(self, connection: Connection) -> Iterator[None]:
        """See Database."""
        driver: Any = connection.connection.driver_connection
        driver.watched = False
        try:
            yield
        finally:
            driver.watched = True

    def explain(self, error: Exception) -> StoreError:
        """See Database."""
        cause = error.orig if isinstance(error, DBAPIError) else error
        state = getattr(cause, "sqlstate", None) or ""
        reason = " ".join(str(cause).split())
        for secret in self._secrets:
            reason = reason.replace(secret, MASK)
        if state[:2] in _BATCH_CLASSES or isinstance(error, DataError):
            return BatchError(f"{self.name} does not take a batch: {reason}")
        match state:
            case "53100":
                text = "cannot grow, the disk of the server is full: make room, or lower what retention keeps"
            case "55P03":
                text = f"is locked by another process for more than {_LOCK_SECONDS} s: end what holds it"
            case "25006":
                text = "is read-only, perhaps a standby server: name the primary server"
            case "42501":
                text = f"refuses its user a right it needs ({reason}): grant it"
            case "42P01":
                text = f"lost a table ({reason}): restore a backup, or start with an empty database"
            case "28000" | "28P01" | "3D000":
                text = f"lets nobody in: {reason}"
            case "":
                text = f"cannot be reached: {reason}"
            case _:
                text = f"does not work: {reason}"
        return StoreError(f"{self.name} {text}", retryable=True)


def _secrets(url: URL) -> tuple[str, ...]:
    """What of a URL may be in no message, also where the driver's own has it."""
    values = (url.password, *(value for key, value in url.query.items() if is_secret_key(key)))
    return tuple(text for value in values for text in ((value,) if isinstance(value, str) else value or ()) if text)


def _engine(url: URL, writable: bool) -> Engine:
    settings = {
        "lock_timeout": f"{_LOCK_SECONDS}s",
        "idle_in_transaction_session_timeout": "60s",  # a replica that hangs must not hold the others up for ever
    }
    if not writable:
        settings["default_transaction_read_only"] = "on"
    options = [f"-c {name}={value}" for name, value in settings.items()]
    given = url.query.get("options", ())
    options.extend([given] if isinstance(given, str) else given)
    engine = create_engine(
        url,
        connect_args={**_CONNECT, "options": " ".join(options)},
        pool_size=4,
        max_overflow=4,
        pool_timeout=_LOCK_SECONDS,
        pool_pre_ping=True,
    )

    if writable:
        _watch(engine)

    @event.listens_for(engine, "connect")
    def configure(connection: Any, _record: object) -> None:
        with connection.cursor() as cursor:
            cursor.execute("SHOW synchronous_commit")
            if cursor.fetchone()[0] == "off":  # a commit would be told before it is durable
                cursor.execute("SET synchronous_commit TO on")
        connection.commit()

    return engine


def _watch(engine: Engine) -> None:
    """Bound how long each answer of the server is waited for. Who only looks may have long searches, and can leave."""
    watchdog = Watchdog(_ANSWER_SECONDS)
    base: Any = engine.dialect.loaded_dbapi.Connection

    class Watched(base):  # type: ignore[misc]
        """A connection of psycopg; all its waiting goes through `wait`."""

        watched = True

        def wait(self, *args: Any, **kwargs: Any) -> Any:
            if not self.watched:
                return super().wait(*args, **kwargs)
            with watchdog.over(self):
                return super().wait(*args, **kwargs)

    @event.listens_for(engine, "do_connect")
    def connect(_dialect: object, _record: object, args: list[Any], settings: dict[str, Any]) -> Any:
        return Watched.connect(*args, **settings)
