"""How a source hands over one block: again and again while the sink cannot take it, and never half."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection, Coroutine
from typing import Any, ParamSpec, TypeVar

from lanner.sources.base import Delivery, Position, Sink, Unavailable

Sleep = Callable[[float], Awaitable[None]]
P = ParamSpec("P")
T = TypeVar("T")

_SHORTEST_WAIT = 0.1
_log = logging.getLogger(__name__)


async def in_thread(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Runs what blocks in a thread. Cancelled, it waits for the thread, so that nothing is used that is closed."""
    work = asyncio.ensure_future(asyncio.to_thread(function, *args, **kwargs))
    try:
        return await asyncio.shield(work)
    except asyncio.CancelledError:
        await _end(work)
        raise


async def _end(work: asyncio.Future[T]) -> None:
    if not work.done():
        await asyncio.wait([work])
    if not work.cancelled():
        work.exception()  # seen; being cancelled goes before


async def hand_over(sink: Sink, delivery: Delivery, source: str, sleep: Sleep = asyncio.sleep) -> None:
    """Returns once the delivery is committed; waits and delivers the same bytes again while the sink is unavailable.

    Cancelled while the sink has it, it lets the sink finish, so that what is committed is never in doubt.
    """
    await _insist(lambda: sink.deliver(delivery), source, sleep)


async def last_position(sink: Sink, file: str, source: str, sleep: Sleep = asyncio.sleep) -> Position | None:
    """The committed position in a file; waits while the sink is unavailable."""
    return await _insist(lambda: sink.position(file), source, sleep)


async def tell_present(sink: Sink, files: Collection[str], source: str, sleep: Sleep = asyncio.sleep) -> None:
    """Tells which files are there; waits while the sink is unavailable."""
    await _insist(lambda: sink.present(files), source, sleep)


async def _insist(ask: Callable[[], Coroutine[Any, Any, T]], source: str, sleep: Sleep) -> T:
    refused = False
    while True:
        attempt = asyncio.ensure_future(ask())
        try:
            answer = await asyncio.shield(attempt)
        except Unavailable as error:
            if not refused:
                _log.warning("%s: waiting: %s", source, error)
                refused = True
            await sleep(max(float(error.retry_after), _SHORTEST_WAIT))
        except asyncio.CancelledError:
            await _end(attempt)
            raise
        else:
            if refused:
                _log.info("%s: goes on", source)
            return answer
