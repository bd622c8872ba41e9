"""Somebody has the credentials of one cluster and wants the others to be blind: their bodies are all taken."""

from __future__ import annotations

import gzip
import os
import random
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.app.running import TIMEOUT, event_list, running
from tests.torture.bodies import recorded
from tests.torture.test_hostile import MEBIBYTE, peak
from tests.torture.test_kills import SEED
from tests.torture.traffic import Client

CONNECTIONS = int(os.environ.get("LANNER_SLOW_CONNECTIONS", "30"))
SECONDS = float(os.environ.get("LANNER_ATTACK_SECONDS", "4"))
VICTIMS = ("b", "c", "d")
MEMORY = 450 * MEBIBYTE

CONFIG = """
lanner:
  webhooks:
    - port: 0
      paths:
"""
HEAD = (
    "POST /{cluster} HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n"
    "authorization: Bearer secret-{cluster}\r\n{more}\r\n"
)
ALL = 64 * MEBIBYTE
PIECE = b"1" * MEBIBYTE
PACKED = gzip.compress(bytes(range(48, 58)) * (6 * MEBIBYTE), 1)

Attack = Callable[[socket.socket, random.Random], None]


def announce(connection: socket.socket, chance: random.Random) -> None:
    """All there is, and no byte of it."""
    connection.sendall(HEAD.format(cluster="a", more=f"content-length: {ALL}\r\n").encode())


def begin(connection: socket.socket, chance: random.Random) -> None:
    """A large body, and as much of it as goes."""
    announce(connection, chance)
    for _ in range(chance.randrange(1, 64)):
        connection.sendall(PIECE)


def chunked(connection: socket.socket, chance: random.Random) -> None:
    """The same without saying how much is to come."""
    connection.sendall(HEAD.format(cluster="a", more="transfer-encoding: chunked\r\n").encode())
    for _ in range(chance.randrange(1, 64)):
        connection.sendall(b"%x\r\n%s\r\n" % (len(PIECE), PIECE))


def packed(connection: socket.socket, chance: random.Random) -> None:
    """What unpacks to much, without its end."""
    more = f"content-length: {len(PACKED)}\r\ncontent-encoding: gzip\r\n"
    connection.sendall(HEAD.format(cluster="a", more=more).encode() + PACKED[:-1])


ATTACKS: tuple[Attack, ...] = (announce, begin, chunked, packed)


class Attackers:
    """Threads that begin bodies and give them a few bytes now and then, for as long as each connection lasts."""

    def __init__(self, place: str, attacks: tuple[Attack, ...]) -> None:
        self._address = (urlsplit(place).hostname, urlsplit(place).port)
        self._attacks = attacks
        self._stopped = threading.Event()
        self.begun = 0
        self._threads = [threading.Thread(target=self._run, args=(number,)) for number in range(CONNECTIONS)]

    def __enter__(self) -> Attackers:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        for thread in self._threads:
            thread.join()

    def _run(self, number: int) -> None:
        chance = random.Random(SEED + number)
        while not self._stopped.is_set():
            with suppress(OSError), socket.create_connection(self._address, 10) as connection:
                self.begun += 1
                chance.choice(self._attacks)(connection, chance)
                connection.settimeout(0.5)
                while not self._stopped.is_set():
                    with suppress(TimeoutError):
                        if not connection.recv(1000):
                            break
                    connection.send(b"1")


@pytest.mark.parametrize("attack", [None, *ATTACKS], ids=lambda attack: attack.__name__ if attack else "all")
def test_slow_bodies_of_one_cluster(tmp_path: Path, attack: Attack | None, capsys: pytest.CaptureFixture[str]) -> None:
    """However many there are of whatever kind: no body of another cluster is refused, and memory stays bounded."""
    clusters = ("a", *VICTIMS)
    paths = [f"        - {{path: /{name}, cluster: {name}, token: secret-{name}}}" for name in clusters]
    (tmp_path / "falco.yaml").write_text(CONFIG + "\n".join(paths) + "\n")
    answers: Counter[tuple[str, int]] = Counter()
    longest = 0.0
    with running(tmp_path / "data", "-c", str(tmp_path / "falco.yaml"), "-o", "stdout_output.enabled=false") as service:
        places = dict(zip(clusters, service.place("webhook").split(), strict=True))
        client = Client()
        with Attackers(places["a"], (attack,) if attack else ATTACKS) as attackers:
            end = time.monotonic() + SECONDS
            number = 0
            while time.monotonic() < end or number < 30:
                victim = VICTIMS[number % len(VICTIMS)]
                body = event_list(recorded()[number % len(recorded())])
                started = time.monotonic()
                answer = client.post(places[victim], body, authorization=f"Bearer secret-{victim}")
                longest = max(longest, time.monotonic() - started)
                answers[victim, answer.status] += 1
                number += 1
        client.close()
        most = peak(service)
        assert service.process.poll() is None
        service.stop()
    with capsys.disabled():
        print(
            f"\n{attack.__name__ if attack else 'all'}: {attackers.begun} hostile bodies, others: {dict(answers)},"
            f" longest {longest:.2f} s, peak {most / MEBIBYTE:.0f} MiB"
        )
    assert {status for _, status in answers} == {200}
    assert longest < TIMEOUT
    assert most < MEMORY
