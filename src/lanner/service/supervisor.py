"""Keeps sources running, each for itself: one that fails is started again, later and later; the others go on."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum

from lanner.secrecy import masked_urls
from lanner.service.logs import logger
from lanner.sources.base import Sink, Source

FIRST_WAIT = 1.0
LONGEST_WAIT = 60.0
STEADY = 60.0
"""Seconds after which a source that ran counts as sound: its next failure begins with the first wait again."""

log = logger(__name__)


class State(Enum):
    """What a source is doing; the value is what people see."""

    STARTING = "starting"
    RUNNING = "running"
    FAILED = "failed"
    ENDED = "ended"
    STOPPED = "stopped"


@dataclass(slots=True)
class Watched:
    """A source and how it fares. `make` gives it anew for each start, so that files it names are read again.

    `place` says where it listens or what it reads, as far as that is known. `event_limit`: the size from which its
    events count as oversize, None for that of all sources. `warning`: what should not stay as it is, with the source as
    its subject; empty for nothing. Who has no login may see it, so it holds no part of `place`.
    """

    name: str
    kind: str
    make: Callable[[], Source]
    state: State = State.STARTING
    error: str = ""
    restarts: int = 0
    since: float = 0.0
    place: str = ""
    event_limit: int | None = None
    warning: str = ""

    @property
    def sound(self) -> bool:
        """Whether it does what it should."""
        return self.state in (State.RUNNING, State.ENDED)


class Supervisor:
    """Runs sources until it is stopped, or all of them have ended."""

    def __init__(self, sources: Sequence[Watched], sink: Callable[[str], Sink]) -> None:
        self.sources = tuple(sources)
        self._sink = sink

    async def run(self) -> None:
        """Returns when every source has ended by itself; cancelled, when each has finished what it had accepted."""
        tasks = [asyncio.create_task(self._keep(source), name=source.name) for source in self.sources]
        try:
            await asyncio.gather(*map(asyncio.shield, tasks))
        finally:
            # Once: what a source does when it is cancelled, to finish what it has accepted, must not be cancelled too.
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _keep(self, watched: Watched) -> None:
        wait = FIRST_WAIT
        while True:
            started = time.monotonic()
            try:
                await self._once(watched)
            except asyncio.CancelledError:
                _enter(watched, State.STOPPED)
                raise
            except Exception as error:
                if time.monotonic() - started > STEADY:
                    wait = FIRST_WAIT
                _enter(watched, State.FAILED, _words(error))
                log.error("source failed", source=watched.name, error=watched.error, next_try=f"{wait:g}s")
                log.debug("where the source failed", source=watched.name, exc_info=error)
            else:
                _enter(watched, State.ENDED)
                log.info("source ended", source=watched.name)
                return
            try:
                await asyncio.sleep(wait)
            except asyncio.CancelledError:
                _enter(watched, State.STOPPED)
                raise
            wait = min(wait * 2, LONGEST_WAIT)
            watched.restarts += 1

    async def _once(self, watched: Watched) -> None:
        _enter(watched, State.STARTING)
        source = watched.make()
        ready = asyncio.create_task(_ready(source, watched))
        try:
            await source.run(self._sink(watched.name))
        finally:
            ready.cancel()


async def _ready(source: Source, watched: Watched) -> None:
    """Note when a source is up: one that listens says so; another one is up when it runs."""
    listening = getattr(source, "listening", None)
    if listening is not None:
        await listening()
        watched.place = " ".join(getattr(source, "urls", ()))
    _enter(watched, State.RUNNING)
    log.info("source started", source=watched.name, kind=watched.kind, place=watched.place)


def _enter(watched: Watched, state: State, error: str = "") -> None:
    watched.state = state
    watched.error = masked_urls(error)
    watched.since = time.time()


def _words(error: Exception) -> str:
    """What failed. Errors that nobody meant for people to read get their type."""
    told = isinstance(error, OSError) or type(error).__module__.startswith("lanner.")
    return str(error) if told and str(error) else f"{type(error).__name__}: {error}".removesuffix(": ")
