"""Options that several commands take, written once."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

F = TypeVar("F", bound=Callable[..., Any])


def config_options(command: F) -> F:
    """`-c FILE` as `config_path` and `-o KEY=VALUE` as `overrides`."""
    command = click.option(
        "-o",
        "--option",
        "overrides",
        multiple=True,
        metavar="KEY=VALUE",
        help="Set one key of the configuration; `key[]=value` appends to a list.",
    )(command)
    return click.option(
        "-c",
        "--config",
        "config_path",
        type=click.Path(path_type=Path),
        help="Configuration file with the keys of falco.yaml.",
    )(command)


def rules_option(command: F) -> F:
    """`-r FILE_OR_FOLDER`, repeatable, as `rules`."""
    return click.option(
        "-r",
        "--rules",
        "rules",
        multiple=True,
        type=click.Path(path_type=Path),
        help="Rules file, or folder of rules files; may be given several times. "
        "Without it: `rules_files` of the configuration, or the rules that ship.",
    )(command)


def format_options(*formats: str) -> Callable[[F], F]:
    """`--format`, the first one by default, and `--json` for `--format json`, as `output_format`."""

    def add(command: F) -> F:
        command = click.option("--json", "output_format", flag_value="json", help="The same as --format json.")(command)
        return click.option(
            "--format",
            "output_format",
            type=click.Choice(formats),
            default=formats[0],
            show_default=True,
            help="Form of the output.",
        )(command)

    return add
