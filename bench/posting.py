"""A lean client of the webhook, for measurements: `python -m bench.posting`, with a `Plan` as JSON on standard input.

It shares the machine with what it measures, so it prepares whole requests beforehand and only changes bytes in them: a
new ending for every audit id and the time of posting for every event, so that no body is a duplicate. Prints a
`Summary` as JSON.
"""

from __future__ import annotations

import asyncio
import json
import re
import socket
import sys
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from statistics import quantiles
from time import perf_counter, process_time
from urllib.parse import urlsplit

import zstandard

from bench.scenarios import BATCH, DATA, ROOT

BODIES = DATA / "webhook-bodies"
ATTACK = ROOT / "examples" / "attack.jsonl"

_AUDIT_ID = re.compile(rb'"auditID":"[0-9a-f-]{24}([0-9a-f]{12})"')
_TIME = re.compile(rb'"stageTimestamp":"([^"]{26}Z)"')
_LENGTH = re.compile(rb"content-length: (\d+)", re.IGNORECASE)
_RETRY = re.compile(rb"retry-after: (\d+)", re.IGNORECASE)


@dataclass(frozen=True)
class Plan:
    """What to post. `first`: a number no earlier plan has used. `rate`: events offered a second, 0 for as fast as it
    goes.
    """

    url: str
    connections: int
    seconds: float
    first: int
    rate: float = 0


@dataclass
class Summary:
    """What came of it. `latencies` are milliseconds from when a body was due until it was acknowledged."""

    events: int = 0
    bodies: int = 0
    bytes: int = 0
    refused: int = 0
    seconds: float = 0
    p50: float = 0
    p99: float = 0
    longest: float = 0
    cpu: float = 0
    next: int = 0
    latencies: list[float] = field(default_factory=list)


def recorded_bodies() -> list[bytes]:
    """The bodies an API server posted, or the attack of the examples as it would post it."""
    found = [
        zstandard.ZstdDecompressor().stream_reader(path.read_bytes()).read()
        for path in sorted(BODIES.glob("body-*.json.zst"))
    ]
    if found:
        return found
    lines = ATTACK.read_bytes().splitlines()
    items = (lines * (BATCH // len(lines) + 1))[:BATCH]
    return [b'{"kind":"EventList","apiVersion":"audit.k8s.io/v1","metadata":{},"items":[%b]}' % b",".join(items)]


class Request:
    """A request that can be posted again and again, each time with other events in it."""

    def __init__(self, host: str, path: str, body: bytes) -> None:
        head = f"POST {path} HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}"
        self.bytes = bytearray(head.encode() + b"\r\n\r\n" + body)
        self.events = len(_TIME.findall(body))
        self._ids = [match.start(1) for match in _AUDIT_ID.finditer(self.bytes)]
        self._times = [match.start(1) for match in _TIME.finditer(self.bytes)]

    def renew(self, number: int) -> None:
        """Make its events others than before."""
        text, ending = self.bytes, b"%012x" % number
        for start in self._ids:
            text[start : start + 12] = ending
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ").encode()
        for start in self._times:
            text[start : start + 27] = now


class Posting:
    """One run of a plan."""

    def __init__(self, plan: Plan, bodies: Sequence[bytes]) -> None:
        self._plan = plan
        parts = urlsplit(plan.url)
        self._address = (parts.hostname or "127.0.0.1", parts.port or 80)
        count = max(plan.connections, len(bodies)) + len(bodies)
        self._free = deque(Request(parts.netloc, parts.path, bodies[index % len(bodies)]) for index in range(count))
        self._numbers = iter(range(plan.first, sys.maxsize))
        self.summary = Summary()

    async def run(self) -> Summary:
        """Post for the time of the plan, and wait for the answers."""
        cpu, started = process_time(), perf_counter()
        self._end = started + self._plan.seconds
        self._due = self._schedule(started)
        await asyncio.gather(*(self._connection() for _ in range(self._plan.connections)))
        summary = self.summary
        summary.seconds = perf_counter() - started
        summary.cpu = process_time() - cpu
        summary.next = next(self._numbers)
        if len(summary.latencies) > 1:
            cuts = quantiles(summary.latencies, n=100, method="inclusive")
            summary.p50, summary.p99, summary.longest = cuts[49], cuts[98], max(summary.latencies)
        return summary

    def _schedule(self, started: float) -> Iterator[tuple[float, Request]]:
        """When to post what. With a rate, a body's turn comes when all its events have happened."""
        due = started
        while True:
            request = self._free.popleft()
            if self._plan.rate:
                due += request.events / self._plan.rate
            if max(due, perf_counter()) >= self._end:
                return
            yield due if self._plan.rate else perf_counter(), request

    async def _connection(self) -> None:
        connection = self._connected()
        for due, request in self._due:
            await asyncio.sleep(due - perf_counter())
            request.renew(next(self._numbers))
            while (wait := await self._posted(connection, request)) is not None:
                self.summary.refused += 1
                connection.close()
                await asyncio.sleep(wait)
                connection = self._connected()
            self.summary.latencies.append((perf_counter() - due) * 1e3)
            self.summary.events += request.events
            self.summary.bytes += len(request.bytes)
            self.summary.bodies += 1
            self._free.append(request)
        connection.close()

    def _connected(self) -> socket.socket:
        connection = socket.create_connection(self._address)
        connection.setblocking(False)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return connection

    async def _posted(self, connection: socket.socket, request: Request) -> int | None:
        """None once it is acknowledged, or after how many seconds it is to be posted again."""
        await asyncio.get_running_loop().sock_sendall(connection, request.bytes)
        answer = await _answer(connection)
        retry = _RETRY.search(answer)
        if answer.startswith(b"HTTP/1.1 200"):
            return None
        if answer.startswith(b"HTTP/1.1 503") and retry is not None:
            return int(retry[1])
        raise SystemExit(f"unexpected answer: {answer[:200]!r}")


async def _answer(connection: socket.socket) -> bytes:
    loop = asyncio.get_running_loop()
    text = b""
    while True:
        data = await loop.sock_recv(connection, 65_536)
        if not data:
            raise SystemExit(f"the connection ended within an answer: {text!r}")
        text += data
        head, separator, body = text.partition(b"\r\n\r\n")
        length = _LENGTH.search(head)
        if separator and (length is None or len(body) >= int(length[1])):
            return text


def main() -> None:
    plan = Plan(**json.load(sys.stdin))
    summary = asyncio.run(Posting(plan, recorded_bodies()).run())
    json.dump({**asdict(summary), "latencies": []}, sys.stdout)


if __name__ == "__main__":
    main()
