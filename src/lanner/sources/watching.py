"""Wakes a source when something in its folders changes, and from time to time anyway.

Folders are watched, not files: a watch on a file is lost when the file is replaced. Where nothing tells of changes
(network file systems, a limit of the system reached, a folder that is not there yet), the slow poll has to do.
"""

from __future__ import annotations

import asyncio
import logging
import os
import time
from contextlib import aclosing
from pathlib import Path

import watchfiles

from lanner.sources.target import Target

POLL = 5.0
"""Seconds from one look to the next where no change was told of."""

_TICK = 1_000  # milliseconds; how soon a folder that was replaced is noticed
_GROUP = 200  # milliseconds over which changes are taken together
_STEP = 50
_log = logging.getLogger(__name__)


async def watch(target: Target, wake: asyncio.Event, source: str, poll: float = POLL) -> None:
    """Sets `wake` for every change near the target, and every `poll` seconds; until cancelled."""
    warned = False
    while True:
        folders, deep = await asyncio.to_thread(target.folders)
        try:
            if folders:
                await _watch_folders(target, folders, deep, wake, poll)
                continue
        except (OSError, RuntimeError, ExceptionGroup) as error:
            if not warned:
                _log.warning("%s: looking every %g seconds, since changes cannot be watched: %s", source, poll, error)
                warned = True
        await asyncio.sleep(poll)
        wake.set()


async def _watch_folders(target: Target, folders: list[Path], deep: bool, wake: asyncio.Event, poll: float) -> None:
    """Returns when the folders are no longer the same."""
    known = _identities(folders)
    due = 0.0
    watcher = watchfiles.awatch(
        *folders,
        watch_filter=None,
        debounce=_GROUP,
        step=_STEP,
        rust_timeout=_TICK,
        yield_on_timeout=True,
        recursive=deep,
        ignore_permission_denied=True,
    )
    async with aclosing(watcher):
        async for changes in watcher:
            now = time.monotonic()
            if changes or now >= due:  # the first time at once: something may have changed before the watch stood
                wake.set()
                due = now + poll
            if (await asyncio.to_thread(target.folders))[0] != folders or _identities(folders) != known:
                wake.set()
                return


def _identities(folders: list[Path]) -> list[tuple[int, int] | None]:
    identities: list[tuple[int, int] | None] = []
    for folder in folders:
        try:
            status = os.stat(folder)  # noqa: PTH116 - as everywhere here, a link counts as what it leads to
        except OSError:
            identities.append(None)
        else:
            identities.append((status.st_dev, status.st_ino))
    return identities
