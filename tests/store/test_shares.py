"""Whose alerts go when a store is too large: never those of others while a flood has more."""

from __future__ import annotations

import os
import random
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import func, select, text

from lanner.store import retention
from lanner.store.records import MAX_SHARES, AlertRecord, RetentionPolicy
from lanner.store.schema import alerts, documents, events, state
from lanner.store.shares import LOW_WEIGHT, level
from lanner.store.store import Store, open_store
from tests.store.builders import NOW, alert, body

Whose: TypeAlias = tuple[str, str, str]
WARNING, NOTICE = 4, 5
SIZE = 2_000
"""Bytes of a usual alert, as the store accounts for it, without its event."""

RUNS = int(os.environ.get("LANNER_RETENTIONS", "25"))


def one(number: int, **changes: Any) -> AlertRecord:
    """An alert of SIZE bytes, with an event of as many."""
    made = alert(str(number), event=b"", **changes)
    padding = SIZE - 512 - len(made.output)
    return msgspec.structs.replace(made, document=b"d" * padding)


def commit(store: Store, made: Iterable[AlertRecord], size: int = 200) -> None:
    left = list(made)
    while left:
        group, left = left[:size], left[size:]
        store.commit([body(None, *group)])


def remaining(store: Store) -> Counter[Whose]:
    with store._reading() as connection:
        rows = connection.execute(select(alerts.c.cluster, alerts.c.rule, alerts.c.user)).all()
    return Counter((row.cluster, row.rule, row.user) for row in rows)


def consistent(store: Store) -> int:
    """The bytes of the books, which are those of what is there; no event is without alert, none lacks its own."""
    with store._reading() as connection:
        books = connection.execute(select(state.c.bytes)).scalar_one()
        own = connection.execute(select(func.coalesce(func.sum(alerts.c.size), 0))).scalar_one()
        raw = connection.execute(select(func.coalesce(func.sum(func.length(events.c.raw)), 0))).scalar_one()
        on = Counter(bytes(found) for found in connection.execute(select(alerts.c.event_id)).scalars())
        counted = {bytes(row.id): row.alerts for row in connection.execute(select(events.c.id, events.c.alerts))}
        numbers = [set(connection.execute(select(table.c.seq)).scalars()) for table in (alerts, documents)]
    assert books == own + raw
    assert numbers[0] == numbers[1]
    for identifier, count in counted.items():
        assert on[identifier] == count or (count == 0 and on[identifier] > 0)
    return int(books)


def others() -> list[AlertRecord]:
    """The history of somebody else: rules of all priorities, three users each."""
    return [
        one(index, rule=f"Other {index % 6}", priority=index % 6 + 1, user=f"user-{index % 3}", time_ns=NOW)
        for index in range(300)
    ]


SEVERE = {f"Other {number}" for number in range(4)}


def assert_kept(history: Counter[Whose], after: Counter[Whose], severe_only: bool) -> None:
    """All of it is there; `severe_only`: all at WARNING or above."""
    wanted = {whose: count for whose, count in history.items() if not severe_only or whose[1] in SEVERE}
    assert {whose: after[whose] for whose in wanted} == wanted


def flood(count: int, **changes: Any) -> list[AlertRecord]:
    """Many more, from a thousand on."""
    made = []
    for index in range(1_000, 1_000 + count):
        values = {key: value(index) if callable(value) else value for key, value in changes.items()}
        made.append(one(index, **{"rule": "Flooded", "user": "attacker", "priority": WARNING, **values}))
    return made


FLOODS: dict[str, list[AlertRecord]] = {
    "one user": flood(2_000),
    "one user, below WARNING": flood(2_000, priority=NOTICE),
    "no user": flood(2_000, user=""),
    "a user for each": flood(2_000, user=lambda index: f"system:serviceaccount:ns:{index}"),
    "long names": flood(1_000, user=lambda index: f"{index:08}" * 2_000),
    "ten rules": flood(2_000, rule=lambda index: f"Flooded {index % 10}"),
    "ten rules, a user for each": flood(
        2_000, rule=lambda index: f"Flooded {index % 10}", user=lambda index: f"user-{index}"
    ),
    "internal alerts": flood(2_000, rule="Lanner internal: oversize event", source="internal"),
    "another cluster": flood(2_000, cluster="lab", rule="Other 1", user="user-1"),
    "a user of others": flood(2_000, user="user-1"),
}


@pytest.mark.parametrize("name", FLOODS)
def test_a_flood_takes_from_itself(store: Store, name: str) -> None:
    """Nothing that somebody else has goes, old or new, but where a flood over many rules has less of each than others,
    as it counts below WARNING; of the flood the oldest go.
    """
    before = others()
    commit(store, before)
    history = remaining(store)
    limit = consistent(store) * 3
    commit(store, FLOODS[name])
    result = store.retention(RetentionPolicy(max_bytes=limit), NOW)
    after = remaining(store)
    assert_kept(history, after, severe_only="ten rules" in name)
    assert consistent(store) == result.bytes
    assert limit - 40_000 < result.bytes <= limit
    assert result.by_size is not None
    assert result.by_size.alerts == result.removed > 0
    assert sum(share.alerts for share in result.by_size.shares) <= result.removed
    gave = {share.rule for share in result.by_size.shares}
    assert any("Flooded" in rule or "internal" in rule or "Other 1" in rule for rule in gave)
    assert len(result.by_size.shares) <= MAX_SHARES
    assert store.retention(RetentionPolicy(max_bytes=limit), NOW).by_size is None


def test_within_a_rule_a_user_takes_from_himself(store: Store) -> None:
    """Others whom the same rule is about keep theirs."""
    commit(store, [one(index, rule="Flooded", user=f"user-{index % 3}") for index in range(90)])
    commit(store, flood(1_000))
    store.retention(RetentionPolicy(max_bytes=SIZE * 300), NOW)
    after = remaining(store)
    assert [after["prod", "Flooded", f"user-{number}"] for number in range(3)] == [30, 30, 30]
    assert 200 <= after["prod", "Flooded", "attacker"] <= 210


def test_large_events_count(store: Store) -> None:
    """A few alerts whose events are large take more than many small ones; an event goes with its last alert."""
    commit(store, others())
    history, limit = remaining(store), consistent(store) * 5 // 2
    for index in range(20):
        shared = {"event": b"e" * 100_000, "user": "attacker"}
        made = [alert(f"large-{index}", rule=f"Flooded {rule}", **shared) for rule in range(7)]
        store.commit([body(None, *made)])
    result = store.retention(RetentionPolicy(max_bytes=limit), NOW)
    after = remaining(store)
    assert_kept(history, after, severe_only=True)
    assert consistent(store) == result.bytes <= limit
    with store._reading() as connection:
        assert 0 < connection.execute(select(func.count()).select_from(events)).scalar_one() < 20


def test_low_priorities_go_first(store: Store) -> None:
    """Of two that take the same, the one below WARNING gives; also more than it has, down to a quarter."""
    commit(store, [one(index, rule="Low", priority=NOTICE) for index in range(200)])
    commit(store, [one(index, rule="High", priority=WARNING) for index in range(200, 400)])
    store.retention(RetentionPolicy(max_bytes=SIZE * 260), NOW)
    after = remaining(store)
    assert (after["prod", "High", "jane"], 58 <= after["prod", "Low", "jane"] <= 62) == (200, True)


def test_what_outputs_wait_for_stays(store: Store) -> None:
    """A flood that an output has not passed stays until the hard limit, and goes first then."""
    commit(store, others())
    store.advance_output("http", 250)
    commit(store, flood(1_000))
    result = store.retention(RetentionPolicy(max_bytes=SIZE * 1_200, hard_bytes=SIZE * 1_250), NOW)
    after = remaining(store)
    assert result.removed_unsent == 0
    assert (after["prod", "Flooded", "attacker"], sum(after.values())) == (1_000, 1_200)
    result = store.retention(RetentionPolicy(max_bytes=SIZE * 1_200, hard_bytes=SIZE * 900), NOW)
    after = remaining(store)
    assert result.removed_unsent == result.removed == 300
    assert after["prod", "Flooded", "attacker"] == 700


def test_more_than_everything(store: Store) -> None:
    """A limit of nothing leaves nothing."""
    commit(store, others())
    assert store.retention(RetentionPolicy(max_bytes=0), NOW).bytes == consistent(store) == 0


def test_commits_go_on_between_the_steps(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """What comes meanwhile is committed, and no step removes more than its bound."""
    monkeypatch.setattr(retention, "STEP", 10)
    commit(store, flood(300))
    steps: list[int] = []
    plain = retention.remove

    def remove(connection: object, seqs: Sequence[int], target: int | None = None) -> retention.Step:
        done = plain(connection, seqs, target)  # type: ignore[arg-type]
        steps.append(len(done.removed))
        return done

    original = store._database.shrink

    def shrink() -> None:
        store.commit([body(None, one(10_000 + len(steps), rule="Meanwhile"))])
        original()

    monkeypatch.setattr(retention, "remove", remove)
    monkeypatch.setattr(store._database, "shrink", shrink)
    store.retention(RetentionPolicy(max_bytes=SIZE * 100), NOW)
    assert max(steps) == 10
    assert remaining(store)["prod", "Meanwhile", "jane"] >= 20
    assert consistent(store) <= SIZE * 105


@dataclass
class Oracle:
    """Removes one alert after the other: of the share that weighs most, of its largest user, the oldest."""

    left: defaultdict[tuple[str, bool], defaultdict[str, list[int]]]

    def run(self, surplus: int) -> Counter[tuple[str, str]]:
        while surplus > 0:
            share = max(
                self.left, key=lambda key: sum(map(sum, self.left[key].values())) * (LOW_WEIGHT if key[1] else 1)
            )
            users = self.left[share]
            user = max(users, key=lambda name: sum(users[name]))
            surplus -= users[user].pop(0)
        return Counter({(key[0], user): len(own) for key, users in self.left.items() for user, own in users.items()})


def test_as_one_by_one(tmp_path_factory: pytest.TempPathFactory) -> None:
    """The same is left as if one alert after the other had gone, but for whole alerts at the level."""
    for run in range(RUNS):
        chance = random.Random(run)
        store = open_store(f"sqlite:///{tmp_path_factory.mktemp('oracle')}/lanner.db")
        made: list[AlertRecord] = []
        left: defaultdict[tuple[str, bool], defaultdict[str, list[int]]] = defaultdict(lambda: defaultdict(list))
        names = [(f"Rule {index}", chance.choice((WARNING, NOTICE, 2))) for index in range(chance.randrange(1, 6))]
        for number in range(chance.randrange(50, 400)):
            rule, priority = chance.choice(names[: chance.randrange(1, len(names) + 1)])
            user = f"user-{int(chance.expovariate(0.4))}"
            made.append(one(number, rule=rule, priority=priority, user=user))
            left[rule, priority > WARNING][user].append(SIZE)
        commit(store, made)
        surplus = chance.randrange(1, SIZE * len(made))
        wanted = Oracle(left).run(surplus)
        store.retention(RetentionPolicy(max_bytes=SIZE * len(made) - surplus), NOW)
        found = Counter({(rule, user): count for (_, rule, user), count in remaining(store).items()})
        apart = {whose: abs(found[whose] - wanted[whose]) for whose in wanted.keys() | found.keys()}
        assert max(apart.values()) <= 4, (run, apart)
        assert sum(apart.values()) <= len(apart), (run, apart)
        assert SIZE * len(made) - surplus - SIZE < consistent(store) <= SIZE * len(made) - surplus
        kept = [int(one.audit_id) for one in store.alerts(after=0, limit=10_000)]
        for whose in found:
            numbers = [int(one.audit_id) for one in made if (one.rule, one.user) == whose]
            assert sorted(set(numbers) & set(kept)) == numbers[len(numbers) - found[whose] :]
        store.close()


@pytest.mark.property
@given(
    st.lists(st.tuples(st.integers(0, 10**12), st.sampled_from((1, LOW_WEIGHT))), min_size=1, max_size=30),
    st.floats(0, 1),
)
def test_the_level(made: list[tuple[int, int]], part: float) -> None:
    """All of the surplus goes; who gives ends at one height, which nobody else exceeds."""
    sizes, weights = [size for size, _ in made], [weight for _, weight in made]
    surplus = sum(sizes) * part
    given_ = level(sizes, weights, surplus)
    slack = max(sizes) * 1e-9 + 1e-6
    assert abs(sum(given_) - surplus) <= slack * len(made)
    after = [(size - gone) * weight for size, gone, weight in zip(sizes, given_, weights, strict=True)]
    givers = [height for height, gone in zip(after, given_, strict=True) if gone > slack]
    assert all(0 <= gone <= size + slack for gone, size in zip(given_, sizes, strict=True))
    if givers:
        assert max(givers) - min(givers) <= slack * 10
        assert max(after) <= min(givers) + slack * 10


def test_stores_from_before(store: Store) -> None:
    """Alerts without that note, and events whose alerts were not counted, go like others."""
    commit(store, others())
    shared = [alert("shared", rule=rule, event=b"e" * 5_000) for rule in ("Early", "Late")]
    store.commit([body(None, shared[0])])
    with store._writing() as connection:
        connection.execute(text("UPDATE alerts SET event_bytes = 0"))
        connection.execute(text("UPDATE events SET alerts = 0"))
    store.commit([body(None, shared[1])])
    commit(store, flood(500))
    for keep in (400, 100, 2):
        result = store.retention(RetentionPolicy(max_bytes=SIZE * keep), NOW)
        assert consistent(store) == result.bytes <= SIZE * keep
    assert store.retention(RetentionPolicy(max_bytes=0), NOW).bytes == consistent(store) == 0


def test_more_shares_than_a_statement_takes(store: Store) -> None:
    """However many give something, it goes: SQLite takes an expression that is 1,000 deep."""
    shares = 1_100
    commit(store, [one(index, rule=f"Rule {index % shares}") for index in range(2 * shares)], 2_000)
    limit = SIZE * shares * 3 // 2
    result = store.retention(RetentionPolicy(max_bytes=limit), NOW)
    assert limit - SIZE < consistent(store) == result.bytes <= limit
    after = remaining(store)
    assert (len(after), max(after.values())) == (shares, 2)
