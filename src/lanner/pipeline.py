"""The sink of all sources: what a delivery goes through until its sender may be told that it is safe.

    decode -> evaluate -> Batch -> commit -> return

1. Usual bodies are evaluated on the event loop, in steps, since a thread beside it costs more than the work; one body
   at a time, since a decoded one takes twice its bytes. A body that is large or odd, which an attacker may have made so
   that it is slow, goes to a thread with an engine of its own.
2. The batch holds everything that came of the delivery, and is committed as a whole or not at all.
3. Only then does `deliver` return. Whatever stands in the way is `Unavailable`: the sender comes again, and the store
   knows what it has.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from typing import TypeVar

from lanner.decode import Decoded, decode, decode_usual
from lanner.service.accounts import Accounts
from lanner.service.evaluation import Evaluation, Evaluator
from lanner.service.internal import InternalAlerts
from lanner.service.records import Recorder
from lanner.sources.base import Delivery, Position, Unavailable
from lanner.store.committer import Committer, QueueFull
from lanner.store.errors import StoreError
from lanner.store.records import Batch, Outcome
from lanner.store.store import Store

T = TypeVar("T")

SMALL = 16 * 1024
"""Bytes up to which a text is quickly read, whatever is in it."""

LARGE = 8 * 1024 * 1024
"""Bytes from which on a body takes too long, whatever is in it. The API server's are about 1 MB, at most a few."""


class Pipeline:
    """Evaluates and commits the deliveries of all sources. `event_limit`: from which size on an event of a source is
    oversize.

    `evaluator` is for the event loop; `spare` makes another one, for large bodies, when the first of them comes.
    `refused` is told when the store does not take a batch, and why; `committed` how many seconds a commit took.
    """

    def __init__(
        self,
        evaluator: Evaluator,
        spare: Callable[[], Evaluator],
        recorder: Recorder,
        internal: InternalAlerts,
        store: Store,
        committer: Committer,
        accounts: Accounts,
        event_limit: Callable[[str], int],
        retry_after: int,
        refused: Callable[[str], None],
        committed: Callable[[float], None],
    ) -> None:
        self._evaluator = evaluator
        self._make_spare = spare
        self._spare: Evaluator | None = None
        self._turn = asyncio.Lock()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="large-bodies")
        self._recorder = recorder
        self._internal = internal
        self._store = store
        self._committer = committer
        self._accounts = accounts
        self._event_limit = event_limit
        self._retry_after = retry_after
        self._refused = refused
        self._committed = committed

    def sink(self, source: str) -> SourceSink:
        """The sink of one source."""
        return SourceSink(self, self._store, self._accounts, source)

    def close(self) -> None:
        """Let go of the thread; nothing is delivered any more."""
        self._thread.shutdown(wait=True, cancel_futures=True)

    async def deliver(self, source: str, delivery: Delivery) -> None:
        """Returns once everything in the delivery is committed; raises Unavailable."""
        evaluation = Evaluation(self._event_limit(source))
        if not await self._evaluate_quickly(delivery, evaluation):
            loop = asyncio.get_running_loop()
            await loop.run_in_executor(self._thread, self._evaluate_slowly, delivery, evaluation)
        digest = None if delivery.position is not None else _digest(delivery.body)
        await self.commit(self._batch(source, delivery, evaluation, digest))

    async def commit(self, batch: Batch) -> Outcome:
        """Commit a batch and book it. Raises Unavailable if it is not committed, or nobody can tell."""
        started = time.perf_counter()
        try:
            # Shielded: a sender that goes away must not take back what the writer is about to commit.
            outcome = await asyncio.shield(asyncio.wrap_future(self._committer.submit(batch)))
        except QueueFull as error:
            self._accounts.unavailable["queue_full"] += 1
            raise Unavailable(str(error), self._retry_after) from error
        except StoreError as error:
            self._accounts.unavailable["store"] += 1
            self._refused(str(error))
            raise Unavailable(str(error), self._retry_after) from error
        self._committed(time.perf_counter() - started)
        self._accounts.count(batch, outcome)
        return outcome

    async def _evaluate_quickly(self, delivery: Delivery, evaluation: Evaluation) -> bool:
        """False, and nothing is evaluated, if it would keep the event loop for long."""
        async with self._turn:
            texts = _quickly_read(delivery)
            if texts is None:
                return False
            for _ in self._evaluator.steps(texts, delivery.cluster, evaluation):
                await asyncio.sleep(0)
            return True

    def _evaluate_slowly(self, delivery: Delivery, evaluation: Evaluation) -> None:
        if self._spare is None:
            self._spare = self._make_spare()
        for _ in self._spare.steps(_read(delivery), delivery.cluster, evaluation):
            pass

    def _batch(self, source: str, delivery: Delivery, found: Evaluation, digest: bytes | None) -> Batch:
        malformed = len(found.malformed) + found.unkept
        if malformed:
            reason = found.malformed[0].reason
            alert = self._internal.malformed(delivery.received_ns, source, delivery.cluster, malformed, reason)
            if alert is not None:
                # The same body sent again is the same alert, whenever it comes.
                alert.event.audit_id = _digest(delivery.body).hex()
                found.alerts += self._recorder.records([alert], delivery.cluster, found.rule_errors)
        position = delivery.position
        return Batch(
            source=source,
            cluster=delivery.cluster,
            received_ns=delivery.received_ns,
            size=len(delivery.body),
            digest=digest,
            position=None if position is None else (position.file, position.identity, position.offset),
            evaluated=found.evaluated,
            malformed=tuple(found.malformed),
            unkept=found.unkept,
            oversize=found.oversize,
            truncated=found.truncated,
            matched=found.matched,
            last_event_ns=found.last_event_ns,
            alerts=tuple(found.alerts),
            rule_matches=found.rule_matches,
            rule_errors=found.rule_errors,
        )


class SourceSink:
    """The pipeline as one source sees it."""

    def __init__(self, pipeline: Pipeline, store: Store, accounts: Accounts, source: str) -> None:
        self._pipeline = pipeline
        self._store = store
        self._accounts = accounts
        self._source = source

    async def deliver(self, delivery: Delivery) -> None:
        """See sources/base.py."""
        await self._pipeline.deliver(self._source, delivery)

    def refuse(self, cluster: str, reason: str, size: int) -> None:
        """See sources/base.py."""
        self._accounts.refuse(self._source, cluster, reason)

    async def position(self, file: str) -> Position | None:
        """See sources/base.py. Raises Unavailable."""
        try:
            found = await asyncio.to_thread(self._store.position, self._source, file)
        except StoreError as error:
            raise Unavailable(str(error)) from error
        return None if found is None else Position(*found)


def _quickly_read(delivery: Delivery) -> Iterable[Decoded] | None:
    """What the delivery holds, if reading it cannot keep the event loop for long."""
    body = delivery.body
    if len(body) <= SMALL:
        return _read(delivery)
    if len(body) >= LARGE:
        return None
    if delivery.lines:
        return _read(delivery) if max(map(len, body.split(b"\n"))) < SMALL * 16 else None
    usual = decode_usual(body)
    return None if usual is None else [usual]


def _read(delivery: Delivery) -> Iterator[Decoded]:
    """What the delivery holds, text by text."""
    if delivery.lines:
        return (decode(line) for line in delivery.body.split(b"\n") if line.strip())
    return iter([decode(delivery.body)])


def _digest(body: bytes) -> bytes:
    """What the store knows a body by. Processors have instructions for this one, so it is the fastest."""
    return sha256(body).digest()[:16]
