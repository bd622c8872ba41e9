"""Whoever reaches the port may send anything: the service stays up, small, right, and open to everybody else."""

from __future__ import annotations

import gzip
import http.client
import os
import random
import socket
import zlib
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest

from tests.app.running import TIMEOUT, Running, event_list, post, running
from tests.torture.bodies import recorded
from tests.torture.test_kills import SEED, options
from tests.torture.test_once import everything
from tests.torture.traffic import Client

BODIES = int(os.environ.get("LANNER_FUZZED_BODIES", "2000"))
CLIENTS = 4 if BODIES < 10_000 else 32
MEBIBYTE = 1024 * 1024
MEMORY = 400 * MEBIBYTE


def peak(service: Running) -> int:
    """The most memory the process had at any moment, in bytes."""
    lines = Path(f"/proc/{service.process.pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:"))


def alive(service: Running, place: str) -> None:
    """It takes a good body, and is still in its bounds."""
    assert post(place, event_list(recorded()[-1])).status_code == 200
    # Either may have started first.
    told = [entry["place"] for entry in service.log if entry.get("source") == "server"]
    server = told[0] if told else service.place("server")
    assert httpx.get(f"{server}/healthz").status_code == 200
    assert peak(service) < MEMORY


def zeros(size: int, level: int = 9) -> bytes:
    """A gzip stream of so many zeros, never unpacked here."""
    packer = zlib.compressobj(level, zlib.DEFLATED, 31)
    piece = bytes(MEBIBYTE)
    return b"".join(packer.compress(piece) for _ in range(size // MEBIBYTE)) + packer.flush()


def test_gzip_bombs(tmp_path: Path) -> None:
    """A thousand times their size, and nobody unpacks that; within the ratio, and beyond the limit."""
    bomb = zeros(256 * MEBIBYTE)
    stored = zeros(80 * MEBIBYTE, level=0)
    with running(tmp_path, *options(f"sqlite:///{tmp_path}/lanner.db")) as service, ThreadPoolExecutor(8) as clients:
        place = service.place("webhook")

        def send(content: bytes) -> int:
            return post(place, content, **{"content-encoding": "gzip"}).status_code

        assert set(clients.map(send, [bomb] * 8)) <= {413, 503}
        assert send(bomb) == 413
        assert send(stored) == 413
        alive(service, place)


LONG = "LANNER_FUZZED_BODIES" in os.environ
TIME = b'"stageTimestamp":"2024-03-05T11:00:00.000000Z"'
DENSE: dict[str, Callable[[], bytes]] = {
    "depth": lambda: b"[" * (10 * MEBIBYTE),
    "one text": lambda: b'"' + b"x" * (40 * MEBIBYTE) + b'"',
    "numbers": lambda: b"[" + b"1," * (20 * MEBIBYTE) + b"1]",
    "items": lambda: event_list([b"{}"] * (8 * MEBIBYTE)),
    "events": lambda: event_list([b"{%b}" % TIME] * MEBIBYTE),
    "depth in events": lambda: event_list([b'{"requestObject":' + b"[" * MEBIBYTE + b"]" * MEBIBYTE + b"}"] * 10),
    "levels of keys": lambda: event_list(
        [b'{"requestObject":' + b'{"":' * MEBIBYTE + b"1" + b"}" * MEBIBYTE + b"}"] * 4
    ),
    "groups": lambda: event_list([b'{%b,"user":{"groups":[' % TIME + b"10," * (16 * MEBIBYTE) + b"1]}}"]),
    "broken at its end": lambda: event_list([b"{}"] * (8 * MEBIBYTE))[:-1],
}


@pytest.mark.parametrize(
    "kind",
    [
        *list(DENSE)[:2],
        *(
            pytest.param(kind, marks=pytest.mark.skipif(not LONG, reason="takes a minute: make torture"))
            for kind in list(DENSE)[2:]
        ),
    ],
)
def test_bodies_with_very_many_pieces(tmp_path: Path, kind: str) -> None:
    """Within the limit of bytes, made to cost much more than that."""
    with running(tmp_path, *options(f"sqlite:///{tmp_path}/lanner.db")) as service:
        place = service.place("webhook")
        assert post(place, DENSE[kind]()).status_code in (200, 413)
        alive(service, place)


def test_slow_clients_and_halves(tmp_path: Path) -> None:
    """While many connections hold half a request, all others are served as ever."""
    with running(tmp_path, *options(f"sqlite:///{tmp_path}/lanner.db")) as service:
        place = service.place("webhook")
        url = urlsplit(place)
        head = f"POST {url.path} HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\n".encode()
        halves = (
            b"",
            b"PO",
            head,
            head + b"content-length: 1000\r\n\r\n{",
            head + b"transfer-encoding: chunked\r\n\r\n5",
        )
        held: list[socket.socket] = []
        try:
            for number in range(150):
                held.append(socket.create_connection((url.hostname, url.port), TIMEOUT))
                held[-1].sendall(halves[number % len(halves)])
            chosen = recorded()[-1]
            for _ in range(20):
                assert post(place, event_list(chosen)).status_code == 200
            for connection in held[::2]:
                connection.close()
            alive(service, place)
        finally:
            for connection in held:
                connection.close()
        assert service.stop() == 0
    _, books = everything(f"sqlite:///{tmp_path}/lanner.db")
    assert (books.evaluated, books.duplicate) == (len(chosen), 20 * len(chosen))


TOKENS = (
    b'"', b"\\", b"\\ud800", b"\0", b"\xff\xfe", b"{", b"}", b"[", b"]", b",", b":", b"null", b"1e999", b"-", b"NaN",
    b'"kind":"EventList"', b'"items":[', b'"auditID":""', b'"stage":5', b'"objectRef":[]', b'"user":null', b"[" * 300,
    b'"annotations":{"audit.k8s.io/truncated":"true"}', b'"stageTimestamp":"9999-99-99T99:99:99Z"',
)  # fmt: skip


def mutated(chance: random.Random) -> bytes:
    """A body of a few good events with some damage; at times nothing but damage."""
    if chance.random() < 0.05:
        return chance.randbytes(chance.randrange(200))
    chunk = recorded()[chance.randrange(len(recorded()))]
    small = [event for event in chunk if len(event) < 8192] or [chunk[0][:8192]]
    body = bytearray(event_list(chance.choices(small, k=chance.randrange(1, 4))))
    for _ in range(chance.randrange(1, 6)):
        start = chance.randrange(len(body) + 1)
        end = min(len(body), start + chance.randrange(1, 40))
        match chance.randrange(6):
            case 0:
                body[start:end] = b""
            case 1:
                body[start:start] = chance.choice(TOKENS)
            case 2:
                body[start:end] = chance.choice(TOKENS)
            case 3:
                body[start:end] = chance.randbytes(end - start)
            case 4:
                body[start:start] = body[start:end] * chance.randrange(1, 20)
            case _:
                del body[start:]
    return bytes(body)


def fuzz(place: str, seed: int, count: int) -> Counter[tuple[str, int]]:
    """Post so many; how, and what was answered, counted. Packed ones are damaged once more behind the packing."""
    chance = random.Random(seed)
    client = Client()
    answers: Counter[tuple[str, int]] = Counter()
    for _ in range(count):
        content, way, headers = mutated(chance), "plain", {}
        if chance.random() < 0.05:
            content, way, headers = gzip.compress(content, 1), "packed", {"content-encoding": "gzip"}
            if chance.random() < 0.5:
                cut = chance.randrange(len(content))
                content, way = content[:cut] + chance.randbytes(4) + content[cut + 4 :], "damaged"
        try:
            status = client.post(place, content, **headers).status
        except (http.client.HTTPException, ConnectionError):
            status = 0
        answers[way, status] += 1
        if chance.random() < 0.01:
            garbage(place, chance)
    client.close()
    return answers


def garbage(place: str, chance: random.Random) -> None:
    """What is no request, on a connection of its own."""
    url = urlsplit(place)
    with socket.create_connection((url.hostname, url.port), TIMEOUT) as connection:
        head = b"POST /k8s-audit HTTP/1.1\r\ncontent-length: 10\r\n\r\n"
        connection.sendall(head[: chance.randrange(len(head))] + chance.randbytes(chance.randrange(1, 500)))


def test_mutated_bodies(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Whatever is in a body: it is answered, it is in the books, and good events beside it are evaluated."""
    url = f"sqlite:///{tmp_path}/lanner.db"
    with running(tmp_path, *options(url), "-o", "stdout_output.enabled=false") as service:
        place = service.place("webhook")
        with ThreadPoolExecutor(CLIENTS) as clients:
            seeds = range(SEED, SEED + CLIENTS)
            parts = clients.map(fuzz, [place] * CLIENTS, seeds, [BODIES // CLIENTS] * CLIENTS)
            answers = sum(parts, Counter())
        alive(service, place)
        most = peak(service)
        assert service.stop() == 0
    _, books = everything(url)
    taken = sum(count for (_, status), count in answers.items() if status == 200)
    assert {status for way, status in answers if way != "damaged"} == {200}
    assert {status for way, status in answers if way == "damaged"} <= {200, 400, 413}
    assert books.bodies == taken + 1
    assert books.received == books.evaluated + books.duplicate + books.malformed
    assert min(books.evaluated, books.malformed) > taken // 10
    with capsys.disabled():
        print(
            f"\n{taken} mutated bodies, seed {SEED}: {books.evaluated} events, {books.malformed} malformed pieces,",
            end=" ",
        )
        print(f"peak {most / MEBIBYTE:.0f} MiB, store {Path(tmp_path / 'lanner.db').stat().st_size / MEBIBYTE:.0f} MiB")
