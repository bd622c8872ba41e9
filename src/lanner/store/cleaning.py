"""One cleaning of a store: what is too old goes, then what is too much, then what belongs to nothing any more.

In: how to read and how to remove, as transactions. Out: what was removed, also where it ends early.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import TypeAlias

from sqlalchemy import Connection

from lanner.store import retention, shares
from lanner.store.errors import StoreError
from lanner.store.records import RemovedBySize, RemovedShare, RetentionPolicy, RetentionResult, largest_shares
from lanner.store.shares import Chosen

Transaction: TypeAlias = Callable[[], AbstractContextManager[Connection]]


class Cleaning:
    """`reading` may take long, `removing` is for short transactions that others wait for, `shrink` gives back what
    these have freed. When `stop` says so, it ends before the next step."""

    def __init__(
        self, reading: Transaction, removing: Transaction, shrink: Callable[[], None], stop: Callable[[], bool]
    ) -> None:
        self._reading = reading
        self._removing = removing
        self._shrink = shrink
        self._stop = stop
        self._left = 0
        self._sent: int | None = None
        self._removed = 0
        self._unsent = 0
        self._by_size: dict[tuple[str, str, str], list[int]] = {}
        self._first_ns = self._last_ns = 0

    def run(self, policy: RetentionPolicy, now_ns: int) -> RetentionResult:
        """Remove what the policy says. Only the hard limit removes what an output has not passed."""
        failure = None
        try:
            self._run(policy, now_ns)
        except StoreError as error:
            failure = error
        return RetentionResult(self._removed, self._unsent, self._left, self._told(), failure)

    def _run(self, policy: RetentionPolicy, now_ns: int) -> None:
        with self._reading() as connection:
            self._sent = retention.passed_by_all(connection)
        if policy.max_age_ns is not None:
            self._by_age(now_ns - policy.max_age_ns, now_ns)
        for target, limit in ((policy.max_bytes, self._sent), (policy.hard_bytes, None)):
            if target is not None:
                self._to_size(target, limit)
        if self._stop():
            return
        with self._removing() as connection:
            retention.remove_missing(connection, now_ns - policy.missing_ns)
            self._left = retention.size(connection)
        self._shrink()

    def _by_age(self, before_ns: int, now_ns: int) -> None:
        while not self._stop():
            with self._reading() as connection:
                oldest = retention.too_old(connection, before_ns, now_ns, self._sent)
            if not oldest:
                return
            self._remove(oldest, None)
            self._shrink()

    def _to_size(self, target: int, limit: int | None) -> None:
        for number in range(retention.MAX_ROUNDS):
            if self._stop():
                return
            with self._reading() as connection:
                surplus = retention.size(connection) - target
                plan = shares.plan(connection, surplus, limit, number > 0) if surplus > 0 else None
            removed = 0
            while plan is not None and not self._stop():
                with self._reading() as connection:
                    chosen = plan.next(connection, retention.STEP, retention.STEP_BYTES, self._stop)
                if not chosen or self._stop():
                    break
                gone = self._remove([one.seq for one in chosen], target)
                self._note([one for one in chosen if one.seq in gone])
                self._shrink()
                removed += len(gone)
                if not gone:
                    break
            if plan is None or (number and not removed):
                return

    def _remove(self, seqs: Sequence[int], target: int | None) -> frozenset[int]:
        with self._removing() as connection:
            step = retention.remove(connection, seqs, target)
        gone, self._left = step.removed, step.bytes
        self._removed += len(gone)
        if self._sent is not None:
            self._unsent += sum(seq > self._sent for seq in gone)
        return gone

    def _note(self, gone: Sequence[Chosen]) -> None:
        for one in gone:
            entry = self._by_size.setdefault((one.key.cluster, one.key.rule, one.user), [0, 0])
            entry[0] += 1
            entry[1] += one.bytes
            self._first_ns = min(self._first_ns or one.time_ns, one.time_ns)
            self._last_ns = max(self._last_ns, one.time_ns)

    def _told(self) -> RemovedBySize | None:
        if not self._by_size:
            return None
        found = [RemovedShare(*whose, *amount) for whose, amount in self._by_size.items()]
        return RemovedBySize(
            sum(share.alerts for share in found),
            sum(share.bytes for share in found),
            largest_shares(found),
            self._first_ns,
            self._last_ns,
        )
