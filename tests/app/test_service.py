"""The service end to end: a real process, real requests, a real store."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import socket
import sqlite3
import time
from collections import Counter
from pathlib import Path

import httpx
import pytest

from lanner.cli.loading import shipped_rules
from lanner.config import Config
from lanner.decode import decode
from lanner.engine.engine import Engine
from lanner.engine.loader import load_rules
from lanner.store.records import AlertFilter, Batch, SourceCounters, StoredAlert
from lanner.store.store import open_store
from tests.app.running import WEBHOOK, event_list, post, running
from tests.cli.builders import event
from tests.cli.test_store_commands import HOUR, alert

ATTACK = (Path(__file__).resolve().parent.parent.parent / "examples" / "attack.jsonl").read_bytes().splitlines()


def stored(folder: Path) -> list[StoredAlert]:
    store = open_store(f"sqlite:///{folder}/lanner.db", writable=False)
    try:
        return store.alerts(AlertFilter(), 10_000)
    finally:
        store.close()


def books(folder: Path) -> dict[tuple[str, str], SourceCounters]:
    store = open_store(f"sqlite:///{folder}/lanner.db", writable=False)
    try:
        return {(c.source, c.cluster): c for c in store.counters().sources}
    finally:
        store.close()


def secret(name: str) -> dict[str, object]:
    """An event on a secret whose bodies are in it."""
    found = event(name)
    found["objectRef"] = {"resource": "secrets", "namespace": "default", "name": name}
    found["level"] = "RequestResponse"
    found["requestObject"] = {"kind": "Secret", "data": {"password": "aHVudGVyMg=="}, "stringData": {"a": "hunter2"}}
    found["responseObject"] = {"kind": "Secret", "data": {"password": "aHVudGVyMg=="}, "type": "Opaque"}
    return found


RULES = """\
- rule: Anything
  desc: Everything that has a verb
  condition: ka.verb exists
  output: "%ka.verb %ka.target.resource %jevt.value[/requestObject/stringData] %jevt.value[/responseObject/data]"
  priority: NOTICE
  source: k8s_audit
  tags: [one, two]
"""


@pytest.fixture
def rules(tmp_path: Path) -> Path:
    path = tmp_path / "anything.yaml"
    path.write_text(RULES)
    return path


def test_alerts_are_those_of_the_engine_and_the_books_balance(tmp_path: Path) -> None:
    """What was posted is acknowledged, evaluated, stored and written out once; sent again it is a duplicate."""
    with running(tmp_path, *WEBHOOK, "-o", "json_output=true") as service:
        url = service.place("webhook")
        bodies = [event_list(ATTACK[start : start + 50]) for start in range(0, len(ATTACK), 50)]
        for body in [*bodies, bodies[0]]:
            answer = post(url, body)
            assert (answer.status_code, answer.content) == (200, b"")
        assert service.stop() == 0
        written = [json.loads(line) for line in service.rest()]
    engine = Engine(load_rules(shipped_rules()).ruleset, Config.default({"FALCO_HOSTNAME": "test-host"}))
    wanted = Counter((alert.rule, alert.message) for line in ATTACK for alert in engine.process(line))
    found = stored(tmp_path)
    assert Counter((alert.rule, alert.output.partition(" ")[2].partition(" ")[2]) for alert in found) == wanted
    assert sorted(alert["id"] for alert in written) == sorted(alert.id for alert in found)
    (account,) = books(tmp_path).values()
    assert (account.received, account.evaluated, account.duplicate) == (len(ATTACK) + 50, len(ATTACK), 50)
    assert account.bodies == len(bodies) + 1
    assert oct((tmp_path / "lanner.db").stat().st_mode)[-3:] == "600"


def test_alerts_carry_id_and_cluster(tmp_path: Path, rules: Path) -> None:
    """The document has Falco's keys and two more; the text is Falco's."""
    options = ("-r", str(rules), "-o", "lanner.webhooks[].port=0", "-o", "lanner.webhooks[0].cluster=prod")
    with running(tmp_path / "data", *options) as service:
        post(service.place("webhook"), json.dumps(event()))
        assert service.line() == "03:04:05.000001000: Notice create configmaps <NA> <NA>"
        service.stop()
    (alert,) = stored(tmp_path / "data")
    document = json.loads(alert.document)
    assert set(document) == {
        "hostname", "output", "output_fields", "priority", "rule", "source", "tags", "time", "id", "cluster",
    }  # fmt: skip
    assert (document["id"], document["cluster"], document["tags"]) == (alert.id, "prod", ["one", "two"])


def test_two_attacks_under_one_audit_id_are_two_alerts(tmp_path: Path, rules: Path) -> None:
    """Clients choose the audit id, so it tells no events apart; the same event in two bodies is one alert."""
    first, second = event(number=1), event(number=2)
    second["auditID"] = first["auditID"]
    with running(tmp_path / "data", "-r", str(rules), *WEBHOOK) as service:
        url = service.place("webhook")
        post(url, json.dumps(first))
        post(url, event_list([json.dumps(first), json.dumps(second)]))
        service.stop()
        assert len(service.rest()) == 2
    assert len(stored(tmp_path / "data")) == 2


@pytest.mark.parametrize(
    ("common", "first", "second"),
    [
        pytest.param(
            {"apiVersion": "audit.k8s.io/v1beta1", "stageTimestamp": None, "requestReceivedTimestamp": None},
            {"timestamp": "2017-10-01T10:00:00Z"},
            {"timestamp": "2017-10-01T10:00:09Z"},
            id="at other times of an old version",
        ),
        pytest.param({}, {"requestURI": "/a"}, {"requestURI": "/b"}, id="on other URIs"),
        pytest.param({}, {"verb": "patch"}, {"verb": "update"}, id="with other verbs"),
        pytest.param({}, {"user": {"username": "a"}}, {"user": {"username": "b"}}, id="by other users"),
        pytest.param(
            {},
            {"impersonatedUser": {"username": "a"}},
            {"impersonatedUser": {"username": "b"}},
            id="as other users",
        ),
        pytest.param({}, {"requestObject": {"a": 1}}, {"requestObject": {"a": 2}}, id="with other bodies"),
    ],
)
def test_requests_that_differ_are_two_alerts(
    common: dict[str, object], first: dict[str, object], second: dict[str, object], tmp_path: Path, rules: Path
) -> None:
    """Under one audit id, in one second, told to the second: a client cannot make two attacks one. What is sent again
    is still one."""
    times = {"stageTimestamp": "2026-01-02T03:04:05Z", "requestReceivedTimestamp": "2026-01-02T03:04:05Z"}
    texts = [json.dumps({**event(), **times, **common, **own}) for own in (first, second)]
    with running(tmp_path / "data", "-r", str(rules), *WEBHOOK) as service:
        url = service.place("webhook")
        post(url, event_list(texts))
        post(url, event_list(texts[::-1]))
        service.stop()
    assert len(stored(tmp_path / "data")) == 2


def test_bad_neighbours_cost_nothing(tmp_path: Path, rules: Path) -> None:
    """Malformed, oversize and truncated events are counted and are alerts themselves; their neighbours count."""
    large = {**event(number=3), "padding": "x" * 5000}
    truncated = {**event(number=4), "annotations": {"audit.k8s.io/truncated": "true"}}
    items = [json.dumps(item) for item in (event(), 5, {"kind": "Event"}, large, truncated)]
    with running(tmp_path / "data", "-r", str(rules), *WEBHOOK, "-o", "lanner.limits.event=4KiB") as service:
        url = service.place("webhook")
        assert post(url, event_list(items)).status_code == 200
        assert post(url, b"{not json").status_code == 200
        service.stop()
    (account,) = books(tmp_path / "data").values()
    counts = (account.received, account.evaluated, account.malformed, account.oversize, account.truncated)
    assert counts == (6, 3, 3, 1, 1)
    assert Counter(alert.rule for alert in stored(tmp_path / "data")) == {
        "Anything": 3,
        "Lanner internal: malformed events": 2,
        "Lanner internal: oversize event": 1,
        "Lanner internal: truncated event": 1,
    }
    assert {alert.source for alert in stored(tmp_path / "data")} == {"k8s_audit", "internal"}


def test_a_flood_of_malformed_bodies_is_a_few_alerts(tmp_path: Path) -> None:
    """The books have all of them, the store the first and one that tells how many more, also when it stops before the
    minute is over; a body that comes again changes nothing."""
    with running(tmp_path, *WEBHOOK) as service:
        url = service.place("webhook")
        for number in [*range(30), 3, 29]:
            assert post(url, b'{"no": %d' % number).status_code == 200
        assert service.stop() == 0
        lines = service.rest()
    found = [alert for alert in stored(tmp_path) if alert.rule == "Lanner internal: malformed events"]
    assert len(found) == len(lines) == 11
    assert "20 more `Lanner internal: malformed events` alerts from source webhook since" in found[0].output
    (account,) = (one for one in books(tmp_path).values() if one.source == "webhook")
    assert (account.received, account.malformed, account.duplicate) == (32, 30, 2)


def test_standard_output_goes_on_where_it_was_killed(tmp_path: Path, rules: Path) -> None:
    """What was committed and not written when the process was gone comes at the next start, before what is new."""
    read, write = os.pipe()
    fcntl.fcntl(write, fcntl.F_SETPIPE_SZ, 4096)
    options = ("-r", str(rules), *WEBHOOK, "-o", "json_output=true")
    with running(tmp_path / "data", *options, stdout=write) as service:
        url = service.place("webhook")
        for number in range(200):  # far more than the pipe takes
            assert post(url, json.dumps(event(f"name-{number}", number=number))).status_code == 200
        service.stop(signal.SIGKILL)
    os.close(write)
    os.close(read)
    with running(tmp_path / "data", *options) as service:
        told = [json.loads(service.line())["id"] for _ in range(150)]
        assert post(service.place("webhook"), json.dumps(event(number=1000))).status_code == 200
        assert service.stop() == 0
        told += [json.loads(line)["id"] for line in service.rest()]
    ids = [alert.id for alert in sorted(stored(tmp_path / "data"), key=lambda alert: alert.seq)]
    assert told == ids[-len(told) :]
    with running(tmp_path / "data", *options) as service:
        service.place("webhook")
        assert service.stop() == 0
        assert service.rest() == []


def test_secrets_are_kept_nowhere(tmp_path: Path, rules: Path) -> None:
    """Neither events nor outputs nor files on disk hold what is redacted; the rest is there."""
    with running(tmp_path / "data", "-r", str(rules), *WEBHOOK) as service:
        post(service.place("webhook"), json.dumps(secret("database")))
        line = service.line()
        service.stop()
    assert '{"a":"[redacted]"} {"password":"[redacted]"}' in line
    store = open_store(f"sqlite:///{tmp_path}/data/lanner.db", writable=False)
    try:
        alert = store.alert(stored(tmp_path / "data")[0].id)
    finally:
        store.close()
    assert alert is not None
    assert alert.event is not None
    assert json.loads(alert.event)["responseObject"]["type"] == "Opaque"
    for file in (tmp_path / "data").iterdir():
        assert b"hunter2" not in file.read_bytes()
        assert b"aHVudGVyMg" not in file.read_bytes()


def test_clusters_have_their_own_paths_and_tokens(tmp_path: Path, rules: Path) -> None:
    """A cluster cannot post as another; refusals are counted and kept."""
    config = tmp_path / "falco.yaml"
    (tmp_path / "token").write_text("secret-two\n")
    config.write_text(
        "lanner:\n  webhooks:\n    - port: 0\n      paths:\n"
        "        - {path: /one, cluster: one, token: secret-one}\n"
        f"        - {{path: /two, cluster: two, token_file: {tmp_path}/token}}\n"
    )
    with running(tmp_path / "data", "-c", str(config), "-r", str(rules)) as service:
        one, two = service.place("webhook").split()
        body = json.dumps(event())
        assert post(one, body, authorization="Bearer secret-one").status_code == 200
        assert post(two, body, authorization="Bearer secret-one").status_code == 401
        assert post(two, body, authorization="Bearer secret-two").status_code == 200
        service.stop()
        assert all("secret-" not in json.dumps(entry) for entry in service.log)
    found = books(tmp_path / "data")
    assert found["webhook", "one"].evaluated == found["webhook", "two"].evaluated == 1
    assert sum(found["webhook", "two"].refused_bodies.values()) == 1


def test_counts_and_duplicates_survive_restarts(tmp_path: Path, rules: Path) -> None:
    """Killed without warning, it knows afterwards what it had acknowledged."""
    body = json.dumps(event())
    for how in (signal.SIGKILL, signal.SIGTERM):
        with running(tmp_path / "data", "-r", str(rules), *WEBHOOK) as service:
            assert post(service.place("webhook"), body).status_code == 200
            service.stop(how)
    (account,) = books(tmp_path / "data").values()
    assert (account.received, account.evaluated, account.duplicate) == (2, 1, 1)
    assert len(stored(tmp_path / "data")) == 1


def test_a_source_that_fails_is_tried_again_while_others_go_on(tmp_path: Path, rules: Path) -> None:
    """A port that is taken shows in readiness and metrics; when it is free the source comes up by itself."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        options = (*WEBHOOK, "-o", f"lanner.webhooks[].port={port}", "-o", "lanner.webhooks[1].name=second")
        service = running(tmp_path / "data", "-r", str(rules), *options)
        with service as process:
            process.logged("source failed", source="second")
            server = process.place("server")
            answer = httpx.get(f"{server}/readyz")
            states = {source["name"]: source["state"] for source in answer.json()["sources"]}
            assert (answer.status_code, answer.json()["status"]) == (200, "degraded")
            assert states == {"webhook": "running", "second": "failed"}
            assert 'lanner_source_up{kind="webhook",source="second"} 0.0' in httpx.get(f"{server}/metrics").text
            taken.close()
            second = process.place("second")
            assert post(second, json.dumps(event())).status_code == 200
            assert httpx.get(f"{server}/readyz").json()["status"] == "ok"
            assert process.stop() == 0


def test_silence_is_an_alert(tmp_path: Path, rules: Path) -> None:
    """A cluster that was heard and is silent beyond its limit is told, with its name."""
    options = ("-o", "lanner.webhooks[0].cluster=prod", "-o", "lanner.silence.after=1s")
    with running(tmp_path / "data", "-r", str(rules), *WEBHOOK, *options) as service:
        post(service.place("webhook"), json.dumps(event()))
        service.line()
        assert "Critical nothing has come from cluster prod (source webhook)" in service.line()
        service.stop()
    assert {(alert.source, alert.cluster) for alert in stored(tmp_path / "data")} == {
        ("internal", "prod"),
        ("k8s_audit", "prod"),
    }


FIRST_EVENT = ("-o", "lanner.silence.first_event=1s")


def test_nothing_came_is_told_once_with_advice(tmp_path: Path) -> None:
    """Somebody who forgot a flag of the API server learns which."""
    with running(tmp_path, *WEBHOOK, *FIRST_EVENT) as service:
        entry = service.logged("no event has come yet")
        assert "--audit-webhook-config-file" in entry["check"]
        assert entry["listening"].endswith("/k8s-audit")
        assert (entry["refused"], "reasons" in entry, "not_listening" in entry) == (0, False, False)


def test_what_came_before_a_restart_has_come(tmp_path: Path, rules: Path) -> None:
    """The store knows it, so there is no advice; a source that nobody has heard is another matter."""
    with running(tmp_path / "data", "-r", str(rules), *WEBHOOK) as service:
        assert post(service.place("webhook"), json.dumps(event())).status_code == 200
        service.stop()
    # Silence is looked at before the advice is given, so behind it the advice would be there.
    silence = ("-o", "lanner.silence.after=3s")
    with running(tmp_path / "data", "-r", str(rules), *WEBHOOK, *FIRST_EVENT, *silence) as service:
        url = service.place("webhook")
        service.logged("cluster went silent")
        assert post(url, json.dumps(event(number=2))).status_code == 200
        again = service.logged("cluster is heard again")
        assert (again["source"], again["cluster"], again["seconds"] >= 3) == ("webhook", "", True)
        assert service.stop() == 0
        assert "no event has come yet" not in service.said()
    renamed = ("-o", "lanner.webhooks[0].name=renamed")
    with running(tmp_path / "data", "-r", str(rules), *WEBHOOK, *FIRST_EVENT, *renamed) as service:
        service.logged("no event has come yet")


def test_old_alerts_are_removed_at_the_start(tmp_path: Path, rules: Path) -> None:
    """So also by a service that never runs for long."""
    store = open_store(f"sqlite:///{tmp_path}/data/lanner.db")
    store.commit([Batch("webhook", "", time.time_ns() - HOUR, digest=b"d", evaluated=1, alerts=(alert(2),))])
    store.close()
    with running(tmp_path / "data", "-r", str(rules), *WEBHOOK, "-o", "lanner.retention.age=30m") as service:
        assert service.logged("old alerts removed")["removed"] == 1
    assert stored(tmp_path / "data") == []


def test_files_are_read_once_and_the_service_ends(tmp_path: Path, rules: Path) -> None:
    """With nothing left to read, the service ends as it should; read again, nothing counts twice."""
    (tmp_path / "audit.log").write_bytes(b"\n".join(ATTACK) + b"\n")
    config = tmp_path / "falco.yaml"
    config.write_text(
        f"plugins:\n  - name: k8saudit\n    library_path: libk8saudit.so\n    open_params: {tmp_path}/audit.log\n"
    )
    for _ in range(2):
        with running(tmp_path / "data", "-c", str(config), "-r", str(rules)) as service:
            assert service.process.wait(60) == 0
    (account,) = books(tmp_path / "data").values()
    assert (account.source, account.evaluated) == ("k8saudit", len(ATTACK))


def test_a_store_that_is_locked_refuses_and_recovers(tmp_path: Path, rules: Path) -> None:
    """While the store takes nothing the answer is 503 with Retry-After; afterwards all goes on and an alert tells."""
    with running(tmp_path / "data", "-r", str(rules), *WEBHOOK) as service:
        url = service.place("webhook")
        server = service.place("server")
        blocker = sqlite3.connect(tmp_path / "data" / "lanner.db", isolation_level=None)
        blocker.execute("BEGIN IMMEDIATE")
        answer = post(url, json.dumps(event()))
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
        assert httpx.get(f"{server}/readyz").json()["store"]["up"] is False
        assert httpx.get(f"{server}/healthz").json() == {"status": "ok"}
        blocker.execute("ROLLBACK")
        blocker.close()
        assert post(url, json.dumps(event())).status_code == 200
        service.logged("the store works again")
        lines = sorted(service.line().partition(" ")[2] for _ in range(2))
        assert lines[0].startswith("Critical the store refused: ")
        assert lines[1].startswith("Notice create configmaps")
        service.stop()
        assert [event for event in service.said() if "works again" in event] == ["the store works again"]
    assert books(tmp_path / "data")["webhook", ""].evaluated == 1


def test_odd_and_large_bodies_go_to_the_thread_and_come_out_the_same(tmp_path: Path, rules: Path) -> None:
    """A body that only the tolerant scanner reads gives the alerts that any other gives."""
    odd = json.dumps({**event(), "padding": "\ud800" + "x" * 50_000})
    with running(tmp_path / "data", "-r", str(rules), *WEBHOOK) as service:
        assert post(service.place("webhook"), event_list([odd, json.dumps(event(number=2))])).status_code == 200
        service.stop()
    assert [alert.rule for alert in stored(tmp_path / "data")] == ["Anything", "Anything"]
    assert decode(odd.encode()).events


def test_a_reader_that_goes_away_does_not_stop_the_service(tmp_path: Path, rules: Path) -> None:
    """Alerts are in the store whoever reads standard output."""
    with running(tmp_path / "data", "-r", str(rules), *WEBHOOK) as service:
        url = service.place("webhook")
        assert service.process.stdout is not None
        for number in range(3):
            assert post(url, json.dumps(event(number=number))).status_code == 200
        assert service.stop() == 0
    assert len(stored(tmp_path / "data")) == 3
