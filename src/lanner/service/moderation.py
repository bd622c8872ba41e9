"""Bounds how many internal alerts one source and cluster can raise; what is left out is told in sum.

Alerts about oversize, truncated and malformed events are as many as whoever sends them likes. Each is worth knowing, so
the first LIMIT within WINDOW_NS are raised one by one; those behind them are counted, with the users they are about,
and told by one alert when the time is over. Nothing else depends on that: each event has been evaluated by all rules,
and the counters have each of them. Only what is committed counts: what was refused or is a duplicate comes to nothing.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from lanner.service.internal import MALFORMED, OVERSIZE, TRUNCATED
from lanner.service.records import INTERNAL
from lanner.store.records import AlertRecord

WINDOW_NS = 60 * 1_000_000_000

LIMIT: dict[str, int] = {
    # These are about one event each, and tell who did what: padding must not hide it in a few others.
    OVERSIZE: 100,
    TRUNCATED: 100,
    # About one delivery, whose pieces are kept by themselves. Nobody but the sender of bodies can cause it.
    MALFORMED: 10,
}

MAX_USERS = 10
"""Users that are named in a sum; all others are one."""

OTHERS = "others"


class Sum(NamedTuple):
    """Alerts of one kind that were left out. `users`: how many of them are about whom."""

    kind: str
    source: str
    cluster: str
    left_out: int
    since_ns: int
    users: dict[str, int]


@dataclass(slots=True)
class _Window:
    since_ns: int = 0
    raised: int = 0
    """Also those on their way into the store."""
    left_out: int = 0
    left_out_since_ns: int = 0
    users: Counter[str] = field(default_factory=Counter)


@dataclass(frozen=True, slots=True)
class Passed:
    """The alerts of a delivery that may go on, and which were left out; `settle` wants it back."""

    alerts: tuple[AlertRecord, ...]
    left_out: tuple[AlertRecord, ...]
    counted: tuple[tuple[_Window, int], ...]
    """The windows that the internal ones among the alerts were counted in."""


class Moderator:
    """Safe from several threads. Times are those of deliveries, in nanoseconds since 1970."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._windows: dict[tuple[str, str, str], _Window] = {}

    def moderate(self, source: str, cluster: str, alerts: Sequence[AlertRecord], now_ns: int) -> Passed:
        """Which alerts of a delivery are raised one by one. Call `settle` when it is known what became of them."""
        kept: list[AlertRecord] = []
        left_out: list[AlertRecord] = []
        counted: Counter[str] = Counter()
        with self._lock:
            for alert in alerts:
                limit = LIMIT.get(alert.rule) if alert.source == INTERNAL else None
                if limit is not None:
                    window = self._window(alert.rule, source, cluster, now_ns)
                    if window.raised >= limit:
                        left_out.append(alert)
                        continue
                    window.raised += 1
                    counted[alert.rule] += 1
                kept.append(alert)
            windows = tuple((self._windows[kind, source, cluster], number) for kind, number in counted.items())
        return Passed(tuple(kept), tuple(left_out), windows)

    def settle(self, source: str, cluster: str, passed: Passed, now_ns: int, committed: bool) -> None:
        """The delivery was committed; or it was not, or was before: then it is as if it had not come."""
        with self._lock:
            if not committed:
                for window, number in passed.counted:
                    window.raised = max(0, window.raised - number)
                return
            for alert in passed.left_out:
                window = self._windows[alert.rule, source, cluster]
                if not window.left_out:
                    window.left_out_since_ns = now_ns
                window.left_out += 1
                if alert.user:
                    known = alert.user in window.users or len(window.users) < MAX_USERS
                    window.users[alert.user if known else OTHERS] += 1

    def sums(self, now_ns: int, everything: bool = False) -> list[Sum]:
        """What was left out in windows that are over, or in all of them; told once."""
        found: list[Sum] = []
        with self._lock:
            for (kind, source, cluster), window in self._windows.items():
                if window.left_out and (everything or _is_over(window, now_ns)):
                    users = dict(window.users.most_common())
                    found.append(Sum(kind, source, cluster, window.left_out, window.left_out_since_ns, users))
                    window.left_out = 0
                    window.users.clear()
        return found

    def _window(self, kind: str, source: str, cluster: str, now_ns: int) -> _Window:
        window = self._windows.setdefault((kind, source, cluster), _Window())
        if _is_over(window, now_ns):
            window.since_ns = now_ns
            window.raised = 0
        return window


def _is_over(window: _Window, now_ns: int) -> bool:
    """Also if the clock was set back: nobody must wait for it to come again."""
    return not 0 <= now_ns - window.since_ns < WINDOW_NS
