"""Times as API servers write them, RFC 3339, and as other producers of audit events do."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
FIRST = datetime.min.replace(tzinfo=UTC)
LAST = datetime.max.replace(tzinfo=UTC)

_TIME = re.compile(
    r"([0-9]{4})-([0-9]{2})-([0-9]{2})[Tt ]([0-9]{1,2}):([0-9]{2}):([0-9]{2})(?:[.,]([0-9]+))?"
    r"(?:[Zz]|([+-])([0-9]{2}):?([0-9]{2}))"
)


def is_time(text: str) -> bool:
    """Whether `parse_time` reads the text; cheap for times as the API server writes them."""
    try:
        if _is_usual(text) and datetime.fromisoformat(text):
            return True
    except ValueError:
        pass
    return parse_time(text) is not None


def _is_usual(text: str) -> bool:
    """The shape of `2026-01-02T03:04:05.000000Z`, which datetime.fromisoformat reads, checking digits and ranges in C.

    Shape and length rule out what else it accepts: other separators, calendar weeks, anything at all behind six digits
    of a fraction.
    """
    return text[4:20:3] == "--T::." and text[26:] == "Z"


def parse_time(text: str) -> int | None:
    """Nanoseconds since 1970 of an RFC 3339 time; None for any other text.

    Reads what Go's time.Parse reads for RFC3339Nano: besides the standard, an hour of one digit, a comma before the
    fraction, fractions of any length (cut behind nanoseconds) and offsets up to 24:60; no leap second. And what
    msgspec reads: lower case or a blank for the T, lower case for the Z, offsets without a colon.
    """
    if _is_usual(text):
        try:
            return since_1970(datetime.fromisoformat(text))
        except ValueError:
            pass
    match = _TIME.fullmatch(text)
    if match is None:
        return None
    year, month, day, hour, minute, second = (int(part) for part in match.group(1, 2, 3, 4, 5, 6))
    fraction, sign, offset_hours, offset_minutes = match.group(7, 8, 9, 10)
    if hour > 23 or minute > 59 or second > 59:
        return None
    try:
        # The calendar repeats every 400 years; Python's begins with the year 1, Go's with 0.
        days = date(year or 400, month, day).toordinal() - _EPOCH_DAY - (0 if year else _DAYS_IN_400_YEARS)
    except ValueError:
        return None
    seconds = days * 86400 + hour * 3600 + minute * 60 + second
    if sign is not None:
        offset = int(offset_hours) * 3600 + int(offset_minutes) * 60
        if int(offset_hours) > 24 or int(offset_minutes) > 60:
            return None
        seconds -= offset if sign == "+" else -offset
    nanoseconds = int(fraction[:9].ljust(9, "0")) if fraction else 0
    return seconds * 1_000_000_000 + nanoseconds


def since_1970(time: datetime) -> int:
    """Nanoseconds since 1970 of a time with a zone."""
    since = time - EPOCH
    return (since.days * 86400 + since.seconds) * 1_000_000_000 + since.microseconds * 1000


_EPOCH_DAY = date(1970, 1, 1).toordinal()
_DAYS_IN_400_YEARS = 146_097
