"""Decides which refused requests are worth an alert now: the first of a kind at once, then one for each window.

In: every refusal of every source. Out: `Refused`, from which an internal alert is made. A kind is a source, a cluster
and a reason, so there are finitely many of them, however many requests anybody sends: at most one alert of each kind in
a window. Windows are longer for what anyone who reaches the port can cause.

An API server sends a body at most MAX_SENDINGS times. Such retries are no further alert: of what is lost for good,
requests of a sender and size that an alert was raised for already are counted only together with others, or once there
are more of them than one body can cause.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from lanner.sources.refusal import Consequence, Refusal

SECOND = 1_000_000_000

WINDOW_NS: Mapping[Consequence, int] = {
    # Longer than all retries of one body take, which is 83 seconds without Retry-After.
    Consequence.LOST: 300 * SECOND,
    Consequence.RETRIED: 300 * SECOND,
    Consequence.OVERLOAD: 300 * SECOND,
    Consequence.UNPROVEN: 3600 * SECOND,
}

OVERLOADED_NS = 60 * SECOND
"""How long a source and cluster count as overloaded after a request was refused for want of room."""

MAX_SENDINGS = 5
"""How often an API server sends one body: once, and four retries."""

MAX_PEERS = 10
MAX_BODIES = 1000
"""Of each kind: known senders and sizes. A body beyond them counts as a new one."""


@dataclass(frozen=True, slots=True)
class Refused:
    """Requests of one kind. `last`: the latest of them; `largest`: bytes; `peers`: hosts they came from."""

    source: str
    consequence: Consequence
    last: Refusal
    count: int
    since_ns: int
    largest: int
    peers: tuple[str, ...]
    more_peers: bool


@dataclass(slots=True)
class _Kind:
    """What has come of one kind since it was reported last."""

    last: Refusal
    reported_ns: int | None = None
    known: dict[tuple[str, int], int] = field(default_factory=dict)
    """Sender and size of what came in the window before, and how many requests there were of each until its end."""
    count: int = 0
    since_ns: int = 0
    largest: int = 0
    peers: dict[str, None] = field(default_factory=dict)
    more_peers: bool = False
    bodies: dict[tuple[str, int], int] = field(default_factory=dict)
    """The same of this window; the requests of the windows before are counted in."""
    only_retries: bool = True


@dataclass(slots=True)
class _Overload:
    since_ns: int
    last_ns: int
    count: int = 0


class RefusalWatch:
    """Belongs to one thread, the one of the event loop."""

    def __init__(self) -> None:
        self._kinds: dict[tuple[str, str, str], _Kind] = {}
        self._overloads: dict[tuple[str, str], _Overload] = {}

    def add(self, source: str, refusal: Refusal, now_ns: int) -> None:
        """A request was refused."""
        consequence = refusal.consequence
        if consequence is None:
            return
        if consequence is Consequence.OVERLOAD:
            self._add_overload((source, refusal.cluster), now_ns)
        kind = self._kinds.setdefault((source, refusal.cluster, refusal.reason), _Kind(refusal))
        if not kind.count:
            kind.since_ns = now_ns
        kind.last = refusal
        kind.count += 1
        kind.largest = max(kind.largest, refusal.size)
        host = refusal.peer.rpartition(":")[0] or refusal.peer
        if host and host not in kind.peers:
            if len(kind.peers) < MAX_PEERS:
                kind.peers[host] = None
            else:
                kind.more_peers = True
        body = host, refusal.size
        sendings = kind.bodies.get(body, kind.known.get(body, 0)) + 1
        if body not in kind.known or sendings > MAX_SENDINGS:
            kind.only_retries = False
        if body in kind.bodies or len(kind.bodies) < MAX_BODIES:
            kind.bodies[body] = sendings

    def due(self, now_ns: int, everything: bool = False) -> list[Refused]:
        """What an alert is to be raised for now. `everything`: also what would wait for the end of its window."""
        found: list[Refused] = []
        for key, kind in list(self._kinds.items()):
            consequence = kind.last.consequence
            assert consequence is not None
            over = kind.reported_ns is None or not 0 <= now_ns - kind.reported_ns < WINDOW_NS[consequence]
            if not over and not everything:
                continue
            retries = consequence is Consequence.LOST and kind.only_retries
            if kind.count and not retries:
                found.append(
                    Refused(
                        key[0],
                        consequence,
                        kind.last,
                        kind.count,
                        kind.since_ns,
                        kind.largest,
                        tuple(kind.peers),
                        kind.more_peers,
                    )
                )
            if kind.count and not everything:
                self._kinds[key] = _Kind(kind.last, now_ns, kind.bodies)
            else:
                del self._kinds[key]
        return found

    def overloaded(self, now_ns: int) -> Mapping[tuple[str, str], int]:
        """The sources and clusters that are overloaded, and how many requests were refused in a minute."""
        return {key: one.count for key, one in self._overloads.items() if 0 <= now_ns - one.last_ns < OVERLOADED_NS}

    def _add_overload(self, key: tuple[str, str], now_ns: int) -> None:
        one = self._overloads.setdefault(key, _Overload(now_ns, now_ns))
        if not 0 <= now_ns - one.since_ns < OVERLOADED_NS:
            one.since_ns, one.count = now_ns, 0
        one.last_ns = now_ns
        one.count += 1
