"""Who may post to a path: bearer tokens, basic authentication, subjects of client certificates.

Secrets are kept as digests only, and compared in constant time, every one of them for every request.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias

from lanner.sources.webhook_settings import ALTERNATIVE_NAMES, AllowedSubject, PathSettings

PeerCertificate: TypeAlias = Mapping[str, Any]
"""A verified client certificate as SSLSocket.getpeercert() gives it."""


class Denial(NamedTuple):
    """Why a request may not post: the status, a text for the client, and its WWW-Authenticate challenges."""

    status: int
    text: str
    challenges: tuple[str, ...] = ()


class Gate:
    """Decides for one path."""

    def __init__(self, settings: PathSettings) -> None:
        self._tokens = tuple(_digest(token.encode()) for token in settings.tokens)
        self._logins = tuple(_digest(f"{user}:{password}".encode()) for user, password in settings.logins)
        self._subjects = tuple(map(_SubjectPattern, settings.subjects))
        self._challenges = (
            *(('Bearer realm="lanner"',) if self._tokens else ()),
            *(('Basic realm="lanner", charset="UTF-8"',) if self._logins else ()),
        )

        kinds = ((self._tokens, "a bearer token"), (self._logins, "a user name and password"))
        self._wanted = " or ".join(text for secrets, text in kinds if secrets)

    def check(self, authorization: Sequence[bytes], certificate: PeerCertificate | None) -> Denial | None:
        """None lets the request in. `authorization`: the values of all headers of that name."""
        if self._subjects:
            if not certificate:
                return Denial(403, "this path needs a client certificate of the user in the kubeconfig")
            if not any(pattern.fits(certificate) for pattern in self._subjects):
                return Denial(403, f"the client certificate of {_shown(certificate)} may not post to this path")
        if not self._challenges:
            return None
        if len(authorization) != 1:
            return Denial(401, f"this path needs {self._wanted} of the user in the kubeconfig", self._challenges)
        scheme, _, value = authorization[0].strip().partition(b" ")
        match scheme.lower():
            case b"bearer" if self._tokens:
                if _among(value.strip(), self._tokens):
                    return None
                return Denial(401, "the bearer token is not one of this path", self._challenges)
            case b"basic" if self._logins:
                if _among(_decoded(value.strip()), self._logins):
                    return None
                return Denial(401, "user name and password are not those of this path", self._challenges)
        return Denial(401, f"this path needs {self._wanted}, nothing else", self._challenges)


class _SubjectPattern:
    def __init__(self, subject: AllowedSubject) -> None:
        self._names = tuple(
            (attribute, _pattern(text))
            for attribute, text in (
                ("commonName", subject.common_name),
                ("organizationName", subject.organization),
            )
            if text
        )
        kind, _, value = subject.alternative_name.partition(":")
        self._alternative = (ALTERNATIVE_NAMES[kind], _pattern(value)) if value else None

    def fits(self, certificate: PeerCertificate) -> bool:
        names = _subject(certificate)
        for attribute, pattern in self._names:
            if not any(attribute == name and pattern.fullmatch(value) for name, value in names):
                return False
        if self._alternative is None:
            return True
        wanted, pattern = self._alternative
        return any(kind == wanted and pattern.fullmatch(value) for kind, value in certificate.get("subjectAltName", ()))


def _pattern(text: str) -> re.Pattern[str]:
    """`*` stands for any characters; everything else for itself."""
    return re.compile(".*".join(map(re.escape, text.split("*"))), re.DOTALL)


def _subject(certificate: PeerCertificate) -> list[tuple[str, str]]:
    return [pair for part in certificate.get("subject", ()) for pair in part]


def _shown(certificate: PeerCertificate) -> str:
    short = {"commonName": "CN", "organizationName": "O"}
    parts = [f"{short[name]}={value}" for name, value in _subject(certificate) if name in short]
    return f"`{ascii(', '.join(parts))[1:-1]}`"


def _decoded(value: bytes) -> bytes:
    try:
        return base64.b64decode(value, validate=True)
    except binascii.Error:
        return b""


def _digest(secret: bytes) -> bytes:
    return hashlib.sha256(secret).digest()


def _among(given: bytes, wanted: Sequence[bytes]) -> bool:
    digest = _digest(given)
    found = False
    for each in wanted:
        found |= hmac.compare_digest(digest, each)
    return found
