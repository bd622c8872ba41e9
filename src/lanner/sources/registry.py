"""Event sources by name: what an entry of `plugins:` in falco.yaml asks for.

Built in are `k8saudit`, with the settings and open parameters of Falco's plugin of that name, and `json`, which only
extracts fields in Falco and therefore is accepted and reads nothing. Other names come from installed packages, as entry
points of the group `lanner.sources`: each is a `Factory`.

Open parameters of k8saudit:
    (nothing)                     the webhook at http://127.0.0.1:9765/k8s-audit
    http://[HOST][:PORT][/PATH]   a webhook; without a host, on all addresses, as in Falco
    https://...                   the same over TLS, with the file `sslCertificate`
    [HOST]:PORT[/PATH]            a webhook over http
    file://PATH                   follow a file, a folder or a pattern
    PATH                          read a file, a folder or a pattern once
    -                             read standard input
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from difflib import get_close_matches
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Protocol, TypeAlias
from urllib.parse import unquote, urlsplit

from lanner.secrecy import safe_url
from lanner.sources.base import Source
from lanner.sources.follow import MAX_OPEN, Follow
from lanner.sources.once import ReadOnce, StandardInput
from lanner.sources.webhook_settings import (
    DEFAULT_PATH,
    DEFAULT_PORT,
    PathSettings,
    TlsSettings,
    WebhookLimits,
    WebhookSettings,
)

GROUP = "lanner.sources"
K8S_AUDIT = "k8saudit"
JSON = "json"
BUILT_IN = (K8S_AUDIT, JSON)
DEFAULT_CERTIFICATE = "/etc/falco/falco.pem"

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")
_HOST_AND_PORT = re.compile(r"(?:[A-Za-z0-9.-]*|\[[0-9A-Fa-f:.]+\]):[0-9]+(?:/.*)?")
_FORMS = (
    "write `http://HOST:PORT/PATH`, `https://HOST:PORT/PATH`, `file:///PATH` to follow a file, or a path to read once"
)


class SourceError(ValueError):
    """An entry of `plugins:` that cannot be used. The message says what is wrong, `help` what to write.

    `place`: which part of the entry it is: `name`, `open_params`, `init_config.maxEventSize`.
    """

    def __init__(self, message: str, help: str, place: str) -> None:
        super().__init__(message)
        self.message = message
        self.help = help
        self.place = place


class Factory(Protocol):
    """What an entry point of the group `lanner.sources` leads to."""

    def __call__(self, name: str, init_config: Mapping[str, object], open_params: str, /) -> Source:
        """A new source. Raises ValueError with a text for the user if it cannot be made of these settings."""


BODY_KEY = "webhookMaxBatchSize"
"""The key of `init_config` that says what the largest body is."""


@dataclass(frozen=True, slots=True)
class WebhookParams:
    """Listen for the API server. `address` empty: on all; `certificate` None: plain http; `body`: largest body."""

    address: str = "127.0.0.1"
    port: int = DEFAULT_PORT
    path: str = DEFAULT_PATH
    certificate: Path | None = None
    body: int | None = None

    def settings(self, cluster: str = "", limits: WebhookLimits | None = None) -> WebhookSettings:
        """The settings of a webhook with nothing but this. `limits` holds where nothing was said here."""
        limits = limits or WebhookLimits()
        if self.body is not None:
            limits = replace(
                limits,
                body=self.body,
                body_settings=f"`{BODY_KEY}` in the `init_config` of the plugin",
                in_flight=max(self.body, limits.in_flight),
            )
        return WebhookSettings(
            self.address,
            self.port,
            (PathSettings(self.path, cluster),),
            None if self.certificate is None else TlsSettings(self.certificate),
            limits,
        )


@dataclass(frozen=True, slots=True)
class FollowParams:
    """Follow a file, a folder or a pattern; `from_start`: from the beginning of what is there at the first start."""

    target: str
    from_start: bool = False


@dataclass(frozen=True, slots=True)
class OnceParams:
    """Read a file, a folder or a pattern once."""

    target: str


@dataclass(frozen=True, slots=True)
class StdinParams:
    """Read standard input."""


Params: TypeAlias = WebhookParams | FollowParams | OnceParams | StdinParams


@dataclass(frozen=True, slots=True)
class Plan:
    """What a built-in plugin is to do. `params` None: nothing, it reads no events.

    `max_event`: the size from which an event counts as oversize, None for the default. `unknown`: keys of
    `init_config` that have no effect, each with what helps.
    """

    params: Params | None
    max_event: int | None = None
    unknown: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class _InitConfig:
    """The settings of k8saudit. `readFrom` is our own; `useAsync` has no effect."""

    certificate: str = DEFAULT_CERTIFICATE
    max_event: int | None = None
    body: int | None = None
    from_start: bool = False
    unknown: tuple[tuple[str, str], ...] = ()


def plan(plugin: str, init_config: Mapping[str, object], open_params: str) -> Plan:
    """What a plugin of BUILT_IN is to do. Raises SourceError."""
    if plugin == JSON:
        return Plan(None)
    config = _read_init_config(init_config)
    params = parse_open_params(open_params, config.certificate)
    match params:
        case WebhookParams():
            params = replace(params, body=config.body)
        case FollowParams():
            params = replace(params, from_start=config.from_start)
    return Plan(params, config.max_event, config.unknown)


def names() -> tuple[str, ...]:
    """The names that `plugins:` can use here: those built in, then those of installed packages."""
    return (*BUILT_IN, *sorted(set(entry_points(group=GROUP).names) - set(BUILT_IN)))


def factory(plugin: str) -> Factory:
    """The factory of an installed package. Raises SourceError if there is none of that name, or it cannot be loaded."""
    found: list[EntryPoint] = list(entry_points(group=GROUP, name=plugin))
    if not found:
        known = names()
        near = get_close_matches(plugin, known, n=1, cutoff=0.6)
        listed = ", ".join(f"`{name}`" for name in known)
        raise SourceError(
            f"there is no event source `{plugin}`",
            f"did you mean `{near[0]}`?"
            if near
            else f"the sources here are {listed}; a Python package can bring more. Without it: leave it out of "
            "`load_plugins`.",
            "name",
        )
    try:
        loaded: Factory = found[0].load()
    except Exception as error:  # whatever the module of somebody else raises
        raise SourceError(
            f"the event source `{plugin}` cannot be loaded: {type(error).__name__}: {error}",
            f"it comes from the package that declares `{found[0].value}`.",
            "name",
        ) from error
    return loaded


def file_source(
    params: FollowParams | OnceParams | StdinParams, *, name: str, cluster: str = "", max_open: int = MAX_OPEN
) -> Source:
    """The source that does what the parameters say. `max_open`: how many followed files are kept open."""
    match params:
        case FollowParams():
            return Follow(params.target, name=name, cluster=cluster, from_start=params.from_start, max_open=max_open)
        case OnceParams():
            return ReadOnce(params.target, name=name, cluster=cluster)
        case StdinParams():
            return StandardInput(name=name, cluster=cluster)


def parse_open_params(text: str, certificate: str = DEFAULT_CERTIFICATE) -> Params:
    """What k8saudit is to open; `certificate` is for https. Raises SourceError."""
    text = text.strip()
    if not text:
        return WebhookParams()
    if text == "-":
        return StdinParams()
    scheme = _SCHEME.match(text)
    if scheme is None:
        if _HOST_AND_PORT.fullmatch(text):
            return _webhook(f"http://{text}", text, certificate)
        if re.match(r"(?:https?|file):", text, re.IGNORECASE):
            raise _unusable(f"the open parameters `{safe_url(text)}` lack `//` behind the colon")
        return OnceParams(text)
    match scheme.group(1).lower():
        case "http" | "https":
            return _webhook(text, text, certificate)
        case "file":
            return FollowParams(_file_path(text, text[scheme.end() :]))
        case name:
            raise _unusable(f"the open parameters `{safe_url(text)}` have the scheme `{name}`, which is unknown")


def _webhook(url: str, text: str, certificate: str) -> WebhookParams:
    try:
        parts = urlsplit(url)
        port = parts.port
        if port == 0:
            raise ValueError("Port out of range 0-65535")
    except ValueError as error:
        what = "the port has to be from 1 to 65535" if "ort" in str(error) else "brackets are for IPv6 addresses alone"
        raise _unusable(f"the open parameters `{safe_url(text)}` are not an address: {what}") from None
    if parts.username is not None or parts.query or parts.fragment:
        raise _unusable(
            "the open parameters hold more than an address and a path",
            "user names, tokens and other settings of a webhook go under `lanner.webhooks`.",
        )
    path = unquote(parts.path) or DEFAULT_PATH
    try:
        PathSettings(path)
    except ValueError as error:
        raise _unusable(f"the open parameters `{safe_url(text)}` cannot be used: {error}") from None
    tls = Path(certificate) if parts.scheme == "https" else None
    return WebhookParams(parts.hostname or "", port or DEFAULT_PORT, path, tls)


def _file_path(text: str, rest: str) -> str:
    path = unquote(rest.removeprefix("localhost") if rest.startswith("localhost/") else rest)
    if not path:
        raise _unusable(f"the open parameters `{safe_url(text)}` need a path behind `file://`")
    return path


def _unusable(message: str, help: str = f"{_FORMS}.") -> SourceError:
    return SourceError(message, help, "open_params")


def _read_init_config(values: Mapping[str, object]) -> _InitConfig:
    known = ("sslCertificate", "useAsync", "maxEventSize", BODY_KEY, "readFrom")
    unknown: list[tuple[str, str]] = []
    for key in values:
        if key not in known:
            near = get_close_matches(key, known, n=1, cutoff=0.6)
            listed = ", ".join(f"`{name}`" for name in known)
            unknown.append((key, f"did you mean `{near[0]}`?" if near else f"the keys there are {listed}."))
    values = {key: value for key, value in values.items() if value is not None}
    certificate = values.get("sslCertificate", DEFAULT_CERTIFICATE)
    if not isinstance(certificate, str) or not certificate:
        raise _wrong("sslCertificate", "a path", "`sslCertificate: /etc/lanner/tls.pem`")
    read_from = values.get("readFrom", "end")
    if read_from not in ("start", "end"):
        raise _wrong("readFrom", "`start` or `end`", "`readFrom: start`")
    return _InitConfig(
        certificate,
        _size(values, "maxEventSize", 262_144),
        _size(values, BODY_KEY, 12_582_912),
        read_from == "start",
        tuple(unknown),
    )


def _size(values: Mapping[str, object], key: str, example: int) -> int | None:
    value = values.get(key)
    if value is None:
        return None
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise _wrong(key, "a number of bytes", f"`{key}: {example}`")
    return value


def _wrong(key: str, what: str, example: str) -> SourceError:
    return SourceError(
        f"`{key}` in `init_config` must be {what}", f"write for example {example}.", f"init_config.{key}"
    )
