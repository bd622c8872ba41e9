"""One thread that commits: whatever waits goes into one transaction, so that many bodies share one sync of the disk.

In: batches from any thread. Out: a future for each. A slow store makes the queue grow up to its bounds, then `submit`
refuses; so does the webhook then, and the API server sends again.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, replace
from typing import Protocol, TypeAlias

from lanner.store.errors import BatchError, StoreError
from lanner.store.records import Batch, CommitResult, Outcome

Subscriber: TypeAlias = Callable[[Sequence[Batch], int], None]

_logger = logging.getLogger(__name__)


class QueueFull(Exception):  # noqa: N818 - a state, not an error
    """The batch was not taken: too many wait already, or the committer is being closed."""


class Applies(Protocol):
    """What the committer needs of a store."""

    def apply(self, batches: Sequence[Batch]) -> CommitResult: ...


@dataclass(frozen=True, slots=True)
class Bounds:
    """How much may wait, and how much goes into one transaction; always at least one batch.

    Bytes are `Batch.weight`. What is being committed counts as waiting.
    """

    waiting_batches: int = 4_096
    waiting_bytes: int = 64 * 1024 * 1024
    group_batches: int = 1_024
    group_bytes: int = 16 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class _Waiting:
    batch: Batch
    weight: int
    future: Future[Outcome]


class Committer:
    """Commits batches in the order of their submission."""

    def __init__(self, store: Applies, bounds: Bounds | None = None) -> None:
        self._store = store
        self._bounds = bounds or Bounds()
        self._subscribers: list[Subscriber] = []
        self._doubts: list[Callable[[], None]] = []
        self._in_doubt = False  # a commit failed since subscribers were told of one
        self._changed = threading.Condition()
        self._queue: deque[_Waiting] = deque()
        self._weight = 0  # of the queue and of what is being committed
        self._count = 0
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="lanner-committer", daemon=True)
        self._thread.start()

    @property
    def waiting(self) -> tuple[int, int]:
        """How many batches, and bytes of them, are accepted and not committed."""
        with self._changed:
            return self._count, self._weight

    def submit(self, batch: Batch) -> Future[Outcome]:
        """Have the batch committed. The future tells the outcome, or fails with StoreError; it cannot be cancelled.

        Raises QueueFull.
        """
        weight = batch.weight
        with self._changed:
            if self._closed:
                raise QueueFull("the committer is being closed")
            full = self._weight + weight > self._bounds.waiting_bytes and self._count > 0
            if full or self._count >= self._bounds.waiting_batches:
                raise QueueFull(f"{self._count} batches ({self._weight} bytes) wait for the store")
            future: Future[Outcome] = Future()
            future.set_running_or_notify_cancel()
            self._queue.append(_Waiting(batch, weight, future))
            self._weight += weight
            self._count += 1
            self._changed.notify()
        return future

    def subscribe(self, callback: Subscriber) -> None:
        """Call this after each commit with the batches that were committed, duplicates left out, and in them only the
        alerts that are new to the store; and with the number that none of those goes beyond. This is before the futures
        of these batches are done, and before they no longer count as `waiting`.

        It runs in the thread that commits, so it must be quick. What it raises is logged.
        """
        self._subscribers.append(callback)

    def when_in_doubt(self, callback: Callable[[], None]) -> None:
        """Call this when a commit failed: it may be in the store all the same. The next commit is told to subscribers
        in any case, also if it is all duplicates.
        """
        self._doubts.append(callback)

    def close(self) -> None:
        """Take nothing more, commit what was accepted, and end."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._thread.join()

    def _run(self) -> None:
        while group := self._take():
            self._commit(group)
            with self._changed:
                self._weight -= sum(waiting.weight for waiting in group)
                self._count -= len(group)

    def _take(self) -> list[_Waiting]:
        """The next group; empty at the end."""
        with self._changed:
            while not self._queue and not self._closed:
                self._changed.wait()
            group: list[_Waiting] = []
            weight = 0
            while self._queue and len(group) < self._bounds.group_batches:
                weight += self._queue[0].weight
                if group and weight > self._bounds.group_bytes:
                    break
                group.append(self._queue.popleft())
            return group

    def _commit(self, group: list[_Waiting]) -> None:
        try:
            result = self._store.apply([waiting.batch for waiting in group])
        except BatchError as error:
            if len(group) == 1:
                group[0].future.set_exception(error)
                return
            # One that no store takes must not take the others with it.
            for waiting in group:
                self._commit([waiting])
        except StoreError as error:
            self._fail(group, error)
        except Exception as error:
            _logger.exception("the store failed in an unforeseen way")
            self._fail(group, StoreError(f"the store failed: {error!r}", retryable=True))
        else:
            self._tell(group, result)
            for waiting, outcome in zip(group, result.outcomes, strict=True):
                waiting.future.set_result(outcome)

    def _fail(self, group: list[_Waiting], error: StoreError) -> None:
        """Fail the group and all that wait behind it: they would only wait for the same failure."""
        self._in_doubt = True
        for doubt in self._doubts:
            doubt()
        with self._changed:
            behind = list(self._queue)
            self._queue.clear()
            self._weight -= sum(waiting.weight for waiting in behind)
            self._count -= len(behind)
        for waiting in (*group, *behind):
            waiting.future.set_exception(error)

    def _tell(self, group: list[_Waiting], result: CommitResult) -> None:
        if not self._subscribers:
            return
        seen = set(result.known_alerts)
        batches: list[Batch] = []
        for waiting, outcome in zip(group, result.outcomes, strict=True):
            if outcome is Outcome.COMMITTED:
                batch = waiting.batch
                new = []
                for alert in batch.alerts:
                    if alert.id not in seen:
                        seen.add(alert.id)
                        new.append(alert)
                batches.append(batch if len(new) == len(batch.alerts) else replace(batch, alerts=tuple(new)))
        if not batches and not self._in_doubt:
            return
        self._in_doubt = False
        for subscriber in self._subscribers:
            try:
                subscriber(batches, result.last_seq)
            except Exception:
                _logger.exception("a subscriber to commits failed")
