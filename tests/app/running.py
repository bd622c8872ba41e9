"""A service as a process of its own on free ports, as users run it."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from queue import Empty, Queue
from typing import Any

import httpx

TIMEOUT = 60.0
"""Seconds after which something that never comes fails a test. Nothing waits so long where all is well."""

JSON = {"content-type": "application/json"}

ENVIRONMENT = {**os.environ, "TZ": "UTC", "FALCO_HOSTNAME": "test-host"}
"""What commands run with, so that their outputs can be compared."""


class Running:
    """The process, what it says, and how to talk to it. `under`: words before the command, of what runs it. `stdout`:
    where it writes; otherwise its lines can be read here. `python`: the interpreter it is installed in."""

    def __init__(
        self,
        folder: Path,
        *arguments: str,
        env: dict[str, str] | None = None,
        under: Sequence[str] = (),
        stdout: int = subprocess.PIPE,
        python: str = sys.executable,
    ) -> None:
        self.overrides = [
            f"lanner.data_dir={folder}",
            "webserver.listen_port=0",
            "lanner.log_format=json",
        ]
        command = [*under, python, "-m", "lanner", "run", *arguments]
        command += [word for override in self.overrides for word in ("-o", override)]
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=stdout,
            stderr=subprocess.PIPE,
            env={**ENVIRONMENT, **(env or {})},
        )
        self.log: list[dict[str, Any]] = []
        self._passed: list[dict[str, Any]] = []
        self._entries: Queue[dict[str, Any] | None] = Queue()
        self._lines: Queue[bytes | None] = Queue()
        reads = [self._read_log, *([self._read_output] if self.process.stdout is not None else [])]
        self._readers = [threading.Thread(target=read) for read in reads]
        for reader in self._readers:
            reader.start()

    def _read_log(self) -> None:
        assert self.process.stderr is not None
        with self.process.stderr as stderr:
            for line in stderr:
                try:
                    self._entries.put(json.loads(line))
                except ValueError:
                    self._entries.put({"event": line.decode()})
        self._entries.put(None)

    def _read_output(self) -> None:
        assert self.process.stdout is not None
        with self.process.stdout as stdout:
            for line in stdout:
                self._lines.put(line.rstrip(b"\n"))
        self._lines.put(None)

    def logged(self, event: str, **values: object) -> dict[str, Any]:
        """The first log entry of that text with these values that no call has given yet; waits for it."""
        return self._entry(event, lambda entry: entry["event"] == event and values.items() <= entry.items())

    def logged_like(self, part: str) -> dict[str, Any]:
        """The same for one whose text has this in it."""
        return self._entry(part, lambda entry: part in entry["event"])

    def _entry(self, wanted: str, fits: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        for passed in self._passed:
            if fits(passed):
                self._passed.remove(passed)
                return passed
        end = time.monotonic() + TIMEOUT
        while True:
            try:
                entry = self._entries.get(timeout=max(0.0, end - time.monotonic()))
            except Empty:
                raise AssertionError(f"no `{wanted}`: {self.log}") from None
            assert entry is not None, f"ended without `{wanted}`: {self.log}"
            self.log.append(entry)
            if fits(entry):
                return entry
            self._passed.append(entry)

    def said(self) -> list[str]:
        """All that was logged, in its order; the process has to end."""
        self.log += iter(lambda: self._entries.get(timeout=TIMEOUT), None)
        return [str(entry["event"]).strip() for entry in self.log]

    def line(self) -> str:
        """The next line of standard output; waits for it."""
        line = self._lines.get(timeout=TIMEOUT)
        assert line is not None, "standard output ended"
        return line.decode()

    def rest(self) -> list[str]:
        """All lines that are left; the process has to end."""
        return [line.decode() for line in iter(lambda: self._lines.get(timeout=TIMEOUT), None)]

    def place(self, source: str) -> str:
        """Where a source listens."""
        return str(self.logged("source started", source=source)["place"])

    def end(self) -> None:
        """Be gone, whatever the state."""
        self.process.kill()
        self.process.wait()
        for reader in self._readers:
            reader.join()

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Send a signal, and the exit code."""
        self.process.send_signal(number)
        return self.process.wait(TIMEOUT)


@contextmanager
def running(
    folder: Path,
    *arguments: str,
    env: dict[str, str] | None = None,
    under: Sequence[str] = (),
    stdout: int = subprocess.PIPE,
    python: str = sys.executable,
) -> Iterator[Running]:
    """A service that is gone behind the block."""
    service = Running(folder, *arguments, env=env, under=under, stdout=stdout, python=python)
    try:
        yield service
    finally:
        service.end()


WEBHOOK = ("-o", "lanner.webhooks[].port=0")


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as found:
        port: int = found.getsockname()[1]
        return port


def post(url: str, body: bytes | str, **headers: str) -> httpx.Response:
    """Post a body as the API server does."""
    return httpx.post(url, content=body, headers={**JSON, **headers}, timeout=TIMEOUT)


def event_list(events: Sequence[bytes | str]) -> bytes:
    """A body of events, each as JSON text."""
    items = b",".join(event if isinstance(event, bytes) else event.encode() for event in events)
    return b'{"kind":"EventList","apiVersion":"audit.k8s.io/v1","items":[%b]}' % items
