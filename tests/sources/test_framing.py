"""Where a request ends: what two readers could understand differently is refused, and nothing smuggled is delivered."""

from __future__ import annotations

import contextlib

import httpx
import pytest

from lanner.sources.webhook_settings import WebhookSettings
from tests.sources.webhook_server import JSON, PATIENCE, Answer, FakeSink, chunk, closed, head, serving

SMUGGLED = b'{"smuggled":true}'
BEHIND = head(length=len(SMUGGLED)) + SMUGGLED
"""A request that an attacker hides in, or behind, another one."""

CHUNKED = "transfer-encoding: chunked"
LINE = b"POST /k8s-audit HTTP/1.1\r\n"
FIELDS = b"host: x\r\ncontent-type: application/json\r\n"


def request(*lines: str, body: bytes = chunk(b"{}") + chunk(b"")) -> bytes:
    return head("/k8s-audit", None, *lines) + body


REFUSED = {
    "length beside chunked": request("content-length: 2", CHUNKED),
    "chunked beside length": request(CHUNKED, "content-length: 2"),
    "length beside chunked in odd case": request("Content-LENGTH: 2", "TRANSFER-encoding: Chunked"),
    "two equal lengths": request("content-length: 2", "content-length: 2", body=b"{}"),
    "two lengths": request("content-length: 2", "content-length: 50", body=b"{}"),
    "two lengths in one": request("content-length: 2, 2", body=b"{}"),
    "length with a sign": request("content-length: +2", body=b"{}"),
    "length with a blank": request("content-length: 2 2", body=b"{}"),
    "length in hexadecimal": request("content-length: 0x2", body=b"{}"),
    "length in other digits": head("/k8s-audit", None).replace(b"\r\n\r\n", b"\r\ncontent-length: \xb2\r\n\r\n")
    + b"{}",
    "empty length": request("content-length:", body=b"{}"),
    "two encodings": request(CHUNKED, CHUNKED),
    "encodings in a row": request("transfer-encoding: chunked, chunked"),
    "identity": request("transfer-encoding: identity", body=b"{}"),
    "gzip": request("transfer-encoding: gzip, chunked"),
    "chunked with a parameter": request("transfer-encoding: chunked;q=1"),
    "misspelt": request("transfer-encoding: xchunked"),
    "a blank before the colon": request("transfer-encoding : chunked"),
    "length with a blank before the colon": request("content-length : 2", body=b"{}"),
    "vertical tab": head("/k8s-audit", None).replace(b"\r\n\r\n", b"\r\ntransfer-encoding:\x0bchunked\r\n\r\n"),
    "NUL": head("/k8s-audit", None).replace(b"\r\n\r\n", b"\r\ntransfer-encoding: chunked\x00\r\n\r\n"),
    "HTTP/1.0 chunked": request(CHUNKED).replace(b"HTTP/1.1", b"HTTP/1.0"),
    "HTTP/1.2": request(CHUNKED).replace(b"HTTP/1.1", b"HTTP/1.2"),
    "HTTP/2.0": request(CHUNKED).replace(b"HTTP/1.1", b"HTTP/2.0"),
    "HTTP/0.9": b"POST /k8s-audit\r\n\r\n",
    "folded field": request("transfer-encoding:", " chunked"),
    "folded with a tab": request("x: y", "\tcontent-length: 2", "content-length: 2", body=b"{}"),
    "folded request line": LINE + b" x: y\r\n" + FIELDS + b"content-length: 2\r\n\r\n{}",
    "bare LF in a field": LINE + FIELDS + b"x: y\ncontent-length: 2\r\n\r\n{}",
    "bare LF behind the request line": LINE.replace(b"\r", b"") + FIELDS + b"content-length: 2\r\n\r\n{}",
    "bare LF at the end": LINE + FIELDS + b"content-length: 2\r\n\n{}",
    "bare LF everywhere": (LINE + FIELDS + b"content-length: 2\r\n\r\n").replace(b"\r", b"") + b"{}",
    "bare CR in a field": LINE + FIELDS + b"x: y\rcontent-length: 2\r\ncontent-length: 2\r\n\r\n{}",
    "two CR": LINE + FIELDS + b"x: y\r\r\ncontent-length: 2\r\n\r\n{}",
    "a blank line first": b"\r\n" + head(length=2) + b"{}",
    "no host": LINE + b"content-type: application/json\r\ncontent-length: 2\r\n\r\n{}",
    "two hosts": request("host: y", CHUNKED),
    "a field without a name": request(": y", CHUNKED),
    "a line without a colon": request("content-length 2", CHUNKED),
}

BROKEN_BODIES = {
    "no size": b"\r\n{}\r\n0\r\n\r\n",
    "a size with a sign": b"+2\r\n{}\r\n0\r\n\r\n",
    "a size with 0x": b"0x2\r\n{}\r\n0\r\n\r\n",
    "a size with a blank before": b" 2\r\n{}\r\n0\r\n\r\n",
    "a size beyond 64 bits": b"1" * 21 + b"\r\n{}\r\n0\r\n\r\n",
    "data longer than its size": b"1\r\n{}\r\n0\r\n\r\n",
    "bare LF behind a size": b"2\n{}\n0\n\n" + b"\r\n",
    "bare LF behind data": b"2\r\n{}\n0\r\n\r\n",
    "bare LF in an extension": b"2;a\nb\r\n{}\r\n0\r\n\r\n",
    "an extension without an end": b"2;" + b"a" * 100_000,
    "trailers": b"2\r\n{}\r\n0\r\nx: y\r\n\r\n",
    "a length in the trailers": b"2\r\n{}\r\n0\r\ncontent-length: 50\r\n\r\n",
    "bare LF in the trailers": b"2\r\n{}\r\n0\r\nx: y\n\n",
    "folded trailers": b"2\r\n{}\r\n0\r\nx: y\r\n z\r\n\r\n",
    "trailers without an end": b"2\r\n{}\r\n0\r\n" + b"x: y\r\n" * 20_000,
    "trailers that are no fields": b"2\r\n{}\r\n0\r\nGET / HTTP/1.1\r\n\r\n",
}


@pytest.fixture
def sink() -> FakeSink:
    return FakeSink()


def refused(sink: FakeSink, sent: bytes) -> list[bytes]:
    """Sends it, and another request behind it; there has to be one answer and the end. What was delivered."""
    with serving(WebhookSettings(port=0), sink) as served:
        with served.connect() as connection:
            with contextlib.suppress(ConnectionError):
                connection.sendall(sent + BEHIND)
            answer = Answer(connection)
            assert answer.status in (400, 431)
            assert answer.headers["connection"] == "close"
            assert closed(connection)
        assert httpx.post(served.url, content=b"[]", headers=JSON, timeout=PATIENCE).status_code == 200
    *delivered, last = sink.bodies
    assert last == b"[]"
    return delivered


@pytest.mark.parametrize("kind", REFUSED)
def test_ambiguous_requests(sink: FakeSink, kind: str) -> None:
    """Refused, and what stands behind them is never read as a request."""
    assert refused(sink, REFUSED[kind]) == []
    assert sink.refusals == [("", "bad_request", 0)]


@pytest.mark.parametrize("kind", BROKEN_BODIES)
def test_ambiguous_bodies(sink: FakeSink, kind: str) -> None:
    """The same for what comes after the headers: not even the body before it is delivered."""
    assert refused(sink, head("/k8s-audit", None, CHUNKED) + BROKEN_BODIES[kind]) == []
    assert [reason for _, reason, _ in sink.refusals] == ["incomplete"]


@pytest.mark.parametrize("kind", ["length beside chunked", "bare LF in a field", "folded field", "two equal lengths"])
def test_byte_by_byte(sink: FakeSink, kind: str) -> None:
    """How the bytes are cut into packets changes nothing, nor that good requests came before on the connection."""
    with serving(WebhookSettings(port=0), sink) as served, served.connect() as connection:
        connection.sendall(head(length=2) + b"{}")
        assert Answer(connection).status == 200
        try:
            for byte in REFUSED[kind]:
                connection.sendall(bytes((byte,)))
        except ConnectionError:
            pass
        assert Answer(connection).status == 400
    assert sink.bodies == [b"{}"]


@pytest.mark.parametrize("kind", ["length beside chunked", "bare LF in a field", "folded field", "two equal lengths"])
def test_behind_a_good_request(sink: FakeSink, kind: str) -> None:
    """The first request is answered, the second refused, the third never read."""
    with serving(WebhookSettings(port=0), sink) as served, served.connect() as connection:
        connection.sendall(head(length=2) + b"{}" + REFUSED[kind] + BEHIND)
        assert [Answer(connection).status for _ in range(2)] == [200, 400]
        assert closed(connection)
    assert sink.bodies == [b"{}"]


@pytest.mark.parametrize(
    "body",
    [b"2\r\n{}\r\n0\r\n\r\n", b"2;name=value\r\n{}\r\n0;last\r\n\r\n", b"0002\r\n{}\r\n000\r\n\r\n"],
    ids=["plain", "extensions", "zeros in front"],
)
def test_good_chunks(sink: FakeSink, body: bytes) -> None:
    """What RFC 9112 lets a sender write is read, and the next request stands where it should."""
    with serving(WebhookSettings(port=0), sink) as served, served.connect() as connection:
        connection.sendall(head("/k8s-audit", None, CHUNKED) + body + BEHIND)
        assert [Answer(connection).status for _ in range(2)] == [200, 200]
    assert sink.bodies == [b"{}", SMUGGLED]
