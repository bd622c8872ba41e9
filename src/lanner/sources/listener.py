"""A listening address: accepts connections for an ASGI application until it is closed, gracefully.

Connections are accepted here rather than by asyncio's server, because TLS contexts change while it listens, and because
the bound on connections has to hold before a TLS handshake costs anything. When there are too many, the one that has
been idle for longest makes room, and of those the ones first that never had a request accepted; if none is idle, the
new one is turned away.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Callable
from typing import Any

from uvicorn.config import Config
from uvicorn.server import ServerState

from lanner.sources.complaints import Complaints, shown_address, so_far
from lanner.sources.connection import Connection
from lanner.sources.refusal import Reason, Refusal
from lanner.sources.tls import TlsFiles, handshake_problem
from lanner.sources.webhook_settings import WebhookLimits

logger = logging.getLogger(__name__)

_BACKLOG = 1024
_AT_ONCE = 16
_SLACK = 4  # connections that are being closed while others take their places
_PAUSE = 0.2  # seconds to wait where accepting fails, as when the process has no file descriptors left
_TOO_MANY = (
    b"HTTP/1.1 503 Service Unavailable\r\ncontent-type: text/plain; charset=utf-8\r\ncontent-length: 21\r\n"
    b"retry-after: %d\r\nconnection: close\r\n\r\ntoo many connections\n"
)


class Listener:
    """`tls` gives the context for each new connection, or refuses it; None means plain HTTP.

    `on_refused` is called for what comes to no request at all, once for each: `Reason.TLS`, `Reason.BAD_REQUEST` or
    `Reason.CONNECTIONS`; not for a client that connects and sends nothing.
    """

    def __init__(
        self,
        app: Any,
        address: str,
        port: int,
        limits: WebhookLimits,
        tls: TlsFiles | None = None,
        on_refused: Callable[[Refusal], None] = lambda refusal: None,
    ) -> None:
        self._address = address
        self._port = port
        self._limits = limits
        self._tls = tls
        self._on_refused = on_refused
        self._complaints = Complaints()
        self._config = Config(
            app,
            http=Connection,
            ws="none",
            lifespan="off",
            interface="asgi3",
            log_config=None,
            proxy_headers=False,
            server_header=False,
            date_header=False,
            timeout_keep_alive=limits.idle_time,  # type: ignore[arg-type] # goes to loop.call_later as it is
            h11_max_incomplete_event_size=limits.headers,
        )
        self._config.load()
        self._state = ServerState()
        self._sockets: list[socket.socket] = []
        self._connections: dict[Connection, None] = {}  # in the order in which they became idle
        self._leaving: set[Connection] = set()  # given up, and still with a file descriptor
        self._handshakes: dict[Connection, asyncio.Task[None]] = {}
        self._paused: dict[socket.socket, asyncio.TimerHandle] = {}

    @property
    def addresses(self) -> list[tuple[str, int]]:
        """What it listens on: address and port, once it is open."""
        return [listening.getsockname()[:2] for listening in self._sockets]

    @property
    def connections(self) -> int:
        return len(self._connections)

    async def open(self) -> None:
        """Binds. Raises OSError."""
        self._sockets = await _bound(self._address, self._port)

    async def serve(self) -> None:
        """Accepts connections until cancelled."""
        for listening in self._sockets:
            self._resume(listening)
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            for listening in self._sockets:
                self._pause(listening)

    async def close(self) -> None:
        """Takes no more connections, lets requests that are being handled finish, and then closes what is left."""
        for listening in self._sockets:
            listening.close()
        for handshake in self._handshakes.values():
            handshake.cancel()
        for connection in list(self._connections):
            if connection.connected:
                connection.finish()
        if not await self._quiet_within(self._limits.stop_time):
            logger.warning("%d requests were not finished in time and are given up", len(self._state.tasks))
            for connection in list(self._connections):
                if connection.connected:
                    connection.transport.abort()
            for request in list(self._state.tasks):
                request.cancel()
        await self._quiet_within(self._limits.linger_time)

    async def _quiet_within(self, seconds: float) -> bool:
        """Whether nothing is going on any more."""
        clock = asyncio.get_running_loop().time
        end = clock() + seconds
        while self._state.tasks or self._connections:
            if clock() >= end:
                return False
            await asyncio.sleep(0.01)
        return True

    def _resume(self, listening: socket.socket) -> None:
        asyncio.get_running_loop().add_reader(listening, self._accept, listening)

    def _pause(self, listening: socket.socket) -> None:
        asyncio.get_running_loop().remove_reader(listening)
        if (timer := self._paused.pop(listening, None)) is not None:
            timer.cancel()

    def _accept(self, listening: socket.socket) -> None:
        """Takes some of the connections that wait, not all: others are to be served in between."""
        for _ in range(_AT_ONCE):
            if len(self._connections) + len(self._leaving) >= self._limits.connections + _SLACK:
                return
            try:
                accepted, address = listening.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:
                if number := self._complaints.count("accept", str(error.errno)):
                    logger.error("no connection can be accepted: %s%s", error.strerror, so_far(number))
                self._make_room()
                self._pause(listening)
                self._paused[listening] = asyncio.get_running_loop().call_later(_PAUSE, self._resume, listening)
                return
            accepted.setblocking(False)
            self._admit(accepted, shown_address(address))

    def _admit(self, accepted: socket.socket, address: str) -> None:
        if len(self._connections) >= self._limits.connections and not self._make_room():
            self._turn_away(accepted, address)
            return
        connection = Connection(
            self._config, self._state, self._limits, self._forget, self._becomes_idle, self._bad_request
        )
        self._connections[connection] = None
        handshake = asyncio.create_task(self._connect(connection, accepted, address))
        self._handshakes[connection] = handshake
        handshake.add_done_callback(lambda _: self._handshake_done(connection, accepted))

    def _turn_away(self, accepted: socket.socket, address: str) -> None:
        text = f"more than {self._limits.connections} connections, none of them idle"
        self._on_refused(Refusal("", Reason.CONNECTIONS, text, 503 if self._tls is None else 0, peer=address))
        if number := self._complaints.count("connections"):
            logger.warning("%s: %d turned away", text, number)
        with accepted:
            if self._tls is None:
                try:
                    accepted.send(_TOO_MANY % self._limits.retry_after)
                except OSError:
                    return

    async def _connect(self, connection: Connection, accepted: socket.socket, address: str) -> None:
        loop = asyncio.get_running_loop()
        if self._tls is None:
            try:
                await loop.connect_accepted_socket(lambda: connection, accepted)
            except OSError as error:
                logger.debug("a connection came to nothing: %s", error)
            return
        end = loop.time() + self._limits.handshake_time
        if not await _sends(accepted, end):
            logger.debug("%s connected and sent nothing", address)
            return
        context = self._tls.context()
        if context is None:
            refusal = Refusal("", Reason.TLS, "the client CA cannot be used", peer=address)
            self._refuse(refusal, f"no TLS connection with {address}")
            return
        connection.peer.authority = self._tls.authority
        try:
            await loop.connect_accepted_socket(
                lambda: connection,
                accepted,
                ssl=context,
                ssl_handshake_timeout=max(0.001, end - loop.time()),
                ssl_shutdown_timeout=self._limits.linger_time,
            )
        except OSError as error:  # ssl.SSLError and TimeoutError are
            problem = handshake_problem(error)
            self._refuse(Refusal("", Reason.TLS, problem, peer=address), f"no TLS connection with {address}")

    def _bad_request(self, connection: Connection, status: int, text: str) -> None:
        peer = shown_address(connection.client)
        self._refuse(Refusal("", Reason.BAD_REQUEST, text, status, peer=peer), f"no request from {peer}")

    def _refuse(self, refusal: Refusal, what: str) -> None:
        self._on_refused(refusal)
        if number := self._complaints.count(refusal.reason, refusal.text):
            logger.warning("%s: %s%s", what, refusal.text, so_far(number))

    def _handshake_done(self, connection: Connection, accepted: socket.socket) -> None:
        del self._handshakes[connection]
        if not connection.connected:
            self._forget(connection)
            accepted.close()
        elif connection in self._leaving:  # it was given up at the very moment of its success
            connection.transport.abort()

    def _make_room(self) -> bool:
        """Gives up one idle connection, if there is one."""
        kept: Connection | None = None
        for connection in self._connections:
            if not connection.connected:
                self._leave(connection)
                self._handshakes[connection].cancel()
                return True
            if connection.idle:
                if not connection.peer.accepted:
                    self._give_up(connection)
                    return True
                kept = kept or connection
        if kept is None:
            return False
        self._give_up(kept)
        return True

    def _give_up(self, connection: Connection) -> None:
        self._leave(connection)
        connection.transport.abort()

    def _leave(self, connection: Connection) -> None:
        del self._connections[connection]
        self._leaving.add(connection)

    def _becomes_idle(self, connection: Connection) -> None:
        if connection in self._connections:
            del self._connections[connection]
            self._connections[connection] = None

    def _forget(self, connection: Connection) -> None:
        self._connections.pop(connection, None)
        self._leaving.discard(connection)


async def _sends(accepted: socket.socket, end: float) -> bool:
    """Whether the client sends anything until `end`: what only looks whether a port is open does not."""
    loop = asyncio.get_running_loop()
    readable = asyncio.Event()
    loop.add_reader(accepted, readable.set)
    try:
        async with asyncio.timeout_at(end):
            await readable.wait()
        return accepted.recv(1, socket.MSG_PEEK) != b""
    except OSError:  # TimeoutError is one
        return False
    finally:
        loop.remove_reader(accepted)


async def _bound(address: str, port: int) -> list[socket.socket]:
    """Listening sockets for an address or a name; for an empty one on all addresses, of both families if there are."""
    if not address:
        both = socket.has_dualstack_ipv6()
        family = socket.AF_INET6 if both else socket.AF_INET
        sockets = [socket.create_server(("", port), family=family, backlog=_BACKLOG, dualstack_ipv6=both)]
    else:
        loop = asyncio.get_running_loop()
        try:
            found = await loop.getaddrinfo(address, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        except socket.gaierror as error:
            raise OSError(error.errno, f"the address `{address}` cannot be resolved: {error.strerror}") from error
        sockets = []
        try:
            for family, where in dict.fromkeys((family, where) for family, _, _, _, where in found):
                sockets.append(socket.create_server((where[0], where[1]), family=family, backlog=_BACKLOG))
        except OSError:
            for listening in sockets:
                listening.close()
            raise
    for listening in sockets:
        listening.setblocking(False)
    return sockets
