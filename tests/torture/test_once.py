"""Once and only once: what is the same is told once, what only looks the same is told all the same."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import pytest

from lanner.store.records import SourceCounters, StoredAlert
from lanner.store.store import open_store
from tests.app.running import event_list, post, running
from tests.torture.bodies import ATTACK, Body, Raised, numbered, raised
from tests.torture.test_kills import options

JSON_LINES = ("-o", "json_output=true")
BODIES = 15


def everything(url: str) -> tuple[list[StoredAlert], SourceCounters]:
    """The alerts of rules, and the books of the webhook."""
    store = open_store(url, writable=False)
    try:
        (books,) = (one for one in store.counters().sources if one.source == "webhook")
        return [alert for alert in store.alerts(after=0, limit=100_000) if alert.source != "internal"], books
    finally:
        store.close()


def expected(bodies: Sequence[Body]) -> Counter[Raised]:
    return sum((body.alerts for body in bodies), Counter())


def test_all_attacks_under_one_audit_id(url: str, tmp_path: Path) -> None:
    """Clients choose the audit id: whoever uses one for everything hides nothing."""
    attack = [re.sub(rb'"auditID":"[^"]*"', b'"auditID":"00000000-chosen"', event) for event in ATTACK]
    wanted = raised(attack)
    assert len(wanted) > 10
    with running(tmp_path, *options(url)) as service:
        place = service.place("webhook")
        for start in (0, 50):  # the second time in other bodies
            for first in range(-start, len(attack), 100):
                assert post(place, event_list(attack[max(0, first) : first + 100])).status_code == 200
        assert service.stop() == 0
    alerts, books = everything(url)
    assert Counter(map(Raised.of, alerts)) == wanted
    assert (books.evaluated, books.duplicate) == (2 * len(attack), 0)


def test_a_body_sent_three_times(url: str, tmp_path: Path) -> None:
    """At once from three clients, and once more later: one set of alerts, and the rest are duplicates."""
    bodies = [numbered(number) for number in range(BODIES)]
    with running(tmp_path, *options(url), *JSON_LINES) as service, ThreadPoolExecutor(3) as clients:
        place = service.place("webhook")
        for body in bodies:
            answers = clients.map(lambda content: post(place, content).status_code, [body.content] * 3)
            assert list(answers) == [200] * 3
        assert post(place, bodies[0].content).status_code == 200
        assert service.stop() == 0
        told = [json.loads(line) for line in service.rest()]
    alerts, books = everything(url)
    assert Counter(map(Raised.of, alerts)) == expected(bodies)
    assert sorted(one["id"] for one in told if one["source"] != "internal") == sorted(alert.id for alert in alerts)
    pieces = [body.events + body.malformed for body in bodies]
    assert books.evaluated == sum(body.events for body in bodies)
    assert books.duplicate == 2 * sum(pieces) + pieces[0]
    assert books.received == books.evaluated + books.malformed + books.duplicate


@pytest.mark.postgres
def test_two_replicas_that_get_the_same(postgresql_url: str, tmp_path: Path) -> None:
    """Both get every body at the same time; one of them tells of it, on its standard output too."""
    bodies = [numbered(number) for number in range(BODIES)]
    with ExitStack() as started:
        replicas = [
            started.enter_context(running(tmp_path / name, *options(postgresql_url), *JSON_LINES)) for name in "ab"
        ]
        clients = started.enter_context(ThreadPoolExecutor(2))
        places = [replica.place("webhook") for replica in replicas]
        for body in bodies:
            answers = clients.map(lambda place, content: post(place, content).status_code, places, [body.content] * 2)
            assert list(answers) == [200, 200]
        assert [replica.stop() for replica in replicas] == [0, 0]
        told = [json.loads(line) for replica in replicas for line in replica.rest()]
    alerts, books = everything(postgresql_url)
    assert Counter(map(Raised.of, alerts)) == expected(bodies)
    assert sorted(one["id"] for one in told if one["source"] != "internal") == sorted(alert.id for alert in alerts)
    assert books.evaluated == sum(body.events for body in bodies)
    assert books.duplicate == books.evaluated + books.malformed
