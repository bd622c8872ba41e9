"""Decides whose alerts go when a store is too large: those of whoever takes the most, the oldest of them first.

In: how many bytes have to go. Out: a `Plan` that says of each alert whether it goes. All alerts of a cluster, a rule
and a severity (WARNING and above, or less) are one share. The largest share gives first, down to the size of the next
one; then both give, and so on, as water finds its level. An alert below WARNING counts as four. Within a share the
users give to each other in the same way.

So as long as one share is larger than another, nothing of the smaller one goes: a flood of one rule takes no room from
other rules, nor one user's from other users. In a flood under thousands of names only the MAX_USERS largest have
shares of their own; if these do not give enough, the oldest alerts of that rule go, whoever they are about.

Example: 60 MB have to go. Rule A has 100 MB, B has 50 MB, C has 10 MB, all at WARNING: A gives 55 MB, B gives 5 MB.

The sums cost one look at all alerts, once in a cleaning; a commit pays nothing for them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Connection, Select, func, select

from lanner.store.schema import alerts

MAX_USERS = 100
"""Users of a share that are looked at each by itself."""

LOW_WEIGHT = 4
"""How much more an alert below WARNING counts."""

SCANNED = 1_000
"""Alerts that are looked at in one query."""

_WARNING = 4  # number of a Priority; less severe ones are higher

_bytes: ColumnElement[int] = alerts.c.size + alerts.c.event_bytes
_is_low: ColumnElement[bool] = alerts.c.priority > _WARNING


class Key(NamedTuple):
    """Whose a share is. `low`: below WARNING."""

    cluster: str
    rule: str
    low: bool


class Chosen(NamedTuple):
    """An alert that has to go, and about how many bytes that frees. `user`: empty where it is one of many."""

    seq: int
    bytes: int
    key: Key
    user: str
    time_ns: int


@dataclass(slots=True)
class _Quota:
    """What a share still has to give: each of these users, who leaves when nothing is left, and whoever is next."""

    users: dict[str, float] = field(default_factory=dict)
    anybody: float = 0.0

    def take(self, user: str, size: int, round_up: bool) -> str | None:
        """The name under which an alert goes; None if it stays."""
        # What is left and too little for the next alert is closed, so that nobody looks for a smaller one to the end.
        least = 0.0 if round_up else size / 2
        left = self.users.pop(user, 0.0)
        if left > least:
            if left > size:
                self.users[user] = left - size
            return user
        if self.anybody > 0:
            left, self.anybody = self.anybody, self.anybody - size if self.anybody > least else 0.0
            if left > least:
                return ""
        return None

    @property
    def is_open(self) -> bool:
        """Whether anybody has still to give."""
        return self.anybody > 0 or bool(self.users)


class Plan:
    """Which alerts go. `limit`: the highest number that may."""

    def __init__(self, quotas: dict[Key, _Quota], limit: int | None, round_up: bool) -> None:
        self._quotas = quotas
        self._limit = limit
        self._round_up = round_up
        self._after = 0

    def next(self, connection: Connection, count: int, max_bytes: int, stop: Callable[[], bool]) -> list[Chosen]:
        """The next alerts that go, in the order of their numbers: so many of so many bytes, or one.

        None at last. Fewer when `stop` says so: it may be a long way to the next that goes.
        """
        chosen: list[Chosen] = []
        size = 0
        while self._quotas and not stop():
            rows = connection.execute(self._query()).all()
            for seq, cluster, rule, low, about, time_ns, taken in rows:
                user = self._take(seq, key := Key(cluster, rule, bool(low)), about, taken)
                if user is not None:
                    chosen.append(Chosen(seq, taken, key, user, time_ns))
                    size += taken
                    if len(chosen) == count or size >= max_bytes:
                        return chosen
            if len(rows) < SCANNED:
                return chosen
        return chosen

    def _take(self, seq: int, key: Key, user: str, size: int) -> str | None:
        """The name under which an alert goes; None if it stays."""
        self._after = seq
        quota = self._quotas.get(key)
        if quota is None:
            return None
        name = quota.take(user, size, self._round_up)
        if not quota.is_open:
            del self._quotas[key]
        return name

    def _query(self) -> Select[Any]:
        # Whose they are is decided here: a database takes so many parameters, and there may be more shares and users.
        query = select(alerts.c.seq, alerts.c.cluster, alerts.c.rule, _is_low, alerts.c.user, alerts.c.time_ns, _bytes)
        query = query.where(*_upto(self._limit), alerts.c.seq > self._after)
        return query.order_by(alerts.c.seq).limit(SCANNED)


def plan(connection: Connection, surplus: int, limit: int | None, round_up: bool) -> Plan | None:
    """Who gives how much of so many bytes; None where there is nothing to give.

    Amounts are rounded to whole alerts, with `round_up` to at least one.
    """
    low = _is_low.label("low")
    query = select(alerts.c.cluster, alerts.c.rule, low, func.sum(_bytes).label("bytes")).where(*_upto(limit))
    shares = {
        Key(row.cluster, row.rule, bool(row.low)): int(row.bytes)
        for row in connection.execute(query.group_by(alerts.c.cluster, alerts.c.rule, low))
    }
    if not shares:
        return None
    keys = list(shares)
    given = level([shares[key] for key in keys], [LOW_WEIGHT if key.low else 1 for key in keys], surplus)
    givers = {key: amount for key, amount in zip(keys, given, strict=True) if amount > 0}
    users = _largest_users(connection, list(givers), limit)
    return Plan({key: _quota(users[key], amount) for key, amount in givers.items()}, limit, round_up)


def _largest_users(connection: Connection, keys: Sequence[Key], limit: int | None) -> dict[Key, list[tuple[str, int]]]:
    """Of each share its users with their bytes, the largest first, and one more than MAX_USERS if there are more."""
    total = func.sum(_bytes)
    whose = (alerts.c.cluster, alerts.c.rule, _is_low.label("low"))
    place = func.row_number().over(partition_by=whose, order_by=(total.desc(), alerts.c.user))
    grouped = select(*whose, alerts.c.user, total.label("bytes"), place.label("place"))
    ranked = grouped.where(*_upto(limit)).group_by(*whose, alerts.c.user).subquery()
    found: dict[Key, list[tuple[str, int]]] = {key: [] for key in keys}
    query = select(ranked).where(ranked.c.place <= MAX_USERS + 1).order_by(ranked.c.place)
    for row in connection.execute(query):
        users = found.get(Key(row.cluster, row.rule, bool(row.low)))
        if users is not None:
            users.append((row.user, int(row.bytes)))
    return found


def _quota(users: list[tuple[str, int]], amount: float) -> _Quota:
    anybody = 0.0
    if len(users) > MAX_USERS:
        # Nobody beyond these has more than the last, so down to that the level is the true one.
        least = users.pop()[1]
        possible = float(sum(size - least for _, size in users))
        anybody = max(0.0, amount - possible)
        amount = min(amount, possible)
    given = level([size for _, size in users], [1] * len(users), amount)
    return _Quota({user: part for (user, _), part in zip(users, given, strict=True) if part > 0}, anybody)


def level(sizes: Sequence[int], weights: Sequence[int], surplus: float) -> list[float]:
    """How much each gives so that the surplus goes and `size * weight` of no giver falls below that of another.

    >>> level([100, 50, 10], [1, 1, 1], 60)
    [55.0, 5.0, 0.0]
    """
    order = sorted(range(len(sizes)), key=lambda index: sizes[index] * weights[index], reverse=True)
    total = inverse = height = 0.0
    for position, index in enumerate(order):
        total += sizes[index]
        inverse += 1 / weights[index]
        height = max(0.0, (total - surplus) / inverse)
        following = order[position + 1] if position + 1 < len(order) else None
        if following is None or height >= sizes[following] * weights[following]:
            break
    return [max(0.0, size - height / weight) for size, weight in zip(sizes, weights, strict=True)]


def _upto(limit: int | None) -> list[ColumnElement[bool]]:
    return [] if limit is None else [alerts.c.seq <= limit]
