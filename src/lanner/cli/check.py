"""`lanner check`: what is wrong with rules files and configuration files, without running anything."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path

import click
import yaml

from lanner.cli.loading import read_config, some_files
from lanner.cli.options import config_options, format_options
from lanner.cli.table import plural
from lanner.config import Config, ConfigError
from lanner.config.files import load_tree
from lanner.config.named_files import check_file, check_input, check_named_files
from lanner.config.service import PluginConfig
from lanner.diagnostics.codes import Code
from lanner.diagnostics.diagnostic import Diagnostic
from lanner.diagnostics.render import falco_json, render_text
from lanner.diagnostics.report import Report
from lanner.diagnostics.source import Span
from lanner.engine.loader import FileResult, load_rules
from lanner.escaping import one_line, printable_json
from lanner.rules.reader import KNOWN_KEYS


@click.command(name="check", epilog="Example: lanner check --format json my_rules.yaml falco.yaml")
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path))
@config_options
@format_options("text", "json")
def command(files: tuple[Path, ...], config_path: Path | None, overrides: tuple[str, ...], output_format: str) -> int:
    """Check rules files and configuration files.

    FILES may be folders. Rules files are checked together, in the order given: a later one may build on an earlier
    one. A file that is a mapping of keys is taken for a configuration, and the files that it names have to be there.
    Exit code 0: valid, warnings allowed; 1: not.
    """
    config = read_config(config_path, overrides)
    paths = some_files(files)
    configurations = [path for path in paths if is_configuration(path)]
    rules = [path for path in paths if path not in configurations]
    results = [*(check_configuration(path) for path in configurations), *load_rules(rules, config).files]
    if output_format == "json":
        found = falco_json([(result.name, result.diagnostics) for result in results])
        click.echo(printable_json(json.dumps(found, ensure_ascii=False).encode(errors="replace")))
    else:
        report(results)
    return 0 if all(result.ok for result in results) else 1


def is_configuration(path: Path) -> bool:
    """Whether the first document of a file is a mapping, and not a rules item without its dash.

    Left to the rules loader: what cannot be read, and pipes, which can be read only once.
    """
    if not path.is_file():
        return False
    try:
        with path.open("rb") as stream:
            nodes = (
                event for event in yaml.parse(stream, Loader=yaml.CSafeLoader) if isinstance(event, yaml.NodeEvent)
            )
            if not isinstance(next(nodes, None), yaml.MappingStartEvent):
                return False
            key = next(nodes, None)
            return not (isinstance(key, yaml.ScalarEvent) and key.value in KNOWN_KEYS)
    except (OSError, yaml.YAMLError, UnicodeDecodeError):
        return False


def check_configuration(path: Path) -> FileResult:
    """The problems of a configuration file and of the files that it names, in the shape of a rules file's."""
    from lanner.service.wiring import wire  # here, since it knows all sources, and rules files need none of them

    files = Report()
    try:
        config = Config.load(path)
        root, _ = load_tree(path, (), os.environ, Report())  # its problems are in `config`
    except ConfigError as error:
        return FileResult(str(path), (Diagnostic(Code.ERR_FILE_READ, str(error)),))
    check_named_files(root, config.service.server, files)
    for plugin in config.service.plugins:
        _check_plugin_files(plugin, files)
    return FileResult(str(path), (*config.diagnostics, *wire(config.service).diagnostics, *files.diagnostics))


def _check_plugin_files(plugin: PluginConfig, report: Report) -> None:
    """What an entry of `plugins` names: a certificate, or what is read. Entries that cannot be used: see `wire`."""
    from lanner.sources import registry

    if plugin.plugin not in registry.BUILT_IN:
        return
    try:
        params = registry.plan(plugin.plugin, plugin.init_config, plugin.open_params).params
    except registry.SourceError:
        return
    match params:
        case registry.WebhookParams(certificate=Path() as certificate):
            check_file(str(certificate), _span(plugin, "init_config.sslCertificate"), report)
        case registry.FollowParams() | registry.OnceParams():
            check_input(params.target, _span(plugin, "open_params"), report)


def _span(plugin: PluginConfig, part: str) -> Span:
    entry = plugin.at(part)
    return entry.value.span or entry.key


def report(results: Sequence[FileResult]) -> None:
    """For each file its problems, then a line that says whether it is valid."""
    for result in results:
        if result.diagnostics:
            click.echo(render_text(result.diagnostics, color=sys.stdout.isatty()))
        errors = sum(diagnostic.is_error for diagnostic in result.diagnostics)
        warnings = len(result.diagnostics) - errors
        counts = ", ".join(plural(n, word) for n, word in ((errors, "error"), (warnings, "warning")) if n)
        click.echo(f"{one_line(result.name)}: {'ok' if result.ok else 'invalid'}{f', {counts}' if counts else ''}")
