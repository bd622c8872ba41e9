"""Committed alerts on standard output, one line each, from a thread of its own: a slow reader must not slow commits."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from queue import Empty, Full, Queue
from threading import Thread

from lanner.service.logs import logger
from lanner.store.records import Batch

WAITING = 10_000
"""Commits whose alerts may wait for the reader; beyond it alerts are left to the store."""

log = logger(__name__)


class Stdout:
    """Writes the alerts of batches. `unwritten`: how many the reader was too slow for, or not there any more."""

    def __init__(self, as_json: bool, buffered: bool) -> None:
        self._as_json = as_json
        self._buffered = buffered
        self._queue: Queue[bytes | None] = Queue(WAITING)
        self._gone = False
        self.unwritten = 0
        self._thread = Thread(target=self._run, name="stdout", daemon=True)
        self._thread.start()

    def write(self, batches: Sequence[Batch]) -> None:
        """Have the alerts written; returns at once."""
        alerts = [alert for batch in batches for alert in batch.alerts]
        if not alerts:
            return
        lines = (alert.document if self._as_json else alert.output.encode(errors="replace") for alert in alerts)
        try:
            if self._gone:
                raise Full
            self._queue.put_nowait(b"".join(line + b"\n" for line in lines))
        except Full:
            if not self.unwritten:
                log.warning("alerts are not written to standard output", reason="the reader is too slow or gone")
            self.unwritten += len(alerts)

    def close(self, seconds: float) -> None:
        """Write what waits, for so long at most."""
        try:
            self._queue.put(None, timeout=seconds)
        except Full:
            return
        self._thread.join(seconds)

    def _run(self) -> None:
        out = sys.stdout.buffer
        while (lines := self._queue.get()) is not None:
            try:
                out.write(lines)
                if not self._buffered or self._queue.empty():
                    out.flush()
            except (OSError, ValueError):
                self._leave()
                return

    def _leave(self) -> None:
        """The reader is gone. Standard output goes nowhere from now on, so that nothing fails at the end either."""
        self._gone = True
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)
        while True:
            try:
                self._queue.get_nowait()
            except Empty:
                return
