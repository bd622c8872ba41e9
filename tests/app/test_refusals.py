"""Which refused requests raise an alert, when, and how many; and what the service says of overload."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from lanner.pipeline import Pipeline
from lanner.service.accounts import Accounts
from lanner.service.internal import LOST, NOT_TAKEN, OVERLOAD
from lanner.service.refusals import MAX_BODIES, MAX_PEERS, MAX_SENDINGS, OVERLOADED_NS, WINDOW_NS, RefusalWatch, Refused
from lanner.sources.base import Overloaded
from lanner.sources.refusal import CONSEQUENCES, Consequence, Reason, Refusal
from lanner.store.committer import QueueFull
from lanner.store.records import Batch, StoredAlert
from lanner.store.store import open_store
from tests.app.running import TIMEOUT, free_port, post, running
from tests.sources.webhook_server import Answer, closed, head
from tests.store.builders import NOW, SECOND

EVERY = [(reason, consequence) for reason, consequence in CONSEQUENCES.items() if consequence is not None]


def refusal(reason: Reason, size: int = 100, peer: str = "10.0.0.7:4000", cluster: str = "prod") -> Refusal:
    return Refusal(cluster, reason, "the cause", 400, size, peer)


def add(watch: RefusalWatch, *refusals: Refusal, now: int = NOW) -> None:
    for one in refusals:
        watch.add("webhook", one, now)


def counts(found: list[Refused]) -> list[tuple[str, int]]:
    return [(one.last.reason, one.count) for one in found]


def test_every_reason_means_something() -> None:
    """A new reason is either worth an alert, or has one elsewhere."""
    assert set(CONSEQUENCES) == set(Reason)
    assert {reason for reason, consequence in CONSEQUENCES.items() if consequence is None} == {Reason.UNAVAILABLE}
    watch = RefusalWatch()
    add(watch, refusal(Reason.UNAVAILABLE))
    assert watch.due(NOW, everything=True) == []


@pytest.mark.parametrize(("reason", "consequence"), EVERY)
def test_the_first_at_once_then_one_for_each_window(reason: Reason, consequence: Consequence) -> None:
    """However many there are; when there were none for a window, the next one is the first again."""
    watch, window = RefusalWatch(), WINDOW_NS[consequence]
    add(watch, refusal(reason))
    assert counts(watch.due(NOW)) == [(reason, 1)]
    for number in range(1, 500):
        add(watch, refusal(reason, size=1000 + number), now=NOW + number)
        assert watch.due(NOW + number) == []
    (told,) = watch.due(NOW + window)
    assert (told.count, told.since_ns, told.largest) == (499, NOW + 1, 1499)
    add(watch, refusal(reason, size=7), now=NOW + window + 1)
    assert watch.due(NOW + window + 1) == []
    assert counts(watch.due(NOW + 2 * window)) == [(reason, 1)]
    assert watch.due(NOW + 3 * window) == []
    add(watch, refusal(reason), now=NOW + 4 * window)
    assert counts(watch.due(NOW + 4 * window)) == [(reason, 1)]


@pytest.mark.parametrize(("reason", "consequence"), EVERY)
def test_retries_of_what_is_lost_are_no_news(reason: Reason, consequence: Consequence) -> None:
    """The API server sends the same body up to five times; of another kind each request counts."""
    watch, window = RefusalWatch(), WINDOW_NS[consequence]
    add(watch, refusal(reason))
    assert counts(watch.due(NOW)) == [(reason, 1)]
    add(watch, *(refusal(reason, peer=f"10.0.0.7:{port}") for port in range(5000, 5004)), now=NOW + 60 * SECOND)
    assert counts(watch.due(NOW + window)) == ([] if consequence is Consequence.LOST else [(reason, 4)])
    assert watch.due(NOW + 2 * window) == []


@pytest.mark.parametrize("sendings", [1, 5])
@pytest.mark.parametrize("seconds", [10, 60, 240])
def test_a_loss_that_goes_on_stays_news(sendings: int, seconds: int) -> None:
    """Bodies of one size from one sender, each of them lost: an alert for each window, or for as many as one body can
    cause, whichever takes longer.
    """
    watch, window = RefusalWatch(), WINDOW_NS[Consequence.LOST] // SECOND
    end, alerts = 4 * 3600, 0
    for second in range(0, end, 10):
        if second % seconds == 0:
            add(watch, *[refusal(Reason.TOO_LARGE)] * sendings, now=NOW + second * SECOND)
        alerts += len(watch.due(NOW + second * SECOND))
    assert alerts >= end // (window + MAX_SENDINGS * seconds // sendings)


OTHER_BODIES = {
    "another size": {"size": 101},
    "another sender": {"peer": "10.0.0.8:4000"},
    "another family": {"peer": "[fd00::7]:4000"},
}


@pytest.mark.parametrize("name", OTHER_BODIES)
def test_another_body_is_news(name: str) -> None:
    """It is another loss; the count is that of all requests since the last alert."""
    watch = RefusalWatch()
    add(watch, refusal(Reason.TOO_LARGE))
    watch.due(NOW)
    another = refusal(Reason.TOO_LARGE, **OTHER_BODIES[name])  # type: ignore[arg-type]
    add(watch, refusal(Reason.TOO_LARGE), another, now=NOW + 1)
    assert counts(watch.due(NOW + WINDOW_NS[Consequence.LOST])) == [(Reason.TOO_LARGE, 2)]


Change = Callable[[RefusalWatch], None]
ELSEWHERE: dict[str, Change] = {
    "another cluster": lambda watch: watch.add("webhook", refusal(Reason.DAMAGED, cluster="lab"), NOW),
    "another source": lambda watch: watch.add("second", refusal(Reason.DAMAGED), NOW),
    "another reason": lambda watch: watch.add("webhook", refusal(Reason.TOO_LARGE), NOW),
}


@pytest.mark.parametrize("name", ELSEWHERE)
def test_a_flood_hides_no_other(name: str) -> None:
    """Each kind has an alert of its own."""
    watch = RefusalWatch()
    add(watch, *[refusal(Reason.DAMAGED)] * 1000)
    assert len(watch.due(NOW)) == 1
    ELSEWHERE[name](watch)
    assert len(watch.due(NOW + 1)) == 1


def test_what_is_kept_is_bounded() -> None:
    """However many senders and sizes there are."""
    watch = RefusalWatch()
    for number in range(3 * MAX_BODIES):
        peer = f"10.0.{number // 250}.{number % 250}:1"
        add(watch, refusal(Reason.TOO_LARGE, number, peer), refusal(Reason.TLS, 0, peer, ""))
    found = watch.due(NOW)
    assert [(len(one.peers), one.more_peers, one.count) for one in found] == [(MAX_PEERS, True, 3 * MAX_BODIES)] * 2


def test_nothing_is_left_at_the_end() -> None:
    """Stopped before a window is over, the rest is reported; a clock that was set back keeps nothing waiting."""
    watch = RefusalWatch()
    add(watch, refusal(Reason.TLS), refusal(Reason.TOO_SLOW))
    watch.due(NOW)
    add(watch, refusal(Reason.TLS), now=NOW - 7200 * SECOND)
    assert counts(watch.due(NOW - 7200 * SECOND)) == [(Reason.TLS, 1)]
    add(watch, refusal(Reason.TOO_SLOW), now=NOW + 1)
    assert counts(watch.due(NOW + 1, everything=True)) == [(Reason.TOO_SLOW, 1)]
    assert watch.due(NOW + 1, everything=True) == []


def test_overload_lasts_a_minute() -> None:
    """From the last request that found no room."""
    watch = RefusalWatch()
    add(watch, *[refusal(Reason.OVERLOAD)] * 3, refusal(Reason.OVERLOAD, cluster=""), refusal(Reason.TOO_LARGE))
    assert watch.overloaded(NOW) == {("webhook", "prod"): 3, ("webhook", ""): 1}
    add(watch, refusal(Reason.OVERLOAD), now=NOW + OVERLOADED_NS - 1)
    assert watch.overloaded(NOW + OVERLOADED_NS) == {("webhook", "prod"): 4}
    add(watch, refusal(Reason.OVERLOAD), now=NOW + OVERLOADED_NS)
    assert watch.overloaded(NOW + OVERLOADED_NS) == {("webhook", "prod"): 1}
    assert watch.overloaded(NOW + 3 * OVERLOADED_NS) == {}


def test_what_anybody_can_cause_is_no_overload() -> None:
    """Connections that show no credentials fill a listener: one alert an hour, and no cluster counts as overloaded."""
    watch = RefusalWatch()
    add(watch, *[refusal(Reason.CONNECTIONS, cluster="")] * 1000)
    (found,) = watch.due(NOW)
    assert (found.consequence, found.count) == (Consequence.UNPROVEN, 1000)
    assert watch.overloaded(NOW) == {}
    add(watch, refusal(Reason.CONNECTIONS, cluster=""), now=NOW + 1)
    assert watch.due(NOW + 3600 * SECOND - 1) == []


CONFIG = """
lanner:
  limits: {body: 1MiB, in_flight: 1MiB, header_timeout: 1s}
  webhooks:
    - port: 0
      paths:
        - {path: /one, cluster: one, token: secret-one}
        - {path: /two, cluster: two, token: secret-two}
"""
TOKEN = "authorization: Bearer secret-one"
LARGE = 2 * 1024 * 1024


def configured(tmp_path: Path) -> tuple[str, ...]:
    (tmp_path / "falco.yaml").write_text(CONFIG)
    return "-c", str(tmp_path / "falco.yaml")


def raw(*pieces: bytes) -> bytes:
    return b"".join(pieces)


REFUSED: list[tuple[str, bytes, str, str, int, str]] = [
    # What was sent, and the rule, cluster and size of the alert.
    ("too_large", head("/one", LARGE, TOKEN), LOST, "one", LARGE, "--audit-webhook-batch-max-size"),
    ("damaged", raw(head("/one", 3, TOKEN, "content-encoding: gzip"), b"abc"), LOST, "one", 3, "gzip"),
    ("content_encoding", head("/one", 3, TOKEN, "content-encoding: br"), LOST, "one", 3, "gzip"),
    (
        "content_type",
        head("/one", 3, TOKEN).replace(b"application/json", b"text/plain"),
        LOST, "one", 3, "application/json",
    ),
    ("incomplete", raw(head("/one", 9, TOKEN), b"abc"), NOT_TAKEN, "one", 3, "ended within the body"),
    ("unauthorized", head("/one", LARGE, "authorization: Bearer guess"), NOT_TAKEN, "one", LARGE, "bearer token"),
    ("unauthorized", raw(head("/one", 3, "content-encoding: gzip"), b"abc"), NOT_TAKEN, "one", 3, "needs a bearer"),
    ("method", head("/two", 0, TOKEN).replace(b"POST", b"GET"), NOT_TAKEN, "two", 0, "POST only"),
    ("unknown_path", head("/three", LARGE, TOKEN), NOT_TAKEN, "", LARGE, "look at the server URL"),
    ("bad_request", b"\x16\x03\x01\x02\x00\x01", NOT_TAKEN, "", 0, "this is TLS"),
    ("bad_request", raw(head("/one", 3, TOKEN, "transfer-encoding: chunked")), NOT_TAKEN, "", 0, "beside"),
    ("bad_request", b"POST /one HTTP/1.1\r\nauthorization: Bearer", NOT_TAKEN, "", 0, "too slowly"),
]  # fmt: skip


def internal(tmp_path: Path) -> list[StoredAlert]:
    store = open_store(f"sqlite:///{tmp_path}/data/lanner.db", writable=False)
    try:
        return [alert for alert in store.alerts(after=0, limit=100) if alert.source == "internal"]
    finally:
        store.close()


def send(place: str, sent: bytes) -> None:
    """Returns when it was answered; half a body is given up and waits for the end of the connection."""
    url = urlsplit(place)
    with closing(socket.create_connection((url.hostname, url.port), TIMEOUT)) as connection:
        connection.sendall(sent)
        if b"content-length: 9" in sent:
            connection.shutdown(socket.SHUT_WR)
            assert closed(connection)
        else:
            Answer(connection)


@pytest.mark.parametrize(
    ("reason", "sent", "rule", "cluster", "size", "help"), REFUSED, ids=[f"{one[0]}-{one[5]}" for one in REFUSED]
)
def test_what_is_refused_is_an_alert(
    tmp_path: Path, reason: str, sent: bytes, rule: str, cluster: str, size: int, help: str
) -> None:
    """Sent five times, as the API server does: one alert at once, with its cluster, sizes, sender and way out.

    What was lost for certain is critical, and only those who have the credentials of a cluster can cause that.
    """
    with running(tmp_path / "data", *configured(tmp_path), "-o", "json_output=true") as service:
        place = service.place("webhook").split()[0]
        send(place, sent)
        document = json.loads(service.line())
        for _ in range(4):
            send(place, sent)
        assert service.stop() == 0
        later = service.rest()
    assert (document["rule"], document["cluster"]) == (rule, cluster)
    assert document["priority"] == ("Critical" if rule == LOST else "Warning")
    fields = document["output_fields"]
    assert (fields["lanner.reason"], fields["lanner.bytes"], fields["lanner.count"]) == (reason, size, 1)
    assert fields["lanner.peers"] == ["127.0.0.1"]
    assert help in document["output"]
    assert "127.0.0.1" in document["output"]
    assert "secret" not in document["output"]
    if rule == LOST:
        assert later == []
        assert len(internal(tmp_path)) == 1
    else:
        assert [json.loads(line)["output_fields"]["lanner.count"] for line in later] == [4]


OWN_WEBHOOK = "lanner: {limits: {body: 1MiB, in_flight: 1MiB}, webhooks: [{port: %d}]}"
PLUGIN = "plugins: [{name: k8saudit, open_params: 'http://127.0.0.1:%d/x', init_config: {webhookMaxBatchSize: 9999}}]"


@pytest.mark.parametrize(
    ("name", "text", "advice"),
    [
        ("webhook", OWN_WEBHOOK, "raise `lanner.limits.body`, and `lanner.limits.in_flight`"),
        ("k8saudit", PLUGIN, "raise `webhookMaxBatchSize`"),
    ],
)
def test_too_large_names_the_setting_that_says_so(tmp_path: Path, name: str, text: str, advice: str) -> None:
    """Raising another one would change nothing, or would be an error."""
    (tmp_path / "falco.yaml").write_text(text % free_port())
    with running(tmp_path / "data", "-c", str(tmp_path / "falco.yaml")) as service:
        answer = post(service.place(name), b"1" * LARGE)
        assert answer.status_code == 413
        assert advice in answer.text
        assert answer.text.count("raise") == 1


def test_overload_is_seen(tmp_path: Path) -> None:
    """In an alert of the cluster, in readiness, which stays, and in metrics; the other cluster has nothing to do with
    it."""
    chunked = head("/one", None, TOKEN, "transfer-encoding: chunked")
    piece = b"1" * 900_000
    with running(tmp_path / "data", *configured(tmp_path), "-o", "json_output=true") as service:
        one, two = service.place("webhook").split()
        server = service.place("server")
        url = urlsplit(one)
        with closing(socket.create_connection((url.hostname, url.port), TIMEOUT)) as slow:
            slow.sendall(chunked + b"%x\r\n" % len(piece) + piece)
            while "lanner_in_flight_bytes 900000.0" not in httpx.get(f"{server}/metrics").text:
                pass
            assert post(one, piece, authorization="Bearer secret-one").status_code == 503
            document = json.loads(service.line())
            assert post(two, piece, authorization="Bearer secret-two").status_code == 200
            ready = httpx.get(f"{server}/readyz")
            metrics = httpx.get(f"{server}/metrics").text
    assert (document["rule"], document["cluster"], document["priority"]) == (OVERLOAD, "one", "Warning")
    assert (ready.status_code, ready.json()["status"]) == (200, "degraded")
    assert ready.json()["problems"] == [
        "cluster `one` (source `webhook`) is overloaded: 1 requests refused with 503 within a minute"
    ]
    assert 'lanner_overloaded{cluster="one",source="webhook"} 1.0' in metrics
    assert 'lanner_bodies_refused_total{cluster="one",reason="overload",source="webhook"} 1.0' in metrics


def test_what_a_stop_cuts_off_is_an_alert_too(tmp_path: Path) -> None:
    """It is committed after the sources have ended."""
    with running(tmp_path / "data", *configured(tmp_path), "-o", "lanner.limits.stop=1s") as service:
        url = urlsplit(service.place("webhook").split()[0])
        with closing(socket.create_connection((url.hostname, url.port), TIMEOUT)) as connection:
            connection.sendall(head("/one", 9, TOKEN, "expect: 100-continue"))
            assert connection.recv(1000).startswith(b"HTTP/1.1 100 ")
            assert service.stop() == 0
    (alert,) = internal(tmp_path)
    assert (alert.rule, alert.cluster) == (NOT_TAKEN, "one")


def test_a_full_queue_is_overload() -> None:
    """More comes than is committed: the sender comes again, and it is named as what it is."""

    def submit(batch: Batch) -> None:
        raise QueueFull("4096 batches wait")

    nothing: Any = None
    committer: Any = SimpleNamespace(submit=submit)
    accounts = Accounts()
    pipeline = Pipeline(
        evaluator=nothing,
        spare=nothing,
        recorder=nothing,
        internal=nothing,
        moderator=nothing,
        store=nothing,
        committer=committer,
        accounts=accounts,
        refusals=RefusalWatch(),
        event_limit=nothing,
        retry_after=7,
        refused=nothing,
        committed=nothing,
        secret_problem=nothing,
    )
    try:
        with pytest.raises(Overloaded, match="4096 batches wait") as raised:
            asyncio.run(pipeline.commit(Batch("webhook", "prod", NOW)))
    finally:
        pipeline.close()
    assert raised.value.retry_after == 7
    assert accounts.unavailable["queue_full"] == 1
