"""What every command that uses rules does first: read the configuration, choose the rules files, load them."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib import resources
from pathlib import Path

import click

from lanner.cli.table import plural
from lanner.config import Config, ConfigError
from lanner.diagnostics.diagnostic import Diagnostic
from lanner.diagnostics.render import render_text
from lanner.engine.loader import LoadResult, load_rules


def load_config(path: Path | None, overrides: Sequence[str]) -> Config:
    """The configuration, whatever is wrong in it. Ends the command if its file cannot be read at all."""
    try:
        return Config.load(path, overrides)
    except ConfigError as error:
        raise click.ClickException(str(error)) from None


def read_config(path: Path | None, overrides: Sequence[str]) -> Config:
    """The configuration, with its problems shown on standard error. Ends the command if it cannot be used."""
    config = load_config(path, overrides)
    show(config.diagnostics)
    if not config.ok:
        raise click.exceptions.Exit(1)
    return config


def rules_files(rules: Sequence[Path], config: Config) -> list[Path]:
    """The files to load, in order: those asked for, else those of the configuration, else those that ship.

    Ends the command if files or folders are named, but none is there: other rules are not what was asked for.
    """
    chosen = list(rules) or [Path(name) for name in config.rules_files]
    if not chosen and (config.raw.get("rules_files") or config.raw.get("rules_file")):
        raise click.ClickException("no rules file of the configuration exists")
    return some_files(chosen) if chosen else shipped_rules()


def some_files(paths: Sequence[Path]) -> list[Path]:
    """The files of `expand`. Ends the command if there is none: an empty folder is most likely a mistake."""
    files = expand(paths)
    if not files:
        raise click.ClickException(f"there is no rules file in {', '.join(f'`{path}`' for path in paths)}")
    return files


def expand(paths: Sequence[Path]) -> list[Path]:
    """Every folder replaced by the files directly in it, by name, whatever their suffix, as Falco does; hidden ones
    are left out. Files stay, also those that do not exist."""
    files: list[Path] = []
    for path in paths:
        if path.is_dir():
            files += sorted(entry for entry in path.iterdir() if entry.is_file() and not entry.name.startswith("."))
        else:
            files.append(path)
    return files


def shipped_rules() -> list[Path]:
    """The rules files that come with Lanner."""
    return sorted(Path(str(resources.files("lanner.content"))).glob("*.yaml"))


def load(rules: Sequence[Path], config: Config) -> LoadResult:
    """Load the rules, with the errors shown on standard error and the warnings counted there."""
    result = load_rules(rules_files(rules, config), config)
    for file in result.files:
        show([diagnostic for diagnostic in file.diagnostics if diagnostic.is_error])
        warnings = sum(not diagnostic.is_error for diagnostic in file.diagnostics)
        if warnings:
            click.echo(
                f"{file.name}: {plural(warnings, 'warning')}; `lanner check {file.name}` shows "
                f"{'it' if warnings == 1 else 'them'}",
                err=True,
            )
    return result


def show(diagnostics: Sequence[Diagnostic]) -> None:
    """Diagnostics as text on standard error."""
    if diagnostics:
        click.echo(render_text(diagnostics, color=sys.stderr.isatty()), err=True)
