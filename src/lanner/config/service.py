"""What the service needs of the configuration: sources, store, limits, its own server.

In: the checked tree of settings. Out: a `ServiceConfig`; what contradicts itself goes to the report as CONFIG_ERROR.
Sources come from `lanner.webhooks`, `lanner.files` and from Falco's `plugins`. What a plugin is and what its settings
mean is not known here: an entry is handed on as it is written, with the places of its parts.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeVar, cast

from lanner.config.check import read
from lanner.config.settings import SETTINGS
from lanner.config.tree import Entry, Items, Node, Scalar, Section, TreeError, build, plain
from lanner.config.units import read_duration, read_size
from lanner.diagnostics.codes import Code
from lanner.diagnostics.report import Report
from lanner.diagnostics.source import SourceFile, Span
from lanner.yamltext import documents

T = TypeVar("T")

STORE_FILE = "lanner.db"
SYSTEM_FOLDER = "/var/lib/lanner"
STANDARD_INPUT = "-"
INTERNAL = "internal"


@dataclass(frozen=True, slots=True)
class Access:
    """What a client must show; nothing without any. Tokens and password may stand in files, which may change."""

    token: str = field(default="", repr=False)
    token_file: str = ""
    username: str = ""
    password: str = field(default="", repr=False)
    password_file: str = ""

    @property
    def open(self) -> bool:
        """Whether anybody is let in."""
        return not (self.token or self.token_file or self.username)


@dataclass(frozen=True, slots=True)
class WebhookPath:
    """A path that takes events, the cluster that posts there and what it must show."""

    path: str
    cluster: str = ""
    access: Access = Access()
    allowed_subjects: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class WebhookConfig:
    """A listener. `address` empty: all addresses. `certificate` empty: plain http."""

    name: str
    address: str
    port: int
    paths: tuple[WebhookPath, ...]
    certificate: str = ""
    key: str = ""
    client_ca: str = ""
    span: Span | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class FileConfig:
    """Files to read: once, or followed. `path` `-`: standard input."""

    name: str
    path: str
    follow: bool
    cluster: str = ""


@dataclass(frozen=True, slots=True)
class PluginConfig:
    """An entry of `plugins` as it is written. `name`: of the source, unlike all others; `plugin`: what it asks for.

    `init_config`: plain values, also where it is written as text. It and `open_params` may hold secrets.
    """

    name: str
    plugin: str
    init_config: Mapping[str, object] = field(repr=False)
    open_params: str = field(repr=False)
    places: Mapping[str, Entry] = field(compare=False, repr=False)
    """Keys and values by path: `open_params`, `init_config`, `init_config.useAsync`; the whole entry is ``."""

    def at(self, path: str) -> Entry:
        """Where a part stands; if it is not there, what it would be in."""
        while path and path not in self.places:
            path = path.rpartition(".")[0]
        return self.places[path]


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds; sizes in bytes, times in seconds."""

    body: int
    in_flight: int
    event: int
    kept_event: int
    header_timeout: float
    body_timeout: float
    idle_timeout: float
    retry_after: float
    stop: float


@dataclass(frozen=True, slots=True)
class Silence:
    """After how many seconds silence is an alert; 0 for never. `first_event`: when to say that none has come at all."""

    after: float
    clusters: Mapping[str, float]
    first_event: float

    def of(self, cluster: str) -> float:
        """The limit for a cluster."""
        return self.clusters.get(cluster, self.after)


NEVER_REDACTED = frozenset(
    ("/*", "/kind", "/apiVersion", "/auditID", "/stage", "/stageTimestamp", "/timestamp", "/requestReceivedTimestamp")
)
"""JSON pointers to what makes an event one, and tells it from others."""


@dataclass(frozen=True, slots=True)
class Redaction:
    """What to redact of the events about a resource (`secrets`, `serviceaccounts/token`; empty: of all events)."""

    resource: str
    pointers: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ServerConfig:
    """Health, versions and metrics. `certificate` empty: plain http."""

    enabled: bool
    address: str
    port: int
    healthz: str
    metrics: bool
    certificate: str
    key: str
    access: Access


@dataclass(frozen=True, slots=True)
class ServiceConfig:
    """All of it."""

    data_dir: str
    store: str = field(repr=False)
    retention_age: float
    retention_size: int
    webhooks: tuple[WebhookConfig, ...]
    files: tuple[FileConfig, ...]
    plugins: tuple[PluginConfig, ...]
    limits: Limits
    silence: Silence
    redact: tuple[Redaction, ...]
    server: ServerConfig
    stdout: bool
    buffered: bool
    log_stderr: bool
    log_format: str
    log_level: str


LAST_APPLIED = (
    "last-applied-configuration",  # kubectl.kubernetes.io/, and tools that do as kubectl does
    "last-applied",  # banzaicloud.com/, and other operators
    "kapp.k14s.io/original",
    "kapp.k14s.io/original-diff",
    "kapp.k14s.io/original-diff-full",
    "objectset.rio.cattle.io/applied",
)
"""How the keys of annotations end in which tools keep the whole object that they have applied last."""

_BODIES = ("requestObject", "responseObject")
_OBJECTS = ("", "/items/*", "/rows/*/object", "/object")
"""Where a body may hold an object: it is one, a list of them, a table, or what a watch tells of one."""

_SECRET = (
    "/data/*",
    "/stringData/*",
    *(f"/metadata/annotations/*{ending.replace('/', '~1')}" for ending in LAST_APPLIED),
)
_MESSAGES = ("/responseStatus/message", "/responseObject/message", "/responseObject/details/causes/*/message")
DEFAULT_REDACTION = (
    Redaction(
        "secrets",
        (
            *(f"/{body}{where}{place}" for body in _BODIES for where in _OBJECTS for place in _SECRET),
            "/requestObject/*/value",
            *_MESSAGES,
        ),
    ),
    Redaction("serviceaccounts/token", tuple(f"/{body}/status/token" for body in _BODIES)),
    Redaction("tokenreviews", tuple(f"/{body}/spec/token" for body in _BODIES)),
)
"""The values (not the names) in secrets as objects, lists, tables and JSON patches, in what tools keep of them, and in
messages, which may quote what was sent; tokens. The cells of a table tell name, type, number of values and age."""


def default_folder(environ: Mapping[str, str]) -> str:
    """Where data goes without a word: what systemd says, /var/lib/lanner for root, else the user's data folder."""
    given = environ.get("STATE_DIRECTORY", "").partition(":")[0]
    if given:
        return given
    if os.geteuid() == 0:
        return SYSTEM_FOLDER
    data = environ.get("XDG_DATA_HOME") or str(Path(environ.get("HOME") or "~").expanduser() / ".local" / "share")
    return str(Path(data) / "lanner")


def read_service(
    root: Section, values: Mapping[str, object], environ: Mapping[str, str], report: Report
) -> ServiceConfig:
    """The service's part of the settings. `values`: what check.py found good outside of lists."""
    return _Reader(root, values, report).read(environ)


@dataclass(frozen=True, slots=True)
class _Place:
    """An item of a list of settings, and the name of its settings in the table: `lanner.webhooks[]`."""

    name: str
    node: Section

    @property
    def span(self) -> Span:
        assert self.node.span is not None
        return self.node.span

    def get(self, key: str, kind: type[T]) -> T:
        setting = SETTINGS[f"{self.name}.{key}"]
        entry = self.node.entries.get(key)
        value: object = setting.default
        if entry is not None and not (isinstance(entry.value, Scalar) and entry.value.empty):
            with suppress(ValueError):  # reported where all settings are checked
                value = read(setting, entry.value)
        assert isinstance(value, kind)
        return value

    def has(self, key: str) -> bool:
        return bool(self.get(key, object))

    def at(self, key: str) -> Span:
        entry = self.node.entries.get(key)
        return self.span if entry is None else entry.value.span or entry.key


class _Reader:
    def __init__(self, root: Section, values: Mapping[str, object], report: Report) -> None:
        self._root = root
        self._values = values
        self._report = report
        self._names: set[str] = set()

    def read(self, environ: Mapping[str, str]) -> ServiceConfig:
        webhooks = [self._webhook(place) for place in self._places("lanner.webhooks")]
        files = [self._file(place) for place in self._places("lanner.files")]
        plugins = [plugin for plugin in map(self._plugin, self._plugins()) if plugin is not None]
        folder = self._get("lanner.data_dir", str) or default_folder(environ)
        return ServiceConfig(
            data_dir=folder,
            store=self._get("lanner.store", str) or f"sqlite:///{Path(folder).absolute() / STORE_FILE}",
            retention_age=self._duration("lanner.retention.age"),
            retention_size=self._size("lanner.retention.size"),
            webhooks=tuple(webhooks),
            files=tuple(files),
            plugins=tuple(plugins),
            limits=self._limits(),
            silence=self._silence(),
            redact=self._redaction(),
            server=self._server(),
            stdout=self._get("stdout_output.enabled", bool),
            buffered=self._get("buffered_outputs", bool),
            log_stderr=self._get("log_stderr", bool),
            log_format=self._get("lanner.log_format", str),
            log_level=self._get("log_level", str),
        )

    # single settings

    def _get(self, name: str, kind: type[T]) -> T:
        value = self._values.get(name, SETTINGS[name].default)
        assert isinstance(value, kind)
        return value

    def _duration(self, name: str) -> float:
        value = self._values.get(name)
        return value if isinstance(value, float) else float(cast("float", _default(name)))

    def _size(self, name: str) -> int:
        value = self._values.get(name)
        return value if isinstance(value, int) else int(cast("int", _default(name)))

    def _error(self, message: str, span: Span, help: str) -> None:
        self._report.add(Code.CONFIG_ERROR, message, span, help)

    def _entry(self, name: str) -> Entry | None:
        node: Node = self._root
        entry = None
        for key in name.split("."):
            entry = node.entries.get(key) if isinstance(node, Section) else None
            if entry is None:
                return None
            node = entry.value
        return entry

    def _span(self, name: str) -> Span:
        entry = self._entry(name)
        assert entry is not None
        return entry.value.span or entry.key

    def _item_span(self, name: str, index: int) -> Span:
        """Where an item of a list of texts stands, which may be written as one text."""
        entry = self._entry(name)
        assert entry is not None
        return entry.value.items[index].span or entry.key if isinstance(entry.value, Items) else self._span(name)

    def _places(self, name: str) -> Iterator[_Place]:
        entry = self._entry(name)
        if entry is not None and isinstance(entry.value, Items):
            for item in entry.value.items:
                if isinstance(item, Section) and item.span is not None:
                    yield _Place(f"{name}[]", item)

    # sources

    def _name(self, wanted: str, kind: str, span: Span | None = None) -> str:
        """The name of a source, which nothing else has: its counters and positions are kept under it."""
        if wanted and wanted in self._names and span is not None:
            self._error(f"there are two sources `{wanted}`", span, "give each source its own `name`.")
        if wanted == INTERNAL and span is not None:
            self._error(
                f"`{INTERNAL}` is the name of the source of alerts about Lanner itself", span, "choose another."
            )
        name, number = wanted or kind, 1
        while name in self._names:
            number += 1
            name = f"{wanted or kind}-{number}"
        self._names.add(name)
        return name

    def _webhook(self, place: _Place) -> WebhookConfig:
        own = place.node.entries.get("paths")
        paths = [
            self._path(_Place("lanner.webhooks[].paths[]", item))
            for item in (own.value.items if own is not None and isinstance(own.value, Items) else [])
            if isinstance(item, Section) and item.span is not None
        ]
        if not paths or "path" in place.node.entries:
            paths.insert(0, self._path(place))
        seen: set[str] = set()
        for path in paths:
            if path.path in seen:
                self._error(f"`{path.path}` is there twice", place.span, "every path of a webhook is for one cluster.")
            seen.add(path.path)
        certificate = place.get("certificate", str)
        for key in ("key", "client_ca"):
            if place.has(key) and not certificate:
                self._error(f"`{key}` without a `certificate`", place.at(key), "add `certificate: FILE`.")
        if any(path.allowed_subjects for path in paths) and not place.has("client_ca"):
            self._error(
                "`allowed_subjects` without a `client_ca`",
                place.at("allowed_subjects"),
                "add `client_ca: FILE`, the authority that signs the clients' certificates.",
            )
        return WebhookConfig(
            name=self._name(place.get("name", str), "webhook", place.at("name")),
            address=place.get("address", str),
            port=self._port(place.get("port", int), place.at("port")),
            paths=tuple(paths),
            certificate=certificate,
            key=place.get("key", str),
            client_ca=place.get("client_ca", str),
            span=place.at("port"),
        )

    def _path(self, place: _Place) -> WebhookPath:
        path = place.get("path", str)
        if not path.startswith("/") or not path.isprintable() or set(path) & set("{}?#% "):
            self._error(
                f"`{path}` is no path to listen on",
                place.at("path"),
                "it begins with `/` and has no blanks and none of `{}?#%`: write `path: /k8s-audit`.",
            )
        return WebhookPath(path, place.get("cluster", str), self._access(place), place.get("allowed_subjects", tuple))

    def _access(self, place: _Place) -> Access:
        access = Access(*(place.get(key, str) for key in Access.__slots__))
        self._check_access(access, place.at("username"))
        return access

    def _check_access(self, access: Access, span: Span) -> None:
        if bool(access.username) != bool(access.password or access.password_file):
            self._error(
                "basic authentication needs a name and a password",
                span,
                "write `username` and one of `password` and `password_file`.",
            )

    def _file(self, place: _Place) -> FileConfig:
        path = place.get("path", str)
        if not path:
            self._error("a file source needs a `path`", place.span, "write `- path: /var/log/kubernetes/audit.log`.")
        return FileConfig(
            name=self._name(place.get("name", str), "stdin" if path == STANDARD_INPUT else "file", place.at("name")),
            path=path,
            follow=place.get("follow", bool) and path != STANDARD_INPUT,
            cluster=place.get("cluster", str),
        )

    def _port(self, port: int, span: Span | None) -> int:
        if port > 65_535:
            assert span is not None
            self._error(f"there is no port {port}", span, "ports end at 65535.")
        return port

    # Falco's plugins

    def _plugins(self) -> list[_Place]:
        """The plugins to load: all, or those that `load_plugins` names, in its order."""
        places = list(self._places("plugins"))
        wanted = self._values.get("load_plugins")
        if wanted is None:
            return places
        chosen: list[_Place] = []
        names = cast("tuple[str, ...]", wanted)
        for name in dict.fromkeys(names):
            found = [place for place in places if place.get("name", str) == name]
            chosen += found
            if not found:
                near = get_close_matches(name, [place.get("name", str) for place in places], n=1, cutoff=0.6)
                self._error(
                    f"`load_plugins` names `{name}`, which is not in `plugins`",
                    self._item_span("load_plugins", names.index(name)),
                    f"did you mean `{near[0]}`?" if near else "add it to `plugins`, or leave it out.",
                )
        return chosen

    def _plugin(self, place: _Place) -> PluginConfig | None:
        plugin = place.get("name", str)
        if not plugin:
            self._error("a plugin needs a `name`", place.at("name"), "write `- name: k8saudit`.")
            return None
        places = {"": Entry(place.span, place.node), **place.node.entries}
        init = self._init_config(place)
        if init is None:
            return None
        for key, entry in init.entries.items():
            places[f"init_config.{key}"] = entry
        return PluginConfig(
            self._name("", plugin),
            plugin,
            MappingProxyType(cast("dict[str, object]", plain(init))),
            place.get("open_params", str),
            MappingProxyType(places),
        )

    def _init_config(self, place: _Place) -> Section | None:
        """The settings of a plugin: a mapping, or a text that is one as JSON or YAML. Anything else is reported."""
        entry = place.node.entries.get("init_config")
        match None if entry is None else entry.value:
            case Section() as section:
                return section
            case None | Scalar(empty=True):
                return Section()
            case Scalar() as scalar:
                errors = self._report.error_count
                found = self._read_text(scalar)
                if isinstance(found, Section):
                    return found
                if found is None:
                    return None if self._report.error_count > errors else Section()
        self._error(
            "`init_config` must be a mapping, or one as JSON or YAML text",
            place.at("init_config"),
            "write `init_config:` and `key: value` lines below it.",
        )
        return None

    def _read_text(self, scalar: Scalar) -> Node | None:
        """What a text says as YAML, of which JSON is a part, with its places in the file; None if it says nothing.

        A text that is no YAML is reported.
        """
        text = scalar.text
        report = Report()
        found = documents(SourceFile("init_config", text.value), report)
        try:
            node = build(found[0], None) if found else None
        except TreeError as error:
            report.add(Code.CONFIG_ERROR, error.message, error.span, error.help)
            node = None
        for problem in report.diagnostics:
            span = scalar.span if problem.span is None else text.span(problem.span.start, problem.span.end)
            self._error(
                f"the text of `init_config` is neither JSON nor YAML: {problem.message}",
                span,
                "write `init_config:` and `key: value` lines below it.",
            )
        if isinstance(node, Section):
            for entry in node.entries.values():
                entry.key = text.span(entry.key.start, entry.key.end)
                value = entry.value.span
                entry.value.span = entry.key if value is None else text.span(value.start, value.end)
        return node

    # the rest

    def _limits(self) -> Limits:
        names = {name: f"lanner.limits.{name}" for name in Limits.__slots__}
        sizes = ("body", "in_flight", "event", "kept_event")
        found: dict[str, Any] = {
            name: self._size(full) if name in sizes else self._duration(full) for name, full in names.items()
        }
        for name in ("body", "header_timeout", "body_timeout", "idle_timeout", "retry_after", "stop"):
            if not found[name]:
                self._error(f"the limit `{name}` is 0", self._span(names[name]), "nothing would be let through.")
        if found["in_flight"] < found["body"]:
            entry = self._entry(names["in_flight"]) or self._entry(names["body"])
            assert entry is not None
            self._error(
                "`in_flight` is less than `body`", entry.key, "a body of the largest size would never be let through."
            )
        return Limits(**found)

    def _silence(self) -> Silence:
        clusters: dict[str, float] = {}
        written = cast("dict[str, str]", self._values.get("lanner.silence.clusters", {}))
        for cluster, text in written.items():
            try:
                clusters[cluster] = read_duration(text)
            except ValueError:
                self._error(
                    f"the limit of `{cluster}` must be a time",
                    self._span("lanner.silence.clusters"),
                    f"write `{cluster}: 15m`, or `0s` for never.",
                )
        return Silence(
            self._duration("lanner.silence.after"),
            MappingProxyType(clusters),
            self._duration("lanner.silence.first_event"),
        )

    def _redaction(self) -> tuple[Redaction, ...]:
        if self._entry("lanner.redact") is None:
            return DEFAULT_REDACTION
        found: list[Redaction] = []
        for place in self._places("lanner.redact"):
            pointers = place.get("pointers", tuple)
            for pointer in pointers:
                if not pointer.startswith("/"):
                    self._error(
                        f"`{pointer}` is no JSON pointer", place.at("pointers"), "write `/requestObject/data/password`."
                    )
                elif pointer in NEVER_REDACTED:
                    self._error(
                        f"`{pointer}` cannot be redacted: without it an event is none, or cannot be told from others",
                        place.at("pointers"),
                        "name what may hold a secret, such as `/requestObject/data/*`.",
                    )
            found.append(Redaction(place.get("resource", str), tuple(p for p in pointers if p.startswith("/"))))
        return tuple(found)

    def _server(self) -> ServerConfig:
        port = self._get("webserver.listen_port", int)
        path = self._get("webserver.k8s_healthz_endpoint", str)
        if not path.startswith("/"):
            self._error(
                f"the path `{path}` does not begin with `/`",
                self._span("webserver.k8s_healthz_endpoint"),
                "write `k8s_healthz_endpoint: /healthz`.",
            )
        access = Access(*(self._get(f"lanner.server.{key}", str) for key in Access.__slots__))
        section = self._entry("lanner.server")
        if section is not None:
            self._check_access(access, section.value.span or section.key)
        return ServerConfig(
            enabled=self._get("webserver.enabled", bool),
            address=self._get("webserver.listen_address", str),
            port=self._port(port, self._span("webserver.listen_port") if port > 65_535 else None),
            healthz=path,
            metrics=self._get("webserver.prometheus_metrics_enabled", bool),
            certificate=self._get("webserver.ssl_certificate", str) if self._get("webserver.ssl_enabled", bool) else "",
            key=self._get("lanner.server.key", str),
            access=access,
        )


def _default(name: str) -> object:
    """The default of a setting that is written with its unit."""
    setting = SETTINGS[name]
    assert isinstance(setting.default, str)
    return read_duration(setting.default) if setting.kind.name == "DURATION" else read_size(setting.default)
