"""The settings of a webhook source. Whoever reads the configuration makes them; they check themselves.

Every check raises ValueError with a text for the user.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

MEBIBYTE = 1024 * 1024
DEFAULT_PORT = 9765
DEFAULT_PATH = "/k8s-audit"

ALTERNATIVE_NAMES = {"DNS": "DNS", "URI": "URI", "IP": "IP Address", "email": "email"}
"""Kinds of subject alternative names as written in settings -> as the ssl module calls them."""


@dataclass(frozen=True, slots=True)
class TlsSettings:
    """Files in PEM form; all of them are read anew when they change."""

    certificate: Path
    """The certificate with its chain, and the private key if `key` is not given."""
    key: Path | None = None
    client_ca: Path | None = None
    """Certificates that clients are verified against; without it no client is asked for one."""
    client_certificate_required: bool = True
    """With `client_ca`: False lets clients in without a certificate, where a path asks for none."""

    def __post_init__(self) -> None:
        if self.client_ca is None and not self.client_certificate_required:
            raise ValueError("client certificates cannot be optional where no client CA is given")

    @property
    def files(self) -> tuple[Path, ...]:
        return tuple(file for file in (self.certificate, self.key, self.client_ca) if file is not None)


@dataclass(frozen=True, slots=True)
class AllowedSubject:
    """Who a client certificate has to belong to. All that is given must fit; `*` stands for any characters."""

    common_name: str = ""
    organization: str = ""
    alternative_name: str = ""
    """With its kind in front: `DNS:*.prod.example`, `URI:spiffe://prod/*`, `IP:10.0.0.7`, `email:...`."""

    def __post_init__(self) -> None:
        if not (self.common_name or self.organization or self.alternative_name):
            raise ValueError("an allowed subject needs a common name, an organization or an alternative name")
        kind, _, value = self.alternative_name.partition(":")
        if self.alternative_name and (kind not in ALTERNATIVE_NAMES or not value):
            kinds = ", ".join(f"`{kind}:`" for kind in ALTERNATIVE_NAMES)
            raise ValueError(f"the alternative name `{self.alternative_name}` has to begin with one of {kinds}")


@dataclass(frozen=True, slots=True)
class PathSettings:
    """One path, the cluster that posts to it, and how that cluster shows who it is.

    With tokens or logins, a request needs one of them. With `subjects`, its client certificate must fit one of them.
    With both, both. What stands in files is read anew when they change; while a file holds nothing that can be used,
    nobody is let in with it.
    """

    path: str = DEFAULT_PATH
    cluster: str = ""
    tokens: tuple[str, ...] = field(default=(), repr=False)
    """Bearer tokens, each of them good."""
    logins: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    """User names and passwords for basic authentication."""
    token_files: tuple[Path, ...] = ()
    """Files of bearer tokens, one a line."""
    login_files: tuple[tuple[str, Path], ...] = ()
    """User names, each with the file of its password."""
    subjects: tuple[AllowedSubject, ...] = ()

    def __post_init__(self) -> None:
        if not self.path.startswith("/") or not self.path.isprintable() or set(self.path) & set("{}?#% "):
            raise ValueError(f"the path `{self.path}` has to begin with `/` and hold none of `{{}}?#%` and no blanks")
        for token in self.tokens:
            if token.split() != [token] or not token.isascii() or not token.isprintable():
                raise ValueError(f"a token of the path `{self.path}` is empty or holds blanks or odd characters")
        for user, password in (*self.logins, *self.login_files):
            if not user.strip() or not str(password).strip() or ":" in user:
                raise ValueError(f"a login of the path `{self.path}` needs a user name without a colon, and a password")


@dataclass(frozen=True, slots=True)
class WebhookLimits:
    """What clients may take of the server. Times are in seconds, sizes in bytes."""

    body: int = 64 * MEBIBYTE
    """The largest body, unpacked. A larger one is answered 413."""
    body_settings: str = "`lanner.limits.body`, and `lanner.limits.in_flight`, which must not be less"
    """What to raise for a larger `body`: the settings that it comes from."""
    in_flight: int = 64 * MEBIBYTE
    """All bodies that are being received or delivered. Beyond it the answer is 503."""
    ratio: int = 200
    """How many times its packed size a gzip body may have unpacked (1 MiB is always fine)."""
    headers: int = 32 * 1024
    connections: int = 512
    header_time: float = 10.0
    """From the first byte of a request (or from connecting) to the end of its headers."""
    body_time: float = 30.0
    """For a whole body. The API server itself gives up after 30 seconds."""
    progress_time: float = 5.0
    progress: int = 64 * 1024
    """How many bytes have to come every `progress_time`, until the body is complete."""
    idle_time: float = 120.0
    """Between requests. Longer than the 90 seconds of the API server's client, so that it is never us who closes a
    connection just when it sends."""
    handshake_time: float = 10.0
    linger_time: float = 5.0
    """How long the rest of a refused body is read (and dropped), so that the client gets to see the answer."""
    stop_time: float = 25.0
    """How long what was accepted may take to finish when the source is stopped."""
    retry_after: int = 5
    """What a 503 asks for. The API server honours it, which stretches its patience from 83 seconds to minutes."""

    def __post_init__(self) -> None:
        for name in self.__slots__:
            if name != "body_settings" and getattr(self, name) <= 0:
                raise ValueError(f"the limit `{name}` has to be greater than 0")
        if self.in_flight < self.body:
            raise ValueError(
                f"the limit of bytes in flight ({self.in_flight}) has to be at least the body limit ({self.body})"
            )


@dataclass(frozen=True, slots=True)
class WebhookSettings:
    """One listener: an address and port, and the paths on it."""

    address: str = "127.0.0.1"
    """A name or an IP address; empty means any address."""
    port: int = DEFAULT_PORT
    """0 takes any free one."""
    paths: tuple[PathSettings, ...] = (PathSettings(),)
    tls: TlsSettings | None = None
    limits: WebhookLimits = field(default_factory=WebhookLimits)

    def __post_init__(self) -> None:
        if not 0 <= self.port <= 65535:
            raise ValueError(f"there is no port {self.port}")
        if not self.paths:
            raise ValueError("a webhook needs at least one path")
        if doubled := _first_doubled(path.path for path in self.paths):
            raise ValueError(f"the path `{doubled}` is there twice")
        if self.tls is None or self.tls.client_ca is None:
            for path in self.paths:
                if path.subjects:
                    raise ValueError(f"the path `{path.path}` allows certain subjects, but no client CA is given")


def _first_doubled(words: Iterable[str]) -> str:
    seen: set[str] = set()
    for word in words:
        if word in seen:
            return word
        seen.add(word)
    return ""
