"""A low limit of open files: connections are bounded below it, and one too low to work with is said at the start."""

from __future__ import annotations

import json
import os
import resource
import socket
from contextlib import ExitStack
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest

from lanner.service import descriptors
from lanner.service.descriptors import Descriptors, limit_of_open_files, needed, share_out
from tests.app.running import TIMEOUT, WEBHOOK, Running, event_list, post, running
from tests.cli.builders import event
from tests.sources.webhook_server import head

CONNECTIONS = int(os.environ.get("LANNER_CONNECTIONS", "200"))
"""How many connections a flood has."""


def under(limit: int) -> tuple[str, ...]:
    """Words before a command that give it this limit of open files."""
    return "bash", "-c", f'ulimit -n {limit} && exec "$@"', "bash"


@pytest.mark.parametrize(
    ("limit", "listeners", "followers", "found"),
    [
        (10**9, 1, 0, Descriptors(512, 64, 128)),
        (4096, 3, 2, Descriptors(512, 64, 128)),
        (1024, 1, 0, Descriptors(512, 64, 128)),
        (1024, 3, 0, Descriptors(309, 64, 128)),
        (256, 1, 1, Descriptors(84, 28, 112)),
        (64, 1, 0, Descriptors(24, 8, 128)),
        (64, 0, 2, Descriptors(512, 4, 8)),
    ],
)
def test_shares(limit: int, listeners: int, followers: int, found: Descriptors) -> None:
    """The store has its own; listeners and followed files share what is left."""
    assert share_out(limit, listeners, followers) == found
    assert found.enough


@pytest.mark.parametrize(("listeners", "followers"), [(1, 0), (0, 1), (1, 1), (3, 0), (5, 7)])
def test_what_is_needed(listeners: int, followers: int) -> None:
    """One descriptor less is not enough, and all of them together never exceed the limit."""
    least = needed(listeners, followers)
    assert not share_out(least - 1, listeners, followers).enough
    for limit in range(least, least + 2000, 7):
        found = share_out(limit, listeners, followers)
        used = found.status_connections + found.connections * listeners + found.open_files * followers
        assert found.enough
        assert used + descriptors.RESERVED <= limit


def test_no_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    """Unlimited is a very large number."""
    monkeypatch.setattr(resource, "getrlimit", lambda _: (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    assert share_out(limit_of_open_files(), 100, 100).full


@pytest.mark.parametrize("command", [("run",), ("run", "--dry-run")])
def test_too_low(tmp_path: Path, command: tuple[str, ...]) -> None:
    """Nothing is started that would fail later, and the way out is named."""
    with running(tmp_path, *command[1:], *WEBHOOK, under=under(40)) as service:
        assert service.process.wait(TIMEOUT) == 1
        said = " ".join(service.said())
    assert "the limit of open files is 40, and the sources need 48" in said
    assert "ulimit -n 4096" in said


def flood(stack: ExitStack, place: str, sent: bytes, number: int = CONNECTIONS) -> None:
    """So many connections that are held, each with the same beginning."""
    url = urlsplit(place)
    for _ in range(number):
        connection = stack.enter_context(socket.create_connection((url.hostname, url.port), TIMEOUT))
        try:
            connection.sendall(sent)
        except ConnectionError:  # it had to make room already
            continue


def open_files(service: Running) -> int:
    return len(list(Path(f"/proc/{service.process.pid}/fd").iterdir()))


@pytest.mark.parametrize("sent", [b"", b"POST /k8s-audit HTTP/1.1\r\nhost:"], ids=["silent", "half headers"])
def test_a_flood_of_connections(tmp_path: Path, sent: bytes) -> None:
    """Under a low limit bodies are still committed and probes answered, while both ports are flooded."""
    (tmp_path / "audit.log").write_text("")
    files = ("-o", f"lanner.files[0].path={tmp_path}/audit.log")
    limit = 80
    with running(tmp_path, *WEBHOOK, *files, under=under(limit)) as service, ExitStack() as stack:
        place = service.place("webhook")
        server = service.place("server")
        for turn in range(3):
            flood(stack, place, sent, CONNECTIONS // 3)
            flood(stack, server, sent, CONNECTIONS // 3)
            assert post(place, event_list([json.dumps(event(number=turn))])).status_code == 200
            assert httpx.get(f"{server}/healthz").status_code == 200
            assert httpx.get(f"{server}/readyz").json()["status"] == "ok"
            assert open_files(service) < limit - 8
        assert service.stop() == 0
        assert not any("no connection can be accepted" in text for text in service.said())


def test_busy_connections(tmp_path: Path) -> None:
    """Those that hold half a body each do not make room for others; that is an alert, and readiness answers."""
    with running(tmp_path, *WEBHOOK, under=under(64)) as service, ExitStack() as stack:
        place = service.place("webhook")
        server = service.place("server")
        url = urlsplit(place)
        for _ in range(24):
            connection = stack.enter_context(socket.create_connection((url.hostname, url.port), TIMEOUT))
            connection.sendall(head("/k8s-audit", 100, "expect: 100-continue"))
            assert connection.recv(1000).startswith(b"HTTP/1.1 100 ")  # from here on it is no longer idle
        flood(stack, place, head(length=100) + b"1", 20)
        assert httpx.get(f"{server}/readyz").status_code == 200
        assert open_files(service) < 56
        alert = service.line()
        while "more than 24 connections, none of them idle" not in alert:
            alert = service.line()
