"""The evt.* and static.* fields, and times as texts."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from random import Random

import pytest

from lanner.event import MISSING, AuditEvent
from lanner.fields.catalog import Catalog, ValueType
from lanner.fields.k8s_catalog import k8s_audit_catalog
from lanner.fields.times import SECOND, clock
from tests.fields.builders import Found

Read = Callable[..., Found]
NS = 1_709_634_030_123_456_000

WINTER = "2024-03-05T10:20:30.123456Z"
SUMMER = "2024-07-05T10:20:30Z"


@pytest.fixture
def zone(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], None]]:
    """Sets the local time zone for one test."""

    def use(name: str) -> None:
        monkeypatch.setenv("TZ", name)
        time.tzset()

    yield use
    monkeypatch.undo()
    time.tzset()


TEXTS = [
    ("evt.time", "10:20:30.123456000"),
    ("evt.time.s", "10:20:30"),
    ("evt.time.iso8601", "2024-03-05T10:20:30.123456000+0000"),
    ("evt.datetime", "2024-03-05 10:20:30.123456000"),
    ("evt.datetime.s", "2024-03-05 10:20:30"),
]


@pytest.mark.parametrize(("field", "text"), TEXTS)
def test_times(field: str, text: str, read: Read, zone: Callable[[str], None]) -> None:
    """A time is a text for conditions and messages."""
    zone("UTC")
    assert read(field, stageTimestamp=WINTER) == text


@pytest.mark.parametrize(("field", "_"), TEXTS)
def test_times_in_output_fields(field: str, _: str, catalog: Catalog, event: Callable[..., AuditEvent]) -> None:
    """The same fields are nanoseconds in JSON."""
    getter = catalog.bind(field).definition.json
    assert getter is not None
    assert getter(event(stageTimestamp=WINTER)) == NS


@pytest.mark.parametrize(("stamp", "clock"), [(WINTER, "11:20:30.123456000"), (SUMMER, "12:20:30.000000000")])
def test_daylight_saving(stamp: str, clock: str, read: Read, zone: Callable[[str], None]) -> None:
    """Local time is that of the event's own date, ISO time is always UTC."""
    zone("CET-1CEST,M3.5.0,M10.5.0/3")
    assert read("evt.time", stageTimestamp=stamp) == clock
    assert str(read("evt.time.iso8601", stageTimestamp=stamp))[11:13] == "10"


def test_local_time_is_that_of_the_zone_there_is(zone: Callable[[str], None]) -> None:
    """What is remembered of local times is what the system says, also when the zone changes in between."""
    draw = Random(1)
    seconds = [draw.randrange(-(2**32), 2**33) for _ in range(200)]
    for second in [*seconds, *seconds]:
        zone(draw.choice(("UTC", "Europe/Berlin", "Asia/Kolkata", "America/St_Johns", "<+1245>-12:45")))
        local = time.strftime("%H:%M:%S", time.localtime(second))
        assert clock(second * SECOND + 7) == f"{local}.000000007"
        assert clock(second * SECOND, fraction=False) == local


@pytest.mark.parametrize(
    ("field", "value", "text", "type"),
    [
        ("evt.rawtime", NS, str(NS), ValueType.ABSTIME),
        ("evt.rawtime.s", 1_709_634_030, "1709634030", ValueType.ABSTIME),
        ("evt.rawtime.ns", 123_456_000, "123456000", ValueType.ABSTIME),
        ("evt.reltime", 2_000_000_005, "2000000005", ValueType.RELTIME),
        ("evt.reltime.s", 2, "2", ValueType.RELTIME),
        ("evt.reltime.ns", 5, "000000005", ValueType.RELTIME),
        ("evt.num", 3, "3", ValueType.NUMBER),
        ("evt.is_async", False, "false", ValueType.BOOL),
    ],
)
def test_numbers(
    field: str, value: int, text: str, type: ValueType, catalog: Catalog, event: Callable[..., AuditEvent]
) -> None:
    """Numbers are numbers, and some of them have nine digits in texts."""
    made = event(stageTimestamp=WINTER)
    made.number = 3
    made.start_ns = NS - 2_000_000_005
    bound = catalog.bind(field)
    found = bound.value(made)
    assert found == value
    assert isinstance(found, int)
    assert bound.definition.written(found) == text
    assert bound.definition.type is type


def test_raw_time_as_text(read: Read) -> None:
    """json.rawtime is the time as a text."""
    assert read("json.rawtime", stageTimestamp=WINTER) == read("jevt.rawtime", stageTimestamp=WINTER) == str(NS)


def test_before_the_engine_started(catalog: Catalog, event: Callable[..., AuditEvent]) -> None:
    """An event that happened before the first one seen has a negative distance; parts still add up."""
    made = event(stageTimestamp=WINTER)
    made.start_ns = NS + 5
    assert catalog.bind("evt.reltime").value(made) == -5
    assert catalog.bind("evt.reltime.s").value(made) == -1
    assert catalog.bind("evt.reltime.ns").value(made) == 999_999_995


def test_event_of_no_engine(catalog: Catalog) -> None:
    """An event made by hand, without a time, a number or its JSON, lacks the values that come from them."""
    made = AuditEvent()
    for name in ("evt.num", "evt.time", "evt.rawtime", "evt.reltime", "evt.plugininfo", "json.obj", "json.rawtime"):
        assert catalog.bind(name).value(made) is MISSING


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("evt.source", "k8s_audit"),
        ("evt.pluginname", "k8saudit"),
        ("evt.asynctype", None),
        ("evt.hostname", "host-1"),
        ("static.team", "blue"),
    ],
)
def test_constants(field: str, value: str | None, read: Read) -> None:
    """What is the same in every event."""
    assert read(field) == value


def test_whole_event_on_one_line(read: Read) -> None:
    """evt.plugininfo is the event without blanks, spellings kept."""
    text = '{ "kind":"Event", "stageTimestamp":"2024-03-05T09:08:07Z", "a" : [ 1e3, "b c\\u0041" ] }'
    expected = '{"kind":"Event","stageTimestamp":"2024-03-05T09:08:07Z","a":[1e3,"b c\\u0041"]}'
    assert read("evt.plugininfo", text) == expected


def test_hostname_from_the_environment(monkeypatch: pytest.MonkeyPatch, event: Callable[..., AuditEvent]) -> None:
    """FALCO_HOSTNAME names the machine; it is read when the catalog is made, and never again."""
    monkeypatch.setenv("FALCO_HOSTNAME", "node-7")
    field = k8s_audit_catalog().bind("evt.hostname")
    monkeypatch.setenv("FALCO_HOSTNAME", "other")
    assert field.value(event()) == "node-7"
