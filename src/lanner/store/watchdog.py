"""Ends connections whose server does not answer: a thread that waits for one can be woken by nothing else.

A hung server acknowledges what it is sent, and so does a proxy before a lost one: neither the driver nor the system
ever gives up then.
"""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Protocol

_LOOK_SECONDS = 0.5


class Connected(Protocol):
    """A connection to a server, by a socket."""

    def fileno(self) -> int: ...


class Watchdog:
    """Looks after all that wait; its thread runs while somebody does. `seconds`: how long each may wait."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._changed = threading.Condition()
        self._waiting: dict[Connected, float] = {}
        self._running = False

    @contextmanager
    def over(self, connection: Connected) -> Iterator[None]:
        """Within the block one answer is waited for. Beyond the time the connection is cut, so that waiting fails."""
        with self._changed:
            self._waiting[connection] = time.monotonic() + self._seconds
            if not self._running:
                self._running = True
                threading.Thread(target=self._run, name="store-watchdog", daemon=True).start()
        try:
            yield
        finally:
            with self._changed:
                self._waiting.pop(connection, None)

    def _run(self) -> None:
        idle = 0
        with self._changed:
            while idle < 20:
                self._changed.wait(_LOOK_SECONDS)
                idle = 0 if self._waiting else idle + 1
                now = time.monotonic()
                for connection in [one for one, until in self._waiting.items() if until < now]:
                    del self._waiting[connection]
                    _cut(connection)
            self._running = False


def _cut(connection: Connected) -> None:
    """The lock is held, so whoever waits is still there and the number is still that of its socket."""
    # Whatever a driver raises for a connection that is gone by now: the next one has to be watched.
    with suppress(Exception), socket.socket(fileno=connection.fileno()) as shared:
        try:
            shared.shutdown(socket.SHUT_RDWR)
        finally:
            shared.detach()
