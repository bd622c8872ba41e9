"""What can happen to a file: each failure says what it is, leaves nothing half done, and passes without a restart."""

from __future__ import annotations

import os
import resource
import shutil
import signal
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import pytest
from sqlalchemy import event

from lanner.store import sqlite
from lanner.store.records import Outcome, RetentionPolicy
from lanner.store.store import Store, StoreError, open_store
from tests.store.builders import NOW, alert, balanced, body, totals

NOBODY = 65534
NEW = [Outcome.COMMITTED]


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder that every user can reach, other than those of pytest."""
    made = Path(mkdtemp(prefix="lanner-store-"))
    made.chmod(0o755)
    yield made
    shutil.rmtree(made)


@pytest.fixture
def path(folder: Path) -> Path:
    return folder / "data" / "lanner.db"


@pytest.fixture
def store(path: Path) -> Iterator[Store]:
    opened = open_store(f"sqlite:///{path}")
    yield opened
    opened.close()


def fails(store: Store, message: str, retryable: bool = True) -> None:
    """A commit fails so, and nothing of it is done."""
    with pytest.raises(StoreError, match=message) as caught:
        store.commit([body("refused", alert("refused"), malformed=1), body("large", alert(event=b"e" * 2_000_000))])
    assert caught.value.retryable is retryable
    assert "lanner.db" in str(caught.value)
    assert store.failure is caught.value


def recovers(store: Store) -> None:
    """What was refused is committed when it is sent again."""
    assert store.healthy()
    assert store.failure is None
    assert store.commit([body("refused", alert("refused"), malformed=1)]) == NEW
    assert balanced(store.counters())
    assert len([one for one in store.alerts() if one.audit_id == "refused"]) == 1


def fill(store: Store) -> None:
    """Commit until it fails."""
    with suppress(StoreError):
        for index in range(1_000):
            store.commit([body(None, alert(f"f{index}", event=b"e" * 50_000), malformed=1)])
    assert store.failure is not None


def test_a_full_database(store: Store) -> None:
    """Retention makes room in it, and then it works again."""
    store.commit([body(None, alert("before"))])

    def limit(connection: Any, *_: object) -> None:
        connection.execute("PRAGMA max_page_count = 300")

    engine = store._database.engine
    engine.dispose()
    event.listen(engine, "connect", limit)
    fill(store)
    fails(store, "disk is full: make room")
    assert balanced(store.counters())
    assert totals(store).evaluated == 10 * len(store.alerts(limit=10_000))
    assert store.retention(RetentionPolicy(max_bytes=100_000), NOW).removed > 0
    recovers(store)


def test_a_limit_on_the_size_of_files(store: Store) -> None:
    """The system refuses to write; what was committed is whole."""
    store.commit([body(None, alert("before"))])
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, hard))
    try:
        fill(store)
        fails(store, "cannot be written or read|disk is full")
        assert totals(store).evaluated == 10 * len(store.alerts(limit=10_000))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, handler)
    recovers(store)


def test_a_full_disk(folder: Path) -> None:
    """On a small file system of its own, where that can be had."""
    mount = folder / "small"
    mount.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=2m,mode=755", "tmpfs", str(mount)]
    try:
        mounted = subprocess.run(command, check=False, capture_output=True).returncode == 0
    except FileNotFoundError:
        mounted = False
    if not mounted:
        pytest.skip("no right to mount a file system")
    try:
        store = open_store(f"sqlite:///{mount}/lanner.db")
        ballast = mount / "ballast"
        ballast.write_bytes(b"x" * 1_000_000)
        fill(store)
        fails(store, "disk is full")
        assert balanced(store.counters())
        ballast.unlink()
        recovers(store)
        store.close()
    finally:
        subprocess.run(["umount", str(mount)], check=True)


@contextmanager
def nobody() -> Iterator[None]:
    """Run as a user without rights, if this is root; anybody else has none to begin with."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)


def test_a_read_only_file(folder: Path) -> None:
    """Its user may read it and not write: alerts can be shown, nothing can be committed."""
    data = folder / "data"
    path = data / "lanner.db"
    store = open_store(f"sqlite:///{path}")
    store.commit([body(None, alert("before"))])
    store.close()
    path.chmod(0o400)
    if os.geteuid() == 0:
        for file in (data, path):
            os.chown(file, NOBODY, NOBODY)
    with nobody():
        store = open_store(f"sqlite:///{path}")
        fails(store, "read-only: let the user")
        assert not store.healthy()
        assert [one.audit_id for one in store.alerts()] == ["before"]
        for file in data.iterdir():
            file.chmod(0o600)
        recovers(store)
        store.close()


def test_a_folder_without_rights(folder: Path) -> None:
    """Nothing can be made in it."""
    (folder / "no").mkdir(mode=0o500)
    with nobody(), pytest.raises(StoreError, match="cannot be opened: Permission denied"):
        open_store(f"sqlite:///{folder}/no/data/lanner.db")


def test_locked_by_another_process(store: Store, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It waits a while, then fails; readers see what is there."""
    store.commit([body(None, alert("before"))])
    engine = store._database.engine
    engine.dispose()
    event.listen(engine, "connect", lambda connection, *_: connection.execute("PRAGMA busy_timeout = 10"))
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    fails(store, f"locked by another process for more than {sqlite.BUSY_SECONDS} s")
    assert not store.healthy()
    assert [one.audit_id for one in store.alerts()] == ["before"]
    other.execute("ROLLBACK")
    other.close()
    recovers(store)


def test_a_deleted_file_is_made_again(store: Store, path: Path) -> None:
    """SQLite would go on writing into the removed one, and all of it would be lost."""
    store.commit([body(None, alert("before"))])
    for file in path.parent.iterdir():
        file.unlink()
    recovers(store)
    assert [one.audit_id for one in store.alerts()] == ["refused"]
    reader = open_store(f"sqlite:///{path}", writable=False)
    assert [one.audit_id for one in reader.alerts()] == ["refused"]
    reader.close()
    shutil.rmtree(path.parent)
    assert store.commit([body("after", alert("after"))]) == NEW
    assert oct(path.parent.stat().st_mode & 0o777) == "0o700"
    assert oct(path.stat().st_mode & 0o777) == "0o600"


def test_a_file_deleted_during_a_commit(store: Store, path: Path) -> None:
    """The commit went into nothing, so it is not acknowledged."""

    def remove(*_: object) -> None:
        for file in path.parent.iterdir():
            file.unlink()

    event.listen(store._database.engine, "commit", remove, once=True)
    with pytest.raises(StoreError, match="removed or replaced while it was written"):
        store.commit([body("refused", alert("refused"))])
    recovers(store)


def test_a_file_replaced_by_a_backup(store: Store, path: Path) -> None:
    """What is in the backup counts from then on."""
    store.commit([body("first", alert("first"))])
    backup = path.with_name("backup")
    with sqlite3.connect(path) as source, sqlite3.connect(backup) as target:
        source.backup(target)
    source.close()
    target.close()
    store.commit([body("second", alert("second"))])
    for name in ("lanner.db-wal", "lanner.db-shm"):
        path.with_name(name).unlink()
    backup.replace(path)
    assert [one.audit_id for one in store.alerts()] == ["first"]
    assert store.commit([body("first"), body("second")]) == [Outcome.DUPLICATE, Outcome.COMMITTED]


@pytest.mark.parametrize("damage", ["no database at all", "in the middle"])
def test_a_damaged_file(store: Store, path: Path, damage: str) -> None:
    """It says so and what to do; with a new file it works again."""
    for index in range(50):
        store.commit([body(str(index), alert(str(index), event=b"e" * 3_000))])
    store.close()
    size = path.stat().st_size
    with path.open("r+b") as file:
        if damage == "in the middle":
            file.seek(4_096)
            file.write(os.urandom(size - 4_096))
        else:
            file.write(b"no database at all" * 100)
    for name in ("lanner.db-wal", "lanner.db-shm"):
        with suppress(FileNotFoundError):
            path.with_name(name).unlink()
    fails(store, r"is damaged or no SQLite file.*move it", retryable=False)
    assert not store.healthy()
    with pytest.raises(StoreError, match="is damaged or no SQLite file"):
        open_store(f"sqlite:///{path}").commit([body()])
    path.rename(path.with_name("damaged"))
    recovers(store)


def test_a_folder_in_place_of_the_file(folder: Path) -> None:
    """Clear at the start."""
    with pytest.raises(StoreError, match="cannot be opened"):
        open_store(f"sqlite:///{folder}")
