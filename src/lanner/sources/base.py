"""What sources hand on, and to whom: the words every source and the service share.

A source gives a `Sink` one `Delivery` after the other. When `Sink.deliver` has returned, everything in the delivery
is evaluated and committed, and only then may the source acknowledge it to whoever sent it.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Protocol

from lanner.sources.refusal import Refusal


@dataclass(frozen=True, slots=True)
class Position:
    """Where a file source stands behind a delivery; committed together with it."""

    file: str
    """The path."""
    identity: str
    """What tells this file from another of the same path: device and inode, or a fingerprint."""
    offset: int
    """Bytes from the beginning."""


@dataclass(frozen=True, slots=True)
class Delivery:
    """Bytes that arrived together: the body of one request, or a block of lines of a file."""

    body: bytes
    cluster: str
    """The name of the cluster it comes from; empty if there is none."""
    received_ns: int
    """When it was there completely, in nanoseconds since 1970."""
    position: Position | None = None
    """For files. Without one, duplicates are told by the digest of the body."""
    lines: bool = False
    """The body is JSON lines, each a text of its own."""


class Unavailable(Exception):  # noqa: N818 - an answer, not a fault
    """The sink cannot take a delivery now: send it again after `retry_after` seconds.

    Alerts of some of its events may be committed and sent already. They come once all the same.
    """

    def __init__(self, reason: str, retry_after: int = 5) -> None:
        super().__init__(reason)
        self.retry_after = retry_after


class Overloaded(Unavailable):
    """The same, since more came than can be worked off."""


class Sink(Protocol):
    """Takes deliveries: evaluates them, commits them, accounts for them."""

    async def deliver(self, delivery: Delivery) -> None:
        """Returns once everything in the delivery is evaluated and committed; raises Unavailable."""

    def refuse(self, refusal: Refusal) -> None:
        """Counts what the source refused before evaluation, and reports it. Called on the event loop."""

    def report_secret_problem(self, cluster: str, problem: str) -> None:
        """Raises an internal alert: a file with secrets or a client CA cannot be used, so nobody is let in by it."""

    async def position(self, file: str) -> Position | None:
        """The position of this source in a file as of the last commit; None if there is none."""

    async def present(self, files: Collection[str]) -> None:
        """Of the files that this source has positions in, these are there. The position of one that is missing for very
        long is forgotten; for a source that never tells, none is. Raises Unavailable."""


class Source(Protocol):
    """Where events come from. `name` is unique in the process."""

    @property
    def name(self) -> str: ...

    async def run(self, sink: Sink) -> None:
        """Delivers until cancelled, or until the input ends.

        Cancelled, it finishes what it has accepted and then ends. An exception means: start me again after a while.
        """
