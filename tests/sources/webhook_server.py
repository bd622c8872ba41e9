"""A webhook source that really listens, in a thread, and a sink that writes down what it is given."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
from collections.abc import Collection, Iterator
from urllib.parse import urlsplit

from lanner.sources.base import Delivery, Position
from lanner.sources.budget import Budget
from lanner.sources.refusal import Refusal
from lanner.sources.webhook import WebhookSource
from lanner.sources.webhook_settings import WebhookSettings

JSON = {"content-type": "application/json"}
PATIENCE = 30.0
"""Seconds after which a test that would hang fails instead."""


class FakeSink:
    """Takes everything at once, unless told otherwise."""

    def __init__(self) -> None:
        self.deliveries: list[Delivery] = []
        self.reported: list[Refusal] = []
        self.refusals: list[tuple[str, str, int]] = []
        """Cluster, reason and size of each of them."""
        self.secret_problems: list[tuple[str, str]] = []
        self.refused = threading.Semaphore(0)
        """One for every refusal."""
        self.failure: Exception | None = None
        self.entered = threading.Semaphore(0)
        """One for every delivery that has begun."""
        self.proceed = threading.Event()
        """Deliveries wait for it."""
        self.proceed.set()

    async def deliver(self, delivery: Delivery) -> None:
        self.entered.release()
        if not self.proceed.is_set():
            await asyncio.to_thread(self.proceed.wait, PATIENCE)
        if self.failure is not None:
            raise self.failure
        self.deliveries.append(delivery)

    def refuse(self, refusal: Refusal) -> None:
        self.reported.append(refusal)
        self.refusals.append((refusal.cluster, str(refusal.reason), refusal.size))
        self.refused.release()

    def report_secret_problem(self, cluster: str, problem: str) -> None:
        self.secret_problems.append((cluster, problem))

    async def position(self, file: str) -> Position | None:
        return None

    async def present(self, files: Collection[str]) -> None:
        raise AssertionError(files)

    @property
    def bodies(self) -> list[bytes]:
        return [delivery.body for delivery in self.deliveries]


class Served:
    """A source that is listening."""

    def __init__(self, source: WebhookSource, task: asyncio.Task[None], loop: asyncio.AbstractEventLoop) -> None:
        self._task = task
        self._loop = loop
        self.urls = source.urls
        self.url = self.urls[0]
        self.port = urlsplit(self.url).port or 0

    def stop(self) -> None:
        """Begins to stop; the end of `serving` waits for it."""
        self._loop.call_soon_threadsafe(self._task.cancel)

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=PATIENCE)


@contextlib.contextmanager
def serving(
    settings: WebhookSettings, sink: FakeSink, budget: Budget | None = None, name: str = "webhook"
) -> Iterator[Served]:
    """Leaving it stops the source and waits for its end; the source must have ended without an error."""
    ready: list[Served] = []
    failures: list[BaseException] = []
    begun = threading.Event()

    async def main() -> None:
        source = WebhookSource(name, settings, budget)
        task = asyncio.create_task(source.run(sink))
        listening = asyncio.create_task(source.listening())
        await asyncio.wait((task, listening), return_when=asyncio.FIRST_COMPLETED)
        listening.cancel()
        if not task.done():
            ready.append(Served(source, task, asyncio.get_running_loop()))
        begun.set()
        with contextlib.suppress(asyncio.CancelledError):
            await task

    def target() -> None:
        try:
            asyncio.run(main())
        except BaseException as error:
            failures.append(error)
        finally:
            begun.set()

    thread = threading.Thread(target=target)
    thread.start()
    assert begun.wait(PATIENCE)
    try:
        if ready:
            yield ready[0]
    finally:
        sink.proceed.set()
        if ready and thread.is_alive():
            with contextlib.suppress(RuntimeError):  # it has ended by itself
                ready[0].stop()
        thread.join(PATIENCE)
        assert not thread.is_alive()
    if failures:
        raise failures[0]


class Answer:
    """A response as it came over a raw socket; of what comes behind it nothing is read."""

    def __init__(self, connection: socket.socket) -> None:
        text = b""
        while not text.endswith(b"\r\n\r\n"):
            byte = connection.recv(1)
            if not byte:
                raise ConnectionError(f"closed after {text!r}")
            text += byte
        first, *lines = text.decode("latin-1").splitlines()[:-1]
        self.status = int(first.split()[1])
        self.headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        body = b""
        while len(body) < int(self.headers["content-length"]):
            body += connection.recv(1000)
        self.text = body.decode()


def head(path: str = "/k8s-audit", length: int | None = None, *lines: str) -> bytes:
    """The beginning of a good request."""
    given = [] if length is None else [f"content-length: {length}"]
    return "\r\n".join(
        (f"POST {path} HTTP/1.1", "host: x", "content-type: application/json", *given, *lines, "", "")
    ).encode()


def chunk(data: bytes) -> bytes:
    """One chunk of a chunked body; an empty one ends it."""
    return b"%x\r\n%s\r\n" % (len(data), data)


def closed(connection: socket.socket) -> bool:
    """Waits for the other side to close; False if it sends something instead."""
    try:
        return connection.recv(1) == b""
    except ConnectionError:
        return True
