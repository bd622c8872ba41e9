"""From the configuration to sources: every place that reads from outside what it needs, at the moment of its start.

Sources know nothing of the configuration, so their settings are made here, and what cannot be told without knowing the
sources is checked here: the entries of `plugins`, who listens where, and who lets anybody in. Tokens and passwords in
files are read by the sources, whenever they change.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from ipaddress import ip_address
from pathlib import Path

from lanner.config.access import Access
from lanner.config.service import (
    STANDARD_INPUT,
    FileConfig,
    Limits,
    PluginConfig,
    ServerConfig,
    ServiceConfig,
    WebhookConfig,
    WebhookPath,
)
from lanner.diagnostics.codes import Code
from lanner.diagnostics.diagnostic import Diagnostic
from lanner.diagnostics.report import Report
from lanner.diagnostics.source import Span
from lanner.service.descriptors import Descriptors, limit_of_open_files, needed, share_out
from lanner.service.supervisor import Watched
from lanner.sources import registry
from lanner.sources.base import Source
from lanner.sources.budget import Budget
from lanner.sources.registry import FollowParams, OnceParams, Params, SourceError, StdinParams, WebhookParams
from lanner.sources.webhook import LEAST_SHARE_BYTES, WebhookSource
from lanner.sources.webhook_settings import (
    ALTERNATIVE_NAMES,
    DEFAULT_PATH,
    AllowedSubject,
    PathSettings,
    TlsSettings,
    WebhookLimits,
    WebhookSettings,
)

WEBHOOK, STATUS = "webhook", "status server"

DEFAULT_SOURCE = "webhook"
"""The name of the source that there is without any configuration."""


@dataclass(frozen=True, slots=True)
class Wiring:
    """All sources, not started; `budget` is what webhooks share, `descriptors` how many connections there may be,
    `notes` are for the log. Not `ok`, or made of settings that are not sound: not all of them."""

    sources: tuple[Watched, ...]
    budget: Budget
    descriptors: Descriptors
    diagnostics: tuple[Diagnostic, ...]
    notes: tuple[str, ...]

    @property
    def ok(self) -> bool:
        return not any(diagnostic.is_error for diagnostic in self.diagnostics)


def wire(config: ServiceConfig) -> Wiring:
    """All sources that are configured; without any, the webhook that there is by default.

    Its diagnostics hold all that keeps the service from starting, but for the files that settings name.
    """
    wirer = _Wirer(config)
    wirer.server(config.server)
    for webhook in config.webhooks:
        wirer.webhook(webhook)
    for file in config.files:
        wirer.built_in(file.name, _params(file), file.cluster)
    for plugin in config.plugins:
        wirer.plugin(plugin)
    if not wirer.sources and not wirer.report.has_errors:
        wirer.built_in(DEFAULT_SOURCE, WebhookParams())
    return Wiring(tuple(wirer.sources), wirer.budget, wirer.descriptors, wirer.report.diagnostics, tuple(wirer.notes))


class _Wirer:
    def __init__(self, config: ServiceConfig) -> None:
        self.sources: list[Watched] = []
        self.budget = Budget(config.limits.in_flight, LEAST_SHARE_BYTES)
        self.report = Report()
        self.report.extend(config.problems)
        self._sound = config.sound
        self.notes: list[str] = []
        self.descriptors = self._share_out_descriptors(config)
        self._limits = replace(webhook_limits(config.limits), connections=self.descriptors.connections)
        self._listening: list[tuple[str, str, int]] = []

    def server(self, server: ServerConfig) -> None:
        """The status server, which listens too."""
        if server.enabled:
            self._listens(STATUS, server.address, server.port, None)

    def _share_out_descriptors(self, config: ServiceConfig) -> Descriptors:
        # A plugin is one or the other.
        listeners = len(config.webhooks) + len(config.plugins) or 1
        followers = sum(file.follow for file in config.files) + len(config.plugins)
        limit = limit_of_open_files()
        found = share_out(limit, listeners, followers)
        if not found.enough:
            self.report.add(
                Code.CONFIG_ERROR,
                f"the limit of open files is {limit}, and the sources need {needed(listeners, followers)}",
                help="raise it: `ulimit -n 4096` in the shell, `LimitNOFILE=4096` in a systemd unit.",
            )
        elif not found.full:
            self.notes.append(
                f"the limit of open files is {limit} (`ulimit -n`), so each webhook takes {found.connections} "
                f"connections at one time, and the status server {found.status_connections}"
            )
        return found

    def webhook(self, webhook: WebhookConfig) -> None:
        """A webhook of our own section."""
        places = webhook.places
        self._listens(WEBHOOK, webhook.address, webhook.port, places.get("port", places.get("")))
        subjects = [self._subjects(path) for path in webhook.paths]
        if self.report.has_errors or not self._sound:
            return  # what the paths ask for cannot be trusted
        paths = tuple(
            replace(path_settings(path.access, path.path, path.cluster), subjects=allowed)
            for path, allowed in zip(webhook.paths, subjects, strict=True)
        )
        settings = WebhookSettings(webhook.address, webhook.port, paths, _tls(webhook), self._limits)
        make = partial(WebhookSource, webhook.name, settings, self.budget)
        tls = settings.tls is not None
        urls = {path.path: _url(webhook.address, webhook.port, path.path, tls) for path in webhook.paths}
        warning = ""
        if not webhook.client_ca:
            unguarded = [urls[path.path] for path in webhook.paths if path.access.open and not path.allowed_subjects]
            warning = self._warning_if_open(
                webhook.address,
                unguarded,
                places.get("address", places.get("")),
                "set `token_file`, or `username` and `password_file`, or `client_ca`; or listen on 127.0.0.1.",
            )
        self.sources.append(Watched(webhook.name, "webhook", make, place=" ".join(urls.values()), warning=warning))

    def _subjects(self, path: WebhookPath) -> tuple[AllowedSubject, ...]:
        found: list[AllowedSubject] = []
        for written in path.allowed_subjects:
            try:
                found.append(subject(written))
            except ValueError as error:
                self.report.add(
                    Code.CONFIG_ERROR,
                    str(error),
                    path.subjects_at,
                    "write `name`, `CN=name,O=organization`, or `DNS:name`.",
                )
        return tuple(found)

    def _warning_if_open(self, address: str, urls: Sequence[str], span: Span | None, help: str) -> str:
        """Warns of a listener that other machines reach and that asks for nothing; the warning as the source's."""
        if not urls or is_loopback(address):
            return ""
        what, why = "takes events from anybody who can reach", "no authentication is configured"
        self.report.add(Code.CONFIG_OPEN_LISTENER, f"this {what} {' '.join(urls)}: {why}", span, help)
        return f"{what} it: {why}"

    def built_in(
        self, name: str, params: Params, cluster: str = "", event_limit: int | None = None, span: Span | None = None
    ) -> None:
        """A source that comes with Lanner."""
        make: Callable[[], Source]
        warning = ""
        match params:
            case WebhookParams():
                self._listens(WEBHOOK, params.address, params.port, span)
                settings = params.settings(cluster, self._limits)
                self.budget.limit = max(self.budget.limit, settings.limits.body)
                make, kind = partial(WebhookSource, name, settings, self.budget), "webhook"
                place = _url(params.address, params.port, params.path, params.certificate is not None)
                warning = self._warning_if_open(
                    params.address,
                    [place],
                    span,
                    "open parameters know no authentication: write it under `lanner.webhooks`, or listen on 127.0.0.1.",
                )
            case FollowParams() | OnceParams():
                make, kind, place = (
                    partial(
                        registry.file_source,
                        params,
                        name=name,
                        cluster=cluster,
                        max_open=self.descriptors.open_files,
                    ),
                    "file",
                    params.target,
                )
            case StdinParams():
                make, kind, place = partial(registry.file_source, params, name=name, cluster=cluster), "file", "-"
        self.sources.append(Watched(name, kind, make, place=place, event_limit=event_limit, warning=warning))

    def plugin(self, plugin: PluginConfig) -> None:
        """What an entry of `plugins` asks for."""
        try:
            if plugin.plugin not in registry.BUILT_IN:
                factory = registry.factory(plugin.plugin)
                make = partial(factory, plugin.name, dict(plugin.init_config), plugin.open_params)
                self.sources.append(Watched(plugin.name, "plugin", make, place=plugin.plugin))
                return
            plan = registry.plan(plugin.plugin, plugin.init_config, plugin.open_params)
        except SourceError as error:
            entry = plugin.at(error.place)
            self.report.add(Code.CONFIG_ERROR, error.message, entry.value.span or entry.key, error.help)
            return
        for key, advice in plan.unknown:
            self.report.add(
                Code.CONFIG_UNKNOWN_KEY,
                f"unknown key `{key}` in `plugins[].init_config`",
                plugin.at(f"init_config.{key}").key,
                advice,
            )
        if "library_path" in plugin.places:
            self.notes.append(f"`library_path` of the plugin `{plugin.plugin}` is not needed: it is built in")
        if plan.params is not None:
            entry = plugin.at("open_params")
            self.built_in(plugin.name, plan.params, event_limit=plan.max_event, span=entry.value.span or entry.key)

    def _listens(self, what: str, address: str, port: int, span: Span | None) -> None:
        """Two that listen on one port of one address: the second would fail again and again."""
        for other, at, taken in self._listening:
            if port and port == taken and span is not None and _meet(address, at):
                both = "two webhooks" if other == what else f"a {what} and the {other}"
                self.report.add(
                    Code.CONFIG_ERROR,
                    f"{both} listen on port {port}",
                    span,
                    "use one entry of `lanner.webhooks` with `paths`, or another port.",
                )
                break
        self._listening.append((what, address, port))


def webhook_limits(limits: Limits) -> WebhookLimits:
    """The limits of the configuration as those of a webhook."""
    return WebhookLimits(
        body=min(limits.body, limits.in_flight),
        in_flight=limits.in_flight,
        header_time=limits.header_timeout,
        body_time=limits.body_timeout,
        idle_time=limits.idle_timeout,
        stop_time=limits.stop,
        retry_after=max(1, round(limits.retry_after)),
    )


def path_settings(access: Access, path: str = DEFAULT_PATH, cluster: str = "") -> PathSettings:
    """What a path, or the status server, asks for. Raises ValueError for secrets that can be none."""
    login = access.username if access.username and not access.password_file else ""
    return PathSettings(
        path,
        cluster,
        tokens=(access.token,) if access.token else (),
        token_files=(Path(access.token_file),) if access.token_file else (),
        logins=((login, access.password),) if login else (),
        login_files=((access.username, Path(access.password_file)),) if access.password_file else (),
    )


def is_loopback(address: str) -> bool:
    """Whether only this machine reaches it. A name other than `localhost` may mean any address."""
    try:
        return ip_address(address).is_loopback
    except ValueError:
        return address.lower() == "localhost"


def _tls(webhook: WebhookConfig) -> TlsSettings | None:
    if not webhook.certificate:
        return None
    return TlsSettings(
        Path(webhook.certificate),
        Path(webhook.key) if webhook.key else None,
        Path(webhook.client_ca) if webhook.client_ca else None,
    )


def subject(written: str) -> AllowedSubject:
    """`name` or `CN=name,O=group`, or an alternative name with its kind: `DNS:*.prod.example`. Raises ValueError."""
    if written.partition(":")[0] in ALTERNATIVE_NAMES:
        return AllowedSubject(alternative_name=written)
    if "=" not in written:
        return AllowedSubject(common_name=written)
    parts = [part.strip().partition("=") for part in written.split(",")]
    found = {name: value for name, _, value in parts}
    if len(found) < len(parts) or not found.keys() <= {"CN", "O"} or not all(value.strip() for value in found.values()):
        raise ValueError(
            f"the allowed subject `{written}` may name one `CN` and one `O`, each with a value, or be `DNS:...`, "
            "`URI:...`, `IP:...`"
        )
    return AllowedSubject(common_name=found.get("CN", ""), organization=found.get("O", ""))


def _params(file: FileConfig) -> Params:
    if file.path == STANDARD_INPUT:
        return StdinParams()
    return FollowParams(file.path) if file.follow else OnceParams(file.path)


def _url(address: str, port: int, path: str, tls: bool) -> str:
    return f"{'https' if tls else 'http'}://{f'[{address}]' if ':' in address else address}:{port}{path}"


def _meet(first: str, second: str) -> bool:
    """Whether the same port cannot be listened on at both addresses. An empty one stands for all."""
    if first == second:
        return True
    for one, other in ((first, second), (second, first)):
        if not one or one == ("::" if ":" in other else "0.0.0.0"):
            return True
    return False
