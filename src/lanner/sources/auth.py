"""Who may post to a path: bearer tokens, basic authentication, subjects of client certificates.

Secrets are kept as digests only, and compared in constant time, every one of them for every request. What a path asks
for is fixed by its settings, whatever secrets there are at the moment: without any, nobody is let in.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import logging
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias

from lanner.sources.secret_files import SecretFile, parse_password, parse_tokens
from lanner.sources.webhook_settings import ALTERNATIVE_NAMES, AllowedSubject, PathSettings

logger = logging.getLogger(__name__)

PeerCertificate: TypeAlias = Mapping[str, Any]
"""A verified client certificate as SSLSocket.getpeercert() gives it."""


class Denial(NamedTuple):
    """Why a request may not post: the status, a text for the client, and its WWW-Authenticate challenges."""

    status: int
    text: str
    challenges: tuple[str, ...] = ()


class Gate:
    """Decides for one path. `on_problem` is told why a file has no secrets any more, once for each cause."""

    def __init__(self, settings: PathSettings, on_problem: Callable[[str], None] = lambda problem: None) -> None:
        self._tokens = _Secrets(
            (token.encode() for token in settings.tokens),
            [_FileSecrets(SecretFile(path, parse_tokens), "", on_problem) for path in settings.token_files],
        )
        self._logins = _Secrets(
            (f"{user}:{password}".encode() for user, password in settings.logins),
            [
                _FileSecrets(SecretFile(path, parse_password), f"{user}:", on_problem)
                for user, path in settings.login_files
            ],
        )
        self._subjects = tuple(map(_SubjectPattern, settings.subjects))
        asks_token = bool(settings.tokens or settings.token_files)
        asks_login = bool(settings.logins or settings.login_files)
        self._challenges = (
            *(('Bearer realm="lanner"',) if asks_token else ()),
            *(('Basic realm="lanner", charset="UTF-8"',) if asks_login else ()),
        )
        kinds = ((asks_token, "a bearer token"), (asks_login, "a user name and password"))
        self._asks_token, self._asks_login = asks_token, asks_login
        self._wanted = " or ".join(text for asked, text in kinds if asked)

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
            case b"bearer" if self._asks_token:
                if self._tokens.include(value.strip()):
                    return None
                return Denial(401, "the bearer token is not one of this path", self._challenges)
            case b"basic" if self._asks_login:
                if self._logins.include(_decoded(value.strip())):
                    return None
                return Denial(401, "user name and password are not those of this path", self._challenges)
        return Denial(401, f"this path needs {self._wanted}, nothing else", self._challenges)


class _FileSecrets:
    """Digests of the secrets in one file, as it is now."""

    def __init__(self, file: SecretFile, prefix: str, on_problem: Callable[[str], None]) -> None:
        self._file = file
        self._prefix = prefix
        self._on_problem = on_problem
        self._told = ""
        self._seen: tuple[str, ...] = ()
        self._digests: tuple[bytes, ...] = ()

    def digests(self) -> tuple[bytes, ...]:
        """Of the secrets that are good now. A file that has turned bad, or good again, is told of."""
        secrets = self._file.secrets()
        if secrets is not self._seen:
            self._seen = secrets
            self._digests = tuple(_digest(f"{self._prefix}{secret}".encode()) for secret in secrets)
        problem = self._file.problem
        if problem != self._told:
            self._told = problem
            if problem:
                logger.error("unauthorized until it is mended, nobody can log in with this file: %s", problem)
                self._on_problem(problem)
            else:
                logger.info("the secret file `%s` can be used again", self._file.path)
        return self._digests


class _Secrets:
    """All that let in by one scheme: those of the settings, and those of files."""

    def __init__(self, fixed: Iterable[bytes], files: Sequence[_FileSecrets]) -> None:
        self._fixed = tuple(map(_digest, fixed))
        self._files = files

    def include(self, given: bytes) -> bool:
        """Whether this is one of them. Compares with every one, in constant time."""
        digest = _digest(given)
        found = False
        for each in self._fixed:
            found |= hmac.compare_digest(digest, each)
        for file in self._files:
            for each in file.digests():
                found |= hmac.compare_digest(digest, each)
        return found


class _SubjectPattern:
    """Common name and organization identify the holder together, so of several in one subject all have to fit: who
    may have `CN=kube-apiserver` signed beside another one must not be taken for it. Alternative names are each a name
    that the authority vouches for, so one that fits is enough.
    """

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
        flags = re.IGNORECASE if kind == "DNS" else re.NOFLAG  # RFC 4343
        self._alternative = (ALTERNATIVE_NAMES[kind], _pattern(value, flags)) if value else None

    def fits(self, certificate: PeerCertificate) -> bool:
        names = _subject(certificate)
        for attribute, pattern in self._names:
            values = [value for name, value in names if name == attribute]
            if not values or not all(_fits(pattern, value) for value in values):
                return False
        if self._alternative is None:
            return True
        wanted, pattern = self._alternative
        return any(kind == wanted and _fits(pattern, value) for kind, value in certificate.get("subjectAltName", ()))


def _pattern(text: str, flags: re.RegexFlag = re.NOFLAG) -> re.Pattern[str]:
    """`*` stands for any characters; everything else for itself."""
    return re.compile(".*".join(map(re.escape, text.split("*"))), re.DOTALL | flags)


def _fits(pattern: re.Pattern[str], value: str) -> bool:
    """A name with NUL or other control characters in it fits nothing: it is made to be misread."""
    return value.isprintable() and pattern.fullmatch(value) is not None


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
