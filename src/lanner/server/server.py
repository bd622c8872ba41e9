"""The server: the routes on an address and port of their own, with the same listener as the webhooks."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

from starlette.applications import Starlette

from lanner.config.service import ServerConfig
from lanner.service.descriptors import STATUS_CONNECTIONS
from lanner.sources.base import Sink
from lanner.sources.listener import Listener
from lanner.sources.tls import TlsFiles
from lanner.sources.webhook_settings import TlsSettings, WebhookLimits

NAME = "server"
LIMITS = WebhookLimits(body=1, in_flight=1, connections=STATUS_CONNECTIONS, stop_time=2)


class StatusServer:
    """Runs like a source, so that it is started again like one, but delivers nothing. `connections`: at one time."""

    def __init__(self, app: Starlette, config: ServerConfig, connections: int = STATUS_CONNECTIONS) -> None:
        self._app = app
        self._limits = replace(LIMITS, connections=connections)
        self._config = config
        self._listener: Listener | None = None
        self._listening = asyncio.Event()

    @property
    def name(self) -> str:
        return NAME

    @property
    def urls(self) -> tuple[str, ...]:
        """Where it listens; nothing while it does not."""
        if self._listener is None:
            return ()
        scheme = "https" if self._config.certificate else "http"
        return tuple(
            f"{scheme}://{f'[{address}]' if ':' in address else address}:{port}"
            for address, port in self._listener.addresses
        )

    async def listening(self) -> None:
        """Returns as soon as connections are accepted."""
        await self._listening.wait()

    async def run(self, sink: Sink) -> None:
        """Serves until cancelled. Raises OSError if it cannot listen, TlsError if the certificate cannot be used."""
        config = self._config
        tls = None
        if config.certificate:
            files = TlsSettings(Path(config.certificate), Path(config.key) if config.key else None)
            tls = TlsFiles(files)
        listener = Listener(self._app, config.address, config.port, self._limits, tls)
        await listener.open()
        self._listener = listener
        self._listening.set()
        try:
            await listener.serve()
        finally:
            self._listening.clear()
            await listener.close()
            self._listener = None
