"""Deliveries whose alerts weigh much, and memory that is refused: nothing is lost or acknowledged too early."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from lanner import pipeline as pipeline_module
from lanner.pipeline import Pipeline
from lanner.service import evaluation
from lanner.service.accounts import Accounts
from lanner.service.evaluation import Evaluator
from lanner.service.moderation import Moderator
from lanner.service.refusals import RefusalWatch
from lanner.sources.base import Delivery, Unavailable
from lanner.store.committer import Committer
from lanner.store.errors import StoreError
from lanner.store.records import Batch, CommitResult
from lanner.store.store import Store, open_store
from tests.app.running import event_list
from tests.app.test_parts import evaluator
from tests.cli.builders import event

EVENTS = 30
BODY = event_list([json.dumps(event(number=number)).encode() for number in range(EVENTS)])
ALERTS = 2 * EVENTS  # two rules match each event


class Recording:
    """A store that notes what it commits; `fails` says of which transactions, by their number, it refuses."""

    def __init__(self, store: Store, fails: Sequence[int] = ()) -> None:
        self._store = store
        self._fails = fails
        self.transactions = 0
        self.batches: list[Batch] = []

    def apply(self, batches: Sequence[Batch]) -> CommitResult:
        self.transactions += 1
        if self.transactions in self._fails:
            raise StoreError("no", retryable=True)
        self.batches += batches
        return self._store.apply(batches)


@contextmanager
def delivering(store: Store, applies: Recording, make: Callable[[], Evaluator]) -> Iterator[Pipeline]:
    """A pipeline into a store."""
    committer = Committer(applies)
    first = make()
    parts = Pipeline(
        evaluator=first,
        spare=make,
        recorder=first._recorder,
        internal=first._internal,
        moderator=Moderator(),
        store=store,
        committer=committer,
        accounts=Accounts(),
        refusals=RefusalWatch(),
        event_limit=lambda _: 262_144,
        retry_after=5,
        refused=lambda _: None,
        committed=lambda _: None,
        secret_problem=lambda *_: None,
    )
    try:
        yield parts
    finally:
        parts.close()
        committer.close()


def deliver(parts: Pipeline, body: bytes = BODY) -> None:
    asyncio.run(parts.sink("webhook").deliver(Delivery(body, "prod", 1)))


@pytest.fixture(params=["on the event loop", "in the thread"])
def where(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Small weights for this test, on both ways that a delivery may go."""
    monkeypatch.setattr(evaluation, "MAX_WEIGHT", 20_000)
    monkeypatch.setattr(pipeline_module, "MAX_WEIGHT", 20_000)
    if request.param == "in the thread":
        monkeypatch.setattr(pipeline_module, "SMALL", 0)
        monkeypatch.setattr(pipeline_module, "LARGE", 0)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = open_store(f"sqlite:///{tmp_path}/lanner.db")
    yield opened
    opened.close()


@pytest.mark.usefixtures("where")
def test_heavy_alerts_are_committed_in_parts(store: Store) -> None:
    """None weighs much more than the bound; digest and counters come with the last one alone."""
    applies = Recording(store)
    with delivering(store, applies, lambda: evaluator()[0]) as parts:
        deliver(parts)
    *before, last = applies.batches
    assert len(before) > 2
    assert all(batch.weight < 40_000 for batch in applies.batches)
    assert all((batch.digest, batch.pieces, batch.rule_matches) == (None, 0, {}) for batch in before)
    assert (last.evaluated, last.digest is None) == (EVENTS, False)
    assert len(store.alerts(limit=1000)) == ALERTS
    [counted] = store.counters().sources
    assert (counted.received, counted.evaluated, counted.matched, counted.bodies) == (EVENTS, EVENTS, EVENTS, 1)


@pytest.mark.usefixtures("where")
@pytest.mark.parametrize("fails", [1, 2, 3])
def test_a_part_that_fails_refuses_the_delivery(store: Store, fails: int) -> None:
    """It comes again, and then each alert is there once and each event counted once."""
    applies = Recording(store, [fails])
    with delivering(store, applies, lambda: evaluator()[0]) as parts:
        with pytest.raises(Unavailable):
            deliver(parts)
        assert all(counted.received == 0 for counted in store.counters().sources)
        deliver(parts)
        deliver(parts)
    assert len(store.alerts(limit=1000)) == ALERTS
    [counted] = store.counters().sources
    assert (counted.received, counted.evaluated, counted.duplicate) == (2 * EVENTS, EVENTS, EVENTS)


@pytest.mark.usefixtures("where")
@pytest.mark.parametrize("what", ["match", "render"])
def test_memory_that_is_refused_refuses_the_delivery(store: Store, what: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is no fault of a rule: nothing is committed or counted, and what comes next is evaluated."""
    refused: list[bool] = [True]
    made, engine = evaluator()
    match = engine._match

    def short(*arguments: object) -> object:
        if refused:
            raise MemoryError
        return match(*arguments)  # type: ignore[arg-type]

    if what == "match":
        monkeypatch.setattr(engine, "_match", short)
    else:
        monkeypatch.setattr("lanner.alert.Alert.document", short)
    with delivering(store, Recording(store), lambda: made) as parts:
        with pytest.raises(Unavailable, match="memory"):
            deliver(parts)
        assert not store.alerts()
        monkeypatch.undo()
        refused.clear()
        deliver(parts)
    assert len(store.alerts(limit=1000)) == ALERTS
