"""The webhook under clients that mean harm: slow ones, huge ones, many of them, and rubbish."""

from __future__ import annotations

import asyncio
import errno
import gzip
import os
import random
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import httpx
import pytest

from lanner.sources.connection import LingeringTransport
from lanner.sources.webhook_settings import MEBIBYTE, PathSettings, TlsSettings, WebhookLimits, WebhookSettings
from tests.sources.certificates import Authority, needs_openssl
from tests.sources.webhook_server import JSON, PATIENCE, Answer, FakeSink, Served, chunk, closed, head, serving

EVENTS = b'{"kind":"EventList","items":[]}'
ROOT = Path(__file__).resolve().parents[2]
MANY = int(os.environ.get("LANNER_FUZZ_REQUESTS", "3000"))
"""How many random requests are sent."""


@pytest.fixture
def sink() -> FakeSink:
    return FakeSink()


def impatient(**limits: float) -> WebhookSettings:
    """Settings with short times where given and long ones elsewhere."""
    names = ("header_time", "body_time", "progress_time", "idle_time", "linger_time", "stop_time")
    times = dict.fromkeys(names, PATIENCE)
    return WebhookSettings(port=0, limits=WebhookLimits(**{**times, **limits}))  # type: ignore[arg-type]


def send_for_ever(connection: socket.socket) -> None:
    while True:
        connection.sendall(b"x" * 100_000)


def still_serves(served: Served) -> None:
    assert httpx.post(served.url, content=EVENTS, headers=JSON).status_code == 200


@pytest.mark.parametrize("sent", [b"P", b"POST /k8s-audit HTTP/1.1\r\nhost:", head(length=2)[:-2]])
def test_half_headers(sink: FakeSink, sent: bytes) -> None:
    """Headers have a time; behind it there is an answer, and the end."""
    with serving(impatient(header_time=0.1), sink) as served, served.connect() as connection:
        connection.sendall(sent)
        assert Answer(connection).status == 408
        assert closed(connection)
        still_serves(served)
    assert sink.refusals == [("", "bad_request", 0)]


def test_headers_byte_by_byte(sink: FakeSink) -> None:
    """Sending something now and then does not buy time."""
    with serving(impatient(header_time=0.2), sink) as served, served.connect() as connection:
        connection.settimeout(0.01)
        connection.sendall(b"POST /k8s-audit HTTP/1.1\r\n")
        answer = b""
        while not answer:
            try:
                connection.sendall(b"a")
                answer = connection.recv(12)
            except TimeoutError:
                continue
        assert answer == b"HTTP/1.1 408"


def test_saying_nothing(sink: FakeSink) -> None:
    """A connection that sends nothing is closed in the time of headers; one between requests in the idle time."""
    with serving(impatient(header_time=0.1), sink) as served, served.connect() as connection:
        assert closed(connection)
    with serving(impatient(idle_time=0.1), sink) as served, served.connect() as connection:
        connection.sendall(head(length=2) + b"{}")
        assert Answer(connection).status == 200
        assert closed(connection)
    assert sink.refusals == []


def test_a_second_request_has_its_own_time_for_headers(sink: FakeSink) -> None:
    """Keeping a connection alive does not make headers patient."""
    with serving(impatient(header_time=0.1), sink) as served, served.connect() as connection:
        connection.sendall(head(length=2) + b"{}" + b"POST /k8s")
        assert [Answer(connection).status for _ in range(2)] == [200, 408]


def test_headers_do_not_time_out_while_a_request_is_handled(sink: FakeSink) -> None:
    """The time of headers is theirs alone: body and delivery may take longer."""
    sink.proceed.clear()
    with (
        serving(impatient(header_time=0.05), sink) as served,
        served.connect() as connection,
        served.connect() as other,
    ):
        connection.sendall(head(length=2) + b"{}")
        assert closed(other)  # by now the time is over
        sink.proceed.set()
        assert Answer(connection).status == 200


@pytest.mark.parametrize(
    "limits",
    [{"body_time": 0.1}, {"progress_time": 0.1}, {"progress_time": 0.1, "progress": 10**9}],
    ids=["too long", "no progress", "too little progress"],
)
def test_half_bodies(sink: FakeSink, limits: dict[str, float]) -> None:
    """Bodies have a time and a least speed; what was announced is free again after that."""
    settings = impatient(**limits)
    with serving(settings, sink) as served, served.connect() as connection:
        connection.sendall(head(length=settings.limits.body) + b"{" * 100_000)
        answer = Answer(connection)
        assert (answer.status, answer.headers["connection"]) == (408, "close")
        assert sink.refusals == [("", "too_slow", 100_000)]
        assert closed(connection)
        still_serves(served)


def test_bodies_byte_by_byte(sink: FakeSink) -> None:
    """Neither does sending a byte now and then keep a body alive."""
    with serving(impatient(progress_time=0.2), sink) as served, served.connect() as connection:
        connection.settimeout(0.01)
        connection.sendall(head(length=1000))
        answer = b""
        while not answer:
            try:
                connection.sendall(b"a")
                answer = connection.recv(12)
            except TimeoutError:
                continue
        assert answer == b"HTTP/1.1 408"


@pytest.mark.parametrize(
    ("name", "value"),
    [(b"x" * 100_000, b"1"), (b"x", b"1" * 10_000_000), (b"x: 1\r\n" * 40_000 + b"y", b"2")],
    ids=["long name", "long value", "many"],
)
def test_huge_headers(sink: FakeSink, name: bytes, value: bytes) -> None:
    """Headers over the limit are refused without being read to their end."""
    with serving(impatient(), sink) as served, served.connect() as connection:
        with suppress(ConnectionError):
            connection.sendall(head()[:-2] + name + b": " + value + b"\r\n\r\n")
        assert Answer(connection).status == 431
        still_serves(served)
    assert sink.refusals == [("", "bad_request", 0)]


@pytest.mark.parametrize(
    "sent",
    [
        b"\0",
        b"\r\n",
        b"GET\r\n\r\n",
        b"\x16\x03\x01\x02\x00",
        b"POST /k8s-audit HTTP/1.1\r\n\r\n",
        b"POST /k8s-audit HTTP/2.0\r\nhost: x\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"POST /k8s-audit HTTP/1.1\r\nhost: x\r\nbad name: x\r\n\r\n",
        head("/k8s-audit", None, "content-length: -1"),
        head("/k8s-audit", None, "content-length: 1e3"),
        head("/k8s-audit", None, "content-length: " + "9" * 5000),
        head("/k8s-audit", 3, "content-length: 4"),
        head("/k8s-audit", None, "transfer-encoding: chunked, gzip"),
        head("/k8s-audit", None, "transfer-encoding: chunked") + b"zz\r\n",
        head("/k8s-audit", None, "transfer-encoding: chunked") + b"-1\r\n",
        head("/k8s-audit", None, "transfer-encoding: chunked") + b"f" * 21 + b"\r\n",
        head("/k8s-audit", None, "transfer-encoding: chunked") + b"1\r\naXX",
        head("/k8s-audit", None, "transfer-encoding: chunked") + b"1;" + b"x" * 40_000,
        head("/k8s-audit", None, "transfer-encoding: chunked") + b"0\r\n" + b"x: y\r\n" * 10_000,
    ],
    ids=lambda sent: repr(sent[-24:]),
)
def test_rubbish(sink: FakeSink, sent: bytes) -> None:
    """What is not HTTP/1.1 is refused with a 4xx or 5xx and the end of the connection, and never delivered."""
    with serving(impatient(), sink) as served, served.connect() as connection:
        connection.sendall(sent)
        answer = Answer(connection)
        assert 400 <= answer.status <= 501
        assert answer.headers["connection"] == "close"
        assert closed(connection)
        still_serves(served)
    assert len(sink.refusals) == 1
    assert sink.bodies == [EVENTS]


@pytest.mark.parametrize(
    "lines", [("connection: upgrade", "upgrade: websocket"), ("connection: upgrade", "upgrade: h2c"), ("te: trailers",)]
)
def test_upgrades_are_ignored(sink: FakeSink, lines: tuple[str, ...]) -> None:
    """A request that asks for another protocol is answered in this one, and the connection goes on."""
    with serving(impatient(), sink) as served, served.connect() as connection:
        for _ in range(2):
            connection.sendall(head("/k8s-audit", 2, *lines) + b"{}")
            assert Answer(connection).status == 200


def test_sending_on_while_a_body_is_handled(sink: FakeSink) -> None:
    """What is sent ahead is bounded: a connection that overdoes it ends, the delivery goes on."""
    sink.proceed.clear()
    with serving(impatient(), sink) as served, served.connect() as connection:
        connection.sendall(head(length=2) + b"{}")
        assert sink.entered.acquire(timeout=PATIENCE)
        with pytest.raises(ConnectionError):
            send_for_ever(connection)
        assert sink.bodies == []
        sink.proceed.set()
    assert sink.bodies == [b"{}"]


def test_a_refused_client_that_sends_on(sink: FakeSink) -> None:
    """A client sees why it was refused although it sends on, for as long as it is listened to; then it is cut off."""
    with serving(impatient(linger_time=2), sink) as served, served.connect() as connection:
        connection.sendall(head("/elsewhere", 10**12) + b"x" * 20_000_000)
        assert Answer(connection).status == 404
        with pytest.raises(ConnectionError):
            send_for_ever(connection)
        still_serves(served)


def test_a_refused_client_that_is_gone() -> None:
    """A connection that was reset, which shows only when it is to be closed, ends without an error."""

    class Reset(asyncio.Transport):
        aborted = False

        def can_write_eof(self) -> bool:
            return True

        def write_eof(self) -> None:
            raise OSError(errno.ENOTCONN, "Transport endpoint is not connected")

        def abort(self) -> None:
            self.aborted = True

    async def close() -> bool:
        inner = Reset()
        transport = LingeringTransport(inner, PATIENCE, lambda: True)
        transport.close()
        transport.lost()
        return inner.aborted

    assert asyncio.run(close())


def test_too_many_connections(sink: FakeSink) -> None:
    """Those that never did anything useful make room first, then idle ones; busy ones never."""
    sink.proceed.clear()
    with serving(impatient(connections=3), sink) as served, ExitStack() as stack:
        useful, useless, busy = (stack.enter_context(served.connect()) for _ in range(3))
        busy.sendall(head(length=2) + b"{}")
        assert sink.entered.acquire(timeout=PATIENCE)
        useless.sendall(head("/elsewhere", 0))
        assert Answer(useless).status == 404
        sink.proceed.set()
        assert Answer(busy).status == 200
        useful.sendall(head(length=2) + b"[]")
        assert Answer(useful).status == 200
        assert sink.entered.acquire(timeout=PATIENCE)
        sink.proceed.clear()
        busy.sendall(head(length=2) + b"{}")
        assert sink.entered.acquire(timeout=PATIENCE)

        late = [stack.enter_context(served.connect()) for _ in range(4)]
        for connection in late[:-2]:
            assert closed(connection)
        late[-1].sendall(head(length=2) + b"1 ")
        assert sink.entered.acquire(timeout=PATIENCE)
        useful.sendall(head(length=2) + b"2 ")
        assert sink.entered.acquire(timeout=PATIENCE)
        with served.connect() as one_too_many:
            answer = Answer(one_too_many)
            assert (answer.status, answer.headers["retry-after"]) == (503, "5")
        sink.proceed.set()
        assert [Answer(connection).status for connection in (busy, late[-1], useful)] == [200] * 3


@needs_openssl
def test_too_many_handshakes(tmp_path: Path, sink: FakeSink) -> None:
    """Clients that connect to https and say nothing count as well, and make room for others."""
    server = Authority(tmp_path, "authority").issue("server", "/CN=localhost", "IP:127.0.0.1")
    settings = WebhookSettings(port=0, tls=TlsSettings(server), limits=WebhookLimits(connections=2))
    with serving(settings, sink) as served, ExitStack() as stack:
        silent = [stack.enter_context(served.connect()) for _ in range(10)]
        with httpx.Client(verify=False) as client:
            assert client.post(served.url, content=EVENTS, headers=JSON).status_code == 200
        for connection in silent[:-1]:
            assert closed(connection)


SERVER = """
import asyncio, sys
from lanner.sources.webhook import WebhookSource
from lanner.sources.webhook_settings import WebhookLimits, WebhookSettings

class Sink:
    async def deliver(self, delivery): pass
    def refuse(self, refusal): pass

async def main():
    source = WebhookSource("webhook", WebhookSettings(port=0))
    task = asyncio.create_task(source.run(Sink()))
    await source.listening()
    print(source.urls[0], flush=True)
    await asyncio.to_thread(sys.stdin.read)
    task.cancel()

asyncio.run(main())
"""


class Child:
    """A server in a process of its own, so that its memory can be seen."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        self._process = process
        self.url = process.stdout.readline().strip()
        self.port = int(self.url.split(":")[2].split("/")[0])

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=PATIENCE)

    def memory(self, which: str = "VmRSS") -> int:
        """In bytes."""
        status = Path(f"/proc/{self._process.pid}/status").read_text()
        return int(status.partition(f"{which}:")[2].split()[0]) * 1024


@pytest.fixture
def child() -> Iterator[Child]:
    if not Path("/proc/self/status").exists():
        pytest.skip("memory is read from /proc")
    with subprocess.Popen(
        [sys.executable, "-c", SERVER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT
    ) as process:
        try:
            child = Child(process)
            assert httpx.post(child.url, content=EVENTS, headers=JSON).status_code == 200
            yield child
            assert httpx.post(child.url, content=EVENTS, headers=JSON).status_code == 200
            process.communicate("", timeout=PATIENCE)
            assert process.returncode == 0
        finally:
            process.kill()


def test_the_memory_of_huge_headers(child: Child) -> None:
    """200 MB of headers cost next to nothing."""
    before = child.memory("VmHWM")
    with child.connect() as connection:
        try:
            connection.sendall(b"POST /k8s-audit HTTP/1.1\r\nhost: x\r\n")
            for _ in range(200):
                connection.sendall(b"x" * 1_000_000)
        except ConnectionError:
            pass
    assert child.memory("VmHWM") - before < 4 * MEBIBYTE


def test_the_memory_of_gzip_bombs(child: Child) -> None:
    """Bodies that unpack to gigabytes cost no more than the ratio allows."""
    before = child.memory("VmHWM")
    bomb = gzip.compress(gzip.compress(b"\0" * 1_000) + b"\0" * 500_000_000, 9)
    assert len(bomb) < MEBIBYTE
    for packed in (bomb, bomb[:100_000] * 1):
        response = httpx.post(child.url, content=packed, headers={**JSON, "content-encoding": "gzip"})
        assert response.status_code == 413
    assert child.memory("VmHWM") - before < 80 * MEBIBYTE


def test_the_memory_of_bodies(child: Child) -> None:
    """Bodies together take what may be in flight, and a little more; after that it is free again."""
    before = child.memory("VmHWM")
    size = 4 * MEBIBYTE
    with ExitStack() as stack:
        connections = [stack.enter_context(child.connect()) for _ in range(40)]
        for connection in connections:
            connection.sendall(head(length=size))
        for connection in connections:
            try:
                connection.sendall(b"1" * (size - 1))
            except ConnectionError:
                continue
        assert child.memory("VmHWM") - before < 120 * MEBIBYTE
    assert httpx.post(child.url, content=b"1" * 16 * size, headers=JSON).status_code in (200, 503)


def test_the_memory_of_pipelined_requests_and_idle_connections(child: Child) -> None:
    """Connections are cheap, and what they send ahead is bounded."""
    before = child.memory("VmHWM")
    with ExitStack() as stack:
        for _ in range(400):
            connection = stack.enter_context(child.connect())
            connection.sendall(b"POST /k8s-audit HTTP/1.1\r\nx: " + b"y" * 20_000)
        with child.connect() as connection:
            connection.sendall(head(length=2) + b"{}")
            assert Answer(connection).status == 200
        assert child.memory("VmHWM") - before < 60 * MEBIBYTE


class Rubbish:
    """Requests that are nearly right, or not at all."""

    PARTS = (
        *(b"POST", b"GET", b"/k8s-audit", b"/", b"*", b"http://x/k8s-audit", b" ", b"\r\n", b"\n", b"\r\n\r\n"),
        *(
            b"HTTP/1.1",
            b"HTTP/1.0",
            b"host: x\r\n",
            b"content-length: 2\r\n",
            b"content-length: 99999999999999999999\r\n",
        ),
        *(b"transfer-encoding: chunked\r\n", b"expect: 100-continue\r\n", b"connection: close\r\n"),
        *(b"connection: upgrade\r\n", b"upgrade: websocket\r\n", b"content-type: application/json\r\n"),
        *(
            b"content-encoding: gzip\r\n",
            b"authorization: Basic \r\n",
            b"{}",
            b"0\r\n\r\n",
            b"1\r\na\r\n",
            b"ffffffff\r\n",
        ),
        *(b"\0", b"\xff", b"a" * 300, b"%", b"%00", b"..", gzip.compress(b"{}")),
    )

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)

    def request(self) -> bytes:
        choice = self._random
        match choice.randrange(4):
            case 0:
                return b"".join(choice.choices(self.PARTS, k=choice.randrange(1, 30)))
            case 1:
                return choice.randbytes(choice.randrange(1, 300))
        good = bytearray(choice.choice(self._good()))
        for _ in range(choice.randrange(1, 6)):
            place = choice.randrange(len(good))
            match choice.randrange(4):
                case 0:
                    good[place] = choice.randrange(256)
                case 1:
                    del good[place : place + choice.randrange(1, 10)]
                    good += b"\r"
                case 2:
                    good[place:place] = choice.choice(self.PARTS)
                case 3:
                    good += good[place : place + 200]
        return bytes(good)

    def _good(self) -> tuple[bytes, ...]:
        packed = gzip.compress(EVENTS)
        chunked = b"".join(map(chunk, (EVENTS[:9], EVENTS[9:], b"")))
        return (
            head(length=len(EVENTS)) + EVENTS,
            head("/k8s-audit", None, "transfer-encoding: chunked") + chunked,
            head("/k8s-audit", len(packed), "content-encoding: gzip") + packed,
            head("/k8s-audit", len(EVENTS), "authorization: Bearer token", "connection: keep-alive") + EVENTS,
        )


def test_random_requests(caplog: pytest.LogCaptureFixture) -> None:
    """Whatever is sent, the server goes on, no fault of its own shows, and its counts add up."""
    sink = FakeSink()
    paths = (PathSettings(), PathSettings("/other", tokens=("token",)))
    limits = WebhookLimits(header_time=0.05, body_time=0.05, idle_time=0.05, linger_time=0.05)
    rubbish = Rubbish(seed=7)
    with serving(WebhookSettings(port=0, paths=paths, limits=limits), sink) as served:
        for number in range(MANY):
            with served.connect() as connection:
                try:
                    connection.sendall(rubbish.request())
                    if number % 8 == 0:
                        connection.shutdown(socket.SHUT_WR)
                    if number % 4 == 0:
                        while connection.recv(10_000):
                            pass
                except ConnectionError:
                    pass
            if number % 500 == 0:
                still_serves(served)
        still_serves(served)
    lines = [record.getMessage() for record in caplog.records if record.levelname in ("ERROR", "WARNING")]
    assert [line for line in lines if not line.startswith(("refused 4", "no request from "))] == []
    assert len(lines) < 200
    assert "failed" not in {reason for _, reason, _ in sink.refusals}
    assert {"bad_request", "unknown_path", "method", "damaged"} <= {reason for _, reason, _ in sink.refusals}
    assert len(sink.deliveries) > MANY // 500
