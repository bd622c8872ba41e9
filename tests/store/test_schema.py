"""Versions of the store: made, upgraded, refused."""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import text

import lanner.store
from lanner.store.schema import VERSION, VERSION_TABLE, metadata
from lanner.store.store import Store, StoreError, open_store
from tests.store.builders import body


def test_migrations_lead_to_the_schema(store: Store) -> None:
    """Tables, columns, types, indexes: nothing differs."""
    with store._reading() as connection:
        context = MigrationContext.configure(
            connection, opts={"version_table": VERSION_TABLE, "compare_type": True, "compare_server_default": True}
        )
        assert compare_metadata(context, metadata) == []


def test_the_newest_migration_is_the_version() -> None:
    """Numbers in a row from 0001 on."""
    folder = Path(lanner.store.__file__).parent / "migrations"
    config = Config()
    config.set_main_option("script_location", str(folder))
    revisions = [one.revision for one in ScriptDirectory.from_config(config).walk_revisions()]
    assert sorted(revisions) == [f"{number:04}" for number in range(1, len(revisions) + 1)]
    assert max(revisions) == VERSION


def test_a_store_is_opened_again_with_what_it_has(url: str) -> None:
    """Nothing is migrated twice."""
    first = open_store(url)
    first.commit([body()])
    first.close()
    second = open_store(url)
    assert second.counters().sources[0].evaluated == 10
    second.close()


def test_many_may_make_the_same_store_at_once(url: str) -> None:
    """Replicas start together."""
    failures: list[Exception] = []

    def start() -> None:
        try:
            store = open_store(url)
            store.commit([body()])
            store.close()
        except StoreError as error:
            failures.append(error)

    threads = [threading.Thread(target=start) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    store = open_store(url)
    assert store.counters().sources[0].evaluated == 40
    store.close()


@pytest.mark.parametrize("writable", [True, False])
def test_a_newer_store_is_refused(url: str, writable: bool) -> None:
    """The text names both versions and a way out, and nothing is changed."""
    store = open_store(url)
    with store._writing() as connection:
        connection.execute(text(f"UPDATE {VERSION_TABLE} SET version_num = '9999'"))
    store.close()
    with pytest.raises(StoreError) as caught:
        open_store(url, writable=writable)
    assert not caught.value.retryable
    for part in ("9999", VERSION, "newer", "run the Lanner that wrote it"):
        assert part in str(caught.value)


def test_what_is_not_a_store_is_refused(tmp_path: Path) -> None:
    """A database of somebody else stays as it is."""
    path = tmp_path / "other.db"
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE recipes (id)")
    connection.close()
    with pytest.raises(StoreError, match=r"holds the table `recipes`.*another place"):
        open_store(f"sqlite:///{path}")


URLS: dict[str, str] = {
    "no URL": "URL cannot be read",
    "mysql://localhost/db": "kind `mysql` is not known",
    "sqlite://": "has to be a file",
    "sqlite:///:memory:": "has to be a file",
}


@pytest.mark.parametrize("url", URLS)
def test_wrong_urls(url: str) -> None:
    """Each says what is right."""
    with pytest.raises(StoreError, match=URLS[url]):
        open_store(url)


def test_a_password_is_never_shown() -> None:
    """Neither in the name nor in what the driver says."""
    with pytest.raises(StoreError, match="cannot be reached") as caught:
        open_store("postgresql://jane:hunter2@127.0.0.1:1/db")
    assert "hunter2" not in str(caught.value)
    assert caught.value.retryable


def test_only_the_owner_can_read_the_file(tmp_path: Path) -> None:
    """Folders that were missing are closed too, those that were there stay as they are; the mask does not matter."""
    before = os.umask(0)
    try:
        outer = tmp_path / "outer"
        outer.mkdir(mode=0o755)
        store = open_store(f"sqlite:///{outer}/a/b/lanner.db")
    finally:
        os.umask(before)
    store.commit([body()])
    mode: Callable[[Path], Any] = lambda path: oct(path.stat().st_mode & 0o777)  # noqa: E731
    assert {mode(path) for path in (outer / "a" / "b").iterdir()} == {"0o600"}
    assert (mode(outer / "a" / "b"), mode(outer / "a"), mode(outer)) == ("0o700", "0o700", "0o755")
    store.close()
