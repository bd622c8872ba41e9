"""Times as rules and alerts write them (libs `utils.cpp`, ts_to_string and ts_to_iso_8601)."""

from __future__ import annotations

import time
from functools import lru_cache

SECOND = 1_000_000_000


def clock(ns: int, fraction: bool = True) -> str:
    """`10:20:30.123456000` in the local time of that day; without the fraction `10:20:30`."""
    seconds, rest = divmod(ns, SECOND)
    text = _local(seconds, time.tzname, time.timezone, time.altzone)
    return f"{text}.{rest:09}" if fraction else text


def date_and_clock(ns: int, fraction: bool = True) -> str:
    """`2024-03-05 10:20:30.123456000` in the local time of that day."""
    day = time.localtime(ns // SECOND)
    return f"{day.tm_year:04}-{day.tm_mon:02}-{day.tm_mday:02} {clock(ns, fraction)}"


def iso_8601(ns: int) -> str:
    """`2024-03-05T10:20:30.123456000+0000`, always in UTC."""
    return f"{rfc_3339(ns)[:-1]}+0000"


def rfc_3339(ns: int) -> str:
    """`2024-03-05T10:20:30.123456000Z`."""
    seconds, rest = divmod(ns, SECOND)
    return f"{_utc(seconds)}.{rest:09}Z"


@lru_cache(maxsize=256)  # the events of a batch share a few seconds
def _utc(seconds: int) -> str:
    moment = time.gmtime(seconds)
    day = f"{moment.tm_year:04}-{moment.tm_mon:02}-{moment.tm_mday:02}"
    return f"{day}T{moment.tm_hour:02}:{moment.tm_min:02}:{moment.tm_sec:02}"


@lru_cache(maxsize=256)
def _local(seconds: int, names: tuple[str, str], offset: int, summer_offset: int) -> str:
    """The time in the local zone, which is named so that nothing outlives time.tzset; zones of the same names and
    offsets pass for one."""
    moment = time.localtime(seconds)
    return f"{moment.tm_hour:02}:{moment.tm_min:02}:{moment.tm_sec:02}"
