"""Paths share bytes and connections: whoever has the credentials of one cluster cannot shut out another one."""

from __future__ import annotations

import gzip
import socket
from collections.abc import Callable
from contextlib import ExitStack

import httpx
import pytest

from lanner.sources.base import Overloaded
from lanner.sources.budget import Budget
from lanner.sources.webhook_settings import MEBIBYTE, PathSettings, WebhookLimits, WebhookSettings
from tests.sources.webhook_server import JSON, PATIENCE, Answer, FakeSink, Served, chunk, closed, head, serving

PATHS = (
    PathSettings("/a", "a", tokens=("token-a",)),
    PathSettings("/b", "b", tokens=("token-b",)),
    PathSettings("/c", "c", tokens=("token-c",)),
)
BODY = 6 * MEBIBYTE
TOKEN_A = "authorization: Bearer token-a"
PATIENT = dict.fromkeys(("body_time", "progress_time", "linger_time"), PATIENCE)


@pytest.fixture
def sink() -> FakeSink:
    return FakeSink()


def settings(**limits: float) -> WebhookSettings:
    given = {"body": BODY, "in_flight": BODY, **PATIENT, **limits}
    return WebhookSettings(port=0, paths=PATHS, limits=WebhookLimits(**given))  # type: ignore[arg-type]


def url(served: Served, cluster: str) -> str:
    return f"http://127.0.0.1:{served.port}/{cluster}"


def post(served: Served, cluster: str, content: bytes) -> int:
    headers = {**JSON, "authorization": f"Bearer token-{cluster}"}
    return httpx.post(url(served, cluster), content=content, headers=headers, timeout=PATIENCE).status_code


def announce(connection: socket.socket) -> None:
    """All of the limit, without a byte of it."""
    connection.sendall(head("/a", BODY, TOKEN_A))


def hold_back(connection: socket.socket) -> None:
    """A large body up to its last bytes."""
    connection.sendall(head("/a", BODY, TOKEN_A) + b"1" * (BODY - 10))


def hold_back_chunks(connection: socket.socket) -> None:
    """The same without saying how much is to come."""
    connection.sendall(head("/a", None, TOKEN_A, "transfer-encoding: chunked") + chunk(b"1" * (BODY - 10)))


def hold_back_gzip(connection: socket.socket) -> None:
    """Little on the wire that unpacks to much."""
    packed = gzip.compress(b"0123456789abcdef" * (BODY // 16 - 1))
    connection.sendall(head("/a", len(packed), TOKEN_A, "content-encoding: gzip") + packed[:-4])


Attack = Callable[[socket.socket], None]
ATTACKS: tuple[Attack, ...] = (announce, hold_back, hold_back_chunks, hold_back_gzip)


@pytest.mark.parametrize("attack", ATTACKS)
def test_many_slow_connections_of_one_path(sink: FakeSink, attack: Attack) -> None:
    """However many bodies one path has under way, each other path gets its share, for as long as that goes on."""
    budget = Budget(BODY)
    with serving(settings(), sink, budget) as served, ExitStack() as stack:
        for _ in range(8):
            attack(stack.enter_context(served.connect()))
            for cluster in ("b", "c"):
                assert post(served, cluster, b"2" * (BODY // 3)) == 200
        assert budget.used <= BODY
    assert {cluster for cluster, _, _ in sink.refusals} <= {"a"}
    assert len(sink.deliveries) == 16


def test_an_announcement_costs_nothing(sink: FakeSink) -> None:
    """Bytes count when they have come: neither others nor the path itself lose by what somebody says."""
    budget = Budget(BODY)
    with serving(settings(), sink, budget) as served, ExitStack() as stack:
        for _ in range(8):
            connection = stack.enter_context(served.connect())
            connection.sendall(head("/a", BODY, TOKEN_A, "expect: 100-continue"))
            assert connection.recv(1000).startswith(b"HTTP/1.1 100 ")
        assert budget.used == 0
        assert post(served, "a", b"1" * BODY) == 200


def test_the_body_limit_can_be_reached(sink: FakeSink) -> None:
    """By each path, while all others have as much under way as is theirs; two at once are too much."""
    sink.proceed.clear()
    with serving(settings(), sink, Budget(BODY)) as served, ExitStack() as stack:
        connections = {}
        for cluster, size in (("b", BODY // 3), ("c", BODY // 3), ("a", BODY)):
            connections[cluster] = stack.enter_context(served.connect())
            start = head(f"/{cluster}", size, f"authorization: Bearer token-{cluster}")
            connections[cluster].sendall(start + b"1" * size)
            assert sink.entered.acquire(timeout=PATIENCE)
        assert post(served, "b", b"2") == 503
        assert sink.refusals == [("b", "overload", 1)]
        sink.proceed.set()
        assert [Answer(connection).status for connection in connections.values()] == [200] * 3
        assert post(served, "b", b"2" * BODY) == 200


def test_sources_share_the_bound(sink: FakeSink) -> None:
    """Two listeners in one process, one bound on bytes in flight: what one has borrowed the other cannot borrow."""
    budget = Budget(BODY)
    sink.proceed.clear()
    with (
        serving(settings(), sink, budget) as one,
        serving(settings(), sink, budget, "other") as other,
        one.connect() as connection,
    ):
        connection.sendall(head("/a", BODY, TOKEN_A) + b"1" * BODY)
        assert sink.entered.acquire(timeout=PATIENCE)
        assert post(other, "a", b"2" * (BODY // 6 + 1)) == 503
        sink.proceed.set()
        assert post(other, "a", b"3" * (BODY // 6)) == 200
        assert Answer(connection).status == 200
        assert post(other, "a", b"4" * BODY) == 200
    assert budget.used == 0


def test_connections_are_shared_too(sink: FakeSink) -> None:
    """Many bodies that are on their way, however slowly, leave room for requests of the other paths."""
    with serving(settings(connections=15), sink) as served, ExitStack() as stack:
        # 15 connections and 3 paths: one may have 9 requests at once, and each has 3 for itself.
        slow = [stack.enter_context(served.connect()) for _ in range(14)]
        for connection in slow:
            connection.sendall(head("/a", 100, TOKEN_A) + b"1")
        for connection in slow[9:]:
            assert Answer(connection).status == 503
        for _ in range(20):
            assert post(served, "b", b"[]") == post(served, "c", b"[]") == 200
        assert sink.refusals == [("a", "overload", 100)] * 5
        for connection in slow[:9]:
            connection.sendall(b"1" * 99)
            assert Answer(connection).status == 200


def test_too_many_connections_are_reported(sink: FakeSink) -> None:
    """Who was turned away is not known, but that somebody was."""
    sink.proceed.clear()
    with serving(settings(connections=1), sink) as served, served.connect() as busy:
        busy.sendall(head("/a", 2, TOKEN_A) + b"{}")
        assert sink.entered.acquire(timeout=PATIENCE)
        with served.connect() as late:
            assert Answer(late).status == 503
            assert closed(late)
            host, port = late.getsockname()
        sink.proceed.set()
        assert Answer(busy).status == 200
    (refusal,) = sink.reported
    assert (refusal.cluster, refusal.reason, refusal.status) == ("", "connections", 503)
    assert refusal.peer == f"{host}:{port}"


@pytest.mark.parametrize(
    ("lines", "size", "more"),
    [
        ((), BODY, b"1"),
        ((), 210_000, b"1"),
        (("transfer-encoding: chunked",), None, chunk(b"1")),
    ],
    ids=["announced", "nearly complete", "of unknown size"],
)
def test_a_large_body_has_to_come_fast(sink: FakeSink, lines: tuple[str, ...], size: int | None, more: bytes) -> None:
    """Each window has to bring the part of a body that is due in it, of what was announced or has come."""
    limits = {"body_time": PATIENCE, "progress_time": 0.2, "progress": 1}
    with serving(settings(**limits), sink) as served, served.connect() as connection:
        connection.settimeout(0.01)
        begun = b"1" * 200_000
        connection.sendall(head("/a", size, TOKEN_A, *lines) + (chunk(begun) if size is None else begun))
        answer = b""
        while not answer:  # a byte now and then, which is enough for `progress`
            try:
                answer = connection.recv(12)
            except TimeoutError:
                connection.sendall(more)
        assert answer == b"HTTP/1.1 408"
    assert [reason for _, reason, _ in sink.refusals] == ["too_slow"]


def test_a_full_queue_is_overload(sink: FakeSink) -> None:
    """What is too much for the sink counts as what is too much for the listener."""
    sink.failure = Overloaded("too many batches wait", retry_after=7)
    with serving(settings(), sink) as served:
        assert post(served, "a", b"[]") == 503
    assert sink.refusals == [("a", "overload", 2)]
