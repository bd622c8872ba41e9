"""Internal alerts that a sender can cause are bounded, and nothing of what they tell gets lost."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import pytest

from lanner.service.internal import MALFORMED, OVERSIZE, SILENT, TRUNCATED
from lanner.service.moderation import LIMIT, MAX_USERS, OTHERS, WINDOW_NS, Moderator, Sum
from lanner.store.records import AlertRecord
from tests.store.builders import NOW, SECOND, alert


def internal(kind: str, user: str = "jane") -> AlertRecord:
    return alert(rule=kind, source="internal", user=user)


def send(
    moderator: Moderator,
    *alerts: AlertRecord,
    now: int = NOW,
    committed: bool = True,
    source: str = "webhook",
    cluster: str = "prod",
) -> int:
    """Deliver them together; how many went on."""
    passed = moderator.moderate(source, cluster, alerts, now)
    moderator.settle(source, cluster, passed, now, committed)
    return len(passed.alerts)


@pytest.mark.parametrize("kind", LIMIT)
def test_the_first_ones_are_raised_and_the_others_counted(kind: str) -> None:
    """Over many deliveries; told once when the time is over, then it begins anew."""
    moderator = Moderator()
    assert sum(send(moderator, internal(kind)) for _ in range(LIMIT[kind])) == LIMIT[kind]
    assert [send(moderator, internal(kind), now=NOW + second * SECOND) for second in (5, 6, 59)] == [0, 0, 0]
    assert moderator.sums(NOW + WINDOW_NS - 1) == []
    told = Sum(kind, "webhook", "prod", 3, NOW + 5 * SECOND, {"jane": 3})
    assert moderator.sums(NOW + WINDOW_NS) == [told]
    assert moderator.sums(NOW + WINDOW_NS) == []
    assert send(moderator, internal(kind), now=NOW + WINDOW_NS) == 1


def test_of_one_delivery_too_many() -> None:
    """Alerts of rules, and internal ones that nobody can cause at will, always go on."""
    moderator = Moderator()
    many = [internal(OVERSIZE)] * (LIMIT[OVERSIZE] + 7)
    others = [alert(rule="Rule"), alert(rule=OVERSIZE), internal(SILENT)]
    assert send(moderator, *many, *others * 200) == LIMIT[OVERSIZE] + 600
    assert [one.left_out for one in moderator.sums(NOW, everything=True)] == [7]


Change = Callable[[Moderator], int]
ELSEWHERE: dict[str, Change] = {
    "another kind": lambda moderator: send(moderator, internal(TRUNCATED)),
    "another source": lambda moderator: send(moderator, internal(MALFORMED), source="second"),
    "another cluster": lambda moderator: send(moderator, internal(MALFORMED), cluster="lab"),
    "another minute": lambda moderator: send(moderator, internal(MALFORMED), now=NOW + WINDOW_NS),
    "the clock was set back": lambda moderator: send(moderator, internal(MALFORMED), now=NOW - 3600 * SECOND),
}


@pytest.mark.parametrize("name", ELSEWHERE)
def test_one_that_floods_costs_no_other(name: str) -> None:
    """Each kind, source and cluster has its own bound."""
    moderator = Moderator()
    assert send(moderator, *[internal(MALFORMED)] * 50) == LIMIT[MALFORMED]
    assert ELSEWHERE[name](moderator) == 1


def test_what_is_not_committed_does_not_count() -> None:
    """While the store refuses, or for a body that was committed before, senders may come as often as they like."""
    moderator = Moderator()
    for _ in range(50):
        assert send(moderator, *[internal(MALFORMED)] * 15, committed=False) == LIMIT[MALFORMED]
    assert moderator.sums(NOW, everything=True) == []
    assert send(moderator, internal(MALFORMED)) == 1


def test_several_deliveries_at_once() -> None:
    """What is on its way counts, so that the bound holds; given back if it is refused."""
    moderator = Moderator()
    first = moderator.moderate("webhook", "prod", [internal(MALFORMED)] * LIMIT[MALFORMED], NOW)
    second = moderator.moderate("webhook", "prod", [internal(MALFORMED)], NOW)
    assert (len(second.alerts), len(second.left_out)) == (0, 1)
    moderator.settle("webhook", "prod", first, NOW, committed=False)
    moderator.settle("webhook", "prod", second, NOW, committed=True)
    assert send(moderator, internal(MALFORMED)) == 1
    assert [one.left_out for one in moderator.sums(NOW, everything=True)] == [1]


def test_users_are_named_and_bounded() -> None:
    """Who hides behind a flood of their own is in the sum; many names are one."""
    moderator = Moderator()
    send(moderator, *[internal(OVERSIZE)] * LIMIT[OVERSIZE])
    names = [f"user-{number}" for number in range(MAX_USERS + 5)] + ["user-0"] * 3 + [""]
    send(moderator, *(internal(OVERSIZE, name) for name in names))
    (told,) = moderator.sums(NOW, everything=True)
    assert told.left_out == len(names)
    assert told.users == Counter({**{f"user-{number}": 1 for number in range(MAX_USERS)}, "user-0": 4, OTHERS: 5})
    assert len(told.users) == MAX_USERS + 1
