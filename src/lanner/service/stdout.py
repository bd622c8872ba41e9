"""Committed alerts on standard output, one line each, from a thread of its own: a slow reader must not slow commits.

While the reader keeps up, alerts come from memory. What does not fit there, and what an earlier run had committed but
not written, is read from the store. How far it has come is noted in the store every now and then, so what is committed
is written at least once: after a crash a few lines come again.

A disk that is full passes: the write is tried again, from the byte at which it stopped. A reader that is gone does not
come back; then alerts are only counted.
"""

from __future__ import annotations

import errno
import fcntl
import os
import select
import stat
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from threading import Condition, Thread
from typing import NamedTuple, Protocol

from lanner.service.logs import logger
from lanner.store.errors import StoreError
from lanner.store.records import Batch, StoredAlert
from lanner.store.store import PAGE_ALERTS, PAGE_BYTES, Store

WAITING = 16 * 1024 * 1024
"""Bytes that may wait for the reader in memory."""

LATEST_NS = 24 * 3600 * 1_000_000_000
"""What arrived longer ago than this is not written any more: nobody wants a month of it at a start."""

PAUSE = 1.0
"""Seconds until a store that failed, or a disk that is full, is tried again."""

PASSING = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.ENOBUFS, errno.ENOMEM})
"""Errors of writing after which it is tried again."""

log = logger(__name__)


class Cursor:
    """How far standard output has come, kept in the store under `name`. Retention does not wait for it.

    Raises StoreError.
    """

    def __init__(self, store: Store, name: str) -> None:
        self._store = store
        self._name = name
        self.end = store.last_seq()
        """The end of the store when this was made."""
        self.start = store.outputs().get(name, self.end)
        """Where to go on: the first time at the end of the store."""
        self._saved = self.start
        store.advance_output(name, self.start, holds=False)

    def save(self, seq: int) -> None:
        """Note that it has come so far."""
        if seq > self._saved:
            self._store.advance_output(self._name, seq, holds=False)
            self._saved = seq


def forget(store: Store, name: str) -> None:
    """Standard output is off: when it is on again, it begins with what comes then. Raises StoreError."""
    if name in store.outputs():
        store.remove_output(name)


class _Piece(NamedTuple):
    """Lines of one commit, or of several; no alert of them has a number beyond `seq`."""

    lines: bytes
    seq: int


class StoredAlerts(Protocol):
    """What this needs of a store."""

    def alerts(self, *, after: int, limit: int, max_bytes: int) -> Sequence[StoredAlert]: ...

    def count(self, after: int, upto: int) -> int: ...


class Stdout:
    """Writes alerts to `fd`, beginning behind the number `start`; up to `end` they are in the `store` already.

    `unwritten` counts those that this run did not write and does not: they were too old, or the reader is gone.
    """

    def __init__(
        self,
        fd: int,
        as_json: bool,
        buffered: bool,
        store: StoredAlerts,
        start: int,
        end: int,
        now_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        self._fd = fd
        self._as_json = as_json
        self._buffered = buffered
        self._store = store
        self._now_ns = now_ns
        self._changed = Condition()
        self._queue: deque[_Piece] = deque()
        self._waiting = 0
        self._passed = start
        self._end = end
        self._behind = end > start
        """What is behind `_passed` and the queue has to be read from the store."""
        self._unsure = False
        self._idle = False
        self._closing = False
        self._given_up = False
        self._gone = False
        self._written_lines = 0
        self.unwritten = 0
        self._thread = Thread(target=self._run, name="stdout", daemon=True)
        self._thread.start()

    def write(self, batches: Sequence[Batch], last_seq: int) -> None:
        """Have the alerts of a commit written; returns at once."""
        alerts = [alert for batch in batches for alert in batch.alerts]
        with self._changed:
            if self._gone:
                if self._unsure:
                    with suppress(StoreError):
                        self.unwritten += self._store.count(self._end, last_seq)
                else:
                    self.unwritten += len(alerts)
                self._unsure = False
                self._end = max(self._end, last_seq)
                return
            if self._unsure:
                self._unsure = False
                self._behind = True
                self._end = max(self._end, last_seq)
                self._changed.notify()
                return
            if not alerts:
                return
            if last_seq <= self._passed:
                return  # they were read from the store before this was called
            self._end = last_seq
            if not self._behind:
                if self._waiting < WAITING:
                    lines = b"".join(self._line(alert.output, alert.document) for alert in alerts)
                    self._queue.append(_Piece(lines, last_seq))
                    self._waiting += len(lines)
                else:
                    self._behind = True
                    log.warning("standard output is behind", reason="its reader is slow", next="read from the store")
            self._changed.notify()

    def doubt(self) -> None:
        """A commit failed, and may be in the store all the same: from the next one on, the store is read for that."""
        with self._changed:
            self._unsure = True

    def passed(self, settled: int) -> int:
        """The number up to which everything is written.

        `settled`: whatever this process has committed up to that number, `write` has been told of. So if nothing waits,
        standard output has passed what other processes have committed up to there.
        """
        with self._changed:
            if self._idle and not (self._queue or self._behind or self._gone or self._unsure):
                self._passed = max(self._passed, settled)
            return self._passed

    def close(self, seconds: float) -> None:
        """Write what waits, for so long at most. What is left then is for the next start."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        self._thread.join(seconds)
        with self._changed:
            self._given_up = True
            self._changed.notify()
            if not (self._idle and not self._queue and not self._behind) and not self._gone:
                log.warning("alerts are left for standard output", reason="it takes no more", next="the next start")

    def _line(self, output: str, document: bytes) -> bytes:
        return (document if self._as_json else output.encode(errors="replace")) + b"\n"

    def _run(self) -> None:
        try:
            if not _at_line_start(self._fd):
                self._put(b"\n")
            while self._wait():
                if self._queue:
                    piece = self._take()
                    whole = self._put(piece.lines)
                    with self._changed:
                        if whole:
                            self._passed = max(self._passed, piece.seq)
                        else:
                            self._behind = True
                else:
                    self._catch_up()
        except OSError as error:
            self._leave(error)

    def _wait(self) -> bool:
        """Returns when there is something to do; False at the end."""
        with self._changed:
            self._idle = True
            while not (self._queue or self._behind or self._closing):
                self._changed.wait()
            self._idle = not (self._queue or self._behind) or self._given_up
            return not self._idle

    def _take(self) -> _Piece:
        with self._changed:
            pieces = [self._queue.popleft()]
            while self._buffered and self._queue:
                pieces.append(self._queue.popleft())
            lines = b"".join(piece.lines for piece in pieces)
            self._waiting -= len(lines)
            return _Piece(lines, pieces[-1].seq)

    def _catch_up(self) -> None:
        """Write a page of what is in the store only."""
        end = self._end
        try:
            page = self._store.alerts(after=self._passed, limit=PAGE_ALERTS, max_bytes=PAGE_BYTES)
        except StoreError:
            with self._changed:
                if self._closing:
                    self._given_up = True
                self._changed.wait(PAUSE)
            return
        oldest = self._now_ns() - LATEST_NS
        for alert in page:
            if alert.received_ns < oldest:
                self.unwritten += 1
            elif not self._put(self._line(alert.output, alert.document)):
                return  # and what comes after `_passed` is still to be read
            with self._changed:
                self._passed = max(self._passed, alert.seq)
        with self._changed:
            if not page:  # commits are there as a whole, so none is cut here
                self._passed = max(self._passed, end)
            # After a page there may be more of a commit that has not been told yet.
            self._behind = bool(page) or self._end > self._passed

    def _put(self, lines: bytes) -> bool:
        """Whether all of it was written: not so if there was no room until the end. Raises OSError: nobody reads."""
        left = memoryview(lines)
        failed = False
        while left:
            try:
                left = left[os.write(self._fd, left) :]
            except BlockingIOError:
                select.select([], [self._fd], [])
            except OSError as error:
                if error.errno not in PASSING:
                    self._written_lines = lines[: len(lines) - len(left)].count(b"\n")
                    raise
                if not failed:
                    failed = True
                    log.warning("standard output cannot be written", reason=error.strerror, next="retry")
                with self._changed:
                    if not self._given_up:
                        self._changed.wait(PAUSE)
                    if self._given_up:
                        return False
        if failed:
            log.info("standard output can be written again")
        return True

    def _leave(self, error: OSError) -> None:
        """The reader is gone. Standard output goes nowhere from now on, so that nothing fails at the end either."""
        with self._changed:
            self._gone = True
            self._queue.clear()
            after, upto = self._passed, self._end
        log.warning("alerts are not written to standard output", reason=error.strerror, next="the next start")
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, self._fd)
        os.close(nowhere)
        while True:
            try:
                left = self._store.count(after, upto)
                break
            except StoreError:
                with self._changed:
                    if self._closing:
                        return
                    self._changed.wait(PAUSE)
        with self._changed:
            self.unwritten += left - self._written_lines


def _at_line_start(fd: int) -> bool:
    """Whether what is continued in a file ends with a whole line: an earlier run may have been killed within one."""
    try:
        found = os.fstat(fd)
        if not stat.S_ISREG(found.st_mode):
            return True
        end = found.st_size if fcntl.fcntl(fd, fcntl.F_GETFL) & os.O_APPEND else os.lseek(fd, 0, os.SEEK_CUR)
        with Path(f"/proc/self/fd/{fd}").open("rb") as file:  # the file itself, whatever its name is by now
            return end == 0 or os.pread(file.fileno(), 1, end - 1) == b"\n"
    except OSError:
        return True
