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


def handshake_problem(error: OSError) -> str:
    """Why a handshake with a client failed, in words for whoever runs this. There are finitely many of them."""
    match error:
        case ssl.SSLCertVerificationError():
            text = f"the client certificate cannot be verified ({error.verify_message})"
            return f"{text}: an authority in the client CA file has to have signed it"
        case ssl.SSLError():
            return _protocol_problem(error.reason or "")
        case ConnectionAbortedError() | TimeoutError():
            return "the client did not finish the handshake in time"
        case _:
            return "the client closed the connection within the handshake"


def _protocol_problem(reason: str) -> str:
    """`reason`: a name of OpenSSL's, such as PEER_DID_NOT_RETURN_A_CERTIFICATE, TLSV1_ALERT_UNKNOWN_CA."""
    _, _, alert = reason.partition("ALERT_")
    words = (alert or reason or "unknown").lower().replace("_", " ")
    match reason:
        case "HTTP_REQUEST":
            return "the client speaks plain http: its URL has to begin with `https://`"
        case "PEER_DID_NOT_RETURN_A_CERTIFICATE":
            return "the client shows no certificate, and one that the client CA signed is needed"
        case "UNSUPPORTED_PROTOCOL" | "NO_SHARED_CIPHER" | "VERSION_TOO_LOW":
            return f"the client speaks no TLS that is safe ({words}): 1.2 is the least"
        case "WRONG_VERSION_NUMBER" | "PACKET_LENGTH_TOO_LONG" | "UNEXPECTED_MESSAGE":
            return f"what the client sends is no TLS ({words})"
    if alert and ("CERTIFICATE" in alert or alert == "UNKNOWN_CA"):
        text = f"the client does not accept the certificate it is shown ({words})"
        return f"{text}: look at the authority that the client trusts, and at names and dates in the certificate"
    return f"the client gave up ({words})" if alert else f"{words}"


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
