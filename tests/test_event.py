"""The time of an event."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from lanner.event import AuditEvent, is_time, parse_time

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
    ("1970-01-02T01:00:00+24:60", 0),
    ("1969-12-31T23:59:59.999999999Z", -1),
    ("0000-03-01T00:00:00Z", -719_468 * DAY),
    ("2024-02-29T00:00:00Z", 1_709_164_800_000_000_000),
]


@pytest.mark.parametrize(("text", "wanted"), TIMES)
def test_times_that_go_reads(text: str, wanted: int) -> None:
    """All that Go's time.Parse takes for RFC3339Nano, to the nanosecond."""
    assert parse_time(text) == wanted
    assert is_time(text)
    assert AuditEvent(stage_timestamp=text).time_ns == wanted


NO_TIMES = [
    "",
    "null",
    "2024-03-05",
    "2024-03-05T11:00:00",
    "2024-03-05T11:00:00z",
    "2024-03-05t11:00:00Z",
    "2024-03-05 11:00:00.000000Z",
    "2024-3-05T11:00:00Z",
    "2024-13-05T11:00:00Z",
    "2024-00-05T11:00:00Z",
    "2023-02-29T11:00:00.000000Z",
    "2024-03-05T24:00:00Z",
    "2024-03-05T11:60:00Z",
    "2024-03-05T11:00:60.000000Z",
    "2024-03-05T11:00:00.Z",
    "2024-03-05T11:00:00.000000Z ",
    "2024-03-05T11:00:00+0100",
    "2024-03-05T11:00:00+25:00",
    "2024-03-05T11:00:00+01:61",
    "2024-W10-2T11:00:00.000000Z",
    "2024-03-05T110000.00000000Z",
    "٢٠٢٤-03-05T11:00:00.000000Z",
    "1709636400",
]


@pytest.mark.parametrize("text", NO_TIMES)
def test_times_that_go_refuses(text: str) -> None:
    """What is not RFC 3339 is no time, however common elsewhere."""
    assert parse_time(text) is None
    assert not is_time(text)
    with pytest.raises(ValueError, match="no readable time"):
        _ = AuditEvent(stage_timestamp=text).time_ns


@given(st.data())
@example(None)
def test_the_cheap_check_is_exact(data: st.DataObject | None) -> None:
    """`is_time` takes nothing that `parse_time` does not read: also not near a common time."""
    text = list("2024-02-29T10:36:00.110000Z")
    if data is not None:
        for _ in range(data.draw(st.integers(1, 4))):
            place = data.draw(st.integers(0, len(text)))
            text[place : place + data.draw(st.integers(0, 2))] = data.draw(
                st.text("0123456789:.,-+TZWtz ٣é", max_size=2)
            )
    assert is_time("".join(text)) == (parse_time("".join(text)) is not None)


def test_old_versions_have_another_time() -> None:
    """An event without a stageTimestamp tells its `timestamp`."""
    assert AuditEvent(timestamp="1970-01-01T00:00:01Z").time_ns == 1_000_000_000
