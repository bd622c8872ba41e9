"""What this process has seen since it started, for metrics: the same counts as the store keeps for ever.

Counted when a delivery is committed, so that received = evaluated + duplicate + malformed holds at every moment.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from threading import Lock

from lanner.store.records import Batch, Outcome


@dataclass(slots=True)
class Account:
    """Counts of one source and cluster. Times in nanoseconds, 0 until there is one."""

    received: int = 0
    evaluated: int = 0
    matched: int = 0
    duplicate: int = 0
    malformed: int = 0
    oversize: int = 0
    truncated: int = 0
    bodies: int = 0
    bytes: int = 0
    last_event_ns: int = 0
    last_received_ns: int = 0
    lag_ns: int = 0
    max_lag_ns: int = 0
    refused: Counter[str] = field(default_factory=Counter)


class Accounts:
    """All accounts by (source, cluster), and rules by (rule, cluster)."""

    def __init__(self) -> None:
        self.sources: dict[tuple[str, str], Account] = {}
        self.rule_matches: Counter[tuple[str, str]] = Counter()
        self.rule_errors: Counter[tuple[str, str]] = Counter()
        self.unavailable: Counter[str] = Counter()
        """Deliveries that could not be committed, by reason; their senders come again."""
        self._refusals: Counter[tuple[str, str, str]] = Counter()
        self._lock = Lock()

    def account(self, source: str, cluster: str) -> Account:
        """The account of a source and cluster, opened if it is new."""
        return self.sources.setdefault((source, cluster), Account())

    def count(self, batch: Batch, outcome: Outcome) -> None:
        """Book a batch that is committed, or was before."""
        if not batch.pieces and batch.digest is None:
            return  # positions, refusals and what Lanner says itself: nothing was received
        account = self.account(batch.source, batch.cluster)
        account.received += batch.pieces
        account.bytes += batch.size
        account.bodies += batch.digest is not None
        account.last_received_ns = max(account.last_received_ns, batch.received_ns)
        if outcome is Outcome.DUPLICATE:
            account.duplicate += batch.pieces
            return
        account.evaluated += batch.evaluated
        account.malformed += batch.pieces - batch.evaluated
        account.matched += batch.matched
        account.oversize += batch.oversize
        account.truncated += batch.truncated
        if batch.last_event_ns > 0:
            # A clock that is ahead, or a lie, does not stay the newest for ever.
            latest = min(batch.last_event_ns, batch.received_ns)
            account.last_event_ns = max(account.last_event_ns, latest)
            account.lag_ns = batch.received_ns - latest
            account.max_lag_ns = max(account.max_lag_ns, account.lag_ns)
        for rule, number in batch.rule_matches.items():
            self.rule_matches[rule, batch.cluster] += number
        for rule, number in batch.rule_errors.items():
            self.rule_errors[rule, batch.cluster] += number

    def refuse(self, source: str, cluster: str, reason: str) -> None:
        """Count a request that was refused."""
        with self._lock:
            self.account(source, cluster).refused[reason] += 1
            self._refusals[source, cluster, reason] += 1

    def take_refusals(self) -> dict[tuple[str, str], dict[str, int]]:
        """The refusals since the last call, by source and cluster, for the store."""
        with self._lock:
            taken, self._refusals = self._refusals, Counter()
        found: dict[tuple[str, str], dict[str, int]] = {}
        for (source, cluster, reason), number in taken.items():
            found.setdefault((source, cluster), {})[reason] = number
        return found

    def give_back(self, source: str, cluster: str, refusals: dict[str, int]) -> None:
        """Refusals that the store did not take; they are tried again."""
        with self._lock:
            for reason, number in refusals.items():
                self._refusals[source, cluster, reason] += number
