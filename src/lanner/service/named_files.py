"""Looks into the files that settings name, as far as the service needs them to start.

In: the settings of the service. Out: diagnostics. A secret that cannot be read, or is none, is an error: what would be
open without it must not start. So is a certificate, key or client CA that is there and cannot be used. One that is not
there yet is a warning: nothing listens until it comes. So are files of events, which are read once they are there.
"""

from __future__ import annotations

import glob
import os
import stat
from collections.abc import Callable
from pathlib import Path

from lanner.config.access import Access
from lanner.config.places import Places
from lanner.config.service import STANDARD_INPUT, PluginConfig, ServerConfig, ServiceConfig, WebhookConfig
from lanner.diagnostics.codes import Code
from lanner.diagnostics.diagnostic import Diagnostic
from lanner.diagnostics.report import Report
from lanner.diagnostics.source import Span
from lanner.regular_file import problem_of
from lanner.sources import registry
from lanner.sources.secret_files import SecretFileError, read_password, read_tokens
from lanner.sources.tls import TlsError, check_files
from lanner.sources.webhook_settings import TlsSettings

_WHERE = "a relative path begins at the current directory."

_SECRETS: tuple[tuple[str, Callable[[Path], tuple[str, ...]]], ...] = (
    ("token_file", read_tokens),
    ("password_file", read_password),
)


def named_file_problems(config: ServiceConfig) -> tuple[Diagnostic, ...]:
    """What is wrong with files that the service needs."""
    report = Report()
    for webhook in config.webhooks:
        _check_webhook(webhook, report)
    _check_server(config.server, report)
    for plugin in config.plugins:
        _check_plugin(plugin, report)
    for file in config.files:
        _check_input(file.path, file.follow, file.span, report)
    return report.diagnostics


def _check_webhook(webhook: WebhookConfig, report: Report) -> None:
    seen: list[Access] = []
    for path in webhook.paths:
        if not any(path.access is access for access in seen):  # one that several paths share is read once
            seen.append(path.access)
            _check_secrets(path.access, report)
    named = {"certificate": webhook.certificate, "key": webhook.key, "client_ca": webhook.client_ca}
    _check_tls(named, webhook.places, report)


def _check_server(server: ServerConfig, report: Report) -> None:
    if not server.enabled:
        return
    _check_secrets(server.access, report)
    if server.certificate:
        places = dict(server.places)
        if "certificate" not in places and "enabled" in places:
            places["certificate"] = places["enabled"]
        _check_tls({"certificate": server.certificate, "key": server.key}, places, report)


def _check_plugin(plugin: PluginConfig, report: Report) -> None:
    """What an entry of `plugins` names: a certificate, or what is read. Entries that cannot be used: see `wire`."""
    if plugin.plugin not in registry.BUILT_IN:
        return
    try:
        params = registry.plan(plugin.plugin, plugin.init_config, plugin.open_params).params
    except registry.SourceError:
        return
    match params:
        case registry.WebhookParams(certificate=Path() as certificate):
            _check_tls({"certificate": str(certificate)}, {"certificate": _span(plugin, "open_params")}, report)
        case registry.FollowParams() | registry.OnceParams():
            follows = isinstance(params, registry.FollowParams)
            _check_input(params.target, follows, _span(plugin, "open_params"), report)


def _span(plugin: PluginConfig, part: str) -> Span:
    if part == "open_params" and "init_config.sslCertificate" in plugin.places:
        part = "init_config.sslCertificate"
    entry = plugin.at(part)
    return entry.value.span or entry.key


def _check_secrets(access: Access, report: Report) -> None:
    for key, read in _SECRETS:
        name: str = getattr(access, key)
        if not name.strip():
            continue  # reported with the settings
        try:
            read(Path(name))
        except SecretFileError as error:
            report.add(
                Code.CONFIG_ERROR,
                f"`{key}` asks for authentication and yields no secret: {error}",
                access.at(key),
                f"it has to be there, readable by the service, when it starts; {_WHERE}",
            )


def _check_tls(named: dict[str, str], places: Places, report: Report) -> None:
    if not named["certificate"].strip():
        return  # plain http, or reported with the settings
    complete = True
    for key, name in named.items():
        if not name.strip():
            continue
        missing = _missing(name)
        problem = missing or problem_of(name)
        if problem:
            complete = False
            report.add(
                Code.CONFIG_FILE_NOT_FOUND if missing else Code.CONFIG_ERROR,
                missing or f"the file `{name}` cannot be used: {problem}",
                places.get(key),
                f"nothing listens until it is there; {_WHERE}" if missing else "name a file in PEM form.",
            )
    if not complete:
        return
    paths = {key: Path(name) for key, name in named.items() if name.strip()}
    try:
        check_files(TlsSettings(paths["certificate"], paths.get("key"), paths.get("client_ca")))
    except TlsError as error:
        key = "client_ca" if error.client_ca else "certificate"
        report.add(Code.CONFIG_ERROR, str(error), places.get(key), "the files have to be in PEM form and fit together.")


def _check_input(name: str, follow: bool, span: Span | None, report: Report) -> None:
    """Where events are read from: a file or a folder; standard input and patterns are fine as they are."""
    if name == STANDARD_INPUT or not name:
        return
    missing = _missing(name, "file or folder")
    if missing:
        if not glob.has_magic(name):
            advice = f"it is read as soon as it is there, and may be read; {_WHERE}"
            report.add(Code.CONFIG_FILE_NOT_FOUND, missing, span, advice)
        return
    mode = Path(name).stat().st_mode
    if follow and not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
        report.add(
            Code.CONFIG_ERROR,
            f"`{name}` is neither a file nor a folder, so it cannot be followed",
            span,
            "read a pipe as standard input, `-`, or once.",
        )
    elif not os.access(name, os.R_OK):
        report.add(
            Code.CONFIG_FILE_NOT_FOUND,
            f"`{name}` may not be read by the user who checks",
            span,
            "the user of the service has to be able to read it.",
        )


def _missing(name: str, kind: str = "file") -> str:
    """Why there is nothing at a path; empty if there is something."""
    try:
        there = Path(name).exists()
    except OSError as error:  # a folder on the way to it that may not be entered
        return f"the {kind} `{name}` cannot be reached: {(error.strerror or str(error)).lower()}"
    return "" if there else f"there is no {kind} `{name}`"
