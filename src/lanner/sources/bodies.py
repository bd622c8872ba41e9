"""Reading the body of a request: bounded in size, in time, and in what all bodies take together.

`Intake` reads one body. What it holds counts against the share of its path from its arrival until `release`, which
comes after the delivery; what is announced and has not come takes nothing. Gzip is unpacked while it arrives, so that
the packed form is never kept and a body that unpacks to too much costs no more than the limit.
"""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Awaitable, Callable, Iterator, MutableMapping
from typing import Any, TypeAlias

from lanner.sources.budget import Share
from lanner.sources.refusal import Reason
from lanner.sources.webhook_settings import MEBIBYTE, WebhookLimits

Receive: TypeAlias = Callable[[], Awaitable[MutableMapping[str, Any]]]

_STEP = 256 * 1024  # bytes unpacked at once; the event loop gets its turn in between
_SMALL = 4 * 1024
_SECOND_LOOK = 0.25  # seconds

NO_ROOM = "too much of this cluster is being handled at the moment: send this again later"


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


class Intake:
    """One body on its way in. Used once: `read`, then `release`, whatever happened."""

    def __init__(self, share: Share, limits: WebhookLimits) -> None:
        self._share = share
        self._limits = limits
        self._held = 0
        self._announced = 0
        self._received = 0
        self._more = True

    async def read(self, receive: Receive, announced: int | None, packed: bool) -> bytes:
        """The body, unpacked. `announced`: its Content-Length, None if chunked. Raises RefusalError."""
        limits = self._limits
        self._announced = announced or 0
        if self._announced > limits.body:
            raise self._for_good(413, Reason.TOO_LARGE, self._too_large())
        unpacker = _Unpacker() if packed else None
        pace = _Pace(receive, limits, self._announced)
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
                        raise self._for_good(413, Reason.TOO_LARGE, text)
            except zlib.error:
                raise self._for_good(400, Reason.DAMAGED, "the body is announced as gzip but is not") from None
        if unpacker is not None and not unpacker.complete:
            raise self._for_good(400, Reason.DAMAGED, "the gzip body is cut short")
        return body.joined()

    def release(self) -> None:
        """Whatever was held is free again."""
        self._share.give_back(self._held)
        self._held = 0

    def _add(self, body: _Pieces, data: bytes) -> None:
        if body.size + len(data) > self._limits.body:
            raise self._for_good(413, Reason.TOO_LARGE, self._too_large())
        if not self._share.take(len(data)):
            raise self._refused(503, Reason.OVERLOAD, NO_ROOM, (("retry-after", str(self._limits.retry_after)),))
        self._held += len(data)
        body.add(data)

    def _too_large(self) -> str:
        return (
            f"the body is larger than {self._limits.body} bytes: lower --audit-webhook-batch-max-size of the API "
            f"server, or raise {self._limits.body_settings}"
        )

    def _refused(
        self, status: int, reason: Reason, text: str, headers: tuple[tuple[str, str], ...] = ()
    ) -> RefusalError:
        return RefusalError(status, reason, text, headers, self._received, self._more)

    def _for_good(self, status: int, reason: Reason, text: str) -> RefusalError:
        """With the size that every retry of the body has as well."""
        return RefusalError(status, reason, text, size=self._announced or self._received, unread=self._more)


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
    """Messages of a body, as long as they come fast enough: `next` gives None once they do not.

    Every `progress_time` has to bring `progress` bytes, or, of a large body, the part that is due for it to be complete
    within `body_time`: of what was announced, or of what has come if that is more.
    """

    def __init__(self, receive: Receive, limits: WebhookLimits, announced: int) -> None:
        self._receive = receive
        self._limits = limits
        self._clock = asyncio.get_running_loop().time
        now = self._clock()
        self._end = now + limits.body_time
        self._window_end = now + limits.progress_time
        self._window_bytes = 0
        self._expected = announced
        self._received = 0
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
            self._count(message)
            if message.get("more_body") and self._clock() >= min(self._end, self._window_end) and not self._good():
                return None
            return message

    def _count(self, message: MutableMapping[str, Any]) -> None:
        size = len(message.get("body", b""))
        self._window_bytes += size
        self._received += size
        self._expected = max(self._expected, self._received)

    def _good(self) -> bool:
        """Whether the window that ended brought enough; begins the next one."""
        now = self._clock()
        limits = self._limits
        due = max(limits.progress, self._expected * limits.progress_time / limits.body_time)
        if now >= self._end or self._window_bytes < due:
            return False
        self._window_end = now + limits.progress_time
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
        self._window_bytes = 0
        self._count(message)
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
