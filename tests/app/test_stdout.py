"""Standard output: what is committed is written at least once, in order, whatever the reader and the process do."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event
from typing import Any

import pytest

from lanner.service import stdout
from lanner.service.stdout import LATEST_NS, Cursor, Stdout, StoredAlerts, forget
from lanner.store.errors import StoreError
from lanner.store.records import RetentionPolicy, StoredAlert
from lanner.store.store import PAGE_BYTES, Store, open_store
from tests.store.builders import NOW, SECOND, alert, body

TIMEOUT = 60.0


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return open_store(f"sqlite:///{tmp_path}/lanner.db")


@dataclass
class Pipe:
    """A pipe as standard output. `read` gives so many lines; it waits for them."""

    reading: int = -1
    writing: int = -1
    _rest: bytes = b""
    _lines: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.reading, self.writing = os.pipe()

    def read(self, count: int) -> list[str]:
        while len(self._lines) < count:
            *lines, self._rest = (self._rest + os.read(self.reading, 65_536)).split(b"\n")
            self._lines += [line.decode() for line in lines]
        taken, self._lines = self._lines[:count], self._lines[count:]
        return taken

    def rest(self) -> list[str]:
        """All lines to the end."""
        os.close(self.writing)
        while more := os.read(self.reading, 65_536):
            self._rest += more
        return self._lines + self._rest.decode().splitlines()


def output(store: Store, pipe: Pipe, cursor: Cursor, failing: StoredAlerts | None = None, **changes: Any) -> Stdout:
    given: dict[str, Any] = {"as_json": False, "buffered": False, "now_ns": lambda: NOW + 2 * SECOND}
    return Stdout(pipe.writing, store=failing or store, start=cursor.start, end=cursor.end, **{**given, **changes})


@dataclass
class Failing:
    """A store whose `alerts` fail so many times."""

    store: Store
    failures: int
    asked: Event = field(default_factory=Event)

    def alerts(self, *, after: int, limit: int, max_bytes: int) -> Sequence[StoredAlert]:
        self.asked.set()
        if self.failures:
            self.failures -= 1
            raise StoreError("locked", retryable=True)
        return self.store.alerts(after=after, limit=limit, max_bytes=max_bytes)

    def count(self, after: int, upto: int) -> int:
        return self.store.count(after, upto)


def commit(store: Store, out: Stdout | None, *names: str) -> None:
    """Commit alerts with these audit ids, as the committer does."""
    batch = body(None, *(alert(name) for name in names))
    last_seq = store.apply([batch]).last_seq
    if out is not None:
        out.write([batch], last_seq)


def lines(*names: str) -> list[str]:
    return [f"Rule on {name}" for name in names]


def test_what_was_committed_and_not_written_comes_first(store: Store) -> None:
    """Begun at the end of the store; then, as after a crash, behind what was noted; live alerts follow once."""
    commit(store, None, "before")
    first = Cursor(store, "stdout")
    assert (first.start, first.end) == (1, 1)
    commit(store, None, *(f"missed-{index}" for index in range(120)))
    pipe = Pipe()
    out = output(store, pipe, Cursor(store, "stdout"))
    commit(store, out, "live")
    out.close(TIMEOUT)
    assert pipe.rest() == lines(*(f"missed-{index}" for index in range(120)), "live")
    assert out.passed(0) == 122
    assert store.outputs() == {"stdout": 1}
    first.save(out.passed(0))
    assert store.outputs() == {"stdout": 122}


def test_a_slow_reader_gets_everything_in_its_time(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """What does not fit in memory is read from the store; nothing is lost, doubled, or out of order."""
    monkeypatch.setattr(stdout, "WAITING", 100)
    monkeypatch.setattr(stdout, "PAGE_ALERTS", 7)
    pipe, cursor = Pipe(), Cursor(store, "stdout")
    out = output(store, pipe, cursor)
    while True:  # until the pipe is full
        os.set_blocking(pipe.writing, False)
        try:
            os.write(pipe.writing, b"x" * 1023 + b"\n")
        except BlockingIOError:
            break
    full = 65_536 // 1024
    names = [f"{index}-{number}" for index in range(40) for number in range(3)]
    for start in range(0, len(names), 3):
        commit(store, out, *names[start : start + 3])
    assert out.passed(10_000) == 0
    assert len(out._queue) < 10
    pipe.read(full)
    assert pipe.read(len(names)) == lines(*names)
    out.close(TIMEOUT)
    assert (out.passed(0), out.unwritten) == (len(names), 0)
    assert pipe.rest() == []


def test_a_reader_that_is_gone(store: Store) -> None:
    """The alerts are counted, and come at the next start."""
    pipe, cursor = Pipe(), Cursor(store, "stdout")
    out = output(store, pipe, cursor)
    commit(store, out, "first")
    assert pipe.read(1) == lines("first")
    os.close(pipe.reading)
    commit(store, out, "second")
    out._thread.join(TIMEOUT)
    commit(store, out, "third")
    out.close(TIMEOUT)
    assert (out.passed(100), out.unwritten) == (1, 2)
    cursor.save(out.passed(100))
    again = Pipe()
    next_one = output(store, again, Cursor(store, "stdout"))
    next_one.close(TIMEOUT)
    assert again.rest() == lines("second", "third")


def test_a_store_that_fails_for_a_while(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is asked again; closing does not wait for it."""
    monkeypatch.setattr(stdout, "PAUSE", 0.0)
    Cursor(store, "stdout")
    commit(store, None, "missed")
    pipe = Pipe()
    out = output(store, pipe, Cursor(store, "stdout"), failing=Failing(store, 3))
    assert pipe.read(1) == lines("missed")
    out.close(TIMEOUT)
    pipe, broken = Pipe(), Failing(store, -1)
    out = output(store, pipe, Cursor(store, "stdout"), failing=broken)
    assert broken.asked.wait(TIMEOUT)
    out.close(TIMEOUT)
    assert pipe.rest() == []
    assert out.passed(100) == 0


def test_what_is_older_than_a_day_is_left_out(store: Store) -> None:
    """It is counted as unwritten, and passed."""
    Cursor(store, "stdout")
    commit(store, None, "old")
    store.apply([body(None, alert("new"), received_ns=NOW + LATEST_NS)])
    pipe = Pipe()
    out = output(store, pipe, Cursor(store, "stdout"), now_ns=lambda: NOW + LATEST_NS + 3 * SECOND)
    out.close(TIMEOUT)
    assert pipe.rest() == lines("new")
    assert (out.passed(0), out.unwritten) == (2, 1)


def test_what_other_processes_committed_is_passed_when_nothing_waits(store: Store) -> None:
    """So that a restart does not bring all that the others had."""
    pipe = Pipe()
    out = output(store, pipe, Cursor(store, "stdout host"))
    commit(store, out, "mine")
    commit(store, None, "theirs")
    pipe.read(1)
    out.close(TIMEOUT)
    assert out.passed(2) == 2


@pytest.mark.parametrize(
    ("as_json", "buffered", "wanted"),
    [(False, False, "Rule on a"), (True, False, '{"rule":"Rule"}'), (True, True, '{"rule":"Rule"}')],
)
def test_forms(store: Store, as_json: bool, buffered: bool, wanted: str) -> None:
    """Lines or documents, from memory and from the store alike."""
    Cursor(store, "stdout")
    commit(store, None, "a")
    pipe = Pipe()
    out = output(store, pipe, Cursor(store, "stdout"), as_json=as_json, buffered=buffered)
    assert pipe.read(1) == [wanted]
    commit(store, out, "a2")
    out.close(TIMEOUT)
    assert len(pipe.rest()) == 1


RETAINED: dict[str, tuple[Callable[[Store], None], int]] = {
    "standard output is behind": (lambda store: Cursor(store, "stdout").save(1), 3),
    "another output is": (lambda store: store.advance_output("http", 1), 1),
}


@pytest.mark.parametrize("name", RETAINED)
def test_retention_does_not_wait_for_standard_output(store: Store, name: str) -> None:
    """A reader that is gone would fill the disk."""
    begin, removed = RETAINED[name]
    begin(store)
    commit(store, None, "1", "2", "3")
    assert store.retention(RetentionPolicy(max_age_ns=0), NOW + 100 * SECOND).removed == removed


def test_off_and_on_again(store: Store) -> None:
    """What came while it was off does not come."""
    Cursor(store, "stdout")
    commit(store, None, "1")
    forget(store, "stdout")
    forget(store, "stdout")
    assert store.outputs() == {}
    assert Cursor(store, "stdout").start == 1


def test_a_commit_in_doubt_is_looked_for_in_the_store(store: Store) -> None:
    """One that failed and is in the store all the same is written with the next, were that all duplicates."""
    pipe = Pipe()
    out = output(store, pipe, Cursor(store, "stdout"))
    commit(store, out, "a")
    pipe.read(1)
    commit(store, None, "b", "c")
    out.doubt()
    assert out.passed(99) < 99
    out.write([], store.last_seq())
    assert pipe.read(2) == lines("b", "c")
    out.close(TIMEOUT)
    assert out.passed(0) == store.last_seq()


class SmallFile:
    """A file that this process cannot make larger for now, as standard output. `closed`: no write fails any more."""

    def __init__(self, path: Path, monkeypatch: pytest.MonkeyPatch, room: int, error: int) -> None:
        self._path = path
        self.writing = os.open(path, os.O_CREAT | os.O_WRONLY | os.O_APPEND)
        self.room = room
        self.failed = Event()
        write = os.write

        def limited(fd: int, data: bytes) -> int:
            if fd != self.writing:
                return write(fd, data)
            count = min(len(data), self.room)
            if not count:
                self.failed.set()
                raise OSError(error, os.strerror(error))
            self.room -= count
            return write(fd, data[:count])

        monkeypatch.setattr(os, "write", limited)

    def lines(self) -> list[str]:
        return self._path.read_text().splitlines()


@pytest.mark.parametrize("error", sorted(stdout.PASSING), ids=lambda number: errno.errorcode[number])
def test_a_full_disk_passes(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, error: int
) -> None:
    """Each line is whole and there once, in order; nothing counts as unwritten; it is told once."""
    monkeypatch.setattr(stdout, "PAUSE", 0.001)
    file = SmallFile(tmp_path / "out", monkeypatch, room=len("Rule on a\nRule o"), error=error)
    cursor = Cursor(store, "stdout")
    out = Stdout(file.writing, False, False, store, cursor.start, cursor.end)
    for name in "abc":
        commit(store, out, name)
    assert file.failed.wait(TIMEOUT)
    assert file.lines() == ["Rule on a", "Rule o"]
    file.room = 10_000
    out.close(TIMEOUT)
    assert file.lines() == lines("a", "b", "c")
    assert (out.passed(0), out.unwritten) == (3, 0)


def test_a_disk_that_stays_full(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is not written as a whole comes at the next start, on a line of its own."""
    monkeypatch.setattr(stdout, "PAUSE", 60.0)
    file = SmallFile(tmp_path / "out", monkeypatch, room=len("Rule on a\nRule o"), error=errno.ENOSPC)
    cursor = Cursor(store, "stdout")
    out = Stdout(file.writing, False, False, store, cursor.start, cursor.end)
    for name in "abc":
        commit(store, out, name)
    assert file.failed.wait(TIMEOUT)
    out.close(0.0)
    out._thread.join(TIMEOUT)
    assert not out._thread.is_alive()
    assert out.passed(100) == 1
    cursor.save(out.passed(100))
    file.room = 10_000
    cursor = Cursor(store, "stdout")
    out = Stdout(file.writing, False, False, store, cursor.start, cursor.end, lambda: NOW)
    out.close(TIMEOUT)
    assert file.lines() == ["Rule on a", "Rule o", "Rule on b", "Rule on c"]


@pytest.mark.parametrize("waiting", [100, 10_000])
def test_everything_that_a_reader_did_not_take_counts(
    store: Store, monkeypatch: pytest.MonkeyPatch, waiting: int
) -> None:
    """What was on its way, waited in memory or in the store, was committed in doubt, and what comes later."""
    monkeypatch.setattr(stdout, "WAITING", waiting)
    pipe = Pipe()
    while True:  # until the pipe is full
        os.set_blocking(pipe.writing, False)
        try:
            os.write(pipe.writing, b"x")
        except BlockingIOError:
            break
    out = output(store, pipe, Cursor(store, "stdout"))
    for number in range(40):
        commit(store, out, f"{number}-a", f"{number}-b")
    os.close(pipe.reading)
    out._thread.join(TIMEOUT)
    assert out.unwritten == 80
    commit(store, out, "later")
    assert out.unwritten == 81
    commit(store, None, "in doubt")
    out.doubt()
    commit(store, out, "last")
    assert out.unwritten == 83
    assert out.passed(1_000) == 0


def test_lines_that_a_reader_has_taken_do_not_count(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a commit that was written by half, only the rest is unwritten."""
    pipe = Pipe()
    write = os.write
    answers = iter([len("Rule on a\nRule o"), None])

    def breaking(fd: int, data: bytes) -> int:
        if fd != pipe.writing:
            return write(fd, data)
        count = next(answers)
        if count is None:
            raise BrokenPipeError(errno.EPIPE, "gone")
        return write(fd, data[:count])

    monkeypatch.setattr(os, "write", breaking)
    out = output(store, pipe, Cursor(store, "stdout"))
    commit(store, out, "a", "b", "c")
    out._thread.join(TIMEOUT)
    assert out.unwritten == 2


def test_large_alerts_do_not_come_together(store: Store) -> None:
    """What is read from the store at a start is bounded by bytes; one that is larger than that comes alone."""
    Cursor(store, "stdout")
    sizes = [3_000_000] * 5 + [20_000_000] + [3_000_000] * 3
    for number, size in enumerate(sizes):
        commit_large(store, str(number), size)
    pages: list[int] = []

    class Noting(Failing):
        def alerts(self, *, after: int, limit: int, max_bytes: int) -> Sequence[StoredAlert]:
            page = super().alerts(after=after, limit=limit, max_bytes=max_bytes)
            pages.append(sum(len(one.document) for one in page))
            return page

    nowhere = os.open(os.devnull, os.O_WRONLY)
    cursor = Cursor(store, "stdout")
    out = Stdout(nowhere, True, False, Noting(store, 0), cursor.start, cursor.end, lambda: NOW)
    out.close(TIMEOUT)
    os.close(nowhere)
    assert sum(pages) == sum(sizes)
    assert sorted(pages)[-1] == 20_000_000
    assert sorted(pages)[-2] <= PAGE_BYTES


def commit_large(store: Store, name: str, size: int) -> None:
    store.apply([body(None, alert(name, document=b"d" * size))])
