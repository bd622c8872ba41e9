"""The webhook source over real connections: what it delivers, what it refuses, and when it answers."""

from __future__ import annotations

import gzip
import json
import logging
import os
import re
import time
import zlib
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
import zstandard

from lanner.sources.base import Unavailable
from lanner.sources.webhook_settings import MEBIBYTE, PathSettings, WebhookLimits, WebhookSettings
from tests.sources.webhook_server import JSON, PATIENCE, Answer, FakeSink, Served, chunk, closed, head, serving

BODIES = Path(__file__).resolve().parents[3] / "shared" / "data" / "webhook-bodies"
EVENTS = b'{"kind":"EventList","items":[]}'
PATHS = (PathSettings(), PathSettings("/k8s-audit/prod-eu", "prod-eu"))
SMALL = WebhookLimits(body=2 * MEBIBYTE, in_flight=2 * MEBIBYTE, linger_time=PATIENCE)


@pytest.fixture
def sink() -> FakeSink:
    return FakeSink()


@pytest.fixture
def served(sink: FakeSink) -> Iterator[Served]:
    with serving(WebhookSettings(port=0, paths=PATHS, limits=SMALL), sink) as served:
        yield served


def test_a_body_is_delivered_as_it_came(served: Served, sink: FakeSink) -> None:
    """The bytes, the cluster of the path, and the time."""
    before = time.time_ns()
    for path in ("", "/prod-eu"):
        response = httpx.post(served.url + path, content=EVENTS, headers=JSON)
        assert (response.status_code, response.content) == (200, b"")
    assert [(each.body, each.cluster) for each in sink.deliveries] == [(EVENTS, ""), (EVENTS, "prod-eu")]
    for delivery in sink.deliveries:
        assert before <= delivery.received_ns <= time.time_ns()
        assert delivery.position is None
        assert not delivery.lines
    assert sink.refusals == []


def test_every_path_has_its_url(served: Served) -> None:
    """What a user has to write into the API server's webhook configuration."""
    assert served.urls == tuple(f"http://127.0.0.1:{served.port}{path.path}" for path in PATHS)


@pytest.mark.skipif(not BODIES.exists(), reason="recorded bodies are not here")
def test_recorded_bodies_with_their_headers(sink: FakeSink) -> None:
    """Bodies as an API server posted them arrive unchanged, over one connection."""
    sent = []
    with serving(WebhookSettings(port=0), sink) as served, httpx.Client() as client:
        for entry in json.loads((BODIES / "index.json").read_text()):
            with zstandard.open(BODIES / entry["file"]) as file:
                sent.append(file.read())
            assert client.post(served.url, content=sent[-1], headers=entry["headers"]).status_code == 200
    assert sink.bodies == sent


@pytest.mark.parametrize(
    ("method", "path", "headers", "status", "reason", "text"),
    [
        ("GET", "/k8s-audit/prod-eu", {}, 405, ("prod-eu", "method"), "POST only"),
        ("PUT", "/k8s-audit", JSON, 405, ("", "method"), "POST only"),
        ("POST", "/", JSON, 404, ("", "unknown_path"), "look at the server URL"),
        ("POST", "/k8s-audit/", JSON, 404, ("", "unknown_path"), "look at the server URL"),
        ("POST", "/K8s-audit", JSON, 404, ("", "unknown_path"), "look at the server URL"),
        ("POST", "/k8s-audit", {"content-type": "text/plain"}, 400, ("", "content_type"), "application/json"),
        ("POST", "/k8s-audit", {}, 400, ("", "content_type"), "application/json"),
        ("POST", "/k8s-audit", {**JSON, "content-encoding": "br"}, 415, ("", "content_encoding"), "gzip"),
        ("POST", "/k8s-audit", {**JSON, "content-encoding": "gzip, gzip"}, 415, ("", "content_encoding"), "gzip"),
        ("POST", "/k8s-audit", {**JSON, "content-encoding": "gzip"}, 400, ("", "damaged"), "is not"),
    ],
)
def test_refusals(
    served: Served,
    sink: FakeSink,
    method: str,
    path: str,
    headers: dict[str, str],
    status: int,
    reason: tuple[str, str],
    text: str,
) -> None:
    """What is not taken is answered with a text that helps, and counted with its size."""
    response = httpx.request(method, f"http://127.0.0.1:{served.port}{path}", content=EVENTS, headers=headers)
    assert response.status_code == status
    assert text in response.text
    assert "prod-eu" not in response.text
    assert response.headers.get("allow") == ("POST" if status == 405 else None)
    assert response.headers.get("accept-encoding") == ("gzip" if status == 415 else None)
    assert sink.refusals == [(*reason, len(EVENTS))]
    assert sink.deliveries == []


@pytest.mark.parametrize("value", ["application/json; charset=utf-8", "Application/JSON"])
def test_the_content_type_contains_json(served: Served, value: str) -> None:
    """Parameters and case do not matter."""
    assert httpx.post(served.url, content=EVENTS, headers={"content-type": value}).status_code == 200


@pytest.mark.parametrize(
    "packed",
    [
        gzip.compress(EVENTS),
        gzip.compress(EVENTS[:9]) + gzip.compress(EVENTS[9:]),
        gzip.compress(b"") + gzip.compress(EVENTS),
    ],
    ids=["one member", "two members", "an empty member"],
)
@pytest.mark.parametrize("encoding", ["gzip", "GZIP", "x-gzip"])
def test_gzip(served: Served, sink: FakeSink, packed: bytes, encoding: str) -> None:
    """Packed bodies are delivered unpacked."""
    response = httpx.post(served.url, content=packed, headers={**JSON, "content-encoding": encoding})
    assert response.status_code == 200
    assert sink.bodies == [EVENTS]


def test_gzip_of_much_and_in_small_pieces(served: Served, sink: FakeSink) -> None:
    """Neither the size of the output nor the borders of the input matter."""
    body = os.urandom(700_000).hex().encode()
    packed = gzip.compress(body, 1)
    headers = {**JSON, "content-encoding": "gzip"}
    pieces = (packed[start : start + 9_999] for start in range(0, len(packed), 9_999))
    assert httpx.post(served.url, content=pieces, headers=headers).status_code == 200
    repeated = b"0123456789abcdef" * 60_000
    assert httpx.post(served.url, content=gzip.compress(repeated), headers=headers).status_code == 200
    assert sink.bodies == [body, repeated]


@pytest.mark.parametrize(
    ("packed", "status", "reason"),
    [
        (gzip.compress(EVENTS)[:-1], 400, "damaged"),
        (gzip.compress(EVENTS)[:5], 400, "damaged"),
        (b"", 400, "damaged"),
        (gzip.compress(EVENTS) + b"more", 400, "damaged"),
        (zlib.compress(EVENTS), 400, "damaged"),
        (gzip.compress(b"\0" * 1_900_000), 413, "too_large"),
        (gzip.compress(os.urandom(16_384) + b"\0" * 3_000_000), 413, "too_large"),
    ],
    ids=["cut short", "hardly begun", "empty", "rubbish behind", "zlib", "over the ratio", "over the limit"],
)
def test_gzip_refused(served: Served, sink: FakeSink, packed: bytes, status: int, reason: str) -> None:
    """Damaged gzip, and gzip that unpacks to too much; nothing stays counted as in flight."""
    response = httpx.post(served.url, content=packed, headers={**JSON, "content-encoding": "gzip"})
    assert response.status_code == status
    assert sink.refusals == [("", reason, len(packed))]
    assert httpx.post(served.url, content=b"1" * SMALL.in_flight, headers=JSON).status_code == 200


def test_what_is_refused_for_good_has_the_size_of_its_retries(served: Served, sink: FakeSink) -> None:
    """However much of it had come: that tells a retry from another body."""
    packed = gzip.compress(os.urandom(16_384) + b"\0" * 3_000_000)
    for pieces in ([packed[:17_000], packed[17_000:]], [packed]):
        with served.connect() as connection:
            connection.sendall(head("/k8s-audit", len(packed), "content-encoding: gzip", "expect: 100-continue"))
            assert connection.recv(1000).startswith(b"HTTP/1.1 100 ")
            for piece in pieces:
                connection.sendall(piece)
            assert Answer(connection).status == 413
    assert sink.refusals == [("", "too_large", len(packed))] * 2


def test_chunked(served: Served, sink: FakeSink) -> None:
    """A body of unknown length, in chunks of any size."""
    assert httpx.post(served.url, content=iter([EVENTS[:1], EVENTS[1:]]), headers=JSON).status_code == 200
    with served.connect() as connection:
        tiny = b"".join(chunk(EVENTS[place : place + 1]) for place in range(len(EVENTS)))
        connection.sendall(head("/k8s-audit", None, "transfer-encoding: chunked") + tiny + chunk(b""))
        assert Answer(connection).status == 200
    assert sink.bodies == [EVENTS, EVENTS]


def test_keep_alive_and_pipelining(served: Served, sink: FakeSink) -> None:
    """Requests follow each other on one connection, also sent ahead."""
    with served.connect() as connection:
        for _ in range(3):
            connection.sendall(head(length=2) + b"{}")
            assert Answer(connection).status == 200
        connection.sendall((head(length=2) + b"[]") * 5)
        assert [Answer(connection).status for _ in range(5)] == [200] * 5
    assert sink.bodies == [b"{}"] * 3 + [b"[]"] * 5


def test_the_body_limit(served: Served, sink: FakeSink) -> None:
    """At the limit a body is delivered; beyond it the answer is 413, announced or not, and the client sees it."""
    fits = b"1" * SMALL.body
    assert httpx.post(served.url, content=fits, headers=JSON).status_code == 200
    for content in (fits + b"1", iter([fits, b"1"])):
        response = httpx.post(served.url, content=content, headers=JSON)
        assert response.status_code == 413
        assert "--audit-webhook-batch-max-size" in response.text
    assert [reason for _, reason, _ in sink.refusals] == ["too_large"] * 2
    assert all(size > SMALL.body for _, _, size in sink.refusals)
    assert sink.bodies == [fits]


def test_a_refused_body_is_not_waited_for(served: Served) -> None:
    """A body that is too large by its own account is refused before it is sent."""
    with served.connect() as connection:
        connection.sendall(head("/k8s-audit", 10**15))
        answer = Answer(connection)
        assert (answer.status, answer.headers["connection"]) == (413, "close")
        assert closed(connection)


def test_bytes_in_flight(sink: FakeSink) -> None:
    """What is being received or delivered counts, over all connections; what would be too much is to come later."""
    sink.proceed.clear()
    half = MEBIBYTE + 1
    with (
        serving(WebhookSettings(port=0, limits=SMALL), sink) as served,
        served.connect() as first,
        served.connect() as second,
    ):
        first.sendall(head(length=half) + b"1" * half)
        assert sink.entered.acquire(timeout=PATIENCE)
        for content in (b"2" * half, iter([b"2" * half])):
            response = httpx.post(served.url, content=content, headers=JSON)
            assert response.status_code == 503
            assert response.headers["retry-after"] == "5"
        assert [reason for _, reason, _ in sink.refusals] == ["overload"] * 2
        second.sendall(head(length=2) + b"{}")
        assert sink.entered.acquire(timeout=PATIENCE)
        sink.proceed.set()
        assert Answer(first).status == Answer(second).status == 200
        assert httpx.post(served.url, content=b"3" * half, headers=JSON).status_code == 200


def test_an_unavailable_sink(served: Served, sink: FakeSink) -> None:
    """The API server is asked to come again, when the sink says; the connection stays."""
    sink.failure = Unavailable("the store is locked", retry_after=7)
    with httpx.Client() as client:
        response = client.post(served.url, content=EVENTS, headers=JSON)
        assert (response.status_code, response.headers["retry-after"]) == (503, "7")
        assert "locked" not in response.text
        assert "connection" not in response.headers
        sink.failure = None
        assert client.post(served.url, content=EVENTS, headers=JSON).status_code == 200
    assert sink.refusals == [("", "unavailable", len(EVENTS))]


def test_a_sink_that_fails(served: Served, sink: FakeSink, caplog: pytest.LogCaptureFixture) -> None:
    """A fault of ours keeps the promise too: nothing is acknowledged, and the log says why."""
    sink.failure = ZeroDivisionError("oh")
    response = httpx.post(served.url, content=EVENTS, headers=JSON)
    assert (response.status_code, response.headers["retry-after"]) == (503, "5")
    assert "oh" not in response.text
    assert sink.refusals == [("", "failed", len(EVENTS))]
    assert "a delivery failed" in caplog.text


def test_the_answer_waits_for_the_delivery(served: Served, sink: FakeSink) -> None:
    """No byte of a 200 leaves before the sink is done."""
    sink.proceed.clear()
    with served.connect() as connection:
        connection.sendall(head(length=2) + b"{}")
        assert sink.entered.acquire(timeout=PATIENCE)
        connection.setblocking(False)
        with pytest.raises(BlockingIOError):
            connection.recv(1)
        connection.settimeout(PATIENCE)
        sink.proceed.set()
        assert Answer(connection).status == 200


def test_a_client_that_does_not_wait(served: Served, sink: FakeSink) -> None:
    """A delivery that has begun is completed, although nobody hears of it."""
    sink.proceed.clear()
    with served.connect() as connection:
        connection.sendall(head(length=2) + b"{}")
        assert sink.entered.acquire(timeout=PATIENCE)
    sink.proceed.set()
    assert httpx.post(served.url, content=EVENTS, headers=JSON).status_code == 200
    assert sink.bodies == [b"{}", EVENTS]


def test_a_client_that_leaves_within_its_body(served: Served, sink: FakeSink) -> None:
    """Half a body is not delivered; it is counted, and nothing of it stays in flight."""
    with served.connect() as connection:
        connection.sendall(head("/k8s-audit", SMALL.body, "expect: 100-continue"))
        assert connection.recv(1000).startswith(b"HTTP/1.1 100 ")
        connection.sendall(b"1")
    while not sink.refusals:
        httpx.post(served.url, content=EVENTS[:0], headers=JSON)
    assert sink.refusals[0][:2] == ("", "incomplete")
    assert httpx.post(served.url, content=b"1" * SMALL.body, headers=JSON).status_code == 200


def test_expect_continue(served: Served, sink: FakeSink) -> None:
    """The body is asked for when it is wanted, and only then."""
    with served.connect() as connection:
        connection.sendall(head("/k8s-audit", 2, "expect: 100-continue"))
        assert connection.recv(1000).startswith(b"HTTP/1.1 100 ")
        connection.sendall(b"{}")
        assert Answer(connection).status == 200
    with served.connect() as connection:
        connection.sendall(head("/elsewhere", 2, "expect: 100-continue"))
        assert Answer(connection).status == 404
    assert sink.bodies == [b"{}"]


def test_stopping(sink: FakeSink) -> None:
    """Idle connections are closed, no new ones are taken, and what was accepted is finished and answered."""
    settings = WebhookSettings(port=0, limits=WebhookLimits(stop_time=10 * PATIENCE))
    with serving(settings, sink) as served, served.connect() as busy, served.connect() as idle:
        idle.sendall(head(length=2) + b"[]")
        assert Answer(idle).status == 200
        assert sink.entered.acquire(timeout=PATIENCE)
        sink.proceed.clear()
        busy.sendall(head(length=2) + b"{}")
        assert sink.entered.acquire(timeout=PATIENCE)
        served.stop()
        assert closed(idle)
        while True:
            try:
                served.connect().close()
            except ConnectionError:
                break
        sink.proceed.set()
        assert Answer(busy).status == 200
        assert closed(busy)
    assert sink.bodies == [b"[]", b"{}"]


def test_stopping_takes_no_longer_than_allowed(sink: FakeSink) -> None:
    """What is still not finished then is given up: not delivered, not acknowledged, counted."""
    limits = WebhookLimits(stop_time=0.05)
    with serving(WebhookSettings(port=0, limits=limits), sink) as served, served.connect() as connection:
        connection.sendall(head("/k8s-audit", 2, "expect: 100-continue"))
        assert connection.recv(1000).startswith(b"HTTP/1.1 100 ")
        served.stop()
        assert closed(connection)
    assert sink.deliveries == []
    assert [reason for _, reason, _ in sink.refusals] in (["incomplete"], ["stopped"])


def test_a_port_that_is_taken(served: Served) -> None:
    """It cannot listen twice; the error says so."""
    with pytest.raises(OSError, match="in use"), serving(WebhookSettings(port=served.port), FakeSink()):
        pytest.fail("it listens")


@pytest.mark.parametrize("address", ["", "localhost"])
def test_addresses(sink: FakeSink, address: str) -> None:
    """All addresses, and all addresses of a name."""
    with serving(WebhookSettings(address=address, port=0 if address == "" else _free_port()), sink) as served:
        assert httpx.post(f"http://127.0.0.1:{served.port}/k8s-audit", content=EVENTS, headers=JSON).status_code == 200


def _free_port() -> int:
    with serving(WebhookSettings(port=0), FakeSink()) as served:
        return served.port


def test_requests_are_not_logged(served: Served, caplog: pytest.LogCaptureFixture) -> None:
    """Only debugging shows requests that are taken."""
    caplog.set_level(logging.INFO)
    httpx_logger = logging.getLogger("httpx")
    level = httpx_logger.level
    httpx_logger.setLevel(logging.WARNING)
    try:
        httpx.post(served.url, content=EVENTS, headers=JSON)
    finally:
        httpx_logger.setLevel(level)
    assert caplog.text == ""


def refusal_lines(caplog: pytest.LogCaptureFixture) -> list[str]:
    """What the webhook warned of, addresses without their ports."""
    lines = [record.getMessage() for record in caplog.records if record.name == "lanner.sources.webhook"]
    return [re.sub(r"127\.0\.0\.1:\d+", "127.0.0.1", line) for line in lines]


@pytest.mark.parametrize(
    ("method", "path", "headers", "size", "line"),
    [
        (
            "GET", "/k8s-audit/prod-eu", {}, 2,
            "refused 405 for `/k8s-audit/prod-eu` of the cluster `prod-eu` from 127.0.0.1: audit events are taken",
        ),
        ("POST", "/", JSON, 2, "refused 404 for `/` from 127.0.0.1: nothing is received at this path"),
        ("POST", "/a%0Ab%20c?secret", JSON, 2, "refused 404 for `/a\\nb c` from 127.0.0.1: nothing is received"),
        ("POST", "/" + "a" * 500, JSON, 2, f"refused 404 for `/{'a' * 99}...` from 127.0.0.1: nothing"),
        ("POST", "/k8s-audit", {}, 2, "refused 400 for `/k8s-audit` from 127.0.0.1: the Content-Type has to be"),
        (
            "POST", "/k8s-audit", {**JSON, "content-encoding": "br"}, 2,
            "refused 415 for `/k8s-audit` from 127.0.0.1: the only Content-Encoding",
        ),
        ("POST", "/k8s-audit", JSON, SMALL.body + 1, "refused 413 for `/k8s-audit` from 127.0.0.1: the body is larger"),
    ],
)  # fmt: skip
def test_refusals_are_told(
    served: Served,
    caplog: pytest.LogCaptureFixture,
    method: str,
    path: str,
    headers: dict[str, str],
    size: int,
    line: str,
) -> None:
    """The log has the status, the path, who it was and the text; nothing of a query, and no line that is forged."""
    httpx.request(method, f"http://127.0.0.1:{served.port}{path}", content=b"1" * size, headers=headers)
    (told,) = refusal_lines(caplog)
    assert told.startswith(line)
    assert "secret" not in told


def test_many_refusals_are_told_ever_more_rarely(served: Served, caplog: pytest.LogCaptureFixture) -> None:
    """Of each reason and path; paths that clients make up are one."""
    with httpx.Client() as client:
        for number in range(9):
            client.post(f"http://127.0.0.1:{served.port}/{number}", content=b"{}", headers=JSON)
        for path in ("/k8s-audit", "/k8s-audit/prod-eu"):
            client.get(f"http://127.0.0.1:{served.port}{path}")
    assert [(line.split("`")[1], line.rpartition("(")[2]) for line in refusal_lines(caplog)[1:4]] == [
        ("/1", "2 so far)"),
        ("/3", "4 so far)"),
        ("/7", "8 so far)"),
    ]
    assert [line[:40] for line in refusal_lines(caplog)[4:]] == [
        "refused 405 for `/k8s-audit` from 127.0.",
        "refused 405 for `/k8s-audit/prod-eu` of ",
    ]
