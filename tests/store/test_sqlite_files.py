"""What can happen to the log of a store (`-wal`) and its index (`-shm`): nothing that was acknowledged is lost.

A process that is killed leaves what stands in files, so each test looks at a copy of them.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import event

from lanner.store import sqlite, sqlite_files
from lanner.store.records import Outcome
from lanner.store.store import Store, StoreError, open_store
from tests.store.builders import alert, balanced, body

NEW = [Outcome.COMMITTED]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "data" / "lanner.db"


@pytest.fixture
def store(path: Path) -> Iterator[Store]:
    opened = open_store(f"sqlite:///{path}")
    yield opened
    opened.close()


def log(path: Path) -> Path:
    return sqlite_files.log_of(path)


def index(path: Path) -> Path:
    return sqlite_files.index_of(path)


def both(path: Path) -> None:
    log(path).unlink()
    index(path).unlink()


def replace_log(path: Path) -> None:
    """By a copy of itself, which a later start would take for the newest there is."""
    replace(log(path), log(path).read_bytes())


def replace(file: Path, content: bytes) -> None:
    file.with_name("copy").write_bytes(content)
    file.with_name("copy").replace(file)


TAKEN: dict[str, Callable[[Path], None]] = {
    "the log is removed": lambda path: log(path).unlink(),
    "the index is removed": lambda path: index(path).unlink(),
    "both are removed": both,
    "the log is replaced by a copy": replace_log,
    "the log is replaced by nonsense": lambda path: replace(log(path), os.urandom(90_000)),
    "the index is replaced": lambda path: replace(index(path), bytes(index(path).stat().st_size)),
    "the index is cut": lambda path: os.truncate(index(path), 0),
}


def checkpoint(store: Store) -> None:
    pooled = store._database.engine.raw_connection()
    pooled.cursor().execute("PRAGMA wal_checkpoint(PASSIVE)")
    pooled.close()


def after_a_kill(path: Path) -> list[str]:
    """The audit ids in what a process leaves that is killed now."""
    left = path.parent.with_name("left")
    shutil.rmtree(left, ignore_errors=True)
    shutil.copytree(path.parent, left)
    with sqlite3.connect(left / path.name) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    connection.close()
    opened = open_store(f"sqlite:///{left / path.name}")
    try:
        assert balanced(opened.counters())
        return [one.audit_id for one in opened.alerts(after=0)]
    finally:
        opened.close()


@pytest.mark.parametrize("name", TAKEN)
@pytest.mark.parametrize("notices", ["a commit", "a look"])
def test_taken_between_commits(store: Store, path: Path, name: str, notices: str) -> None:
    """What is in the log moves into the file itself, whoever comes first; then all goes on."""
    for number in range(5):
        store.commit([body(None, alert(f"before-{number}"))])
    before = [f"before-{number}" for number in range(5)]
    TAKEN[name](path)
    if notices == "a look":
        assert store.healthy()
        assert after_a_kill(path) == before
    assert store.commit([body(None, alert("after"))]) == NEW
    assert after_a_kill(path) == [*before, "after"]
    assert store.commit([body(None, alert("later"))]) == NEW
    assert after_a_kill(path) == [*before, "after", "later"]
    reader = open_store(f"sqlite:///{path}", writable=False)
    assert len(reader.alerts()) == 7


@pytest.mark.parametrize("name", [name for name in TAKEN if "index is cut" not in name])
def test_taken_during_a_commit(store: Store, path: Path, name: str) -> None:
    """That one is not acknowledged; it may be in the store all the same, once."""
    store.commit([body(None, alert("before"))])
    event.listen(store._database.engine, "commit", lambda _: TAKEN[name](path), once=True)
    with pytest.raises(StoreError, match="removed or replaced while it was written"):
        store.commit([body("refused", alert("refused"))])
    store.commit([body("refused", alert("refused"))])
    assert after_a_kill(path) == ["before", "refused"]


def test_a_reader_holds_nothing_up(store: Store, path: Path) -> None:
    """Whoever follows sees all of it, before and after; and takes nothing away at its end."""
    reader = open_store(f"sqlite:///{path}", writable=False)
    store.commit([body(None, alert("before"))])
    assert len(reader.alerts()) == 1
    log(path).unlink()
    assert store.commit([body(None, alert("after"))]) == NEW
    assert [one.audit_id for one in reader.alerts(after=0)] == ["before", "after"]
    reader.close()
    assert after_a_kill(path) == ["before", "after"]


def test_somebody_else_has_it_open(store: Store, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is acknowledged until it is alone: two logs of one file would destroy it. Nothing is lost meanwhile."""
    monkeypatch.setattr(sqlite, "BUSY_SECONDS", 0.01)
    store.commit([body(None, alert("before"))])
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("SELECT count(*) FROM alerts").fetchone()
    log(path).unlink()
    for _ in range(2):
        with pytest.raises(StoreError, match="until nobody else has it open") as caught:
            store.commit([body("refused", alert("refused"))])
        assert caught.value.retryable
        assert after_a_kill(path) == ["before"]
    other.close()
    assert store.commit([body("refused", alert("refused"))]) == NEW
    assert after_a_kill(path) == ["before", "refused"]


def test_at_the_end(store: Store, path: Path) -> None:
    """Closing saves the log, too."""
    store.commit([body(None, alert("before"))])
    log(path).unlink()
    store.close()
    assert after_a_kill(path) == ["before"]


@pytest.mark.parametrize("part", [0.0, 0.5, 0.97])
@pytest.mark.parametrize("moved", ["nothing", "a part", "everything"])
def test_a_log_that_is_cut(store: Store, path: Path, part: float, moved: str) -> None:
    """What is left is whole, a beginning of what was committed, and as much as there is; a loss is told once."""
    names = [f"before-{number}" for number in range(40)]
    last_moved = {"nothing": -1, "a part": 20, "everything": 39}[moved]
    for number, name in enumerate(names):
        store.commit([body(None, alert(name, event=os.urandom(3_000).hex().encode()))])
        if number == last_moved:
            reader = sqlite3.connect(path)  # so that the log is not begun anew
            reader.execute("BEGIN")
            reader.execute("SELECT count(*) FROM alerts").fetchone()
            checkpoint(store)
    size = log(path).stat().st_size
    os.truncate(log(path), int(size * part))
    if moved == "everything":
        reader.close()
        assert store.commit([body(None, alert("after"))]) == NEW
        assert after_a_kill(path) == [*names, "after"]
        return
    if moved == "a part":
        reader.close()
    with pytest.raises(StoreError, match="has lost commits that were acknowledged: its `-wal` was cut"):
        store.commit([body(None, alert("refused"))])
    assert store.commit([body(None, alert("after"))]) == NEW
    *left, last = after_a_kill(path)
    assert last == "after"
    assert left == names[: len(left)]
    assert len(left) >= (0 if moved == "nothing" else 20)
    if part > 0.9:
        assert len(left) > 30


def test_what_sqlite_does_itself_is_no_fault(store: Store, path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A log that had to grow is cut back to its limit, then begun anew."""
    for number in range(3):
        large = [alert(f"{number}-{index}", event=os.urandom(1_000_000)) for index in range(40)]
        assert store.commit([body(None, *large)]) == NEW
    for number in range(3):
        assert store.commit([body(None, alert(f"small-{number}"))]) == NEW
    assert not caplog.records


MOVE = "import sqlite3, sys; print(sqlite3.connect(sys.argv[1]).execute('PRAGMA wal_checkpoint(TRUNCATE)').fetchone())"


def empty_log(path: Path) -> None:
    """Another process has SQLite move the log into the file itself, and cut it."""
    done = subprocess.run([sys.executable, "-c", MOVE, path], check=True, capture_output=True, text=True)
    assert done.stdout == "(0, 0, 0)\n"
    assert log(path).stat().st_size == 0


@pytest.mark.parametrize("follows", ["a commit", "a look", "the end", "a failure"])
def test_another_process_empties_the_log(
    store: Store, path: Path, caplog: pytest.LogCaptureFixture, follows: str
) -> None:
    """Whoever makes a backup may do so, as often as he likes."""
    names = [f"before-{number}" for number in range(30)]
    store.commit([body(None, *map(alert, names))])
    for number in range(2):
        empty_log(path)
        match follows:
            case "a look":
                assert store.healthy()
            case "the end":
                store.close()
            case "a failure":
                store._connected = None
        names.append(f"after-{number}")
        assert store.commit([body(None, alert(names[-1]))]) == NEW
    assert not caplog.records
    assert after_a_kill(path) == names  # to copy an index takes its locks away


def test_another_process_empties_the_log_before_a_commit_begins(store: Store, path: Path) -> None:
    """When the files were looked at already. The commit is acknowledged."""
    store.commit([body(None, *(alert(f"before-{number}") for number in range(30)))])
    prepare = store._database.prepare

    def late() -> object:
        done = prepare()
        empty_log(path)
        return done

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(store._database, "prepare", late)
        assert store.commit([body(None, alert("after"))]) == NEW
    assert len(after_a_kill(path)) == 31


def test_an_index_of_zeros_says_nothing(store: Store, path: Path) -> None:
    """Nor does a log that is cut with it come to be whole."""
    store.commit([body(None, alert("before"))])
    os.truncate(log(path), 0)
    size = index(path).stat().st_size
    os.truncate(index(path), 0)
    os.truncate(index(path), size)
    with pytest.raises(StoreError, match="has lost commits that were acknowledged"):
        store.commit([body(None, alert("refused"))])
    assert store.commit([body(None, alert("after"))]) == NEW
