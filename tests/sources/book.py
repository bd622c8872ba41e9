"""A sink that keeps books: what was committed, with positions, and failures at every place where there can be one."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection

from lanner.sources.base import Delivery, Position, Unavailable
from lanner.sources.refusal import Refusal


class KilledError(Exception):
    """Stands for kill -9: the process is gone at this very moment."""


class Book:
    """Survives the sources that deliver to it, as a database does.

    `failures`: asked before each delivery for what goes wrong with it: "" nothing, "before" killed before the commit,
    "after" killed right behind it, "unavailable" try again. `unknown`: how often a position cannot be told.
    """

    def __init__(self, failures: Callable[[], str] = lambda: "") -> None:
        self.lines: list[bytes] = []
        self.positions: dict[str, Position] = {}
        self.deliveries: list[Delivery] = []
        self.failures = failures
        self.changed = asyncio.Event()
        self.unknown = 0
        self.told: list[set[str]] = []

    async def deliver(self, delivery: Delivery) -> None:
        failure = self.failures()
        if failure == "before":
            raise KilledError
        if failure == "unavailable":
            raise Unavailable("no room", retry_after=7)
        self.deliveries.append(delivery)
        self.lines.extend(line.removesuffix(b"\n") for line in delivery.body.splitlines(keepends=True))
        if delivery.position is not None:
            known = self.positions.get(delivery.position.file)
            if known is not None and known.identity == delivery.position.identity:
                assert delivery.position.offset > known.offset, "delivered twice"
            self.positions[delivery.position.file] = delivery.position
        self.changed.set()
        if failure == "after":
            raise KilledError

    def refuse(self, refusal: Refusal) -> None:
        raise AssertionError(refusal)

    def report_secret_problem(self, cluster: str, problem: str) -> None:
        raise AssertionError(problem)

    async def position(self, file: str) -> Position | None:
        if self.unknown:
            self.unknown -= 1
            raise Unavailable("no connection")
        return self.positions.get(file)

    async def present(self, files: Collection[str]) -> None:
        if self.unknown:
            self.unknown -= 1
            raise Unavailable("no connection")
        self.told.append(set(files))

    async def until(self, count: int) -> list[bytes]:
        """Waits for that many lines. (The time limit is for a test that would hang otherwise.)"""
        async with asyncio.timeout(30):
            while len(self.lines) < count:
                self.changed.clear()
                await self.changed.wait()
        return self.lines


async def no_wait(_: float) -> None:
    """Sleeps not at all."""


class Clock:
    """A clock that is moved by hand."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def event(number: int, size: int = 0) -> bytes:
    """A line that no other line is like."""
    return b'{"n":%d,"pad":"%s"}' % (number, b"x" * size)
