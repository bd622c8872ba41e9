"""A service whose store comes late, never, or is none: what can be seen of it, and how it goes on."""

from __future__ import annotations

import json
import socket
import sqlite3
from pathlib import Path

import httpx
import pytest

from lanner.store.store import open_store
from tests.app.running import TIMEOUT, WEBHOOK, post, running
from tests.app.test_service import RULES
from tests.cli.builders import event
from tests.cli.conftest import Lanner, lanner

__all__ = ["lanner"]

REFUSED = "the store cannot be opened; senders are told to come again"


@pytest.fixture
def rules(tmp_path: Path) -> Path:
    path = tmp_path / "anything.yaml"
    path.write_text(RULES)
    return path


@pytest.fixture
def blocked(tmp_path: Path) -> Path:
    """A folder of a store that is a file as yet, so that nobody can open the store."""
    path = tmp_path / "store"
    path.write_text("")
    return path


def options(folder: Path) -> tuple[str, ...]:
    return (*WEBHOOK, "-o", f"lanner.store=sqlite:///{folder}/lanner.db")


def test_everything_answers_while_the_store_is_not_there_and_goes_on_when_it_comes(
    tmp_path: Path, rules: Path, blocked: Path
) -> None:
    """Alive, not ready, with metrics; a body is to come again, and is an alert once the store is there."""
    with running(tmp_path / "data", "-r", str(rules), *options(blocked)) as service:
        url, server = service.place("webhook"), service.place("server")
        service.logged(REFUSED)
        assert httpx.get(f"{server}/healthz", timeout=TIMEOUT).status_code == 200
        ready = httpx.get(f"{server}/readyz", timeout=TIMEOUT)
        assert (ready.status_code, ready.json()["problems"]) == (503, ["the store does not work"])
        assert str(blocked) in ready.json()["store"]["error"]
        metrics = httpx.get(f"{server}/metrics", timeout=TIMEOUT).text
        assert "lanner_store_up 0.0" in metrics
        assert 'lanner_source_up{kind="webhook",source="webhook"} 1.0' in metrics
        answer = post(url, json.dumps(event()))
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
        blocked.unlink()
        opened = service.logged("store opened")
        assert "after" in opened
        assert httpx.get(f"{server}/readyz", timeout=TIMEOUT).json()["status"] == "ok"
        assert post(url, json.dumps(event())).status_code == 200
        lines = sorted(service.line().partition(" ")[2] for _ in range(2))
        assert lines[0].startswith("Critical the store refused: ")
        assert lines[1].startswith("Notice create configmaps")
        assert service.stop() == 0
        assert [entry["event"] for entry in service.log].count(REFUSED) == 1
    store = open_store(f"sqlite:///{blocked}/lanner.db", writable=False)
    try:
        (account,) = (one for one in store.counters().sources if one.source == "webhook")
    finally:
        store.close()
    assert (account.evaluated, account.duplicate, account.refused_bodies) == (1, 0, {"unavailable": 1})


def test_status_shows_what_the_service_says_while_the_store_does_not_work(
    tmp_path: Path, rules: Path, blocked: Path, lanner: Lanner
) -> None:
    """Then why there are no counts, with exit code 1; with the store, also whether it is the one of the service."""
    with running(tmp_path / "data", "-r", str(rules), *options(blocked)) as service:
        port = service.place("server").rpartition(":")[2]
        url = service.place("webhook")
        service.logged(REFUSED)
        here = ("-o", f"webserver.listen_port={port}", "-o", f"lanner.store=sqlite:///{blocked}/lanner.db")
        result = lanner("status", *here)
        assert (result.code, result.stderr.startswith("Error: the store `")) == (1, True)
        assert "service: not ready" in result.stdout
        assert f"the store does not work: the store `{blocked}/lanner.db` cannot be opened" in result.stdout
        assert f"source webhook: running {url}" in result.stdout
        document = lanner("status", "--json", *here)
        assert (document.code, json.loads(document.stdout)["service"]["status"]) == (1, "not ready")
        blocked.unlink()
        service.logged("store opened")
        same = lanner("status", *here)
        assert (same.code, "commits into the store below" in same.stdout, "warning" in same.stdout) == (0, True, False)
        open_store(f"sqlite:///{tmp_path}/other.db").close()
        other = ("-o", f"webserver.listen_port={port}", "-o", f"lanner.store=sqlite:///{tmp_path}/other.db")
        differs = lanner("status", *other)
        assert f"warning: the service commits into another store, or names it otherwise: {blocked}" in differs.stdout
        store = json.loads(lanner("status", "--json", *other).stdout)["store"]
        assert store["same_as_of_service"] is False
        assert service.stop() == 0


def test_nothing_came_tells_what_was_refused_and_what_does_not_listen(
    tmp_path: Path, rules: Path, blocked: Path
) -> None:
    """Who looks for a wrong token or a port that is taken finds it there."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        second = ("-o", f"lanner.webhooks[].port={taken.getsockname()[1]}", "-o", "lanner.webhooks[1].name=second")
        more = ("-o", "lanner.webhooks[0].token=right", "-o", "lanner.silence.first_event=1s")
        with running(tmp_path / "data", "-r", str(rules), *options(blocked), *more, *second) as service:
            url = service.place("webhook")
            service.logged("source failed", source="second")
            for _ in range(3):
                assert post(url, json.dumps(event()), authorization="Bearer wrong").status_code == 401
            httpx.get(url)
            blocked.unlink()  # before the store is open, nobody can say that nothing has come
            entry = service.logged("no event has come yet")
    assert (entry["refused"], entry["reasons"]) == (4, "method:1 unauthorized:3")
    assert entry["listening"] == url
    assert entry["not_listening"].startswith("second: [Errno 98]")


def test_a_file_is_read_when_the_store_comes(tmp_path: Path, rules: Path, blocked: Path) -> None:
    """A source that is not pushed to waits; nothing of it is lost or counted twice."""
    (tmp_path / "audit.log").write_text(json.dumps(event()) + "\n")
    more = ("-o", f"lanner.files[].path={tmp_path}/audit.log", "-o", "lanner.files[0].follow=false")
    store = ("-o", f"lanner.store=sqlite:///{blocked}/lanner.db")
    with running(tmp_path / "data", "-r", str(rules), *store, *more) as service:
        service.logged(REFUSED)
        blocked.unlink()
        service.logged("store opened")
        lines = service.rest()
        assert service.process.wait(TIMEOUT) == 0
    assert [line.partition(" ")[2] for line in lines if "Notice" in line] == ["Notice create configmaps <NA> <NA>"]


def test_a_store_that_turns_out_to_be_none_ends_the_run(tmp_path: Path, rules: Path, blocked: Path) -> None:
    """Also if that shows only when it comes: the reason is the last word, with exit code 1."""
    link = tmp_path / "link"
    link.symlink_to(blocked)
    with running(tmp_path / "data", "-r", str(rules), *options(link)) as service:
        service.logged(REFUSED)
        (tmp_path / "other").mkdir()
        (tmp_path / "other" / "lanner.db").write_text("this is no store, whatever its name is " * 100)
        (tmp_path / "new").symlink_to(tmp_path / "other")
        (tmp_path / "new").replace(link)
        assert service.process.wait(TIMEOUT) == 1
        assert service.rest() == []
        last = service.said()[-1]
        assert last.startswith("Error: ")
        assert "is damaged or no SQLite file" in last


def test_a_store_that_never_came_is_an_error(tmp_path: Path, rules: Path, blocked: Path) -> None:
    """Stopped as it was told to, but nothing was ever taken."""
    with running(tmp_path / "data", "-r", str(rules), *options(blocked)) as service:
        service.place("webhook")
        service.logged(REFUSED)
        assert service.stop() == 1
        assert "stopped before the store could be opened: the store" in service.said()[-1]


@pytest.mark.parametrize("url", ["sqlite:///{folder}/x.db?mode=ro", "sqlite:///{folder}/other.db"])
def test_nothing_is_finished_where_nothing_was_started(tmp_path: Path, rules: Path, url: str) -> None:
    """A store that can never work is told, and nothing else but that."""
    with sqlite3.connect(tmp_path / "other.db") as connection:
        connection.execute("CREATE TABLE accounts (name TEXT)")
    connection.close()
    store = url.format(folder=tmp_path)
    with running(tmp_path / "data", "-r", str(rules), *WEBHOOK, "-o", f"lanner.store={store}") as service:
        assert service.process.wait(TIMEOUT) == 1
        (line,) = service.said()
    assert line.startswith("Error: ")
