"""The webhook source: what the API server posts, delivered one body at a time, and acknowledged after that.

A 200 leaves when `Sink.deliver` has returned, never before. What the sink cannot take now is answered 503 with
Retry-After, and so is what would be too much at one time. Everything else that is not delivered is refused with a text
that says what to do; the API server sends a refused body again up to four times, whatever the status. Every request
that is not answered 200 is told to `Sink.refuse`, once, and so is what comes to no request: no HTTP, no TLS, too many
connections. The log tells the first of each kind with its cause, and then ever fewer.

What is checked, in this order: path (404), method (405), who sends it (401, 403), Content-Type (400), Content-Encoding
(415), too many requests of this path at one time (503), size (413); the body is read after that, as long as there is
room (503). The cluster of a delivery is the one of its path.

Paths share two bounds fairly (see `Budget`): the bytes of all bodies, and the connections of a listener.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, TypeAlias

from starlette.applications import Starlette
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from lanner.sources.auth import Gate
from lanner.sources.base import Delivery, Overloaded, Sink, Unavailable
from lanner.sources.bodies import NO_ROOM, Intake, Receive, RefusalError
from lanner.sources.budget import Budget, Share
from lanner.sources.complaints import Complaints, shown_address, so_far
from lanner.sources.connection import Peer
from lanner.sources.listener import Listener
from lanner.sources.refusal import Reason, Refusal
from lanner.sources.tls import TlsFiles
from lanner.sources.webhook_settings import MEBIBYTE, PathSettings, WebhookLimits, WebhookSettings

logger = logging.getLogger(__name__)

Scope: TypeAlias = MutableMapping[str, Any]
Send: TypeAlias = Callable[[MutableMapping[str, Any]], Awaitable[None]]

LEAST_SHARE_BYTES = 4 * MEBIBYTE
"""Guaranteed to each path, however many there are: some usual bodies at one time."""

_CLOSE = ("connection", "close")
_SHOWN_PATH = 100
_LOGGED_ELSEWHERE = frozenset((Reason.INCOMPLETE, Reason.UNAVAILABLE, Reason.FAILED, Reason.STOPPED))
"""Nothing is wrong with what the client sent, and the log has the cause already or has none."""


class WebhookSource:
    """A source that listens on one address and port.

    Several sources that share a `budget` share the bound on bytes in flight, by their paths.
    """

    def __init__(self, name: str, settings: WebhookSettings, budget: Budget | None = None) -> None:
        self._name = name
        self._settings = settings
        self._budget = budget or Budget(settings.limits.in_flight, LEAST_SHARE_BYTES)
        self._listener: Listener | None = None
        self._listening = asyncio.Event()

    @property
    def name(self) -> str:
        return self._name

    @property
    def urls(self) -> tuple[str, ...]:
        """Where to post to: one for every path and address; empty while it does not listen."""
        if self._listener is None:
            return ()
        scheme = "http" if self._settings.tls is None else "https"
        return tuple(
            f"{scheme}://{f'[{address}]' if ':' in address else address}:{port}{path.path}"
            for path in self._settings.paths
            for address, port in self._listener.addresses
        )

    async def listening(self) -> None:
        """Returns as soon as connections are accepted."""
        await self._listening.wait()

    async def run(self, sink: Sink) -> None:
        """Serves until cancelled; then finishes what has been accepted.

        Raises OSError if it cannot listen, TlsError if certificate, key or client CA cannot be used.
        """
        settings = self._settings
        tls = None
        if settings.tls is not None:
            tls = TlsFiles(settings.tls, on_problem=lambda problem: sink.report_secret_problem("", problem))
        listener = Listener(
            webhook_app(self._name, settings, sink, self._budget, tls),
            settings.address,
            settings.port,
            settings.limits,
            tls,
            sink.refuse,
        )
        await listener.open()
        self._listener = listener
        self._listening.set()
        try:
            await listener.serve()
        finally:
            self._listening.clear()
            await listener.close()
            self._listener = None


def webhook_app(
    name: str, settings: WebhookSettings, sink: Sink, budget: Budget, tls: TlsFiles | None = None
) -> Starlette:
    """The ASGI application behind the webhook source of this name. `tls`: by which connections were let in."""

    async def refuse(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        size = _announced(request.headers) or 0
        headers = {**(error.headers or {}), "connection": "close"}
        path: str = request.scope["path"]
        if error.status_code == 405:
            text = "audit events are taken by POST only"
            refused = RefusalError(405, Reason.METHOD, text, size=size)
            refusals.report(request.scope, clusters.get(path, ""), path, refused)
        else:
            text = "nothing is received at this path: look at the server URL in the API server's webhook configuration"
            refused = RefusalError(error.status_code, Reason.UNKNOWN_PATH, text, size=size)
            refusals.report(request.scope, "", "", refused)
        return PlainTextResponse(text + "\n", error.status_code, headers)

    clusters = {path.path: path.cluster for path in settings.paths}
    refusals = _Refusals(sink)
    requests = Budget.within(settings.limits.connections, len(settings.paths))
    app = Starlette(
        routes=[
            Route(
                path.path,
                _Endpoint(
                    path,
                    settings.limits,
                    sink,
                    budget.share((name, path.path)),
                    requests.share(path.path),
                    refusals,
                    tls,
                ),
                methods=["POST"],
            )
            for path in settings.paths
        ],
        exception_handlers={HTTPException: refuse},
    )
    app.router.redirect_slashes = False
    return app


class _Refusals:
    """Reports requests that are refused: each one to the sink; to the log of each reason and path the first one, and
    then ever fewer."""

    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self._complaints = Complaints()

    def report(self, scope: Scope, cluster: str, path: str, refused: RefusalError) -> None:
        """`path`: the one of the settings; empty for all that are not there, since clients make those up."""
        peer = shown_address(scope.get("client"))
        self._sink.refuse(Refusal(cluster, refused.reason, refused.text, refused.status, refused.size, peer))
        if refused.reason in _LOGGED_ELSEWHERE:
            logger.debug("cluster `%s`: %s", cluster, refused)
            return
        number = self._complaints.count(refused.reason, path)
        if not number:
            return
        asked = ascii(scope["path"])[1:-1]
        logger.warning(
            "refused %d for `%s`%s from %s: %s%s",
            refused.status,
            asked if len(asked) <= _SHOWN_PATH else f"{asked[:_SHOWN_PATH]}...",
            f" of the cluster `{cluster}`" if cluster else "",
            peer,
            refused.text,
            so_far(number),
        )


class _Endpoint:
    """The ASGI application of one path."""

    def __init__(
        self,
        settings: PathSettings,
        limits: WebhookLimits,
        sink: Sink,
        room: Share,
        requests: Share,
        refusals: _Refusals,
        tls: TlsFiles | None,
    ) -> None:
        self._path = settings.path
        self._cluster = settings.cluster
        self._gate = Gate(settings, lambda problem: sink.report_secret_problem(settings.cluster, problem))
        self._tls = tls
        self._limits = limits
        self._sink = sink
        self._room = room
        self._requests = requests
        self._refusals = refusals

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = Headers(scope=scope)
        announced = _announced(headers)
        peer: Peer = scope["state"]["peer"]
        try:
            size = await self._deliver(headers, announced, peer, receive)
        except RefusalError as refused:
            refused.size = refused.size or announced or 0
            self._report(scope, refused)
            more = (*refused.headers, _CLOSE) if refused.unread else refused.headers
            await _answer(send, refused.status, str(refused), more)
        except Unavailable as unavailable:
            reason = Reason.OVERLOAD if isinstance(unavailable, Overloaded) else Reason.UNAVAILABLE
            self._report(scope, RefusalError(503, reason, str(unavailable), size=announced or 0))
            await self._later(send, unavailable.retry_after)
        except asyncio.CancelledError:
            # Only Listener.close cancels a request, behind its time for finishing; nobody waits for this task.
            text = "the service was stopped before the delivery was finished"
            self._report(scope, RefusalError(0, Reason.STOPPED, text, size=announced or 0))
        except Exception:
            logger.exception("cluster `%s`: a delivery failed", self._cluster)
            text = "a fault of this service: the log has its traceback"
            self._report(scope, RefusalError(503, Reason.FAILED, text, size=announced or 0))
            await self._later(send, self._limits.retry_after)
        else:
            peer.accepted = True
            logger.debug("cluster `%s`: %d bytes delivered", self._cluster, size)
            await _answer(send, 200, "")

    def _report(self, scope: Scope, refused: RefusalError) -> None:
        self._refusals.report(scope, self._cluster, self._path, refused)

    async def _deliver(self, headers: Headers, announced: int | None, peer: Peer, receive: Receive) -> int:
        """The size of what was delivered. Raises RefusalError, Unavailable, and what the sink raises."""
        if self._tls is not None and not self._tls.trusts(peer.authority):
            text = "the client CA is not the one that this connection was verified with: connect again"
            raise RefusalError(401, Reason.UNAUTHORIZED, text)
        authorization = [value.encode("latin-1") for value in headers.getlist("authorization")]
        denial = self._gate.check(authorization, peer.certificate)
        if denial is not None:
            reason = Reason.UNAUTHORIZED if denial.status == 401 else Reason.FORBIDDEN
            challenges = tuple(("www-authenticate", challenge) for challenge in denial.challenges)
            raise RefusalError(denial.status, reason, denial.text, challenges)
        if "application/json" not in headers.get("content-type", "").lower():
            text = "the Content-Type has to be application/json, as the API server sends it"
            raise RefusalError(400, Reason.CONTENT_TYPE, text)
        encoding = headers.get("content-encoding", "identity").strip().lower()
        if encoding not in ("identity", "gzip", "x-gzip"):
            text = "the only Content-Encoding that is understood is gzip"
            raise RefusalError(415, Reason.CONTENT_ENCODING, text, (("accept-encoding", "gzip"),))
        if not self._requests.take(1):
            later = (("retry-after", str(self._limits.retry_after)),)
            raise RefusalError(503, Reason.OVERLOAD, NO_ROOM, later)
        intake = Intake(self._room, self._limits)
        try:
            body = await intake.read(receive, announced, encoding != "identity")
            await self._sink.deliver(Delivery(body, self._cluster, time.time_ns()))
            return len(body)
        finally:
            intake.release()
            self._requests.give_back(1)

    async def _later(self, send: Send, seconds: int) -> None:
        text = "this cannot be taken at the moment: send it again later"
        await _answer(send, 503, text, (("retry-after", str(seconds)),))


def _announced(headers: Headers) -> int | None:
    """The Content-Length; 0 where there is no body at all, None if its size is not known. h11 has checked the form."""
    if "transfer-encoding" in headers:
        return None
    return int(headers.get("content-length", "0"))


async def _answer(send: Send, status: int, text: str, headers: tuple[tuple[str, str], ...] = ()) -> None:
    body = f"{text}\n".encode() if text else b""
    await send(
        {
            "type": "http.response.start",
            "status": status,
            "headers": [
                (b"content-type", b"text/plain; charset=utf-8"),
                (b"content-length", str(len(body)).encode()),
                *((name.encode("latin-1"), value.encode("latin-1")) for name, value in headers),
            ],
        }
    )
    await send({"type": "http.response.body", "body": body})
