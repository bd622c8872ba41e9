"""What commands share that look into the store while the service runs, or does not."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime

import click

from lanner.config import Config
from lanner.config.units import read_duration
from lanner.store.errors import StoreError
from lanner.store.store import Store, open_store

SECOND = 1_000_000_000


@contextmanager
def store_of(config: Config) -> Iterator[Store]:
    """The store of the configuration, for reading. Ends the command if there is none or it fails."""
    try:
        store = open_store(config.service.store, writable=False)
        try:
            yield store
        finally:
            store.close()
    except StoreError as error:
        raise click.ClickException(str(error)) from None


class Moment(click.ParamType[int]):
    """A time: `2h` for two hours ago, or `2026-03-01`, `2026-03-01T09:30`, with or without an offset. Nanoseconds."""

    name = "TIME"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> int:
        if isinstance(value, int):
            return value
        text = str(value)
        try:
            return time.time_ns() - int(read_duration(text) * SECOND)
        except ValueError:
            pass
        try:
            found = datetime.fromisoformat(text)
        except ValueError:
            self.fail(f"`{text}` is no time: write `2h`, `7d`, `2026-03-01` or `2026-03-01T09:30`", param, ctx)
        return int(found.astimezone().timestamp() * SECOND)


def local_time(ns: int) -> str:
    """`2026-03-01 09:30:00` in local time."""
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(ns // SECOND))


def ago(ns: int, now_ns: int) -> str:
    """`12 s ago`, `3 min ago`; `never` for 0."""
    if not ns:
        return "never"
    return f"{span((now_ns - ns) / SECOND)} ago"


def span(seconds: float) -> str:
    """`0.4 s`, `12 s`, `3 min`, `5 h`, `2 d`."""
    seconds = max(0.0, seconds)
    if seconds < 10:
        return f"{seconds:.1f} s"
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"


def size(count: float) -> str:
    """`512 B`, `3.1 MiB`."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if count < 1024:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1024
    return f"{count:.1f} TiB"
