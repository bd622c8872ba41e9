"""From the configuration to sources: every place that reads from outside what it needs, at the moment of its start.

Sources know nothing of the configuration, so their settings are made here, and what cannot be told without knowing the
sources is checked here: the entries of `plugins`, and who listens where. Tokens and passwords in files are read at each
start of a source.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from lanner.config.service import (
    STANDARD_INPUT,
    Access,
    FileConfig,
    Limits,
    PluginConfig,
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
    AllowedSubject,
    PathSettings,
    TlsSettings,
    WebhookLimits,
    WebhookSettings,
)

DEFAULT_SOURCE = "webhook"
"""The name of the source that there is without any configuration."""


@dataclass(frozen=True, slots=True)
class Wiring:
    """All sources, not started; `budget` is what webhooks share, `descriptors` how many connections there may be,
    `notes` are for the log. Not `ok`: not all of them."""

    sources: tuple[Watched, ...]
    budget: Budget
    descriptors: Descriptors
    diagnostics: tuple[Diagnostic, ...]
    notes: tuple[str, ...]

    @property
    def ok(self) -> bool:
        return not any(diagnostic.is_error for diagnostic in self.diagnostics)


def wire(config: ServiceConfig) -> Wiring:
    """All sources that are configured; without any, the webhook that there is by default."""
    wirer = _Wirer(config)
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
        self.notes: list[str] = []
        self.descriptors = self._share_out_descriptors(config)
        self._limits = replace(webhook_limits(config.limits), connections=self.descriptors.connections)
        self._listening: list[tuple[str, int]] = []

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
        self._listens(webhook.address, webhook.port, webhook.span)
        make = partial(_webhook, webhook, self._limits, self.budget)
        tls = bool(webhook.certificate)
        place = " ".join(_url(webhook.address, webhook.port, path.path, tls) for path in webhook.paths)
        self.sources.append(Watched(webhook.name, "webhook", make, place=place))

    def built_in(
        self, name: str, params: Params, cluster: str = "", event_limit: int | None = None, span: Span | None = None
    ) -> None:
        """A source that comes with Lanner."""
        make: Callable[[], Source]
        match params:
            case WebhookParams():
                self._listens(params.address, params.port, span)
                settings = params.settings(cluster, self._limits)
                self.budget.limit = max(self.budget.limit, settings.limits.body)
                make, kind = partial(WebhookSource, name, settings, self.budget), "webhook"
                place = _url(params.address, params.port, params.path, params.certificate is not None)
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
        self.sources.append(Watched(name, kind, make, place=place, event_limit=event_limit))

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

    def _listens(self, address: str, port: int, span: Span | None) -> None:
        """Two that listen on one port of one address: the second would fail again and again."""
        if port and span is not None and any(port == other and _meet(address, at) for at, other in self._listening):
            self.report.add(
                Code.CONFIG_ERROR,
                f"two webhooks listen on port {port}",
                span,
                "use one entry of `lanner.webhooks` with `paths`, or another port.",
            )
        self._listening.append((address, port))


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


def tokens(access: Access) -> tuple[str, ...]:
    """The bearer tokens that let in. Raises OSError."""
    found = [access.token] if access.token else []
    if access.token_file:
        found += [line.strip() for line in Path(access.token_file).read_text().splitlines() if line.strip()]
    return tuple(found)


def logins(access: Access) -> tuple[tuple[str, str], ...]:
    """The names and passwords that let in. Raises OSError."""
    if not access.username:
        return ()
    password = access.password
    if access.password_file:
        password = Path(access.password_file).read_text().rstrip("\r\n")
    return ((access.username, password),)


def _webhook(webhook: WebhookConfig, limits: WebhookLimits, budget: Budget) -> Source:
    """Raises OSError for a file that cannot be read, ValueError for what is in it."""
    tls = None
    if webhook.certificate:
        tls = TlsSettings(
            Path(webhook.certificate),
            Path(webhook.key) if webhook.key else None,
            Path(webhook.client_ca) if webhook.client_ca else None,
        )
    paths = tuple(map(_path, webhook.paths))
    return WebhookSource(webhook.name, WebhookSettings(webhook.address, webhook.port, paths, tls, limits), budget)


def _path(path: WebhookPath) -> PathSettings:
    return PathSettings(
        path=path.path,
        cluster=path.cluster,
        tokens=tokens(path.access),
        logins=logins(path.access),
        subjects=tuple(map(subject, path.allowed_subjects)),
    )


def subject(written: str) -> AllowedSubject:
    """`name` or `CN=name,O=group`, or an alternative name with its kind: `DNS:*.prod.example`. Raises ValueError."""
    if written.partition(":")[0] in ALTERNATIVE_NAMES:
        return AllowedSubject(alternative_name=written)
    if "=" not in written:
        return AllowedSubject(common_name=written)
    parts = dict(part.strip().partition("=")[::2] for part in written.split(","))
    if not parts.keys() <= {"CN", "O"}:
        raise ValueError(f"the allowed subject `{written}` may name `CN` and `O`, or be `DNS:...`, `URI:...`, `IP:...`")
    return AllowedSubject(common_name=parts.get("CN", ""), organization=parts.get("O", ""))


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
