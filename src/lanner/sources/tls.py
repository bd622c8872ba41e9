"""The TLS side of a listener: certificate, key and client CA from files, taken up anew when the files change."""

from __future__ import annotations

import errno
import logging
import ssl
import time
from pathlib import Path
from typing import NoReturn

from lanner.sources.webhook_settings import TlsSettings

CHECK_INTERVAL = 1.0
"""Seconds between looks at the files. They are looked at when a client connects, never on their own."""

logger = logging.getLogger(__name__)

_Stamp = tuple[tuple[int, int, int, int] | None, ...]


class TlsError(Exception):
    """The files cannot be used. The message names them and says why."""


class TlsFiles:
    """Gives the SSL context of the files as they are now. Raises TlsError if they cannot be used at the start.

    Files that become unusable later (half written, key and certificate that do not belong together) change nothing:
    the context from before stays until they are right again, and one log line tells.
    """

    def __init__(self, settings: TlsSettings, check_interval: float | None = None) -> None:
        self._settings = settings
        self._check_interval = CHECK_INTERVAL if check_interval is None else check_interval
        self._stamp = _stamp(settings)
        self._context = _load(settings)
        self._checked = time.monotonic()

    def context(self) -> ssl.SSLContext:
        """For the next connection. Connections that exist keep what they began with."""
        now = time.monotonic()
        if now - self._checked < self._check_interval:
            return self._context
        self._checked = now
        stamp = _stamp(self._settings)
        if stamp == self._stamp:
            return self._context
        self._stamp = stamp
        try:
            self._context = _load(self._settings)
        except TlsError as error:
            logger.error("certificate files changed but cannot be used, the ones from before stay: %s", error)
        else:
            logger.info("certificate files changed: new connections use `%s` as it is now", self._settings.certificate)
        return self._context


def _stamp(settings: TlsSettings) -> _Stamp:
    return tuple(map(_file_stamp, settings.files))


def _file_stamp(file: Path) -> tuple[int, int, int, int] | None:
    """Changes with the content, also where a link is swapped."""
    try:
        status = file.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino, status.st_mtime_ns, status.st_size


def _load(settings: TlsSettings) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    files = " and ".join(f"`{file}`" for file in (settings.certificate, settings.key) if file is not None)
    try:
        context.load_cert_chain(settings.certificate, settings.key, password=_no_password)
    except OSError as error:  # ssl.SSLError is one
        raise TlsError(f"cannot use the certificate and key in {files}: {_reason(error)}") from error
    if settings.client_ca is not None:
        try:
            context.load_verify_locations(settings.client_ca)
        except OSError as error:
            raise TlsError(f"cannot use the client CA in `{settings.client_ca}`: {_reason(error)}") from error
        context.verify_mode = ssl.CERT_REQUIRED if settings.client_certificate_required else ssl.CERT_OPTIONAL
    return context


def _no_password() -> NoReturn:
    """Asked for by OpenSSL where a key is encrypted; without this it would ask at the terminal."""
    raise OSError(errno.EACCES, "the key is encrypted; store it without a passphrase, readable by this service alone")


def _reason(error: OSError) -> str:
    if isinstance(error, ssl.SSLError):
        if error.reason == "KEY_VALUES_MISMATCH":
            return "the key does not belong to the certificate"
        return error.reason or "there is no usable PEM text" if len(error.args) > 1 else str(error.args[0])
    return error.strerror or type(error).__name__
