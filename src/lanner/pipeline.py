"""The sink of all sources: what a delivery goes through until its sender may be told that it is safe.

    decode -> evaluate -> Batch -> commit -> return

1. Usual bodies are evaluated on the event loop, in steps, since a thread beside it costs more than the work; one body
   at a time. A body that is large or odd, which an attacker may have made so that it is slow, goes to a thread with an
   engine of its own; so does the rest of one from where it becomes odd.
2. The batch holds everything that came of the delivery, and is committed as a whole or not at all. Only where its
   alerts weigh much, the first of them are committed before, so that they need not all be held in memory.
3. Only then does `deliver` return. Whatever stands in the way is `Unavailable`: the sender comes again, and the store
   knows what it has.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Collection, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import TypeVar

from lanner.decode import Decoded, UsualDecoder, UsualList, decode_parts, usual_list
from lanner.service.accounts import Accounts
from lanner.service.evaluation import MAX_WEIGHT, Evaluation, Evaluator
from lanner.service.internal import InternalAlerts
from lanner.service.moderation import Moderator
from lanner.service.records import INTERNAL, Recorder
from lanner.service.refusals import RefusalWatch
from lanner.sources.base import Delivery, Overloaded, Position, Unavailable
from lanner.sources.refusal import Refusal
from lanner.store.committer import Committer, QueueFull
from lanner.store.errors import StoreError
from lanner.store.records import Batch, Outcome
from lanner.store.store import Store

T = TypeVar("T")

SMALL = 16 * 1024
"""Bytes up to which a text is quickly read, whatever is in it."""

LARGE = 8 * 1024 * 1024
"""Bytes from which on a body takes too long, whatever is in it. The API server's are about 1 MB, at most a few."""


LARGE_EVENT = 512 * 1024
"""Bytes of an event from which on it may take too long."""


@dataclass(frozen=True, slots=True)
class _Work:
    """A delivery on its way, and what it has come to so far."""

    source: str
    delivery: Delivery
    evaluation: Evaluation


class Pipeline:
    """Evaluates and commits the deliveries of all sources. `event_limit`: from which size on an event of a source is
    oversize.

    `evaluator` is for the event loop; `spare` makes another one, for large bodies, when the first of them comes.
    `refused` is told when the store does not take a batch, and why; `committed` how many seconds a commit took;
    `secret_problem` of which source and cluster secrets cannot be used, and why.
    """

    def __init__(
        self,
        evaluator: Evaluator,
        spare: Callable[[], Evaluator],
        recorder: Recorder,
        internal: InternalAlerts,
        moderator: Moderator,
        store: Store,
        committer: Committer,
        accounts: Accounts,
        refusals: RefusalWatch,
        event_limit: Callable[[str], int],
        retry_after: int,
        refused: Callable[[str], None],
        committed: Callable[[float], None],
        secret_problem: Callable[[str, str, str], None],
    ) -> None:
        self._evaluator = evaluator
        self._make_spare = spare
        self._spare: Evaluator | None = None
        self._turn = asyncio.Lock()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="large-bodies")
        self._digests = ThreadPoolExecutor(1, thread_name_prefix="digests")
        self._recorder = recorder
        self._internal = internal
        self._moderator = moderator
        self._store = store
        self._committer = committer
        self._accounts = accounts
        self._refusals = refusals
        self._event_limit = event_limit
        self._retry_after = retry_after
        self._refused = refused
        self._committed = committed
        self.secret_problem = secret_problem

    def sink(self, source: str) -> SourceSink:
        """The sink of one source."""
        return SourceSink(self, self._store, self._accounts, self._refusals, source)

    def close(self) -> None:
        """Let go of the threads; nothing is delivered any more."""
        for thread in (self._thread, self._digests):
            thread.shutdown(wait=True, cancel_futures=True)

    async def deliver(self, source: str, delivery: Delivery) -> None:
        """Returns once everything in the delivery is committed; raises Unavailable."""
        try:
            await self._deliver(_Work(source, delivery, Evaluation(self._event_limit(source))))
        except MemoryError as error:
            self._accounts.unavailable["memory"] += 1
            raise Unavailable("there is not enough memory to evaluate this", self._retry_after) from error

    async def _deliver(self, work: _Work) -> None:
        loop = asyncio.get_running_loop()
        body = work.delivery.body
        # Beside the evaluation: hashing many bytes does not need the interpreter.
        digest = loop.run_in_executor(self._digests, _digest, body) if work.delivery.position is None else None
        rest = await self._evaluate_quickly(work)
        if rest is not None:
            await loop.run_in_executor(self._thread, self._evaluate_slowly, rest, work, loop)
        await self._commit_limited(self._batch(work, None if digest is None else await digest))

    async def commit(self, batch: Batch) -> Outcome:
        """Commit a batch and book it. Raises Unavailable if it is not committed, or nobody can tell."""
        started = time.perf_counter()
        try:
            # Shielded: a sender that goes away must not take back what the writer is about to commit.
            outcome = await asyncio.shield(asyncio.wrap_future(self._committer.submit(batch)))
        except QueueFull as error:
            self._accounts.unavailable["queue_full"] += 1
            raise Overloaded(str(error), self._retry_after) from error
        except StoreError as error:
            self._accounts.unavailable["store"] += 1
            self._refused(str(error))
            raise Unavailable(str(error), self._retry_after) from error
        self._committed(time.perf_counter() - started)
        self._accounts.count(batch, outcome)
        return outcome

    async def _commit_part(self, work: _Work) -> None:
        """Commit the alerts of a delivery so far. Its digest or position and its counters come with the last of them:
        if that does not come, it is delivered again, and the store knows these alerts by their ids.
        """
        delivery = work.delivery
        alerts = work.evaluation.take_alerts()
        await self._commit_limited(Batch(work.source, delivery.cluster, delivery.received_ns, alerts=alerts))

    async def _commit_limited(self, batch: Batch) -> None:
        """Commit a batch without the internal alerts of which there are too many."""
        if not any(alert.source == INTERNAL for alert in batch.alerts):
            await self.commit(batch)
            return
        passed = self._moderator.moderate(batch.source, batch.cluster, batch.alerts, batch.received_ns)
        committed = True  # also if the sender goes away meanwhile
        try:
            outcome = await self.commit(replace(batch, alerts=passed.alerts))
            committed = outcome is Outcome.COMMITTED
        except Unavailable:
            committed = False
            raise
        finally:
            self._moderator.settle(batch.source, batch.cluster, passed, batch.received_ns, committed)

    async def _evaluate_quickly(self, work: _Work) -> Iterable[Decoded] | None:
        """Evaluates what cannot keep the event loop for long; what that leaves over, None for nothing."""
        delivery = work.delivery
        async with self._turn:
            parts = _quickly_read(delivery, self._evaluator.decoder)
            if parts is None:
                return _read(delivery)
            for _ in self._evaluator.steps(parts, delivery.cluster, work.evaluation):
                if work.evaluation.weight >= MAX_WEIGHT:
                    await self._commit_part(work)
                else:
                    await asyncio.sleep(0)
            return parts.rest() if isinstance(parts, UsualList) and not parts.done else None

    def _evaluate_slowly(self, parts: Iterable[Decoded], work: _Work, loop: asyncio.AbstractEventLoop) -> None:
        if self._spare is None:
            self._spare = self._make_spare()
        for _ in self._spare.steps(parts, work.delivery.cluster, work.evaluation):
            if work.evaluation.weight >= MAX_WEIGHT:
                asyncio.run_coroutine_threadsafe(self._commit_part(work), loop).result()

    def _batch(self, work: _Work, digest: bytes | None) -> Batch:
        source, delivery, found = work.source, work.delivery, work.evaluation
        malformed = len(found.malformed) + found.unkept
        if malformed:
            reason = found.malformed[0].reason
            alert = self._internal.malformed(delivery.received_ns, source, delivery.cluster, malformed, reason)
            if alert is not None:
                # The same body sent again is the same alert, whenever it comes.
                alert.event.audit_id = _digest(delivery.body).hex()
                found.add(self._recorder.records(alert.event, [alert], delivery.cluster, found.rule_errors))
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

    def __init__(
        self, pipeline: Pipeline, store: Store, accounts: Accounts, refusals: RefusalWatch, source: str
    ) -> None:
        self._pipeline = pipeline
        self._store = store
        self._accounts = accounts
        self._refusals = refusals
        self._source = source

    async def deliver(self, delivery: Delivery) -> None:
        """See sources/base.py."""
        await self._pipeline.deliver(self._source, delivery)

    def refuse(self, refusal: Refusal) -> None:
        """See sources/base.py."""
        self._accounts.refuse(self._source, refusal.cluster, refusal.reason)
        self._refusals.add(self._source, refusal, time.time_ns())

    def report_secret_problem(self, cluster: str, problem: str) -> None:
        """See sources/base.py."""
        self._pipeline.secret_problem(self._source, cluster, problem)

    async def position(self, file: str) -> Position | None:
        """See sources/base.py. Raises Unavailable."""
        try:
            found = await asyncio.to_thread(self._store.position, self._source, file)
        except StoreError as error:
            raise Unavailable(str(error)) from error
        return None if found is None else Position(*found)

    async def present(self, files: Collection[str]) -> None:
        """See sources/base.py. Raises Unavailable."""
        try:
            await asyncio.to_thread(self._store.keep_positions, self._source, files)
        except StoreError as error:
            raise Unavailable(str(error)) from error


def _quickly_read(delivery: Delivery, decoder: UsualDecoder) -> Iterable[Decoded] | None:
    """What the delivery holds, if reading it cannot keep the event loop for long."""
    body = delivery.body
    if len(body) <= SMALL:
        return _read(delivery)
    if len(body) >= LARGE:
        return None
    if delivery.lines:
        return _read(delivery) if max(map(len, body.split(b"\n"))) < LARGE_EVENT else None
    found = usual_list(body, decoder)
    return None if found is None or found.longest >= LARGE_EVENT else found


def _read(delivery: Delivery) -> Iterable[Decoded]:
    """What the delivery holds, part by part."""
    if delivery.lines:
        return (part for line in delivery.body.split(b"\n") if line.strip() for part in decode_parts(line))
    return decode_parts(delivery.body)


def _digest(body: bytes) -> bytes:
    """What the store knows a body by. Processors have instructions for this one, so it is the fastest."""
    return sha256(body).digest()[:16]
