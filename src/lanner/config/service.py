"""What the service needs of the configuration: sources, store, limits, its own server.

In: the checked tree of settings. Out: a `ServiceConfig`; what contradicts itself goes to the report as CONFIG_ERROR.
Sources come from `lanner.webhooks`, `lanner.files` and from Falco's `plugins`. What a plugin is and what its settings
mean is not known here: an entry is handed on as it is written, with the places of its parts.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeVar, cast

from lanner.config.access import Access, read_access
from lanner.config.places import Place, Places
from lanner.config.settings import SETTINGS
from lanner.config.tree import Entry, Items, Node, Scalar, Section, TreeError, build, plain
from lanner.config.units import read_duration, read_size
from lanner.diagnostics.codes import Code
from lanner.diagnostics.diagnostic import Diagnostic
from lanner.diagnostics.report import Report
from lanner.diagnostics.source import SourceFile, Span
from lanner.yamltext import documents

T = TypeVar("T")

STORE_FILE = "lanner.db"
SYSTEM_FOLDER = "/var/lib/lanner"
STANDARD_INPUT = "-"
INTERNAL = "internal"


@dataclass(frozen=True, slots=True)
class WebhookPath:
    """A path that takes events, the cluster that posts there and what it must show. `subjects_at`: where the subjects
    stand."""

    path: str
    cluster: str = ""
    access: Access = field(default_factory=Access)
    allowed_subjects: tuple[str, ...] = ()
    subjects_at: Span | None = field(default=None, compare=False, repr=False)


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
    places: Places = field(default_factory=dict, compare=False, repr=False)
    """Where the keys stand that are there; `` is the whole entry."""


@dataclass(frozen=True, slots=True)
class FileConfig:
    """Files to read: once, or followed. `path` `-`: standard input."""

    name: str
    path: str
    follow: bool
    cluster: str = ""
    span: Span | None = field(default=None, compare=False, repr=False)


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
    field: int
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
    places: Places = field(default_factory=dict, compare=False, repr=False)
    """Where `certificate`, `key` and `port` stand, if they do."""


@dataclass(frozen=True, slots=True)
class ServiceConfig:
    """All of it.

    `problems`: what keeps the service from starting, and no other command from working: a secret that is asked for and
    missing is not there either for whoever looks at alerts. Not `sound`: some values could not be used.
    """

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
    sound: bool = True
    problems: tuple[Diagnostic, ...] = field(default=(), compare=False, repr=False)


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


class _Reader:
    def __init__(self, root: Section, values: Mapping[str, object], report: Report) -> None:
        self._root = root
        self._values = values
        self._report = report
        self._serving = Report()
        self._names: set[str] = set()

    def read(self, environ: Mapping[str, str]) -> ServiceConfig:
        webhooks = [self._webhook(place) for place in self._places("lanner.webhooks")]
        files = [self._file(place) for place in self._places("lanner.files")]
        plugins = [plugin for plugin in map(self._plugin, self._plugins()) if plugin is not None]
        folder = self._get("lanner.data_dir", str) or default_folder(environ)
        server = self._server()
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
            server=server,
            stdout=self._get("stdout_output.enabled", bool),
            buffered=self._get("buffered_outputs", bool),
            log_stderr=self._get("log_stderr", bool),
            log_format=self._get("lanner.log_format", str),
            log_level=self._get("log_level", str),
            sound=not self._report.has_errors,
            problems=self._serving.diagnostics,
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

    def _places(self, name: str) -> Iterator[Place]:
        entry = self._entry(name)
        if entry is not None and isinstance(entry.value, Items):
            for item in entry.value.items:
                if isinstance(item, Section) and item.span is not None:
                    yield Place(f"{name}[]", item)

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

    def _webhook(self, place: Place) -> WebhookConfig:
        place.check_not_empty(self._serving)
        own = self._path(place)
        paths = [self._path_of_its_own(item, own) for item in self._paths(place)]
        if not paths or "path" in place.node.entries:
            paths.insert(0, own)
        seen: set[str] = set()
        for path in paths:
            if path.path in seen:
                self._error(f"`{path.path}` is there twice", place.span, "every path of a webhook is for one cluster.")
            seen.add(path.path)
        for key in ("key", "client_ca"):
            if place.get(key, str) and not place.is_set("certificate"):
                self._error(f"`{key}` without a `certificate`", place.at(key), "add `certificate: FILE`.")
        subjects = next((path for path in paths if path.allowed_subjects), None)
        if subjects is not None and not place.has("client_ca"):
            self._error(
                "`allowed_subjects` without a `client_ca`",
                subjects.subjects_at or place.span,
                "add `client_ca: FILE`, the authority that signs the clients' certificates.",
            )
        return WebhookConfig(
            name=self._name(place.get("name", str), "webhook", place.at("name")),
            address=place.get("address", str),
            port=self._port(place.get("port", int), place.at("port")),
            paths=tuple(paths),
            certificate=place.get("certificate", str),
            key=place.get("key", str),
            client_ca=place.get("client_ca", str),
            places=MappingProxyType({"": place.span, **place.places()}),
        )

    def _paths(self, place: Place) -> list[Place]:
        """The entries of `paths`. Without any the webhook's own path would be open to what was meant for them."""
        entry = place.node.entries.get("paths")
        if entry is None:
            return []
        items = entry.value.items if isinstance(entry.value, Items) else []
        if not items and (isinstance(entry.value, Items) or (isinstance(entry.value, Scalar) and entry.value.empty)):
            self._error(
                "`lanner.webhooks[].paths` is empty", entry.value.span or entry.key, "give it paths, or leave it out."
            )
        return [
            Place("lanner.webhooks[].paths[]", item)
            for item in items
            if isinstance(item, Section) and item.span is not None
        ]

    def _path_of_its_own(self, place: Place, above: WebhookPath) -> WebhookPath:
        """An entry of `paths`. What it does not ask for itself, it asks for as the webhook does."""
        place.check_not_empty(self._serving)
        path = self._path(place)
        if path.access.open:
            path = replace(path, access=above.access)
        if not place.has("allowed_subjects"):
            path = replace(path, allowed_subjects=above.allowed_subjects, subjects_at=above.subjects_at)
        return path

    def _path(self, place: Place) -> WebhookPath:
        path = place.get("path", str)
        if not path.startswith("/") or not path.isprintable() or set(path) & set("{}?#% "):
            self._error(
                f"`{path}` is no path to listen on",
                place.at("path"),
                "it begins with `/` and has no blanks and none of `{}?#%`: write `path: /k8s-audit`.",
            )
        return WebhookPath(
            path,
            place.get("cluster", str),
            read_access(place, self._serving),
            place.get("allowed_subjects", tuple),
            place.at("allowed_subjects"),
        )

    def _file(self, place: Place) -> FileConfig:
        path = place.get("path", str)
        if not path:
            self._error("a file source needs a `path`", place.span, "write `- path: /var/log/kubernetes/audit.log`.")
        return FileConfig(
            name=self._name(place.get("name", str), "stdin" if path == STANDARD_INPUT else "file", place.at("name")),
            path=path,
            follow=place.get("follow", bool) and path != STANDARD_INPUT,
            cluster=place.get("cluster", str),
            span=place.at("path"),
        )

    def _port(self, port: int, span: Span | None) -> int:
        if port > 65_535:
            assert span is not None
            self._error(f"there is no port {port}", span, "ports end at 65535.")
        return port

    # Falco's plugins

    def _plugins(self) -> list[Place]:
        """The plugins to load: all, or those that `load_plugins` names, in its order."""
        places = list(self._places("plugins"))
        wanted = self._values.get("load_plugins")
        if wanted is None:
            return places
        chosen: list[Place] = []
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

    def _plugin(self, place: Place) -> PluginConfig | None:
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

    def _init_config(self, place: Place) -> Section | None:
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
        source = SourceFile("init_config", text.value)
        found = documents(source, report)
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
            for start, end in source.hidden:
                outer = text.span(start, end)
                outer.source.hide(outer.start, outer.end)
        return node

    # the rest

    def _limits(self) -> Limits:
        names = {name: f"lanner.limits.{name}" for name in Limits.__slots__}
        sizes = ("body", "in_flight", "event", "kept_event", "field")
        found: dict[str, Any] = {
            name: self._size(full) if name in sizes else self._duration(full) for name, full in names.items()
        }
        for name in ("body", "field", "header_timeout", "body_timeout", "idle_timeout", "retry_after", "stop"):
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
        section = self._entry("lanner.server")
        access, places = Access(), {}
        if section is not None and isinstance(section.value, Section) and section.value.span is not None:
            place = Place("lanner.server", section.value)
            place.check_not_empty(self._serving)
            access = read_access(place, self._serving)
            places = dict(place.places())
        for name, key in (("certificate", "ssl_certificate"), ("enabled", "ssl_enabled"), ("port", "listen_port")):
            if self._entry(f"webserver.{key}") is not None:
                places[name] = self._span(f"webserver.{key}")
        encrypted = self._get("webserver.ssl_enabled", bool)
        certificate = self._get("webserver.ssl_certificate", str)
        if encrypted and not certificate.strip():
            self._serving.add(
                Code.CONFIG_ERROR,
                "`webserver.ssl_enabled` asks for https and `webserver.ssl_certificate` is empty",
                self._span("webserver.ssl_certificate"),
                "write `ssl_certificate: FILE`, one file with certificate and key.",
            )
        return ServerConfig(
            enabled=self._get("webserver.enabled", bool),
            address=self._get("webserver.listen_address", str),
            port=self._port(port, self._span("webserver.listen_port") if port > 65_535 else None),
            healthz=path,
            metrics=self._get("webserver.prometheus_metrics_enabled", bool),
            certificate=certificate if encrypted else "",
            key=self._get("lanner.server.key", str),
            access=access,
            places=MappingProxyType(places),
        )


def _default(name: str) -> object:
    """The default of a setting that is written with its unit."""
    setting = SETTINGS[name]
    assert isinstance(setting.default, str)
    return read_duration(setting.default) if setting.kind.name == "DURATION" else read_size(setting.default)
