"""Files that are read once, and standard input."""

from __future__ import annotations

import asyncio
import gzip
import io
import json
import os
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from lanner.sources.files import InputError
from lanner.sources.once import ReadOnce, StandardInput
from lanner.sources.tail import BLOCK
from tests.sources.book import Book, KilledError, event, no_wait


def read(target: Path | str, book: Book) -> list[bytes]:
    asyncio.run(ReadOnce(str(target), name="old", cluster="prod", sleep=no_wait).run(book))
    return book.lines


def test_a_folder_by_age(tmp_path: Path) -> None:
    """Plain or packed, lines or lists over lines; each file has its position."""
    (tmp_path / "b").write_bytes(b"1\n\n2")
    (tmp_path / "a.gz").write_bytes(gzip.compress(b"3\n"))
    (tmp_path / "c").write_bytes(json.dumps({"kind": "EventList", "items": [4, 5]}, indent=1).encode())
    for age, name in enumerate(["b", "a.gz", "c"]):
        os.utime(tmp_path / name, (age, age))
    book = Book()
    lines = read(tmp_path, book)
    assert lines[:3] == [b"1", b"2", b"3"]
    assert [json.loads(line) for line in lines[3:]] == [{"kind": "EventList", "items": [4, 5]}]
    assert set(book.positions) == {str(tmp_path / name) for name in ("a.gz", "b", "c")}
    assert {(delivery.cluster, delivery.lines) for delivery in book.deliveries} == {("prod", True)}


def test_large_files_come_in_blocks(tmp_path: Path) -> None:
    """About a block each; all of it."""
    lines = [event(number, 1000) for number in range(5000)]
    (tmp_path / "log").write_bytes(b"\n".join(lines))
    book = Book()
    assert read(tmp_path / "log", book) == lines
    assert len(book.deliveries) == 5
    assert all(len(delivery.body) < BLOCK + 2000 for delivery in book.deliveries)


@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize("good", range(3))
def test_started_again(tmp_path: Path, moment: str, good: int) -> None:
    """It goes on behind what is committed, also when it was killed around a commit; a third time nothing is left."""
    lines = [event(number, 1000) for number in range(3000)]
    (tmp_path / "log").write_bytes(b"\n".join(lines))
    moments = iter([*[""] * good, moment])
    book = Book(lambda: next(moments, ""))
    with pytest.raises(KilledError):
        read(tmp_path / "log", book)
    assert read(tmp_path / "log", book) == lines
    assert read(tmp_path / "log", book) == lines
    (tmp_path / "log").write_bytes(b"new\n")
    assert read(tmp_path / "log", book) == [*lines, b"new"]


def test_the_sink_cannot_take_it(tmp_path: Path) -> None:
    """The same block is delivered again."""
    (tmp_path / "log").write_bytes(b"1\n")
    failures = iter(["unavailable", "unavailable"])
    assert read(tmp_path / "log", Book(lambda: next(failures, ""))) == [b"1"]


def test_a_damaged_file(tmp_path: Path) -> None:
    """All that can be read is, of this file and the others; then it fails."""
    (tmp_path / "a.gz").write_bytes(gzip.compress(b"1\n2\n")[:-4])
    (tmp_path / "b").write_bytes(b"3\n")
    os.utime(tmp_path / "b", (2**32, 2**32))
    book = Book()
    with pytest.raises(InputError, match="cut short"):
        read(tmp_path, book)
    assert book.lines == [b"1", b"2", b"3"]


def test_nothing_there(tmp_path: Path) -> None:
    """The message says so."""
    with pytest.raises(InputError, match="there is no file or folder"):
        read(tmp_path / "none", Book())


@pytest.fixture
def pipe(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """The writing end of what is standard input."""
    reading, writing = os.pipe()
    with os.fdopen(reading, "rb") as stdin:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(stdin))
        yield writing
        with suppress(OSError):
            os.close(writing)


def test_standard_input(pipe: int) -> None:
    """What comes is delivered at once, a last line without newline too; then it ends."""

    async def scenario() -> None:
        book = Book()
        running = asyncio.create_task(StandardInput(name="stdin", cluster="prod").run(book))
        os.write(pipe, b'{"n":1}\n{"n"')
        assert await book.until(1) == [b'{"n":1}']
        os.write(pipe, b":2}\n")
        assert await book.until(2) == [b'{"n":1}', b'{"n":2}']
        os.write(pipe, b"3")
        os.close(pipe)
        await running
        assert book.lines[2:] == [b"3"]
        assert {delivery.position for delivery in book.deliveries} == {None}

    asyncio.run(scenario())


def test_standard_input_reads_ahead_by_a_bound(pipe: int) -> None:
    """While nothing is taken, the writer has to wait; all arrives in the end."""

    async def scenario() -> None:
        book = Book()
        lines = [event(number, 100_000) for number in range(60)]
        running = asyncio.create_task(StandardInput(name="stdin").run(book))
        with os.fdopen(pipe, "wb") as writing:
            await asyncio.to_thread(writing.writelines, [line + b"\n" for line in lines])
        await running
        assert book.lines == lines
        assert max(len(delivery.body) for delivery in book.deliveries) < BLOCK + 200_000

    asyncio.run(scenario())


def test_standard_input_is_cancelled(pipe: int) -> None:
    """It does not wait for input that may never come."""

    async def scenario() -> None:
        book = Book()
        running = asyncio.create_task(StandardInput(name="stdin").run(book))
        os.write(pipe, b"[1]\n")
        await book.until(1)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running

    asyncio.run(scenario())
