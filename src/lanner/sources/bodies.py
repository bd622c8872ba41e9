"""Reading the body of a request: bounded in size, in time, and in what all bodies take together.

`Intake` reads one body. What it holds counts against a `Budget` from before the first byte is read (by the
Content-Length) until `release`, which comes after the delivery. Gzip is unpacked while it arrives, so that the packed
form is never kept and a body that unpacks to too much costs no more than the limit.
"""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Awaitable, Callable, Iterator, MutableMapping
from enum import StrEnum
from typing import Any, TypeAlias

from lanner.sources.webhook_settings import MEBIBYTE, WebhookLimits

Receive: TypeAlias = Callable[[], Awaitable[MutableMapping[str, Any]]]

_STEP = 256 * 1024  # bytes unpacked at once; the event loop gets its turn in between
_SMALL = 4 * 1024
_SECOND_LOOK = 0.25  # seconds


class Reason(StrEnum):
    """Why something was refused: the words a sink counts by."""

    BAD_REQUEST = "bad_request"  # not HTTP, or headers too large or too slow
    TLS = "tls"  # the handshake failed: no certificate, a wrong one, plain http
    UNKNOWN_PATH = "unknown_path"
    METHOD = "method"
    UNAUTHORIZED = "unauthorized"
    FORBIDDEN = "forbidden"
    CONTENT_TYPE = "content_type"
    CONTENT_ENCODING = "content_encoding"
    DAMAGED = "damaged"  # announced as gzip, but is not
    TOO_LARGE = "too_large"
    TOO_SLOW = "too_slow"
    INCOMPLETE = "incomplete"  # the client went away
    OVERLOAD = "overload"  # too many bytes in flight
    UNAVAILABLE = "unavailable"  # the sink could not take it
    FAILED = "failed"  # a fault of ours
    STOPPED = "stopped"  # not finished when the source had to end


class RefusalError(Exception):
    """A request that is not delivered: its status, reason, text for the client, and more headers for the answer.

    `size`: the bytes of the body, as far as known. `unread`: not all of the body was read, so nothing can follow it on
    its connection.
    """

    def __init__(
        self,
        status: int,
        reason: Reason,
        text: str,
        headers: tuple[tuple[str, str], ...] = (),
        size: int = 0,
        unread: bool = True,
    ) -> None:
        super().__init__(text)
        self.status = status
        self.reason = reason
        self.text = text
        self.headers = headers
        self.size = size
        self.unread = unread


class Budget:
    """Bytes that may be held at one time, by all who share it."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.used = 0

    def take(self, size: int) -> bool:
        """False, and nothing is taken, if it is too much."""
        if self.used + size > self.limit:
            return False
        self.used += size
        return True

    def give_back(self, size: int) -> None:
        self.used -= size


class Intake:
    """One body on its way in. Used once: `read`, then `release`, whatever happened."""

    def __init__(self, budget: Budget, limits: WebhookLimits) -> None:
        self._budget = budget
        self._limits = limits
        self._held = 0
        self._received = 0
        self._more = True

    async def read(self, receive: Receive, announced: int | None, packed: bool) -> bytes:
        """The body, unpacked. `announced`: its Content-Length, None if chunked. Raises RefusalError."""
        limits = self._limits
        if announced is not None:
            if announced > limits.body:
                raise self._refused(413, Reason.TOO_LARGE, self._too_large(), size=announced)
            self._hold(announced)
        unpacker = _Unpacker() if packed else None
        pace = _Pace(receive, limits)
        body = _Pieces()
        while self._more:
            message = await pace.next()
            if message is None:
                raise self._refused(408, Reason.TOO_SLOW, "the body came too slowly")
            if message["type"] == "http.disconnect":
                raise self._refused(400, Reason.INCOMPLETE, "the connection ended within the body")
            data: bytes = message.get("body", b"")
            self._more = message.get("more_body", False)
            self._received += len(data)
            if unpacker is None:
                self._add(body, data)
                continue
            try:
                for number, piece in enumerate(unpacker.feed(data)):
                    if number:
                        await asyncio.sleep(0)
                    self._add(body, piece)
                    if body.size > max(MEBIBYTE, self._received * limits.ratio):
                        text = f"the body unpacks to more than {limits.ratio} times its size"
                        raise self._refused(413, Reason.TOO_LARGE, text)
            except zlib.error:
                raise self._refused(400, Reason.DAMAGED, "the body is announced as gzip but is not") from None
        if unpacker is not None and not unpacker.complete:
            raise self._refused(400, Reason.DAMAGED, "the gzip body is cut short")
        return body.joined()

    def release(self) -> None:
        """Whatever was held is free again."""
        self._budget.give_back(self._held)
        self._held = 0

    def _add(self, body: _Pieces, data: bytes) -> None:
        size = body.size + len(data)
        if size > self._limits.body:
            raise self._refused(413, Reason.TOO_LARGE, self._too_large())
        if size > self._held:
            self._hold(size - self._held)
        body.add(data)

    def _hold(self, size: int) -> None:
        if not self._budget.take(size):
            raise self._refused(
                503,
                Reason.OVERLOAD,
                "too much is being handled at the moment: send this again later",
                (("retry-after", str(self._limits.retry_after)),),
                size=self._received or size,
            )
        self._held += size

    def _too_large(self) -> str:
        return (
            f"the body is larger than {self._limits.body} bytes: lower --audit-webhook-batch-max-size of the API "
            "server, or raise the body limit here"
        )

    def _refused(
        self, status: int, reason: Reason, text: str, headers: tuple[tuple[str, str], ...] = (), size: int = 0
    ) -> RefusalError:
        return RefusalError(status, reason, text, headers, size or self._received, self._more)


class _Pieces:
    """Collects a body: large pieces as they are, small ones together, so that they take no more than their bytes."""

    def __init__(self) -> None:
        self.size = 0
        self._pieces: list[bytes | bytearray] = []
        self._small = bytearray()

    def add(self, data: bytes) -> None:
        self.size += len(data)
        if len(data) < _SMALL:
            self._small += data
            return
        self._flush()
        self._pieces.append(data)

    def joined(self) -> bytes:
        """The whole. The pieces are gone after that."""
        self._flush()
        pieces, self._pieces = self._pieces, []
        return b"".join(pieces)

    def _flush(self) -> None:
        if self._small:
            self._pieces.append(self._small)
            self._small = bytearray()


class _Pace:
    """Messages of a body, as long as they come fast enough: `next` gives None once they do not."""

    def __init__(self, receive: Receive, limits: WebhookLimits) -> None:
        self._receive = receive
        self._limits = limits
        self._clock = asyncio.get_running_loop().time
        now = self._clock()
        self._end = now + limits.body_time
        self._window_end = now + limits.progress_time
        self._window_bytes = 0
        self._looked = False

    async def next(self) -> MutableMapping[str, Any] | None:
        deadline = min(self._end, self._window_end)
        while True:
            try:
                async with asyncio.timeout_at(deadline):
                    message = await self._receive()
            except TimeoutError:
                if self._good():
                    deadline = min(self._end, self._window_end)
                    continue
                return await self._second_look()
            self._window_bytes += len(message.get("body", b""))
            if message.get("more_body") and self._clock() >= min(self._end, self._window_end) and not self._good():
                return None
            return message

    def _good(self) -> bool:
        """Whether the window that ended brought enough; begins the next one."""
        now = self._clock()
        if now >= self._end or self._window_bytes < self._limits.progress:
            return False
        self._window_end = now + self._limits.progress_time
        self._window_bytes = 0
        return True

    async def _second_look(self) -> MutableMapping[str, Any] | None:
        """Once: what is there already, in case it was this process that was held up and not the client."""
        if self._looked:
            return None
        self._looked = True
        try:
            async with asyncio.timeout(_SECOND_LOOK):
                message = await self._receive()
        except TimeoutError:
            return None
        self._window_end = self._clock() + self._limits.progress_time
        self._window_bytes = len(message.get("body", b""))
        return message


class _Unpacker:
    """Gzip, also several members in a row, given piece by piece. Raises zlib.error for anything else."""

    def __init__(self) -> None:
        self._member = zlib.decompressobj(wbits=31)
        self._drained = True  # nothing is left inside the decompressor

    @property
    def complete(self) -> bool:
        return self._member.eof

    def feed(self, data: bytes) -> Iterator[bytes]:
        """What `data` unpacks to, in pieces of bounded size."""
        while data or not self._drained:
            if self._member.eof:
                self._member = zlib.decompressobj(wbits=31)
            piece = self._member.decompress(data, _STEP)
            if piece:
                yield piece
            data = self._member.unused_data if self._member.eof else self._member.unconsumed_tail
            self._drained = self._member.eof or len(piece) < _STEP
