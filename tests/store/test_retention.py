"""What retention removes, and what it must not."""

from __future__ import annotations

import time
from dataclasses import replace

import pytest
from sqlalchemy import func, select

from lanner.store import retention
from lanner.store.records import RetentionPolicy, RetentionResult
from lanner.store.schema import alerts, documents, events, state
from lanner.store.store import Store
from tests.store.builders import NOW, SECOND, alert, body, lines, totals

EVENT = b"e" * 1_000
DOCUMENT = b"d" * 500


def fill(store: Store, count: int, start: int = 0) -> None:
    """One alert a second, of about two thousand bytes."""
    for index in range(start, start + count):
        one = alert(str(index), event=EVENT, document=DOCUMENT, time_ns=NOW + index * SECOND)
        store.commit([body(None, one, received_ns=NOW + index * SECOND)])


def left(store: Store) -> list[int]:
    return [int(one.audit_id) for one in store.alerts(after=0, limit=10_000)]


def accounted(store: Store) -> tuple[int, int]:
    """Bytes by the books, and by counting what is there."""
    with store._reading() as connection:
        books = connection.execute(select(state.c.bytes)).scalar_one()
        narrow = connection.execute(select(func.coalesce(func.sum(alerts.c.size), 0))).scalar_one()
        raw = connection.execute(select(func.coalesce(func.sum(func.length(events.c.raw)), 0))).scalar_one()
    return int(books), int(narrow + raw)


def rows(store: Store) -> tuple[int, ...]:
    with store._reading() as connection:
        return tuple(
            connection.execute(select(func.count()).select_from(table)).scalar_one()
            for table in (alerts, documents, events)
        )


@pytest.fixture(autouse=True)
def _small_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention, "STEP", 4)


def test_nothing_to_do(store: Store) -> None:
    """An empty store, and a policy without limits."""
    assert store.retention(RetentionPolicy(0, 0, 0), NOW) == RetentionResult(0, 0, 0)
    fill(store, 3)
    assert store.retention(RetentionPolicy(), NOW).removed == 0
    assert left(store) == [0, 1, 2]


def test_by_age_since_arrival(store: Store) -> None:
    """What is exactly as old stays; counters stay as they are."""
    fill(store, 20)
    result = store.retention(RetentionPolicy(max_age_ns=5 * SECOND), NOW + 20 * SECOND)
    assert (result.removed, result.removed_unsent) == (15, 0)
    assert left(store) == [15, 16, 17, 18, 19]
    assert rows(store) == (5, 5, 5)
    assert totals(store).evaluated == 200
    assert accounted(store) == (result.bytes, result.bytes)


def test_by_size(store: Store) -> None:
    """The oldest leave until the rest fits."""
    fill(store, 20)
    each = accounted(store)[0] // 20
    result = store.retention(RetentionPolicy(max_bytes=each * 6), NOW)
    assert result.removed in (14, 15)
    assert left(store) == list(range(result.removed, 20))
    assert accounted(store) == (result.bytes, result.bytes)
    assert store.retention(RetentionPolicy(max_bytes=each * 6), NOW).removed == 0


def test_numbers_never_come_again(store: Store) -> None:
    """Also when nothing is left: whoever follows would miss what comes."""
    fill(store, 5)
    last = store.last_seq()
    store.retention(RetentionPolicy(max_bytes=0), NOW)
    assert left(store) == []
    assert accounted(store) == (0, 0)
    fill(store, 1, start=9)
    assert [one.audit_id for one in store.alerts(after=last)] == ["9"]


def test_what_an_output_waits_for_stays_until_the_hard_cap(store: Store) -> None:
    """The slowest output counts, an output never goes back, and one that is gone holds nothing."""
    fill(store, 10)
    numbers = [one.seq for one in store.alerts(after=0)]
    store.advance_output("http", numbers[7])
    store.advance_output("stdout", numbers[2])
    store.advance_output("stdout", numbers[1])
    assert store.outputs() == {"http": numbers[7], "stdout": numbers[2]}
    everything = RetentionPolicy(max_age_ns=0, max_bytes=0)
    result = store.retention(everything, NOW + 100 * SECOND)
    assert (result.removed, result.removed_unsent) == (3, 0)
    assert left(store)[0] == 3
    each = accounted(store)[0] // 7
    result = store.retention(RetentionPolicy(max_bytes=0, hard_bytes=each * 5), NOW)
    assert (result.removed, result.removed_unsent) == (result.removed_unsent, result.removed)
    assert len(left(store)) in (4, 5)
    store.remove_output("stdout")
    assert store.retention(everything, NOW + 100 * SECOND).removed_unsent == 0
    assert left(store) == [8, 9]


DAY = 86_400 * SECOND


def test_positions_of_files_that_are_gone(store: Store) -> None:
    """They leave when the source has missed the file for long; not of another source, nor if it came back."""
    names = [f"file-{number}" for number in range(5)]
    for name in names:
        store.commit([lines(name, "identity", 100)])
    store.commit([replace(lines("file-0", "identity", 100), source="other")])
    days = iter(range(100))

    def looked(*present: str) -> None:
        """A day later the source looks and retention runs."""
        now = NOW + next(days) * DAY
        store.keep_positions("audit-log", present, now)
        store.retention(RetentionPolicy(missing_ns=3 * DAY), now)

    def known() -> list[str]:
        return [name for name in names if store.position("audit-log", name) is not None]

    for _ in range(3):
        looked("file-1", "file-2", "elsewhere")
    looked("file-0", "file-1")
    store.commit([lines("file-3", "identity", 200)])
    assert known() == names
    looked("file-0", "file-1")
    assert known() == ["file-0", "file-1", "file-2", "file-3"]
    looked()
    looked()
    assert known() == ["file-0", "file-1", "file-2", "file-3"]
    looked("file-0")
    assert known() == ["file-0", "file-1", "file-3"]
    looked("file-0")
    looked("file-0")
    assert known() == ["file-0"]
    assert store.position("other", "file-0") is not None


def test_standard_outputs_that_are_no_more(store: Store) -> None:
    """One that has not moved for long is of a host that is gone; an output that holds stays."""
    for name, holds in (("stdout a", False), ("http", True)):
        store.advance_output(name, 0, holds=holds)
    now = time.time_ns()
    store.retention(RetentionPolicy(missing_ns=3 * DAY), now + 2 * DAY)
    assert store.outputs() == {"http": 0, "stdout a": 0}
    store.retention(RetentionPolicy(missing_ns=3 * DAY), now + 4 * DAY)
    assert store.outputs() == {"http": 0}


def test_an_event_stays_as_long_as_an_alert_on_it(store: Store) -> None:
    """A later alert on the same event keeps it."""
    store.commit([body(None, alert("a", rule="early"), received_ns=NOW)])
    store.commit([body(None, alert("b"), received_ns=NOW)])
    late = alert("a", rule="late")
    store.commit([body(None, late, received_ns=NOW + 9 * SECOND)])
    assert rows(store) == (3, 3, 2)
    result = store.retention(RetentionPolicy(max_age_ns=5 * SECOND), NOW + 10 * SECOND)
    assert result.removed == 2
    assert rows(store) == (1, 1, 1)
    found = store.alert(late.id)
    assert found is not None
    assert found.event == late.event
    assert accounted(store) == (result.bytes, result.bytes)
    store.retention(RetentionPolicy(max_bytes=0), NOW)
    assert rows(store) == (0, 0, 0)
    assert accounted(store) == (0, 0)
