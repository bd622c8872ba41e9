"""Standard error for a service: a reader that reads nothing must not stop it, nor a disk that is full.

In: text from any thread, taken at once. Out: the same on a file descriptor, written by a thread of its own. What does
not fit into the buffer is dropped, whole lines of it, and counted; the log says so as soon as it can be written again.
"""

from __future__ import annotations

import io
import os
import select
import threading
from collections import deque
from collections.abc import Callable

MAX_WAITING_BYTES = 1024 * 1024
"""Of the log that waits for its reader; beyond that lines are dropped."""

RETRY_SECONDS = 1.0


class LogOutput(io.TextIOBase):
    """Can stand in the place of `sys.stderr`. `dropped_line` renders the line that tells how many were dropped."""

    encoding = "utf-8"
    errors = "backslashreplace"

    def __init__(self, fd: int, dropped_line: Callable[[int], str], max_bytes: int = MAX_WAITING_BYTES) -> None:
        super().__init__()
        self._fd = fd
        self._dropped_line = dropped_line
        self._max_bytes = max_bytes
        self._changed = threading.Condition(threading.RLock())  # a signal handler may log while its thread does
        self._queue: deque[bytes] = deque()
        self._waiting = 0
        self._begun = ""
        """A line that has no end yet."""
        self._untold = 0
        self._closing = False
        self._thread: threading.Thread | None = None
        self.dropped = 0
        """Lines that were not written."""

    def writable(self) -> bool:
        return True

    def isatty(self) -> bool:
        return os.isatty(self._fd)

    def fileno(self) -> int:
        return self._fd

    def write(self, text: str) -> int:
        """Take the text; returns at once."""
        if not isinstance(text, str):
            raise TypeError(f"text is needed, not {type(text).__name__}")
        with self._changed:
            whole, end, self._begun = (self._begun + text).rpartition("\n")
            if end:
                self._put(whole + end)
        return len(text)

    def flush(self) -> None:
        """Take a line without an end as it is. Does not wait: see `close`."""
        with self._changed:
            if self._begun:
                self._put(self._begun)
                self._begun = ""

    def finish(self, seconds: float) -> None:
        """Write what waits, for so long at most. What comes later is written if there is time."""
        self.flush()
        with self._changed:
            self._changed.wait_for(lambda: not self._waiting, seconds)

    def _put(self, lines: str) -> None:
        data = lines.encode("utf-8", "backslashreplace")
        if self._waiting + len(data) > self._max_bytes:
            count = max(1, data.count(b"\n"))
            self.dropped += count
            self._untold += count
            return
        self._queue.append(data)
        self._waiting += len(data)
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="log", daemon=True)
            self._thread.start()
        self._changed.notify_all()

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._queue)
                data = self._queue.popleft()
            self._write(data)
            with self._changed:
                self._waiting -= len(data)
                untold, self._untold = self._untold, 0
                if untold:
                    told = self._dropped_line(untold).encode("utf-8", "backslashreplace") + b"\n"
                    self._queue.append(told)  # the buffer has just been emptied by a line
                    self._waiting += len(told)
                self._changed.notify_all()

    def _write(self, data: bytes) -> None:
        left = memoryview(data)
        while left:
            try:
                left = left[os.write(self._fd, left) :]
            except BlockingIOError:
                select.select([], [self._fd], [], RETRY_SECONDS)
            except OSError:
                # Whatever it is: to look once a second costs nothing, and a full disk passes.
                threading.Event().wait(RETRY_SECONDS)
