"""Clients that post bodies on several connections, send again what was not acknowledged, and know what must be stored.

`check` compares a store with that: at any moment what was acknowledged is there, and nothing of any body is there by
halves; in the end there is nothing else.
"""

from __future__ import annotations

import http.client
import threading
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from urllib.parse import urlsplit

from lanner.store.store import open_store
from tests.app.running import JSON, TIMEOUT
from tests.store.builders import balanced
from tests.torture.bodies import Body, Raised, numbered

CONNECTIONS = 4


@dataclass(frozen=True, slots=True)
class Answer:
    """`retry_after`: the header, empty without."""

    status: int
    retry_after: str


class Client:
    """One connection after the other to whatever place; each is used as long as it lasts."""

    def __init__(self) -> None:
        self._place = ""
        self._connection: http.client.HTTPConnection | None = None

    def post(self, url: str, content: bytes, **headers: str) -> Answer:
        """Raises OSError and HTTPException: then nobody knows what became of it."""
        if self._connection is None or self._place != url:
            self.close()
            self._place = url
            self._connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=TIMEOUT)
        try:
            self._connection.request("POST", urlsplit(url).path, content, {**JSON, **headers})
            response = self._connection.getresponse()
            response.read()
        except (OSError, http.client.HTTPException):
            self.close()
            raise
        return Answer(response.status, response.getheader("retry-after", ""))

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


class Traffic:
    """Begins with `point`; a context manager that ends the clients, also where the test has failed.

    A client that was refused or lost its connection waits for the next `point` before it goes on.
    """

    def __init__(self, connections: int = CONNECTIONS) -> None:
        self._changed = threading.Condition()
        self._urls: list[str] = []
        self._generation = 0
        self._made = 0
        self._again: deque[Body] = deque()
        self._waiting = 0
        self._finishing = False
        self._ended = False
        self._failures: list[BaseException] = []
        self._acknowledged: list[Body] = []
        self.sent: dict[int, Body] = {}
        self.refusals: list[Answer] = []
        """What was answered other than 200 since the last `point`."""
        self._clients = [threading.Thread(target=self._run, args=(index,)) for index in range(connections)]

    def __enter__(self) -> Traffic:
        for client in self._clients:
            client.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._changed:
            self._ended = True
            self._changed.notify_all()
        for client in self._clients:
            client.join()

    @property
    def acknowledged(self) -> list[Body]:
        with self._changed:
            return list(self._acknowledged)

    def point(self, *urls: str) -> None:
        """Post there from now on; clients take turns at several places."""
        with self._changed:
            self._urls = list(urls)
            self._generation += 1
            self._waiting = 0
            self.refusals.clear()
            self._changed.notify_all()

    def proceed(self, bodies: int) -> None:
        """Returns when so many more bodies are acknowledged."""
        with self._changed:
            wanted = len(self._acknowledged) + bodies
            self._until(lambda: len(self._acknowledged) >= wanted)

    def stuck(self) -> None:
        """Returns when every client has been refused or cut off."""
        with self._changed:
            self._until(lambda: self._waiting == len(self._clients))

    def finish(self) -> None:
        """Make no more bodies; returns when all of them are acknowledged."""
        with self._changed:
            self._finishing = True
            self._until(lambda: len(self._acknowledged) == len(self.sent))

    def _until(self, holds: Callable[[], bool]) -> None:
        done = self._changed.wait_for(lambda: holds() or bool(self._failures), TIMEOUT)
        assert not self._failures, self._failures
        assert done, f"{len(self._acknowledged)} of {len(self.sent)} acknowledged, refused: {self.refusals[-3:]}"

    def _run(self, index: int) -> None:
        client = Client()
        try:
            while (taken := self._take()) is not None:
                body, urls, generation = taken
                try:
                    answer = client.post(urls[index % len(urls)], body.content)
                except (OSError, http.client.HTTPException):
                    answer = None
                self._note(body, answer, generation)
        except BaseException as error:
            with self._changed:
                self._failures.append(error)
                self._changed.notify_all()
        finally:
            client.close()

    def _take(self) -> tuple[Body, list[str], int] | None:
        with self._changed:
            self._changed.wait_for(lambda: self._ended or (self._urls and (self._again or not self._finishing)))
            if self._ended:
                return None
            if self._again:
                body = self._again.popleft()
            else:
                body = numbered(self._made)
                self.sent[body.number] = body
                self._made += 1
            return body, self._urls, self._generation

    def _note(self, body: Body, answer: Answer | None, generation: int) -> None:
        with self._changed:
            if answer is not None and answer.status == 200:
                self._acknowledged.append(body)
                self._changed.notify_all()
                return
            if answer is not None and self._generation == generation:
                self.refusals.append(answer)
            self._again.append(body)
            if self._generation == generation:
                self._waiting += 1
                self._changed.notify_all()
                self._changed.wait_for(lambda: self._ended or self._generation != generation)


def check(url: str, traffic: Traffic, complete: bool = False) -> None:
    """Compare the store with the traffic; `complete`: all is acknowledged."""
    acknowledged = traffic.acknowledged
    store = open_store(url, writable=False)
    try:
        stored = store.alerts(after=0, limit=10_000_000)
        counters = store.counters()
    finally:
        store.close()
    assert balanced(counters)
    assert len({alert.id for alert in stored}) == len(stored)
    found: dict[int, Counter[Raised]] = {}
    for alert in stored:
        if alert.source != "internal":
            number = int(alert.audit_id.partition(".")[0], 16)
            found.setdefault(number, Counter())[Raised.of(alert)] += 1
    with_alerts = {body.number for body in acknowledged if body.alerts}
    assert with_alerts <= found.keys()
    for number, alerts in found.items():
        assert alerts == traffic.sent[number].alerts
    webhooks = [one for one in counters.sources if one.source == "webhook"]
    evaluated = sum(one.evaluated for one in webhooks)
    events = sum(body.events for body in acknowledged)
    assert evaluated >= events
    if complete:
        assert found.keys() == with_alerts
        assert evaluated == events
        assert sum(one.malformed for one in webhooks) == sum(body.malformed for body in acknowledged)
