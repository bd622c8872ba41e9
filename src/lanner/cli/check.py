"""`lanner check`: what is wrong with rules files, configuration files, or a whole set-up, without running anything."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path

import click

from lanner.cli.loading import load_config, read_config, rules_files, some_files
from lanner.cli.options import config_options, format_options, rules_option
from lanner.cli.table import plural
from lanner.config import Config, ConfigError
from lanner.diagnostics.codes import Code
from lanner.diagnostics.diagnostic import Diagnostic
from lanner.diagnostics.render import falco_json, render_text
from lanner.diagnostics.report import Report
from lanner.engine.loader import FileResult, load_rules
from lanner.escaping import one_line, printable_json
from lanner.rules.reader import KNOWN_KEYS
from lanner.yamltext import opening_key, read_source


@click.command(name="check", epilog="Example: lanner check --format json my_rules.yaml falco.yaml")
@click.argument("files", nargs=-1, type=click.Path(path_type=Path))
@rules_option
@config_options
@format_options("text", "json")
def command(
    files: tuple[Path, ...],
    rules: tuple[Path, ...],
    config_path: Path | None,
    overrides: tuple[str, ...],
    output_format: str,
) -> int:
    """Check rules files and configuration files.

    Without FILES: all that `lanner run` would start with; `-c`, `-o` and `-r` mean what they mean there, and what it
    refuses is an error here.

    FILES may be folders. Rules files are checked together, in the order given: a later one may build on an earlier
    one. A file that is a mapping of keys is taken for a configuration, and the files that it names are looked into.
    Exit code 0: valid, warnings allowed; 1: not.
    """
    if files and rules:
        raise click.UsageError("name rules files as FILES, or leave FILES out to check what `-r` and `-c` say")
    results = _check_files(files, config_path, overrides) if files else _check_setup(rules, config_path, overrides)
    if output_format == "json":
        found = falco_json([(result.name, result.diagnostics) for result in results])
        click.echo(printable_json(json.dumps(found, ensure_ascii=False).encode(errors="replace")))
    else:
        report(results)
    return 0 if all(result.ok for result in results) else 1


def _check_files(files: tuple[Path, ...], config_path: Path | None, overrides: tuple[str, ...]) -> list[FileResult]:
    config = read_config(config_path, overrides)
    paths = some_files(files)
    configurations = [path for path in paths if is_configuration(path)]
    rules = [path for path in paths if path not in configurations]
    return [*(check_configuration(path) for path in configurations), *load_rules(rules, config).files]


def _check_setup(rules: tuple[Path, ...], config_path: Path | None, overrides: tuple[str, ...]) -> list[FileResult]:
    config = load_config(config_path, overrides)
    results = [_judged(config, config.path or "configuration")]
    return [*results, *load_rules(rules_files(rules, config), config).files]


def is_configuration(path: Path) -> bool:
    """Whether the first document of a file is a mapping, and not a rules item without its dash.

    Left to the rules loader: what cannot be read, and pipes, which can be read only once.
    """
    source = read_source(path, Report()) if path.is_file() else None
    key = opening_key(source) if source else None
    return key is not None and key not in KNOWN_KEYS


def check_configuration(path: Path) -> FileResult:
    """The problems of a configuration file and of the files that it names, in the shape of a rules file's."""
    try:
        return _judged(Config.load(path), str(path))
    except ConfigError as error:
        return FileResult(str(path), (Diagnostic(Code.ERR_FILE_READ, str(error)),))


def _judged(config: Config, name: str) -> FileResult:
    from lanner.cli.setup import judge  # here, since it knows all sources, and rules files need none of them

    return FileResult(name, (*config.diagnostics, *judge(config)[1]))


def report(results: Sequence[FileResult]) -> None:
    """For each file its problems, then a line that says whether it is valid."""
    for result in results:
        if result.diagnostics:
            click.echo(render_text(result.diagnostics, color=sys.stdout.isatty()))
        errors = sum(diagnostic.is_error for diagnostic in result.diagnostics)
        warnings = len(result.diagnostics) - errors
        counts = ", ".join(plural(n, word) for n, word in ((errors, "error"), (warnings, "warning")) if n)
        click.echo(f"{one_line(result.name)}: {'ok' if result.ok else 'invalid'}{f', {counts}' if counts else ''}")
