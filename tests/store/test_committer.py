"""One thread commits for all: groups, bounds, failures, the end."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import Future

import pytest

from lanner.store.committer import Bounds, Committer, QueueFull
from lanner.store.errors import BatchError, StoreError
from lanner.store.records import Batch, CommitResult, Outcome
from lanner.store.store import Store
from tests.store.builders import alert, body

NEW = Outcome.COMMITTED


class Gate:
    """A store whose commits wait until they may go on, and fail when told to."""

    def __init__(self) -> None:
        self.groups: list[list[str]] = []
        self.entered = threading.Semaphore(0)
        self.open = threading.Semaphore(0)
        self.failure: Exception | None = None

    def apply(self, batches: Sequence[Batch]) -> CommitResult:
        self.entered.release()
        assert self.open.acquire(timeout=60)
        if self.failure is not None:
            raise self.failure
        bad = [batch for batch in batches if batch.cluster == "bad"]
        if bad:
            raise BatchError("bad")
        self.groups.append([batch.cluster for batch in batches])
        return CommitResult((NEW,) * len(batches), frozenset())


@pytest.fixture
def gate() -> Gate:
    return Gate()


@pytest.fixture
def committer(gate: Gate) -> Iterator[Committer]:
    made = Committer(gate, Bounds(waiting_batches=4, waiting_bytes=10_000, group_batches=2, group_bytes=4_500))
    yield made
    gate.open.release(100)
    made.close()


def batch(name: str, size: int = 0) -> Batch:
    return Batch("s", name, 0, alerts=(alert(event=b"x" * size),) if size else ())


def hold(committer: Committer, gate: Gate) -> Future[Outcome]:
    """Have a commit begin, so that what follows waits."""
    future = committer.submit(batch("first"))
    assert gate.entered.acquire(timeout=60)
    return future


def test_what_waits_is_committed_together_in_order(committer: Committer, gate: Gate) -> None:
    """Up to the bound in number."""
    futures = [hold(committer, gate), *(committer.submit(batch(name)) for name in "abc")]
    gate.open.release(3)
    assert [future.result(60) for future in futures] == [NEW] * 4
    assert gate.groups == [["first"], ["a", "b"], ["c"]]


def test_a_group_is_bounded_in_bytes(committer: Committer, gate: Gate) -> None:
    """A batch larger than the bound goes alone."""
    futures = [hold(committer, gate), committer.submit(batch("a", 5_000)), committer.submit(batch("b"))]
    gate.open.release(3)
    assert [future.result(60) for future in futures] == [NEW] * 3
    assert gate.groups == [["first"], ["a"], ["b"]]


def test_a_full_queue_refuses(committer: Committer, gate: Gate) -> None:
    """In number; there is room again when something is committed."""
    futures = [hold(committer, gate), *(committer.submit(batch(name)) for name in "abc")]
    with pytest.raises(QueueFull, match="4 batches"):
        committer.submit(batch("d"))
    gate.open.release(3)
    assert [future.result(60) for future in futures] == [NEW] * 4
    gate.open.release()
    while committer.waiting[0]:  # the count falls a moment after the futures are done
        pass
    assert committer.submit(batch("d")).result(60) is NEW
    assert committer.waiting[1] >= 0


def test_bytes_refuse_too_but_one_batch_always_fits(committer: Committer, gate: Gate) -> None:
    """The weight counts events and documents."""
    large = committer.submit(batch("large", 50_000))
    assert gate.entered.acquire(timeout=60)
    with pytest.raises(QueueFull):
        committer.submit(batch("a"))
    gate.open.release()
    assert large.result(60) is NEW


def test_a_failure_fails_all_that_wait_and_then_it_goes_on(committer: Committer, gate: Gate) -> None:
    """All get the same error; the next batch is tried again."""
    gate.failure = StoreError("full", retryable=True)
    futures = [hold(committer, gate), *(committer.submit(batch(name)) for name in "abc")]
    gate.open.release()
    for future in futures:
        assert future.exception(60) is gate.failure
    gate.failure = None
    gate.open.release()
    assert committer.submit(batch("next")).result(60) is NEW


def test_an_unforeseen_failure_is_a_store_error(committer: Committer, gate: Gate) -> None:
    """The thread lives on."""
    gate.failure = RuntimeError("boom")
    future = hold(committer, gate)
    gate.open.release()
    assert isinstance(future.exception(60), StoreError)
    gate.failure = None
    gate.open.release()
    assert committer.submit(batch("next")).result(60) is NEW


def test_a_bad_batch_does_not_take_others_with_it(committer: Committer, gate: Gate) -> None:
    """The group is tried one by one."""
    futures = [hold(committer, gate), *(committer.submit(batch(name)) for name in ("bad", "good"))]
    gate.open.release(10)
    assert isinstance(futures[1].exception(60), BatchError)
    assert futures[2].result(60) is NEW
    assert gate.groups == [["first"], ["good"]]


def test_closing_finishes_what_was_accepted(committer: Committer, gate: Gate) -> None:
    """And takes nothing more; a future cannot be cancelled."""
    futures = [hold(committer, gate), committer.submit(batch("a"))]
    assert not futures[1].cancel()
    gate.open.release(10)
    committer.close()
    assert [future.done() for future in futures] == [True, True]
    with pytest.raises(QueueFull):
        committer.submit(batch("b"))


def test_subscribers_hear_of_what_is_new(store: Store) -> None:
    """No duplicates, no alert twice, before the future is done; one that fails disturbs nobody."""
    heard: list[tuple[str, list[str], bool]] = []
    futures: list[Future[Outcome]] = []

    def broken(batches: Sequence[Batch], last_seq: int) -> None:
        raise RuntimeError("boom")

    def listen(batches: Sequence[Batch], last_seq: int) -> None:
        heard.extend((one.cluster, [found.rule for found in one.alerts], futures[-1].done()) for one in batches)
        assert last_seq == store.last_seq()

    committer = Committer(store)
    committer.subscribe(broken)
    committer.subscribe(listen)
    for one in (
        body("x", alert(rule="1"), alert(rule="2"), alert(rule="1")),
        body("x", alert(rule="1")),
        body("y", alert(rule="2"), alert(rule="3"), cluster="stage"),
    ):
        with committer._changed:  # the commit begins when the future is in the list
            futures.append(committer.submit(one))
        futures[-1].result(60)
    committer.close()
    assert heard == [("prod", ["1", "2"], False), ("stage", ["3"], False)]
