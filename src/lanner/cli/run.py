"""`lanner run`: the service."""

from __future__ import annotations

import asyncio
from importlib import import_module
from pathlib import Path
from typing import Any

import click

from lanner.app import Options, Service
from lanner.cli.loading import load, load_config, rules_files, show
from lanner.cli.options import config_options, rules_option
from lanner.cli.setup import judge
from lanner.cli.table import plural
from lanner.service.logs import set_up
from lanner.store.errors import StoreError


@click.command(name="run", epilog="Example: lanner run -c falco.yaml -r my_rules.yaml -o json_output=true")
@rules_option
@config_options
@click.option("-M", "seconds", type=click.FloatRange(min=0), default=0, help="Stop after so many seconds.")
@click.option("-U", "--unbuffered", is_flag=True, help="Write every alert at once, whatever `buffered_outputs` says.")
@click.option("--dry-run", is_flag=True, help="Read configuration and rules, say whether all is well, and end.")
@click.option("-V", "--validate", multiple=True, metavar="FILE", help="The same as `lanner check FILE`.")
@click.option("-L", "list_rules", is_flag=True, help="The same as `lanner rules`.")
@click.option("-l", "describe", metavar="RULE", help="The same as `lanner rules RULE`.")
@click.option("--list", "list_fields", is_flag=True, help="The same as `lanner fields`.")
def command(
    rules: tuple[Path, ...],
    config_path: Path | None,
    overrides: tuple[str, ...],
    seconds: float,
    unbuffered: bool,
    dry_run: bool,
    validate: tuple[str, ...],
    list_rules: bool,
    describe: str | None,
    list_fields: bool,
) -> int:
    """Take audit events from API servers and files, and raise alerts.

    Without any configuration it listens on http://127.0.0.1:9765/k8s-audit, uses the rules that ship, keeps alerts in
    a store in the data folder, and tells about itself on http://127.0.0.1:8765. Alerts go to standard output, logs to
    standard error. SIGTERM or Ctrl-C stops it when what it has accepted is finished; a second one at once.

    Exit code 0: stopped as it was told to; 1: configuration, rules or store cannot be used.
    """
    chosen = [word for path in rules for word in ("-r", str(path))]
    chosen += ["-c", str(config_path)] if config_path else []
    chosen += [word for override in overrides for word in ("-o", override)]
    if validate:
        return _other("check", list(validate))
    if list_rules or describe:
        return _other("rules", [*chosen, *([describe] if describe else [])])
    if list_fields:
        return _other("fields", [])
    config = load_config(config_path, overrides)
    wiring, problems = judge(config)
    problems = (*config.diagnostics, *problems)
    show(problems)
    if any(problem.is_error for problem in problems):
        raise click.exceptions.Exit(1)
    loaded = load(rules, config)
    if not loaded.ok:
        raise click.ClickException("the rules have errors, so nothing was started")
    settings = config.service
    log = set_up("json" if settings.log_format == "json" else "text", settings.log_level, settings.log_stderr)
    options = Options(rules_files(rules, config), seconds, settings.buffered and not unbuffered, log)
    if dry_run:
        enabled = sum(rule.enabled for rule in loaded.rules)
        click.echo(f"configuration and rules are good: {plural(enabled, 'rule')} enabled; nothing was started")
        return 0
    try:
        return asyncio.run(Service(config, loaded, wiring, options).run())
    except StoreError as error:
        raise click.ClickException(str(error)) from None


def _other(name: str, arguments: list[str]) -> int:
    """Run another command in the place of this one."""
    other = import_module(f"lanner.cli.{name}").command
    assert isinstance(other, click.Command)
    settings: dict[str, Any] = {"help_option_names": ["-h", "--help"]}  # click keeps the first that it is told
    result = other.main(arguments, prog_name=f"lanner {name}", standalone_mode=False, **settings)
    return result if isinstance(result, int) else 0
