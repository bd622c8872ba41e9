"""What goes into the store and what comes out of it. All are immutable values.

Times are nanoseconds since 1970. The store keeps 64 bits: later times than the year 2262 are kept as that.
"""

from __future__ import annotations

import json
from array import array
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum
from hashlib import blake2b

import msgspec
from msgspec import Struct

from lanner.store.errors import StoreError

ID_DIGITS = 32
"""Hexadecimal digits of the id of an alert and of an event."""

_encode = msgspec.json.Encoder().encode


MAX_SHARES = 20
"""Shares that are named of what was removed by size."""


class AlertRecord(Struct, frozen=True, gc=False):
    """An alert on its way into the store.

    `id` and `event_id` are what EventIdentity makes. `source` is the source of the rule (`k8s_audit`,
    `internal`). `priority` is the number of a Priority. `output` is the rendered line, `document` the JSON document of
    the alert, `event` the JSON of the event, both redacted by then. Several alerts on one event share its one copy;
    an alert on no event has an empty `event`, which is not kept.
    """

    id: str
    cluster: str
    source: str
    rule: str
    priority: int
    tags: tuple[str, ...]
    time_ns: int
    audit_id: str
    stage: str
    namespace: str
    user: str
    resource: str
    name: str
    verb: str
    output: str
    document: bytes
    event: bytes
    event_id: str


@dataclass(frozen=True, slots=True)
class MalformedRecord:
    """A piece of a body that is no event, or a whole body that cannot be read. Whoever makes it bounds `raw`."""

    reason: str
    raw: bytes


@dataclass(frozen=True, slots=True)
class Batch:
    """What came of one delivery, or of a part of a large one: all of the batch is committed, or nothing. Parts before
    one that is not are committed; when the delivery comes again, their alerts are told by their ids and come once.

    `source` is the name of the source in the configuration. `size` is in bytes. `digest` identifies the body of a
    webhook: the same one again within the hour, for the same source and cluster, is a duplicate. `position` is (file,
    identity, offset behind the last line): not ahead of the committed one of the same file and identity means
    duplicate. A file that begins anew needs a new identity. With neither, a batch is never a duplicate.

    `evaluated` events went through the rules, `matched` of them raised at least one alert. `unkept` counts malformed
    pieces beyond those in `malformed`. `last_event_ns` is the latest event time in it, 0 for none. `rule_matches` and
    `rule_errors` count by rule name. `refused` counts bodies that were turned away before they were read, by reason.
    """

    source: str
    cluster: str
    received_ns: int
    size: int = 0
    digest: bytes | None = None
    position: tuple[str, str, int] | None = None
    evaluated: int = 0
    malformed: tuple[MalformedRecord, ...] = ()
    oversize: int = 0
    truncated: int = 0
    matched: int = 0
    last_event_ns: int = 0
    alerts: tuple[AlertRecord, ...] = ()
    rule_matches: Mapping[str, int] = field(default_factory=dict)
    rule_errors: Mapping[str, int] = field(default_factory=dict)
    unkept: int = 0
    refused: Mapping[str, int] = field(default_factory=dict)

    @property
    def pieces(self) -> int:
        """How many events and malformed pieces were received with it."""
        return self.evaluated + len(self.malformed) + self.unkept

    @property
    def weight(self) -> int:
        """About how many bytes of memory it holds on to."""
        return weight(self.alerts) + sum(len(record.raw) for record in self.malformed) + 1024


def weight(alerts: Iterable[AlertRecord]) -> int:
    """About how many bytes of memory alerts hold on to. Those on one event, one after the other, share its text."""
    total = 0
    event = None
    for alert in alerts:
        total += len(alert.document) + len(alert.output) + 1024
        if alert.event is not event:
            event = alert.event
            total += len(event)
    return total


class Outcome(Enum):
    """What a commit made of a batch."""

    COMMITTED = "committed"
    DUPLICATE = "duplicate"
    """It was committed before: its events count as duplicate, nothing else of it is stored."""


@dataclass(frozen=True, slots=True)
class CommitResult:
    """What a commit did: an outcome for each batch, and the alerts of committed batches that the store had already.

    `last_seq`: no alert of these batches, nor of any before them, has a higher number.
    """

    outcomes: tuple[Outcome, ...]
    known_alerts: frozenset[str]
    last_seq: int = 0


@dataclass(frozen=True, slots=True)
class StoredAlert:
    """An alert as the store has it. `seq` grows in the order of commits, across all processes that share the store.

    `event` is None where the event was not asked for, or the alert is on none.
    """

    seq: int
    received_ns: int
    id: str
    cluster: str
    source: str
    rule: str
    priority: int
    tags: tuple[str, ...]
    time_ns: int
    audit_id: str
    stage: str
    namespace: str
    user: str
    resource: str
    name: str
    verb: str
    output: str
    document: bytes
    event_id: str
    event: bytes | None = None


@dataclass(frozen=True, slots=True)
class AlertFilter:
    """Which alerts. Nothing given means all; several values of one field mean any of them.

    `since_ns` <= event time < `until_ns`. `priority`: as severe as this number, or more. `text` is part of the output
    or of the rule's name, in any case of (ASCII) letters.
    """

    since_ns: int | None = None
    until_ns: int | None = None
    priority: int | None = None
    rules: tuple[str, ...] = ()
    clusters: tuple[str, ...] = ()
    namespaces: tuple[str, ...] = ()
    users: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    text: str = ""


class FoundAlerts:
    """Which alerts were found, newest first; a few bytes for each, so that there may be many millions.

    `clusters`: whether any of them is of a cluster.
    """

    def __init__(self) -> None:
        self._seqs = array("q")
        self._sizes = array("q")
        self.clusters = False

    def __len__(self) -> int:
        return len(self._seqs)

    def add(self, seq: int, size: int, in_cluster: bool) -> None:
        """The next older one."""
        self._seqs.append(seq)
        self._sizes.append(size)
        self.clusters = self.clusters or in_cluster

    def pages(self, limit: int, max_count: int, max_bytes: int) -> Iterator[list[int]]:
        """The numbers of the newest `limit`, oldest first, so many at once as take no more than that, or one."""
        page: list[int] = []
        size = 0
        for index in reversed(range(min(limit, len(self)))):
            if page and (len(page) == max_count or size + self._sizes[index] > max_bytes):
                yield page
                page, size = [], 0
            page.append(self._seqs[index])
            size += self._sizes[index]
        if page:
            yield page


@dataclass(frozen=True, slots=True)
class StoredMalformed:
    """A malformed piece as the store has it."""

    seq: int
    source: str
    cluster: str
    received_ns: int
    reason: str
    raw: bytes


@dataclass(frozen=True, slots=True)
class SourceCounters:
    """Totals of one source and cluster since the store began: received = evaluated + duplicate + malformed, always.

    `bodies` counts deliveries with a digest. `lag_ns` is how long the latest event of the last delivery took to arrive,
    `max_lag_ns` the longest of those times. Times are 0 until there is one.
    """

    source: str
    cluster: str
    received: int
    evaluated: int
    matched: int
    duplicate: int
    malformed: int
    oversize: int
    truncated: int
    bodies: int
    bytes: int
    last_event_ns: int
    last_received_ns: int
    lag_ns: int
    max_lag_ns: int
    refused_bodies: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class RuleCounters:
    """Totals of one rule on one source and cluster."""

    source: str
    cluster: str
    rule: str
    matches: int
    errors: int


@dataclass(frozen=True, slots=True)
class Counters:
    """All totals, as of one moment."""

    sources: tuple[SourceCounters, ...]
    rules: tuple[RuleCounters, ...]


@dataclass(frozen=True, slots=True)
class RetentionPolicy:
    """How much is kept. None means without limit.

    `max_age_ns` counts from arrival. `max_bytes` is for alerts with their events, as the store accounts for them
    (without indexes and free pages, which take about a third more); above it those give who take the most (shares.py).
    What an output that holds has not passed yet stays, whatever these say, until all alerts take more than
    `hard_bytes`.

    Positions of files that have been missing for `missing_ns` are removed, and outputs that do not hold and have not
    moved for so long.
    """

    max_age_ns: int | None = None
    max_bytes: int | None = None
    hard_bytes: int | None = None
    missing_ns: int = 30 * 86_400 * 1_000_000_000


@dataclass(frozen=True, slots=True)
class RemovedShare:
    """Alerts of one cluster, rule and user that were removed because the store was too large. An empty `user`: of
    several. `bytes`: about what they took.
    """

    cluster: str
    rule: str
    user: str
    alerts: int
    bytes: int


@dataclass(frozen=True, slots=True)
class RemovedBySize:
    """What was removed because the store was too large: the largest shares first, and from when the alerts were."""

    alerts: int
    bytes: int
    shares: tuple[RemovedShare, ...]
    first_ns: int
    last_ns: int

    def with_more(self, other: RemovedBySize) -> RemovedBySize:
        """The sum of both; it names no more shares than MAX_SHARES."""
        found: dict[tuple[str, str, str], RemovedShare] = {}
        for share in (*self.shares, *other.shares):
            whose = (share.cluster, share.rule, share.user)
            before = found.get(whose, RemovedShare(*whose, 0, 0))
            found[whose] = RemovedShare(*whose, before.alerts + share.alerts, before.bytes + share.bytes)
        return RemovedBySize(
            self.alerts + other.alerts,
            self.bytes + other.bytes,
            largest_shares(found.values()),
            min(self.first_ns, other.first_ns),
            max(self.last_ns, other.last_ns),
        )


def largest_shares(shares: Iterable[RemovedShare]) -> tuple[RemovedShare, ...]:
    """The MAX_SHARES that took the most, the largest first."""
    return tuple(sorted(shares, key=lambda share: -share.bytes)[:MAX_SHARES])


@dataclass(frozen=True, slots=True)
class RetentionResult:
    """What retention did: alerts removed, how many of those some output had still to pass, the bytes that stay (as far
    as it looked), what of it was removed by size, and what the store failed with, so that it did no more.
    """

    removed: int
    removed_unsent: int
    bytes: int
    by_size: RemovedBySize | None = None
    failure: StoreError | None = None


class EventIdentity:
    """What makes an event unique, and the ids that are derived from it.

    Two events are one exactly if all their parts are equal, in this order. None, for a part that an event does not
    have, is unlike any text. Parts may be of any length: the ids are digests, from which no part can be read.
    """

    __slots__ = ("_digest",)

    def __init__(self, *parts: str | None) -> None:
        # A JSON array says itself where each part ends, so no value can be moved from one part into the next.
        self._digest = blake2b(_encoded_parts(parts), digest_size=ID_DIGITS // 2)

    def event_id(self) -> str:
        """The id that all alerts on the event share: 32 hexadecimal digits."""
        return self._digest.hexdigest()

    def alert_id(self, rule: str) -> str:
        """The id of the alert of a rule on the event: 32 hexadecimal digits."""
        digest = self._digest.copy()
        digest.update(b"\n" + rule.encode("utf-8", "surrogatepass"))
        return digest.hexdigest()


def _encoded_parts(parts: tuple[str | None, ...]) -> bytes:
    try:
        return _encode(parts)
    except UnicodeEncodeError:  # a lone surrogate
        return json.dumps(parts).encode()
