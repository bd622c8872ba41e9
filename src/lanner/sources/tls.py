"""The TLS side of a listener: certificate, key and client CA from files, taken up anew when the files change."""

from __future__ import annotations

import errno
import logging
import ssl
import time
from collections.abc import Callable
from hashlib import sha256
from typing import NoReturn

from lanner.regular_file import MAX_SECRET_BYTES, read_regular_file
from lanner.sources.secret_files import Stamp, file_stamp, is_settled
from lanner.sources.webhook_settings import TlsSettings

CHECK_INTERVAL = 1.0
"""Seconds between looks at the files. They are looked at when a client connects, never on their own."""

logger = logging.getLogger(__name__)

_Stamps = tuple[Stamp | None, ...]


class TlsError(Exception):
    """The files cannot be used. The message names them and says why. `client_ca`: it is that file."""

    def __init__(self, message: str, client_ca: bool = False) -> None:
        super().__init__(message)
        self.client_ca = client_ca


class TlsFiles:
    """Gives the SSL context of the files as they are now. Raises TlsError if they cannot be used at the start.

    A certificate or key that becomes unusable later (half written, not belonging together) changes nothing: the ones
    from before stay until they are right again, and one log line tells. A client CA that changes and cannot be used is
    not trusted any more, and nobody is let in until it is right: `on_problem` is told why, once.
    """

    def __init__(
        self,
        settings: TlsSettings,
        check_interval: float | None = None,
        on_problem: Callable[[str], None] = lambda problem: None,
    ) -> None:
        self._settings = settings
        self._check_interval = CHECK_INTERVAL if check_interval is None else check_interval
        self._on_problem = on_problem
        self._stamp = _stamp(settings)
        self._changing: _Stamps | None = None
        self._context: ssl.SSLContext | None
        self._context, self._authority = _load(settings)
        self._checked = time.monotonic()

    def context(self) -> ssl.SSLContext | None:
        """For the next connection; None while no client can be verified."""
        self._look()
        return self._context

    @property
    def authority(self) -> bytes | None:
        """A mark of the client CA in the context that was given last; None for none."""
        return self._authority

    def trusts(self, authority: bytes | None) -> bool:
        """Whether that client CA is still the one. If not, who was let in by it must be verified anew."""
        self._look()
        return authority == self._authority

    def _look(self) -> None:
        now = time.monotonic()
        if now - self._checked < self._check_interval:
            return
        self._checked = now
        stamp = _stamp(self._settings)
        if stamp == self._stamp:
            return
        try:
            self._context, self._authority = _load(self._settings)
        except TlsError as error:
            if self._authority_is_as_before():
                logger.error("certificate files changed but cannot be used, the ones from before stay: %s", error)
            elif stamp != self._changing and _is_being_written(stamp):
                self._changing = stamp
                return
            else:
                self._context, self._authority = None, None
                logger.error("client certificates cannot be verified any more, no client is let in: %s", error)
                self._on_problem(str(error))
        else:
            logger.info("certificate files changed: new connections use `%s` as it is now", self._settings.certificate)
        self._stamp = stamp

    def _authority_is_as_before(self) -> bool:
        """Also where no client CA is asked for."""
        try:
            return _authority(self._settings) == self._authority
        except TlsError:
            return False


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


def _stamp(settings: TlsSettings) -> _Stamps:
    return tuple(map(file_stamp, settings.files))


def _is_being_written(stamps: _Stamps) -> bool:
    return all(stamps) and not all(is_settled(stamp) for stamp in stamps if stamp is not None)


def check_files(settings: TlsSettings) -> None:
    """Raises TlsError if the files cannot be used as they are now."""
    _load(settings)


def _load(settings: TlsSettings) -> tuple[ssl.SSLContext, bytes | None]:
    """(the context, the mark of the client CA in it). Raises TlsError."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    pair = [file for file in (settings.certificate, settings.key) if file is not None]
    files = " and ".join(f"`{file}`" for file in pair)
    try:
        for file in pair:  # OpenSSL would wait for a FIFO's writer
            read_regular_file(file, MAX_SECRET_BYTES)
        context.load_cert_chain(settings.certificate, settings.key, password=_no_password)
    except OSError as error:  # ssl.SSLError is one
        raise TlsError(f"cannot use the certificate and key in {files}: {_reason(error)}") from error
    authority = _authority(settings)
    if settings.client_ca is not None:
        try:
            context.load_verify_locations(settings.client_ca)
        except OSError as error:
            raise _authority_error(settings, _reason(error)) from error
        if authority != _authority(settings):
            raise _authority_error(settings, "it is being written")
        context.verify_mode = ssl.CERT_REQUIRED if settings.client_certificate_required else ssl.CERT_OPTIONAL
    return context, authority


def _authority(settings: TlsSettings) -> bytes | None:
    """A digest of the client CA's file; None where none is asked for. Raises TlsError."""
    if settings.client_ca is None:
        return None
    try:
        return sha256(read_regular_file(settings.client_ca, MAX_SECRET_BYTES)).digest()
    except OSError as error:
        raise _authority_error(settings, _reason(error)) from error


def _authority_error(settings: TlsSettings, reason: str) -> TlsError:
    return TlsError(f"cannot use the client CA in `{settings.client_ca}`: {reason}", client_ca=True)


def _no_password() -> NoReturn:
    """Asked for by OpenSSL where a key is encrypted; without this it would ask at the terminal."""
    raise OSError(errno.EACCES, "the key is encrypted; store it without a passphrase, readable by this service alone")


def _reason(error: OSError) -> str:
    if isinstance(error, ssl.SSLError):
        if error.reason == "KEY_VALUES_MISMATCH":
            return "the key does not belong to the certificate"
        return error.reason or "there is no usable PEM text" if len(error.args) > 1 else str(error.args[0])
    return error.strerror or type(error).__name__
