"""The files of an SQLite store, and what was done to them: the main one, its log (`-wal`), the index of that (`-shm`).

What is committed is in the log first. The connection that wrote it goes on with a log that was removed or replaced as
if nothing had happened, and nobody else ever sees what is in there. As long as that connection is open, it can move all
of it into the main file.
"""

from __future__ import annotations

import os
import sqlite3
import struct
import time
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple, TypeAlias

LOG_LIMIT = 64 * 1024 * 1024
"""What SQLite cuts a log back to that had to grow; it never cuts one that is smaller."""

_FRAME_HEADER = 24
_LOG_HEADER = 32
_MADE = 12
_HEADER = struct.Struct("=BxHI")
_MOVED = 96
"""Where the index has whether it is made, the size of a page, and how many frames were written; then how many are in
the main file: https://sqlite.org/walformat.html"""

_RETRY_SECONDS = 0.05

Identity: TypeAlias = "tuple[int, int] | None"


class Files(NamedTuple):
    """Device and number of each file, and how long those are that must not become shorter."""

    main: Identity
    wal: Identity
    wal_size: int
    shm: Identity
    shm_size: int

    @classmethod
    def at(cls, path: Path) -> Files:
        """Those that are there now. Raises OSError."""
        return cls(_look(path)[0], *_look(log_of(path)), *_look(index_of(path)))

    def only_main(self) -> Files:
        """Without those that come and go while nobody writes."""
        return Files(self.main, None, 0, None, 0)

    def fault(self, before: Files) -> str | None:
        """What has happened to the files since `before` that SQLite does not do, in words; None for nothing."""
        if self.main != before.main:
            return "the file itself"
        for name, now, then in (("-wal", self.wal, before.wal), ("-shm", self.shm, before.shm)):
            if then is not None and now != then:
                return f"its `{name}`"
        if self.log_is_cut(before):
            return "its `-wal` was cut"
        if self.shm_size < before.shm_size:
            return "its `-shm` was cut"
        return None

    def log_is_cut(self, before: Files) -> bool:
        """Whether the log is still the same, and shorter than SQLite has left it."""
        return self.wal == before.wal and self.wal_size < min(before.wal_size, LOG_LIMIT)


class Rest(NamedTuple):
    """What is left of a log that was cut. `needed`: it holds commits that the main file has not; `whole`: so does
    either of the two, so nothing is lost."""

    needed: bool
    whole: bool


class _Progress(NamedTuple):
    """Of the frames of a log: so many were written, so many of them are in the main file."""

    page_size: int
    written: int
    moved: int


def log_of(path: Path) -> Path:
    """The log of a store."""
    return path.with_name(f"{path.name}-wal")


def index_of(path: Path) -> Path:
    """The index of the log of a store."""
    return path.with_name(f"{path.name}-shm")


def save_log(path: Path, files: Files, connection: sqlite3.Connection, seconds: float) -> None:
    """Move the log into the main file and take log and index away, for which nobody else may be connected.

    `connection` wrote the log; `files` are those it knows. Raises sqlite3.Error, and TimeoutError after so many seconds
    with somebody else.
    """
    found = Files.at(path)
    if found.shm == files.shm and found.shm_size < files.shm_size:
        # Memory without file below it ends the process at the first touch. Zeros are an index to be made anew.
        os.truncate(index_of(path), files.shm_size)
    busy, _, _ = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    if busy:
        raise TimeoutError("somebody reads it")
    until = time.monotonic() + seconds
    while True:
        try:
            if connection.execute("PRAGMA journal_mode = DELETE").fetchone()[0] == "delete":
                break
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY:
                raise
        if time.monotonic() > until:
            raise TimeoutError("somebody else has it open")
        time.sleep(_RETRY_SECONDS)
    for left in (log_of(path), index_of(path)):  # of somebody who put them there
        with suppress(FileNotFoundError):
            left.unlink()


def rest_of_log(found: Files, connection: sqlite3.Connection) -> Rest:
    """What is to be made of a log that was cut. What is older than the main file must not be applied to it again."""
    (page_size,) = connection.execute("PRAGMA page_size").fetchone()
    left = _frames(found.wal_size, page_size)
    progress = _progress(found.shm)
    if progress is None:
        return Rest(needed=left > 0, whole=False)
    return Rest(needed=left > progress.moved, whole=progress.moved == progress.written or left >= progress.written)


def has_all(found: Files) -> bool:
    """Whether a log that became shorter has all that was written into it since SQLite began it anew: another program
    had all of it moved into the main file, and cut (`PRAGMA wal_checkpoint(TRUNCATE)`)."""
    progress = _progress(found.shm)
    return progress is not None and _frames(found.wal_size, progress.page_size) >= progress.written


def _frames(log_size: int, page_size: int) -> int:
    """How many whole ones a log has."""
    return max(0, log_size - _LOG_HEADER) // (page_size + _FRAME_HEADER)


def _progress(index: Identity) -> _Progress | None:
    """What the index says; None where it cannot be read, or was not made.

    It is read by the descriptor that SQLite has open: to open and close another one would give up its locks.
    """
    with suppress(OSError, struct.error):
        for descriptor in [int(entry.name) for entry in Path("/proc/self/fd").iterdir()]:
            with suppress(OSError):
                found = os.fstat(descriptor)
                if (found.st_dev, found.st_ino) == index:
                    made, page_size, written = _HEADER.unpack(os.pread(descriptor, _HEADER.size, _MADE))
                    (moved,) = struct.unpack("=I", os.pread(descriptor, 4, _MOVED))
                    # Its 16 bits cannot hold the largest size.
                    return _Progress(65_536 if page_size == 1 else page_size, written, moved) if made else None
    return None


def _look(path: Path) -> tuple[Identity, int]:
    try:
        found = path.stat()
    except FileNotFoundError:
        return None, 0
    return (found.st_dev, found.st_ino), found.st_size
