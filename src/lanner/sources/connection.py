"""One HTTP connection of a listener: uvicorn's h11 protocol, made fit for clients that mean harm.

Beyond what uvicorn does: the end of a request is read strictly (framing.py), headers have a time and a size of their
own (the size is checked before they are parsed, at most 32 KiB more than the limit is ever kept), what is sent behind a
body that is still being handled is bounded, an Upgrade is ignored, and an answer given before the body was read can be
seen by the client: the connection lingers, reads on and drops what it reads, until the client closes or the time is
over.

The application finds the connection's `Peer` as `scope["state"]["peer"]`.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import h11
from uvicorn.config import Config
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.server import ServerState

from lanner.sources.auth import PeerCertificate
from lanner.sources.framing import StrictConnection
from lanner.sources.webhook_settings import WebhookLimits

# uvicorn warns of every bad request; what counts here is told to `on_bad_request` instead.
_quiet = logging.getLogger("lanner.sources.http")
_quiet.setLevel(logging.ERROR)

_TLS_HANDSHAKE = b"\x16\x03"
_TEXTS = {
    400: b"Bad Request",
    408: b"Request Timeout",
    431: b"Request Header Fields Too Large",
}


@dataclass(slots=True)
class Peer:
    """What is known of the other side of a connection."""

    certificate: PeerCertificate | None = None
    authority: bytes | None = None
    """The mark of the client CA that the certificate was verified with."""
    accepted: bool = False
    """A request of it was answered 200: its connection is the last to be given up when there are too many."""


class LingeringTransport(asyncio.Transport):
    """A transport whose `close` first lets the client read the answer, if the client is still sending."""

    def __init__(self, inner: asyncio.Transport, linger_time: float, sending: Callable[[], bool]) -> None:
        super().__init__()
        self._inner = inner
        self._linger_time = linger_time
        self._sending = sending
        self._timer: asyncio.TimerHandle | None = None
        self._closing = False

    @property
    def lingers(self) -> bool:
        return self._timer is not None

    def close(self) -> None:
        if self._closing:
            return
        self._closing = True
        if not self._sending():
            self._inner.close()
            return
        self._timer = asyncio.get_running_loop().call_later(self._linger_time, self._inner.abort)
        try:
            if self._inner.can_write_eof():
                self._inner.write_eof()
            self._inner.resume_reading()
        except OSError:  # the client is gone, which asyncio has not noticed yet
            self._inner.abort()

    def abort(self) -> None:
        self._closing = True
        self._inner.abort()

    def lost(self) -> None:
        """The connection is gone."""
        self._closing = True
        if self._timer is not None:
            self._timer.cancel()

    def is_closing(self) -> bool:
        return self._closing or self._inner.is_closing()

    def write(self, data: bytes | bytearray | memoryview) -> None:
        if not self._closing:
            self._inner.write(data)

    def pause_reading(self) -> None:
        self._inner.pause_reading()

    def resume_reading(self) -> None:
        self._inner.resume_reading()

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return self._inner.get_extra_info(name, default)


class Connection(H11Protocol):
    """`on_lost` is called once, when the connection is gone; `on_idle` when a request is done; `on_bad_request` for
    what is no request (not HTTP, too large or too slow headers), with the status, 0 without an answer, and the cause.
    """

    transport: LingeringTransport

    def __init__(
        self,
        config: Config,
        state: ServerState,
        limits: WebhookLimits,
        on_lost: Callable[[Connection], None],
        on_idle: Callable[[Connection], None],
        on_bad_request: Callable[[Connection, int, str], None],
    ) -> None:
        super().__init__(config, state, {})
        self.conn: StrictConnection = StrictConnection(h11.SERVER, limits.headers)
        self.logger = _quiet
        self.access_log = False
        self.peer = Peer()
        self._limits = limits
        self._on_lost = on_lost
        self._on_idle = on_idle
        self._on_bad_request = on_bad_request
        self._header_timer: asyncio.TimerHandle | None = None

    @property
    def connected(self) -> bool:
        return self.transport is not None

    @property
    def idle(self) -> bool:
        """No request is being handled."""
        return self.cycle is None or self.cycle.response_complete

    def finish(self) -> None:
        """Close as soon as no request is being handled."""
        if self.idle:
            self.transport.close()
        else:
            self.cycle.keep_alive = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self.peer.certificate = transport.get_extra_info("peercert")
        self.app_state = {"peer": self.peer}
        super().connection_made(LingeringTransport(transport, self._limits.linger_time, self._client_sends))
        self._watch_headers()

    def connection_lost(self, exc: Exception | None) -> None:
        self.transport.lost()
        self._stop_header_timer()
        self._unset_keepalive_if_required()
        super().connection_lost(exc)
        self._on_lost(self)

    def data_received(self, data: bytes) -> None:
        if self.transport.is_closing():
            return
        limit = self._limits.headers
        if self.conn.their_state is h11.IDLE and len(data) > limit:
            super().data_received(data[: limit + 1])
            if self.transport.is_closing():
                return
            data = data[limit + 1 :]
        super().data_received(data)

    def handle_events(self) -> None:
        super().handle_events()
        if self.transport.is_closing():
            self._stop_header_timer()
            return
        if self.conn.their_state not in (h11.IDLE, h11.SEND_BODY):
            behind, _ = self.conn.trailing_data
            if len(behind) > self._limits.headers:
                self._on_bad_request(self, 0, f"more than {self._limits.headers} bytes follow before the answer")
                self.transport.abort()
        self._watch_headers()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self.idle:
            self._on_idle(self)

    def send_400_response(self, msg: str) -> None:
        """Called by uvicorn for what is no HTTP."""
        behind, _ = self.conn.trailing_data
        if self.conn.problem:
            self._reject(400, self.conn.problem)
        elif self.idle and len(behind) > self._limits.headers:
            self._reject(431, f"the headers are larger than {self._limits.headers} bytes")
        elif behind.startswith(_TLS_HANDSHAKE):
            self._reject(400, "this is TLS, not HTTP/1.1: nothing but plain http is spoken here")
        else:
            self._reject(400, "this is not HTTP/1.1")

    def _should_upgrade(self) -> bool:
        return False

    def _client_sends(self) -> bool:
        return self.conn.their_state in (h11.SEND_BODY, h11.ERROR)

    def _watch_headers(self) -> None:
        waiting = self.conn.their_state is h11.IDLE and (self.cycle is None or bool(self.conn.trailing_data[0]))
        if not waiting:
            self._stop_header_timer()
        elif self._header_timer is None:
            self._header_timer = self.loop.call_later(self._limits.header_time, self._headers_too_slow)

    def _stop_header_timer(self) -> None:
        if self._header_timer is not None:
            self._header_timer.cancel()
            self._header_timer = None

    def _headers_too_slow(self) -> None:
        if self.conn.trailing_data[0]:
            self._reject(408, "the headers came too slowly")
        else:
            self.transport.close()

    def _reject(self, status: int, text: str) -> None:
        """Answers outside of any request, and closes. To a request whose body is being read the client is gone."""
        self._stop_header_timer()
        if self.transport.is_closing():
            return
        if self.idle:
            self._on_bad_request(self, status, text)
        if self.idle or not self.cycle.response_started:
            body = text.encode() + b"\n"
            self.transport.write(
                b"HTTP/1.1 %d %s\r\ncontent-type: text/plain; charset=utf-8\r\ncontent-length: %d\r\n"
                b"connection: close\r\n\r\n%s" % (status, _TEXTS[status], len(body), body)
            )
        if not self.idle:
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        self.transport.close()
