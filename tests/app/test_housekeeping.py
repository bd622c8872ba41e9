"""What is told about cleanings of the store, and which time they go by."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from threading import Thread

import httpx
import pytest
from sqlalchemy import Connection, text
from structlog.testing import capture_logs

from lanner.alert import Alert, AlertFormat
from lanner.app import MAX_OWED, Options, Service
from lanner.config import Config
from lanner.engine.field_limit import FieldLimit
from lanner.engine.loader import load_rules
from lanner.priority import Priority
from lanner.service.housekeeping import Housekeeping
from lanner.service.internal import PRIORITIES, REFUSED, REMOVED_BY_SIZE, UNTRUSTED_CLOCK, InternalAlerts
from lanner.service.wiring import wire
from lanner.store import retention
from lanner.store.records import AlertFilter, RemovedBySize, RemovedShare
from lanner.store.store import Store, open_store
from tests.app.running import TIMEOUT, WEBHOOK, running
from tests.store.builders import NOW, SECOND, alert, body

DAY = 86_400 * SECOND


@dataclass
class House:
    """A store with three days of history, one alert an hour, and its cleanings at times of a clock."""

    store: Store
    size: int = 0
    age: float = 2 * 86_400
    now_ns: int = NOW
    raised: list[Alert] = field(default_factory=list)

    def start(self) -> Callable[[], None]:
        return self.keeper().clean

    def keeper(self, raised: Callable[[Alert | None], None] | None = None) -> Housekeeping:
        settings = replace(Config.default({}).service, retention_age=self.age, retention_size=self.size)
        internal = InternalAlerts(AlertFormat("host"), Priority.DEBUG, FieldLimit(16384))

        def take(one: Alert | None) -> None:
            assert one is not None
            self.raised.append(one)

        return Housekeeping(self.store, settings, internal, raised or take, lambda: self.now_ns)

    def receive(self, name: str, event_ns: int) -> None:
        """An event that happened then and arrives now."""
        batch = body(None, alert(name, time_ns=event_ns), received_ns=self.now_ns, last_event_ns=event_ns)
        self.store.commit([batch])

    def left(self) -> int:
        return len(self.store.alerts(after=0, limit=1_000))


@pytest.fixture
def house(tmp_path: Path) -> House:
    made = House(open_store(f"sqlite:///{tmp_path}/lanner.db"))
    for hour in range(72):
        made.now_ns = NOW + hour * DAY // 24
        made.receive(str(hour), made.now_ns)
    return made


def again(house: House) -> None:
    """The process ends and another one begins."""
    house.store._clock = None


def test_a_right_clock(house: House) -> None:
    """What is older than two days goes, nothing is told."""
    house.start()()
    assert house.left() == 49
    assert not house.raised


def test_a_clock_that_is_ahead_removes_nothing(house: House) -> None:
    """However often it is started and cleaned with it, and whatever arrives; said once at the second cleaning."""
    house.start()()
    for number in range(3):
        again(house)
        house.now_ns += 31 * DAY
        clean = house.start()
        for _ in range(4):
            clean()
        house.receive(f"while ahead {number}", NOW + 72 * DAY // 24 + DAY // 48)
        clean()
        house.now_ns -= 31 * DAY
    assert house.left() == 47 + 3  # an hour and a half have passed by the time of the events
    assert [one.rule for one in house.raised] == [UNTRUSTED_CLOCK] * 3


def test_a_clock_that_is_right_again(house: House) -> None:
    """What arrived while it was ahead neither stays for ever nor keeps what came after it."""
    house.start()()
    house.now_ns += 400 * DAY
    for number in range(10):
        house.receive(f"ahead {number}", NOW + 3 * DAY)
    house.now_ns -= 400 * DAY
    house.start()()
    for day in range(6):
        house.now_ns += DAY
        house.receive(f"day {day}", house.now_ns)
        house.start()()
    assert [one.audit_id for one in house.store.alerts(after=0)] == ["day 3", "day 4", "day 5"]
    assert not house.raised


def test_a_pause_that_was_real(house: House) -> None:
    """After a month without a service the first event says that the clock is right."""
    again(house)
    house.now_ns += 31 * DAY
    clean = house.start()
    clean()
    assert house.left() == 49
    house.receive("first", house.now_ns - SECOND)
    clean()
    assert [one.audit_id for one in house.store.alerts(after=0)] == ["first"]
    assert not house.raised


def test_a_quiet_cluster(house: House) -> None:
    """Time passes while the process runs, also over starts, and so all of its history goes in the end."""
    house.now_ns += 5 * DAY
    store, begun = house.store, 10**12
    first = store.trusted_time(house.now_ns, begun)
    assert store.trusted_time(house.now_ns, begun + DAY) == first + DAY
    again(house)
    assert store.trusted_time(house.now_ns, 5) == first + DAY
    assert store.trusted_time(house.now_ns, 5 + 10 * DAY) == house.now_ns


@pytest.mark.parametrize("wrong_ns", [0, NOW - 300 * DAY])
def test_a_clock_that_is_behind(house: House, wrong_ns: int) -> None:
    """It removes nothing; when it is right again, all goes on."""
    right = house.now_ns
    house.now_ns = wrong_ns
    clean = house.start()
    clean()
    house.receive("while behind", right)
    clean()
    assert house.left() == 73
    house.now_ns = right + DAY
    house.receive("right", house.now_ns)
    clean()
    assert house.left() == 27
    assert not house.raised


def test_a_new_store(tmp_path: Path) -> None:
    """It begins with the clock."""
    house = House(open_store(f"sqlite:///{tmp_path}/lanner.db"))
    assert house.store.trusted_time(NOW) == NOW
    house.start()()
    assert not house.raised


def test_what_went_by_size_is_told(house: House) -> None:
    """At once, then once in an hour with all that has gone since; what goes by age is not."""
    house.age = 0
    house.size = 1
    for number in range(3):
        house.receive(f"more {number}", house.now_ns)
    clean = house.start()
    clean()
    (told,) = house.raised
    assert (told.rule, told.priority) == (REMOVED_BY_SIZE, Priority.WARNING)
    assert "75 alerts" in told.message
    assert "75 of `Rule` about jane in prod" in told.message
    assert told.output_fields["lanner.count"] == 75
    assert told.output_fields["lanner.users"] == ["jane"]
    for minute in range(11):
        house.now_ns += 300 * SECOND
        house.receive(f"minute {minute}", house.now_ns)
        clean()
    assert len(house.raised) == 1
    house.now_ns += 300 * SECOND
    clean()
    assert [one.output_fields["lanner.count"] for one in house.raised] == [75, 11]


def test_what_is_held_back_is_told_at_the_end(house: House) -> None:
    """The hour never comes for a service that stops before."""
    house.age, house.size = 0, 1
    keeper = house.keeper()
    keeper.clean()
    for number in range(3):
        house.now_ns += SECOND
        house.receive(f"more {number}", house.now_ns)
        keeper.clean()
    keeper.stop()
    keeper.finish()
    keeper.finish()
    assert [one.output_fields["lanner.count"] for one in house.raised] == [72, 3]


def test_a_cleaning_that_is_stopped(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """It ends with the step that it is at, which is waited for and told; and there is no other one."""
    monkeypatch.setattr(retention, "STEP", 10)
    house.age, house.size = 0, 1
    keeper = house.keeper()
    plain = retention.remove
    stopping = Thread(target=keeper.stop)

    def remove(connection: Connection, seqs: Sequence[int], target: int | None = None) -> retention.Step:
        stopping.start()
        assert keeper._stopping.wait(60)
        assert stopping.is_alive()
        return plain(connection, seqs, target)

    monkeypatch.setattr(retention, "remove", remove)
    keeper.clean()
    stopping.join()
    keeper.clean()
    assert house.left() == 62
    assert [one.output_fields["lanner.count"] for one in house.raised] == [10]


def test_a_cleaning_that_fails(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is told once until one works again, and so is what it had removed; commits go on."""
    monkeypatch.setattr(retention, "STEP", 10)
    house.age, house.size = 0, 1
    keeper = house.keeper()
    with house.store._writing() as connection:
        connection.execute(
            text(
                "CREATE TRIGGER fails BEFORE DELETE ON alerts WHEN OLD.audit_id IN ('25', 'later')"
                " BEGIN SELECT RAISE(ABORT, 'will not'); END"
            )
        )
    for _ in range(2):
        keeper.clean()
    assert house.left() == 52
    assert [one.rule for one in house.raised] == [REMOVED_BY_SIZE, REFUSED]
    assert house.raised[0].output_fields["lanner.count"] == 20
    assert "old alerts cannot be removed: the store" in house.raised[1].message
    assert "will not" in house.raised[1].message
    with house.store._writing() as connection:
        connection.execute(text("UPDATE alerts SET audit_id = 'passed' WHERE audit_id = '25'"))
    keeper.clean()
    assert house.left() == 0
    house.receive("later", house.now_ns)
    keeper.clean()
    assert [one.rule for one in house.raised] == [REMOVED_BY_SIZE, REFUSED, REFUSED]


def test_a_service_whose_cleanings_fail(tmp_path: Path) -> None:
    """It is ready all the same, since it takes events."""
    store = open_store(f"sqlite:///{tmp_path}/data/lanner.db")
    store.commit([body(None, alert("old"))])
    with store._writing() as connection:
        connection.execute(
            text("CREATE TRIGGER fails BEFORE DELETE ON alerts BEGIN SELECT RAISE(ABORT, 'will not'); END")
        )
    store.close()
    with running(tmp_path / "data", *WEBHOOK, "-o", "lanner.retention.size=1") as service:
        server = service.place("server")
        assert "will not" in service.logged("old alerts cannot be removed")["error"]
        assert "old alerts cannot be removed" in service.line()
        assert httpx.get(f"{server}/readyz").json()["store"]["up"] is True
        assert service.stop() == 0
        assert not [entry for entry in service.said() if "the store refused" in entry]


def test_a_service_that_stops_while_it_cleans(tmp_path: Path) -> None:
    """What it has removed until then is told by an alert, and afterwards nothing goes any more."""
    store = open_store(f"sqlite:///{tmp_path}/data/lanner.db")
    count = 10_000
    for start in range(0, count, 2_000):
        store.commit([body(None, *(alert(str(number)) for number in range(start, start + 2_000)))])
    with running(tmp_path / "data", *WEBHOOK, "-o", "lanner.retention.size=1") as service:
        service.logged("store opened")
        end = time.monotonic() + TIMEOUT
        while store.count(0, count) == count:
            assert time.monotonic() < end
        assert service.stop() == 0
    left = store.count(0, count)
    told = [json.loads(found.document) for found in store.alerts(AlertFilter(), 10, after=count)]
    assert [one["output_fields"]["lanner.count"] for one in told] == [count - left]
    store.close()


def test_names_in_it_are_bounded() -> None:
    """Whoever is flooding chooses them."""
    share = RemovedShare("prod", "Rule", "u" * 10_000, 2, 3)
    removed = RemovedBySize(9, 10, (share,) * 20, NOW, NOW).with_more(RemovedBySize(1, 1, (share,), NOW - 1, NOW))
    assert removed.alerts == 10
    made = InternalAlerts(AlertFormat("host"), Priority.DEBUG, FieldLimit(16384)).removed_by_size(NOW, removed)
    assert made is not None
    assert len(made.message) < 1_000
    assert PRIORITIES[made.rule] <= Priority.WARNING


def test_too_many_alerts_for_a_store() -> None:
    """It is logged at the first that is dropped, and at the end how many were; none is owed twice."""
    config = Config.default({})
    loaded = load_rules([], config)

    async def run() -> int:
        service = Service(config, loaded, wire(config.service), Options(()))
        await service._make_store()
        await service._start_committer()
        await service._make_pipeline()
        for number in range(MAX_OWED + 3):
            service._raise("", service._internal.refused(NOW + number, "full"))
        await service._flush()
        await service._close_pipeline()
        await service._stop_committer()
        await service._close_store()
        return len(service._owed)

    with capture_logs() as logged:
        assert asyncio.run(run()) == MAX_OWED
    dropped = [entry for entry in logged if "dropped" in entry["event"]]
    assert [(entry.get("waiting"), entry.get("alerts")) for entry in dropped] == [(MAX_OWED, None), (None, 3)]


def test_the_service_ends_with_what_is_held_back(house: House) -> None:
    """It is owed before the last look, which commits it."""
    config = Config.default({})
    house.age, house.size = 0, 1

    async def run() -> list[str]:
        service = Service(config, load_rules([], config), wire(config.service), Options(()))
        await service._make_store()
        await service._start_committer()
        await service._make_pipeline()
        service._housekeeping = keeper = house.keeper(partial(service._raise, ""))
        keeper.clean()
        house.receive("more", house.now_ns)
        keeper.clean()
        await service._flush()
        await service._close_pipeline()
        await service._stop_committer()
        await service._close_store()
        return [record.rule for _, record in service._owed]

    assert asyncio.run(run()) == [REMOVED_BY_SIZE] * 2
