"""The time of an event."""

from __future__ import annotations

import json

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from lanner.decode import decode, usual_decoder
from lanner.event import RECENT, AuditEvent
from lanner.rfc3339 import is_time, parse_time, since_1970

DAY = 86_400_000_000_000

TIMES = [
    ("1970-01-01T00:00:00Z", 0),
    ("1970-01-02T00:00:00.110000Z", DAY + 110_000_000),
    ("2024-03-05T11:00:00.123456789Z", 1_709_636_400_123_456_789),
    ("2024-03-05T11:00:00.1234567899Z", 1_709_636_400_123_456_789),
    ("2024-03-05T11:00:00,5Z", 1_709_636_400_500_000_000),
    ("2024-03-05T13:30:00+02:30", 1_709_636_400_000_000_000),
    ("2024-03-05T10:00:00-01:00", 1_709_636_400_000_000_000),
    ("1970-01-01T5:00:00Z", 5 * DAY // 24),
    ("1970-01-01t05:00:00z", 5 * DAY // 24),
    ("1970-01-01 05:00:00.000000Z", 5 * DAY // 24),
    ("1970-01-01T05:00:00+0130", 7 * DAY // 48),
    ("1970-01-02T01:00:00+24:60", 0),
    ("1969-12-31T23:59:59.999999999Z", -1),
    ("0000-03-01T00:00:00Z", -719_468 * DAY),
    ("2024-02-29T00:00:00Z", 1_709_164_800_000_000_000),
]


@pytest.mark.parametrize(("text", "wanted"), TIMES)
def test_times(text: str, wanted: int) -> None:
    """All that Go's time.Parse takes for RFC3339Nano, and what msgspec takes, to the nanosecond."""
    assert parse_time(text) == wanted
    assert is_time(text)
    assert AuditEvent(stage_timestamp=text).time_ns == wanted


NO_TIMES = [
    "",
    "null",
    "2024-03-05",
    "2024-03-05T11:00:00",
    "2024-03-05_11:00:00Z",
    "2024-03-05T11:00:00+01",
    "2024-3-05T11:00:00Z",
    "2024-13-05T11:00:00Z",
    "2024-00-05T11:00:00Z",
    "2023-02-29T11:00:00.000000Z",
    "2024-03-05T24:00:00Z",
    "2024-03-05T11:60:00Z",
    "2024-03-05T11:00:60.000000Z",
    "2024-03-05T11:00:00.Z",
    "2024-03-05T11:00:00.000000Z ",
    "2024-03-05T11:00:00+25:00",
    "2024-03-05T11:00:00+01:61",
    "2024-W10-2T11:00:00.000000Z",
    "2024-03-05T110000.00000000Z",
    "٢٠٢٤-03-05T11:00:00.000000Z",
    "1709636400",
]


@pytest.mark.parametrize("text", NO_TIMES)
def test_no_times(text: str) -> None:
    """What is not RFC 3339 is no time, however common elsewhere."""
    assert parse_time(text) is None
    assert not is_time(text)
    with pytest.raises(ValueError, match="no readable time"):
        _ = AuditEvent(stage_timestamp=text).time_ns


@st.composite
def near_times(draw: st.DrawFn) -> str:
    """A common time with a few changes."""
    text = list("2024-02-29T10:36:00.110000Z")
    for _ in range(draw(st.integers(0, 4))):
        place = draw(st.integers(0, len(text)))
        text[place : place + draw(st.integers(0, 2))] = draw(st.text("0123456789:.,-+TZWtz ٣é", max_size=2))
    return "".join(text)


@given(near_times())
def test_the_cheap_check_is_exact(text: str) -> None:
    """`is_time` takes nothing that `parse_time` does not read: also not near a common time."""
    assert is_time(text) == (parse_time(text) is not None)


@given(near_times())
@example("2024-02-29T10:36:00.1239996Z")
@example("2024-02-29T10:36:59.9999999+05:30")
@example("2024-02-29T10:36:00.110000")
@example("1999-12-31T23:59:59.999999Z")
def test_decoding_less_takes_no_other_times(text: str) -> None:
    """What msgspec takes for a time is one, and the event says it to the nanosecond although msgspec rounds it."""
    body = json.dumps({"kind": "Event", "stageTimestamp": text}).encode()
    event = usual_decoder(frozenset(), alone=True)(body)
    if event is not None:
        assert event.stage_timestamp == text
        assert event.time_ns == parse_time(text)
        assert abs(since_1970(event.time) - event.time_ns) <= 1000
        assert event.recent == RECENT
        assert event.time.year >= 2000
    for whole in decode(body).events:
        assert whole.time_ns == parse_time(text)
        assert since_1970(whole.time) // 1000 == whole.time_ns // 1000


def test_times_outside_of_those_of_python() -> None:
    """`time` tells the nearest one; `time_ns` is exact."""
    assert AuditEvent(stage_timestamp="0000-03-01T00:00:00Z").time.year == 1
    assert AuditEvent(stage_timestamp="9999-12-31T23:59:59-23:00").time.year == 9999


def test_old_versions_have_another_time() -> None:
    """An event without a stageTimestamp tells its `timestamp`."""
    assert AuditEvent(timestamp="1970-01-01T00:00:01Z").time_ns == 1_000_000_000
