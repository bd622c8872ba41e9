"""Times as rules and alerts write them (libs `utils.cpp`, ts_to_string and ts_to_iso_8601)."""

from __future__ import annotations

from functools import lru_cache
from time import gmtime, localtime

SECOND = 1_000_000_000


def clock(ns: int, fraction: bool = True) -> str:
    """`10:20:30.123456000` in the local time of that day; without the fraction `10:20:30`."""
    seconds, rest = divmod(ns, SECOND)
    time = localtime(seconds)
    text = f"{time.tm_hour:02}:{time.tm_min:02}:{time.tm_sec:02}"
    return f"{text}.{rest:09}" if fraction else text


def date_and_clock(ns: int, fraction: bool = True) -> str:
    """`2024-03-05 10:20:30.123456000` in the local time of that day."""
    time = localtime(ns // SECOND)
    return f"{time.tm_year:04}-{time.tm_mon:02}-{time.tm_mday:02} {clock(ns, fraction)}"


def iso_8601(ns: int) -> str:
    """`2024-03-05T10:20:30.123456000+0000`, always in UTC."""
    return f"{rfc_3339(ns)[:-1]}+0000"


def rfc_3339(ns: int) -> str:
    """`2024-03-05T10:20:30.123456000Z`."""
    seconds, rest = divmod(ns, SECOND)
    return f"{_utc(seconds)}.{rest:09}Z"


@lru_cache(maxsize=256)  # the events of a batch share a few seconds
def _utc(seconds: int) -> str:
    time = gmtime(seconds)
    day = f"{time.tm_year:04}-{time.tm_mon:02}-{time.tm_mday:02}"
    return f"{day}T{time.tm_hour:02}:{time.tm_min:02}:{time.tm_sec:02}"
