"""Following files: rotation in all its forms, restarts, and lines of every kind."""

from __future__ import annotations

import asyncio
import gzip
import os
import random
import shutil
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from lanner.sources import follow as follow_module
from lanner.sources import tail
from lanner.sources.base import Delivery
from lanner.sources.follow import SETTLE, Follow
from tests.sources.book import Book, Clock, KilledError, event, no_wait


class Scene:
    """A followed target, driven step by step: `look` stands for a wake-up, `restart` for kill -9 and a new start."""

    def __init__(
        self,
        target: Path | str,
        from_start: bool = False,
        max_line: int = tail.MAX_LINE,
        max_open: int = follow_module.MAX_OPEN,
    ) -> None:
        self.book = Book()
        self.clock = Clock()
        self._target = str(target)
        self._from_start = from_start
        self._max_line = max_line
        self._max_open = max_open
        self.follow = self._new()
        self._started = False

    def _new(self) -> Follow:
        return Follow(
            self._target,
            name="audit",
            cluster="prod",
            from_start=self._from_start,
            max_line=self._max_line,
            max_open=self._max_open,
            clock=self.clock,
            sleep=no_wait,
        )

    def look(self, settled: bool = False) -> list[bytes]:
        """The lines committed so far; `settled`: files have been quiet for long."""
        asyncio.run(self._look(settled))
        return self.book.lines

    def restart(self) -> None:
        self.follow.close()
        self.follow = self._new()
        self._started = False

    async def _look(self, settled: bool) -> None:
        try:
            if not self._started:
                await self.follow.start(self.book)
                self._started = True
            await self.follow.catch_up(self.book)
            if settled:
                self.clock.now += SETTLE + 1
                await self.follow.catch_up(self.book)
        except KilledError:
            self.restart()


def add(path: Path, *lines: bytes, end: bytes = b"\n") -> None:
    with path.open("ab") as file:
        file.write(b"\n".join(lines) + end)


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "audit.log"


def started(log: Path, *lines: bytes, **settings: bool) -> Scene:
    """A scene that has begun before the lines were written, and has read them."""
    scene = Scene(log, **settings)
    scene.look()
    add(log, *lines)
    assert scene.look() == list(lines)
    return scene


def test_begins_at_the_end(log: Path) -> None:
    """What was there before the first start is left out, but a line that is just being written is not."""
    add(log, b"old", b"unfin", end=b"")
    scene = Scene(log)
    assert scene.look() == []
    add(log, b"ished")
    add(log, b"new")
    assert scene.look() == [b"unfinished", b"new"]


def test_begins_at_the_beginning_if_told_to(log: Path) -> None:
    """Rotated files of earlier times are left out even then."""
    add(log, b"1", b"2")
    add(log.with_name("audit.log.1"), b"0")
    assert Scene(log, from_start=True).look() == [b"1", b"2"]


def test_where_it_began_is_committed(log: Path) -> None:
    """What came between the first start and a crash before the first line is not taken for old."""
    add(log, b"old")
    scene = Scene(log)
    scene.look()
    add(log, b"1")
    add(log.with_name("audit.log.1"), b"0")
    scene.restart()
    assert sorted(scene.look()) == [b"0", b"1"]


def test_deliveries_say_what_they_are(log: Path) -> None:
    """Cluster, JSON lines, position."""
    scene = started(log, b"1", b"2")
    delivery = scene.book.deliveries[-1]
    assert (delivery.cluster, delivery.lines, delivery.body) == ("prod", True, b"1\n2\n")
    assert delivery.position is not None
    assert delivery.position.offset == 4
    assert delivery.position.file.startswith(f"{log}#")
    assert delivery.received_ns > 0


def test_a_line_is_delivered_when_it_is_finished(log: Path) -> None:
    """However long that takes."""
    scene = started(log, b"1")
    add(log, b"ha", end=b"")
    assert scene.look(settled=True) == [b"1"]
    add(log, b"lf")
    assert scene.look() == [b"1", b"half"]


def test_rotation_by_rename(log: Path) -> None:
    """The old file is read to its end, also what is written to it late; then the new one from its beginning."""
    scene = started(log, b"1")
    old = log.rename(log.with_name("audit.log.1"))
    add(old, b"2")
    add(log, b"3")
    assert scene.look() == [b"1", b"2", b"3"]
    add(old, b"late")
    add(log, b"4", b"unfinished", end=b"")
    assert scene.look() == [b"1", b"2", b"3", b"late", b"4"]
    log.rename(log.with_name("audit.log.2"))
    assert scene.look(settled=True)[5:] == [b"unfinished"]


def test_rotation_out_of_sight(log: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    """An open file is read to its end where it has gone to another folder, or was deleted."""
    scene = started(log, b"1")
    add(log, b"2")
    log.rename(tmp_path_factory.mktemp("elsewhere") / "x")
    add(log, b"3")
    scene.look()
    add(log, b"4", b"5", end=b"")
    scene.look()
    log.unlink()
    assert scene.look(settled=True) == [b"1", b"2", b"3", b"4", b"5"]
    add(log, b"6")
    assert scene.look()[5:] == [b"6"]


def test_rotations_while_it_was_down(log: Path) -> None:
    """Several, with compression: all that came is read, from where it was left, and nothing a second time."""
    scene = started(log, b"1", b"2")
    add(log, b"3", b"4")
    first = log.with_name("audit-2024-05-01T10-00-00.000.log.gz")
    first.write_bytes(gzip.compress(log.read_bytes()))
    second = log.with_name("audit-2024-05-01T11-00-00.000.log")
    second.write_bytes(b"5\n6")
    third = log.with_name("audit.log.1.zst")
    third.write_bytes(zstandard.ZstdCompressor().compress(b"7\n8\n"))
    log.write_bytes(b"9\n")
    scene.restart()
    assert sorted(scene.look(settled=True)) == [b"%d" % number for number in range(1, 10)]
    scene.restart()
    assert len(scene.look(settled=True)) == 9


@pytest.mark.parametrize("pack", [gzip.compress, zstandard.ZstdCompressor().compress], ids=["gzip", "zstd"])
def test_compressing_what_was_read(log: Path, pack: Callable[[bytes], bytes]) -> None:
    """It is not read again, neither at once nor after a restart."""
    scene = started(log, b"1", b"2")
    old = log.rename(log.with_name("audit.log.1"))
    add(log, b"3")
    scene.look()
    old.with_name("audit.log.1.gz").write_bytes(pack(old.read_bytes()))
    old.unlink()
    assert scene.look(settled=True) == [b"1", b"2", b"3"]
    scene.restart()
    assert scene.look(settled=True) == [b"1", b"2", b"3"]


def test_a_file_that_is_just_being_compressed(log: Path, caplog: pytest.LogCaptureFixture) -> None:
    """It is left alone until nothing has come for a while; then being cut short is reported, once."""
    scene = started(log, b"1")
    data = gzip.compress(b"".join(b"%d\n" % number for number in range(2, 5000)))
    packed = log.with_name("audit.log.1.gz")
    for end in (0, 10, len(data) - 30):
        packed.write_bytes(data[:end])
        assert scene.look() == [b"1"]
    assert not caplog.records
    scene.look(settled=True)
    scene.look(settled=True)
    assert [record.message for record in caplog.records if "cut short" in record.message] == [
        f"audit: `{packed}` is cut short: its compressed data ends too early"
    ]
    packed.write_bytes(data)
    assert sorted(map(int, scene.look(settled=True))) == list(range(1, 5000))


def test_copy_and_truncate(log: Path) -> None:
    """What had not been read when the file was truncated is read from the copy; the copy is not read again."""
    scene = started(log, b"1")
    add(log, b"2")
    copy = log.with_name("audit.log.1")
    shutil.copyfile(log, copy)
    assert scene.look() == [b"1", b"2"]
    add(log, b"3")
    shutil.copyfile(log, copy)
    os.truncate(log, 0)
    add(log, b"4")
    assert sorted(scene.look()) == [b"1", b"2", b"3", b"4"]
    scene.restart()
    assert len(scene.look(settled=True)) == 4


def test_copy_and_truncate_unnoticed(log: Path) -> None:
    """By the next look the file has grown again beyond what was read of it, but not beyond what the copy holds."""
    scene = started(log, b"1")
    add(log, *(b"%d" % number for number in range(2, 9)))
    shutil.copyfile(log, log.with_name("audit.log.1"))
    log.write_bytes(b"9\n10\n11\n")
    assert sorted(map(int, scene.look())) == list(range(1, 12))


def test_truncation_of_an_unfinished_first_line(log: Path) -> None:
    """The line that takes its place may be shorter."""
    scene = Scene(log)
    scene.look()
    add(log, b"unfinished", end=b"")
    scene.look()
    log.write_bytes(b"1\n")
    assert scene.look() == [b"1"]


def test_truncation_that_the_size_does_not_show(log: Path) -> None:
    """Truncated and grown beyond the former size between two looks."""
    scene = started(log, b"1", b"2")
    log.write_bytes(b"3\n4\n5\n6\n")
    assert scene.look() == [b"1", b"2", b"3", b"4", b"5", b"6"]


@pytest.mark.parametrize("last", [4, 5], ids=["same size", "larger"])
def test_truncation_that_the_ends_of_lines_do_not_show(log: Path, last: int) -> None:
    """Truncated and grown again to where it was read to, with a line that ends as the one that stood there.

    So do lines of real events, whose ends are annotations: a position needs the first line, too, to be recognised.
    The file is rotated then, so nothing that comes later shows it either.
    """
    scene = started(log, event(1, 300), event(2, 300))
    shutil.copyfile(log, log.with_name("audit.log.1"))
    later = [event(number, 300) for number in range(3, last + 1)]
    log.write_bytes(b"".join(line + b"\n" for line in later))
    scene.look()
    log.rename(log.with_name("audit.log.2"))
    assert scene.look(settled=True)[2:] == later


def test_a_lost_end(log: Path) -> None:
    """A file that is shorter than what was read of it (the machine lost power) goes on behind what is left."""
    scene = started(log, *(event(number) for number in range(20)))
    scene.restart()
    os.truncate(log, log.stat().st_size - len(event(1)) * 2)
    scene.look()
    add(log, b"", b"new 1")
    scene.look()
    scene.restart()
    add(log, b"new 2")
    assert scene.look()[-2:] == [b"new 1", b"new 2"]
    assert scene.book.lines[:20] == [event(number) for number in range(20)]


def test_files_that_begin_alike(tmp_path: Path) -> None:
    """Two files with the same first lines are told apart by what stands before the position."""
    scene = Scene(tmp_path)
    scene.look()
    (tmp_path / "a").write_bytes(b"same\na1\na2\n")
    scene.look()
    (tmp_path / "b").write_bytes(b"same\nb1\nb2\nb3\n")
    scene.look()
    scene.restart()
    add(tmp_path / "a", b"a3")
    add(tmp_path / "b", b"b4")
    assert sorted(scene.look()) == sorted(b"same a1 a2 a3 same b1 b2 b3 b4".split())


def test_a_copy_is_not_read_again(tmp_path: Path) -> None:
    """Under whatever name, as long as it begins with what was read; nor does its unfinished end count."""
    scene = Scene(tmp_path)
    scene.look()
    log = tmp_path / "a.log"
    add(log, b"1", b"2", b"unfi", end=b"")
    scene.look()
    shutil.copy2(log, tmp_path / "a.log.1")
    assert scene.look(settled=True) == [b"1", b"2"]
    add(log, b"nished")
    assert scene.look(settled=True) == [b"1", b"2", b"unfinished"]


def test_a_file_replaced_by_a_longer_copy_of_itself(log: Path) -> None:
    """As rsync does: the line that was unfinished in the old one is finished in the new one."""
    scene = started(log, b"1")
    add(log, b"2", b"unfi", end=b"")
    scene.look()
    new = log.with_name("tmp")
    new.write_bytes(log.read_bytes() + b"nished\n")
    new.replace(log)
    assert scene.look(settled=True) == [b"1", b"2", b"unfinished"]


def test_a_folder(tmp_path: Path) -> None:
    """New files are read from their beginning, also in new folders; hidden ones are left out."""
    scene = Scene(tmp_path)
    add(tmp_path / "a.log", b"old")
    scene.look()
    (tmp_path / "deep").mkdir()
    add(tmp_path / "deep" / "b.log", b"1")
    add(tmp_path / ".hidden", b"no")
    assert scene.look() == [b"1"]
    add(tmp_path / "a.log", b"2")
    assert scene.look() == [b"1", b"2"]


def test_the_last_file_of_each_day(tmp_path: Path) -> None:
    """In a folder, an unfinished line counts once a newer file has taken over."""
    scene = Scene(tmp_path)
    scene.look()
    today = tmp_path / "audit-2024-05-01.log"
    add(today, b"1", b"unfinished", end=b"")
    os.utime(today, (1, 1))
    assert scene.look(settled=True) == [b"1"]
    add(tmp_path / "audit-2024-05-02.log", b"2")
    assert sorted(scene.look(settled=True)) == [b"1", b"2", b"unfinished"]


@pytest.mark.parametrize("pattern", ["*.log", "a*.log", "../*/[a-b]*.log", "**/*.log"])
def test_a_pattern(tmp_path: Path, pattern: str) -> None:
    """What fits, and what did before it was rotated."""
    folder = tmp_path / "logs"
    folder.mkdir()
    scene = Scene(f"{folder}/{pattern}")
    scene.look()
    add(folder / "audit.log", b"1")
    scene.look()
    (folder / "audit.log").rename(folder / "audit.log.1")
    add(folder / "audit.log.1", b"2")
    add(folder / "audit.log", b"3")
    add(folder / "audit.lock", b"no")
    scene.restart()
    assert sorted(scene.look()) == [b"1", b"2", b"3"]


def test_swapped_links(tmp_path: Path) -> None:
    """A link to a link that is swapped, as for mounted ConfigMaps; what the old one leads to is read to its end."""
    for name, line in (("first", b"1"), ("second", b"2")):
        (tmp_path / name).mkdir()
        add(tmp_path / name / "audit.log", line)
    (tmp_path / "..data").symlink_to("first")
    log = tmp_path / "audit.log"
    log.symlink_to("..data/audit.log")
    scene = Scene(log, from_start=True)
    assert scene.look() == [b"1"]
    add(log, b"late")
    (tmp_path / "..new").symlink_to("second")
    (tmp_path / "..new").replace(tmp_path / "..data")
    assert scene.look(settled=True) == [b"1", b"late", b"2"]


def test_rotation_behind_a_link(tmp_path: Path) -> None:
    """Rotated files are also looked for where the link leads to."""
    (tmp_path / "real").mkdir()
    real = tmp_path / "real" / "kube.log"
    add(real, b"old")
    log = tmp_path / "audit.log"
    log.symlink_to(real)
    scene = Scene(log)
    scene.look()
    add(real, b"1")
    real.rename(real.with_name("kube.log.1"))
    add(real, b"2")
    scene.restart()
    assert sorted(scene.look()) == [b"1", b"2"]


def test_an_unreadable_file(tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is reported once, tried again, and costs the others nothing."""
    scene = Scene(tmp_path)
    scene.look()
    bad, good = tmp_path / "bad", tmp_path / "good"
    add(bad, b"1")
    add(good, b"2")
    really_open = os.open

    def refuse(path: Path, flags: int) -> int:
        if path == bad:
            raise PermissionError(13, "Permission denied", str(path))
        return really_open(path, flags)

    monkeypatch.setattr(os, "open", refuse)
    scene.look()
    assert scene.look() == [b"2"]
    assert [record.message for record in caplog.records] == [f"audit: cannot read `{bad}`: Permission denied"]
    monkeypatch.undo()
    assert scene.look() == [b"2", b"1"]


def test_a_compression_that_cannot_be_read(log: Path, caplog: pytest.LogCaptureFixture) -> None:
    """It is not taken for lines."""
    scene = started(log, b"1")
    log.with_name("audit.log.1").write_bytes(b"BZh91AY&SY\n\n\n")
    assert scene.look(settled=True) == [b"1"]
    assert f"cannot read `{log}.1`: bzip2 files are not understood" in caplog.text


def test_which_files_are_there_is_told(tmp_path: Path) -> None:
    """At every start, and now and then: with all that a position is of use for, whatever its form, and nothing else."""
    folder = tmp_path / "logs"
    folder.mkdir()
    (folder / "old.gz").write_bytes(gzip.compress(b"old\n"))
    scene = Scene(folder)
    scene.look(settled=True)
    add(folder / "one.log", b"1")
    add(folder / "two.log", b"same", b"2")
    scene.look()
    add(folder / "three.log", b"same", b"3")
    (folder / "packed.gz").write_bytes(gzip.compress(b"packed\n"))
    assert scene.look(settled=True)[-1] == b"packed"
    (folder / "unfinished.log").write_bytes(b"unfin")

    def told() -> set[str]:
        scene.clock.now += follow_module.TELL
        scene.look()
        return scene.book.told[-1]

    assert told() == scene.book.positions.keys()
    assert len(scene.book.told) == 2
    (folder / "one.log").unlink()
    (folder / "two.log").unlink()
    gone = scene.book.positions.keys() - told()
    assert len(gone) == 1  # that of two.log tells three.log from it
    scene.restart()
    scene.book.unknown = 0
    scene.look(settled=True)
    assert scene.book.positions.keys() - told() == gone


def test_telling_is_tried_again(log: Path) -> None:
    """It holds nothing up."""
    scene = Scene(log)
    scene.look()
    scene.clock.now += follow_module.TELL
    scene.book.unknown = 1
    scene.look()
    assert len(scene.book.told) == 1
    add(log, b"1")
    assert scene.look() == [b"1"]
    assert len(scene.book.told) == 2


def test_special_files_are_left_alone(tmp_path: Path) -> None:
    """A named pipe would block."""
    os.mkfifo(tmp_path / "pipe")
    assert Scene(tmp_path).look() == []


def test_blank_lines_are_left_out(log: Path) -> None:
    """So is a byte order mark; other lines keep their bytes."""
    scene = started(log, b"1")
    add(log, b"", b" \t", b"2 ", b"\r", b"3\r", b"")
    log.with_name("audit.log.1").write_bytes(b"\xef\xbb\xbf\n4\n")
    assert scene.look() == [b"1", b"2 ", b"3\r", b"4"]


def test_lines_longer_than_a_block(log: Path) -> None:
    """They are delivered whole."""
    lines = [event(1, 10), event(2, tail.BLOCK * 2 + 5), event(3, tail.BLOCK), event(4)]
    scene = started(log, *lines)
    log.with_name("audit.log.1.gz").write_bytes(gzip.compress(b"\n".join([*lines[1:], b"end"])))
    assert scene.look(settled=True)[4:] == [*lines[1:], b"end"]


def test_deliveries_are_about_a_block(log: Path) -> None:
    """Neither a line each nor a file at once, packed or not."""
    scene = started(log, *(event(number, 1000) for number in range(5000)))
    assert {len(delivery.body) // tail.BLOCK for delivery in scene.book.deliveries} == {0}
    assert len(scene.book.deliveries) in (6, 7)  # one of them is the start
    packed = b"\n".join(event(number, 1000) for number in range(9000, 14000))
    log.with_name("audit.log.1.gz").write_bytes(gzip.compress(packed))
    assert len(scene.look(settled=True)) == 10_000
    assert len(scene.book.deliveries) < 16


@pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["plain", "gzip"])
def test_over_long_lines(log: Path, pack: Callable[[bytes], bytes], caplog: pytest.LogCaptureFixture) -> None:
    """Their beginning is delivered as one line; their neighbours are not touched; memory stays bounded."""
    limit = 3 * tail.BLOCK
    scene = Scene(log, max_line=limit)
    scene.look()
    long = event(2, 20 * tail.BLOCK)
    log.with_name("audit.log.1").write_bytes(pack(b"\n".join([event(1), long, event(3), long])))
    del long
    tracemalloc.start()
    lines = [line[:20] + b"..%d" % len(line) for line in scene.look(settled=True)]
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    cut = event(2, 20)[:20] + b"..%d" % limit
    assert lines == [event(1)[:20] + b"..%d" % len(event(1)), cut, event(3)[:20] + b"..%d" % len(event(3)), cut]
    assert peak < 8 * limit
    assert "of the line at byte 17 only the first 3145728 bytes are taken" in caplog.text


def test_the_sink_cannot_take_it(log: Path) -> None:
    """The same block is delivered again."""
    scene = started(log, b"1")
    failures = iter(["unavailable"] * 3)
    scene.book.failures = lambda: next(failures, "")
    add(log, b"2")
    assert scene.look() == [b"1", b"2"]


def test_the_sink_cannot_tell_the_position(log: Path) -> None:
    """It is asked again; nothing is taken for new meanwhile."""
    scene = started(log, b"1")
    add(log, b"2")
    scene.restart()
    scene.book.unknown = 3
    assert scene.look() == [b"1", b"2"]


@pytest.mark.parametrize("moment", ["before", "after"])
def test_killed_around_a_commit(log: Path, moment: str) -> None:
    """Nothing is lost, nothing comes twice."""
    scene = started(log, b"1")
    failures = iter([moment])
    scene.book.failures = lambda: next(failures, "")
    add(log, b"2", b"3")
    scene.look()
    assert scene.look() == [b"1", b"2", b"3"]


def descriptors() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


def test_more_files_than_may_be_open(tmp_path: Path) -> None:
    """Descriptors are bounded, lines are not lost."""
    scene = Scene(tmp_path, max_open=3)
    scene.look()
    before = descriptors()
    for turn in range(3):
        for number in range(20):
            add(tmp_path / f"{number}.log", event(turn * 100 + number))
        assert len(set(scene.look())) == len(scene.book.lines) == 20 * (turn + 1)
        assert descriptors() <= before + 3
    for number in range(20):
        (tmp_path / f"{number}.log").unlink()
    scene.look(settled=True)
    assert descriptors() == before


def test_follows_for_real(tmp_path: Path) -> None:
    """Changes wake it up: appended lines, a rotation, a folder that was not there yet; and it ends when cancelled."""

    async def scenario() -> None:
        log = tmp_path / "later" / "audit.log"
        book = Book()
        running = asyncio.create_task(Follow(str(log), name="audit", poll=0.2).run(book))
        async with asyncio.timeout(30):
            while not book.positions:
                await book.changed.wait()
        log.parent.mkdir()
        add(log, b"1")
        assert await book.until(1) == [b"1"]
        add(log, b"2")
        assert await book.until(2) == [b"1", b"2"]
        log.rename(log.with_name("audit.log.1"))
        add(log, b"3")
        assert await book.until(3) == [b"1", b"2", b"3"]
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running

    asyncio.run(scenario())


def test_cancelled_while_the_sink_has_it(log: Path) -> None:
    """The commit is waited for."""

    async def scenario() -> None:
        class Slow(Book):
            entered, proceed = asyncio.Event(), asyncio.Event()

            async def deliver(self, delivery: Delivery) -> None:
                if delivery.body:
                    self.entered.set()
                    await self.proceed.wait()
                await super().deliver(delivery)

        book = Slow()
        add(log, b"1")
        running = asyncio.create_task(Follow(str(log), name="audit", from_start=True).run(book))
        await book.entered.wait()
        running.cancel()
        await asyncio.sleep(0)
        assert not running.done()
        book.proceed.set()
        with pytest.raises(asyncio.CancelledError):
            await running
        assert book.lines == [b"1"]

    asyncio.run(scenario())


class Writer:
    """Writes numbered lines to a log, and rotates it in every way there is. Each line is written once."""

    def __init__(self, log: Path, chance: random.Random) -> None:
        self.log = log
        self.lines: list[bytes] = []
        self._chance = chance
        self._late: Path | None = None
        self._rest = b""
        self._rotated = 0

    def _line(self) -> bytes:
        line = event(len(self.lines), self._chance.choice([0, 0, 5, 300]))
        self.lines.append(line)
        return line

    def _finish(self) -> None:
        if self._rest:
            add(self.log, self._rest)
            self._rest = b""

    def append(self) -> None:
        self._finish()
        for _ in range(self._chance.randrange(1, 6)):
            add(self.log, self._line())

    def begin_line(self) -> None:
        self._finish()
        line = self._line()
        cut = self._chance.randrange(1, len(line))
        add(self.log, line[:cut], end=b"")
        self._rest = line[cut:]

    def rename(self) -> None:
        self._finish()
        if self.log.exists():
            self._rotated += 1
            self._late = self.log.rename(self.log.with_name(f"audit.log.{self._rotated}"))

    def append_late(self) -> None:
        """Write to the old file: that it was renamed is not noticed yet."""
        if self._late is not None:
            add(self._late, self._line())

    def end_unfinished(self) -> None:
        """Rotate with a last line that has no newline."""
        self._finish()
        add(self.log, self._line(), end=b"")
        self.rename()
        self._late = None

    def copy_and_truncate(self) -> None:
        self._finish()
        if self.log.exists():
            self._rotated += 1
            shutil.copyfile(self.log, self.log.with_name(f"audit.log.{self._rotated}"))
            os.truncate(self.log, 0)

    def compress(self) -> None:
        plain = [path for path in self.log.parent.glob("audit.log.*") if path.suffix not in (".gz", ".zst")]
        if plain:
            path = self._chance.choice(plain)
            if path == self._late:
                self._late = None
            if self._chance.random() < 0.5:
                path.with_name(f"{path.name}.gz").write_bytes(gzip.compress(path.read_bytes()))
            else:
                path.with_name(f"{path.name}.zst").write_bytes(zstandard.ZstdCompressor().compress(path.read_bytes()))
            path.unlink()


WRITING = ["append", "begin_line", "rename", "append_late", "end_unfinished", "copy_and_truncate", "compress"]
STEPS = [*WRITING, "append", "append", "look", "look", "look", "settled", "restart"]


@pytest.mark.property
@given(st.lists(st.sampled_from(STEPS), max_size=40), st.integers(0, 2**32))
def test_any_history(tmp_path_factory: pytest.TempPathFactory, steps: list[str], seed: int) -> None:
    """Whatever is written, rotated and killed when: each line is committed exactly once."""
    folder = tmp_path_factory.mktemp("history")
    chance = random.Random(seed)
    writer = Writer(folder / "audit.log", chance)
    scene = Scene(folder if chance.random() < 0.3 else folder / "audit.log")
    scene.look()
    scene.book.failures = lambda: chance.choices(["", "before", "after", "unavailable"], [8, 1, 1, 1])[0]
    for step in steps:
        match step:
            case "look" | "settled":
                scene.look(settled=step == "settled")
            case "restart":
                scene.restart()
            case _:
                getattr(writer, step)()
    scene.book.failures = lambda: ""
    writer.append()  # so that an unfinished line is not the last of its folder
    for _ in range(2):
        scene.look(settled=True)
    shutil.rmtree(folder)
    assert sorted(scene.book.lines) == sorted(writer.lines)
