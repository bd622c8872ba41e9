"""Commits: what is new, what is a duplicate, what is counted."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any

import pytest

from lanner.store.records import ID_DIGITS, AlertFilter, Batch, EventIdentity, MalformedRecord, Outcome
from lanner.store.store import BatchError, Limits, Store, open_store
from tests.store.builders import NOW, SECOND, alert, balanced, body, lines, totals

HOUR = 3600 * SECOND
NEW = Outcome.COMMITTED
AGAIN = Outcome.DUPLICATE


def test_a_body_sent_three_times_is_one_also_within_one_transaction(store: Store) -> None:
    """Its events count as duplicates, and its alert is there once."""
    first = body("same", alert(), malformed=2)
    assert store.commit([first, first]) == [NEW, AGAIN]
    assert store.commit([first]) == [AGAIN]
    found = totals(store)
    assert (found.received, found.evaluated, found.duplicate, found.malformed) == (36, 10, 24, 2)
    assert (found.bodies, found.bytes, found.matched) == (3, 3_000, 1)
    assert len(store.alerts()) == 1
    assert len(store.malformed()) == 2


@pytest.mark.parametrize(
    "changed", [{"source": "other"}, {"cluster": "stage"}, {"cluster": "", "source": "webhookprod"}]
)
def test_the_same_body_elsewhere_is_another(store: Store, changed: dict[str, Any]) -> None:
    """Another source has other rules, another cluster other events."""
    first = body("same")
    assert store.commit([first, replace(first, **changed)]) == [NEW, NEW]
    assert store.commit([first, replace(first, **changed)]) == [AGAIN, AGAIN]


@pytest.mark.parametrize(("passed", "outcome"), [(HOUR - 1, AGAIN), (HOUR, AGAIN), (HOUR + 1, NEW), (-HOUR, AGAIN)])
def test_a_body_is_known_for_an_hour(store: Store, passed: int, outcome: Outcome) -> None:
    """After that it is new, but its alerts are still the same alerts."""
    first = body("same", alert())
    assert store.commit([first]) == [NEW]
    assert store.commit([replace(first, received_ns=first.received_ns + passed)]) == [outcome]
    assert len(store.alerts()) == 1


def test_bodies_are_forgotten(store: Store) -> None:
    """An old one is dropped with some later commit, and a body is known for an hour after it was last new."""
    first = body("first")
    store.commit([first])
    late = replace(first, received_ns=first.received_ns + HOUR + 1)
    assert store.commit([body("other", received_ns=late.received_ns)]) == [NEW]
    assert store.commit([late]) == [NEW]
    assert store.commit([replace(late, received_ns=late.received_ns + HOUR)]) == [AGAIN]


def test_lines_behind_the_committed_position_are_duplicates(store: Store) -> None:
    """Ahead is new, at or behind it is not; another identity is another file."""
    assert store.position("audit-log", "/var/log/audit.log") is None
    batches = [lines("/var/log/audit.log", "1:2", offset) for offset in (100, 200, 200, 150, 300)]
    assert store.commit(batches[:4]) == [NEW, NEW, AGAIN, AGAIN]
    assert store.commit([batches[1], batches[4]]) == [AGAIN, NEW]
    assert store.position("audit-log", "/var/log/audit.log") == ("/var/log/audit.log", "1:2", 300)
    assert store.commit([lines("/var/log/audit.log", "1:3", 50)]) == [NEW]
    assert store.position("audit-log", "/var/log/audit.log") == ("/var/log/audit.log", "1:3", 50)
    assert store.position("other", "/var/log/audit.log") is None
    found = totals(store, "audit-log")
    assert (found.received, found.evaluated, found.duplicate, found.bodies) == (70, 40, 30, 0)


def test_a_batch_with_neither_digest_nor_position_is_never_a_duplicate(store: Store) -> None:
    """Standard input has nothing to be known by."""
    batch = body(digest=None)
    assert store.commit([batch, batch]) == [NEW, NEW]
    assert totals(store).evaluated == 20


def test_alerts_and_events_are_stored_once(store: Store) -> None:
    """The store tells which it had; two rules on one event share the event; an internal alert is on none."""
    one, two = alert(rule="one"), alert(rule="two")
    internal = alert("", rule="silent", source="internal", event=b"")
    assert store.apply([body(None, one), body(None, one, internal)]).known_alerts == frozenset()
    result = store.apply([body(None, one, two, alert("a2"))])
    assert result.known_alerts == {one.id}
    assert sorted(found.rule for found in store.alerts()) == ["Rule", "one", "silent", "two"]
    for made in (one, two):
        found = store.alert(made.id)
        assert found is not None
        assert (found.event, found.document, found.tags) == (made.event, made.document, made.tags)
    silent = store.alert(internal.id)
    assert silent is not None
    assert silent.event is None


def test_numbers_grow_in_the_order_of_commits(store: Store) -> None:
    """Whoever follows meets every alert once, also when some came twice."""
    store.commit([body(None, alert("a1"), alert("a2"))])
    store.commit([body(None, alert("a1"), alert("a3"))])
    seen = [found.audit_id for found in store.alerts(after=0)]
    assert seen == ["a1", "a2", "a3"]
    last = store.last_seq()
    assert store.alerts(after=last) == []
    store.commit([body(None, alert("a0"))])
    assert [found.audit_id for found in store.alerts(after=last)] == ["a0"]


def test_every_counter_adds_up(store: Store) -> None:
    """Also per rule, per reason of refusal, and over several transactions."""
    batch = body(
        None, oversize=1, truncated=2, matched=3, unkept=4, rule_matches={"r": 3}, rule_errors={"r": 1, "s": 2}
    )
    store.commit([batch, replace(batch, digest=None)])
    store.commit([replace(batch, digest=None, cluster="stage")])
    refusal = Batch("webhook", "prod", NOW, refused={"too large": 2})
    store.commit([refusal, refusal])
    found = totals(store)
    assert (found.received, found.evaluated, found.malformed) == (28, 20, 8)
    assert (found.oversize, found.truncated, found.matched, found.bodies) == (2, 4, 6, 1)
    assert found.refused_bodies == {"too large": 4}
    assert (found.last_event_ns, found.last_received_ns) == (NOW, NOW + 2 * SECOND)
    assert (found.lag_ns, found.max_lag_ns) == (2 * SECOND, 2 * SECOND)
    rules = [(one.cluster, one.rule, one.matches, one.errors) for one in store.counters().rules]
    assert rules == [("prod", "r", 6, 2), ("prod", "s", 0, 4), ("stage", "r", 3, 1), ("stage", "s", 0, 2)]


def test_times_and_lag(store: Store) -> None:
    """The longest lag stays, the last one is told, and no event is newer than its arrival."""
    store.commit([body(None, received_ns=NOW + 9 * SECOND)])
    store.commit([body(None, received_ns=NOW + 5 * SECOND, last_event_ns=NOW + 100 * SECOND)])
    store.commit([body(None, received_ns=NOW + 6 * SECOND, last_event_ns=0)])
    found = totals(store)
    assert (found.lag_ns, found.max_lag_ns) == (0, 9 * SECOND)
    assert (found.last_event_ns, found.last_received_ns) == (NOW + 5 * SECOND, NOW + 9 * SECOND)


HOSTILE = "nul \0, lone \ud800, long " + "x" * 100_000


def test_hostile_texts_and_times_are_stored(store: Store) -> None:
    """No text or time of an event can keep a batch out of the store."""
    made = alert(
        "h",
        rule=HOSTILE,
        cluster=HOSTILE,
        namespace=HOSTILE,
        user=HOSTILE,
        name=HOSTILE,
        output=HOSTILE,
        tags=("a\nb", HOSTILE),
        time_ns=10**21,
        document=b"\0\xff",
        event=b"\0\xff",
    )
    batch = body(
        None,
        made,
        source=HOSTILE,
        cluster=HOSTILE,
        malformed=(MalformedRecord(HOSTILE, b"\0\xff"),),
        rule_matches={HOSTILE: 1, HOSTILE + "y": 2},
        refused={HOSTILE: 1},
        position=(HOSTILE, HOSTILE, 7),
        received_ns=NOW,
        last_event_ns=-(10**21),
    )
    assert store.commit([batch]) == [NEW]
    found = store.alert(made.id)
    assert found is not None
    assert found.user.startswith("nul \ufffd, lone \\ud800, long xxx")
    assert len(found.user) > 100_000
    assert found.tags[0] == "a b"
    assert (found.document, found.event) == (b"\0\xff", b"\0\xff")
    assert found.time_ns == 2**63 - 1
    assert [one.matches for one in store.counters().rules] == [1, 2] or [
        one.matches for one in store.counters().rules
    ] == [2, 1]
    assert len(store.alerts(AlertFilter(rules=(HOSTILE,), users=(HOSTILE,), tags=(HOSTILE,), text="NUL \0, LONE"))) == 1
    position = store.position(HOSTILE, HOSTILE)
    assert position is not None
    assert position[2] == 7


def test_a_batch_that_no_store_takes_says_so(store: Store) -> None:
    """Nothing of the transaction is done, and the store goes on."""
    good = body("good", alert())
    for bad in (
        body(None, evaluated=2**70),
        body(None, alert("x", id="no digits")),
        body(None, alert("y", priority=10**9, time_ns="z")),
    ):
        with pytest.raises(BatchError, match="does not take a batch") as caught:
            store.commit([good, bad])
        assert not caught.value.retryable
    assert store.counters().sources == ()
    assert store.healthy()
    assert store.commit([good]) == [NEW]


def test_malformed_pieces_are_bounded_in_number(url: str) -> None:
    """The oldest leave."""
    store = open_store(url, limits=Limits(malformed_count=3))
    store.commit([body(None, malformed=2)])
    store.commit([body(None, malformed=2)])
    assert [found.raw for found in store.malformed()] == [b"piece 1", b"piece 0", b"piece 1"]
    store.commit([body(None, malformed=9)])
    assert [found.raw for found in store.malformed()] == [b"piece 8", b"piece 7", b"piece 6"]
    assert totals(store).malformed == 13
    store.close()


def test_malformed_pieces_are_bounded_in_bytes(url: str) -> None:
    """Whatever the sizes and however they come, the newest that fit stay."""
    store = open_store(url, limits=Limits(malformed_bytes=100, malformed_count=20))
    sizes = random.Random(7)
    kept: list[bytes] = []
    for number in range(40):
        pieces = tuple(
            MalformedRecord("r", bytes([number]) * sizes.randrange(1, 50)) for _ in range(sizes.randrange(1, 6))
        )
        kept += [piece.raw for piece in pieces]
        store.commit([body(None, malformed=pieces)])
        while sum(map(len, kept)) > 100 or len(kept) > 20:
            kept.pop(0)
        assert [found.raw for found in store.malformed(after=0)] == kept
    store.close()


def test_a_piece_larger_than_all_may_take_is_counted_and_not_kept(url: str) -> None:
    """The bound is one."""
    store = open_store(url, limits=Limits(malformed_bytes=10))
    store.commit([body(None, malformed=(MalformedRecord("r", b"x" * 11),))])
    assert store.malformed() == []
    assert totals(store).malformed == 1
    store.commit([body(None, malformed=1)])
    assert len(store.malformed()) == 1
    store.close()


def test_random_batches_balance(store: Store) -> None:
    """Against the plainest model there is, in random groups."""
    chance = random.Random(3)
    names: set[str] = set()
    expected = {"evaluated": 0, "duplicate": 0, "malformed": 0}
    ids: set[str] = set()
    for _ in range(30):
        group = []
        for _ in range(chance.randrange(6)):
            name = str(chance.randrange(40))
            made = [alert(f"{name}-{index}") for index in range(int(name) % 4)]
            batch = body(name, *made, malformed=int(name) % 3)
            group.append(batch)
            if name in names:
                expected["duplicate"] += batch.pieces
            else:
                expected["evaluated"] += 10
                expected["malformed"] += len(batch.malformed)
                ids.update(one.id for one in made)
            names.add(name)
        store.commit(group)
        assert balanced(store.counters())
    found = totals(store)
    assert {name: getattr(found, name) for name in expected} == expected
    assert {one.id for one in store.alerts(limit=1_000)} == ids


def test_ids_tell_all_parts_apart() -> None:
    """Where one part ends and the next begins counts too, and lone surrogates are no obstacle."""
    parts = [("a", "b", "c", "d", "e", "f"), ("ab", "", "c", "d", "e", "f"), ("a", "b", "c", "d", "e", "g")]
    parts += [("a\n", "b", "c", "d", "e", "f"), ("a", "\nb", "c", "d", "e", "f"), ("\ud800", "", "", "", "", "")]
    ids = {EventIdentity(*part[:5]).alert_id(part[5]) for part in parts} | {
        EventIdentity(*part[:5]).event_id() for part in parts
    }
    assert len(ids) == len(parts) * 2 - 1
    assert all(len(one) == ID_DIGITS for one in ids)
    assert EventIdentity("c", "a", "s", "r", "t").alert_id("rule") == "7aed58a20d434573f0cefd11ef556462"
