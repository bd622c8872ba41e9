"""`lanner fields`: the fields of a source, straight from the tables that define them."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterable, Sequence
from difflib import get_close_matches

import click

from lanner.cli.options import format_options
from lanner.cli.table import table, terminal_width
from lanner.fields.catalog import Argument, FieldDef, ValueType
from lanner.fields.k8s_catalog import k8s_audit_catalog

SOURCES = ("k8s_audit",)

TYPE_WORDS = {
    ValueType.STRING: "string",
    ValueType.NUMBER: "number",
    ValueType.BOOL: "boolean",
    ValueType.ABSTIME: "time",
    ValueType.RELTIME: "duration",
}

ARGUMENT_WORDS = {Argument.NONE: "", Argument.KEY: "[key]", Argument.OPTIONAL_INDEX: "[index], optional"}

GROUPS = {
    "ka": "Kubernetes audit events",
    "jevt": "any part of the event, by JSON pointer",
    "json": "any part of the event, by JSON pointer",
    "evt": "events of any source",
    "static": "constants of the configuration",
}


@click.command(name="fields", epilog="Example: lanner fields containers.image")
@click.argument("part", metavar="[NAME-PART]", default="")
@click.option("--source", type=click.Choice(SOURCES), default=SOURCES[0], show_default=True, help="Source of events.")
@format_options("text", "markdown", "json")
def command(part: str, source: str, output_format: str) -> int:
    """List the fields that conditions and outputs can use.

    With NAME-PART, only those that have it in their name.
    """
    every = list(k8s_audit_catalog())
    wanted = part.partition("[")[0].lower()
    fields = [field for field in every if wanted in field.name.lower()]
    if not fields:
        near = get_close_matches(wanted, [field.name for field in every], n=1)
        raise click.ClickException(
            f"no field has `{part}` in its name" + (f"; did you mean `{near[0]}`?" if near else "")
        )
    match output_format:
        case "json":
            click.echo(json.dumps([describe(field, source) for field in fields], indent=2, ensure_ascii=False))
        case "markdown":
            click.echo("\n".join(markdown(fields)))
        case _:
            click.echo("\n".join(text(fields, terminal_width())))
    return 0


def describe(field: FieldDef, source: str) -> dict[str, object]:
    """A field as JSON; `type` is Falco's word."""
    return {
        "name": field.name,
        "type": field.type.value,
        "is_list": field.is_list,
        "argument": field.argument.value,
        "description": field.description,
        "source": source,
    }


def type_words(field: FieldDef) -> str:
    """The type of a field for people: `string`, `list of strings`, ..."""
    return f"list of {TYPE_WORDS[field.type]}s" if field.is_list else TYPE_WORDS[field.type]


def grouped(fields: Iterable[FieldDef]) -> dict[str, list[FieldDef]]:
    """The fields by the first word of their names, in the order of the tables."""
    groups: dict[str, list[FieldDef]] = {}
    for field in fields:
        groups.setdefault(field.name.partition(".")[0], []).append(field)
    return groups


def title(group: str) -> str:
    return f"{group}.*: {GROUPS[group]}" if group in GROUPS else f"{group}.*"


def text(fields: Sequence[FieldDef], width: int | None) -> list[str]:
    """Without a width one line per field; else two or more, wrapped to it."""
    if width is None:
        rows = [(field.name, type_words(field), ARGUMENT_WORDS[field.argument], field.description) for field in fields]
        return table(("NAME", "TYPE", "ARGUMENT", "DESCRIPTION"), rows, None)
    lines: list[str] = []
    for group, members in grouped(fields).items():
        lines += (
            ["", click.style(title(group), underline=True)] if lines else [click.style(title(group), underline=True)]
        )
        for field in members:
            kind = f"({TYPE_WORDS[field.type]}{'s' if field.is_list else ''})"
            name = field.name + ARGUMENT_WORDS[field.argument].partition(",")[0]
            lines.append(f"{click.style(name, bold=True)} {click.style(kind, dim=True)}")
            lines += textwrap.wrap(field.description, width, initial_indent="    ", subsequent_indent="    ")
    return lines


def markdown(fields: Sequence[FieldDef]) -> list[str]:
    """A section with a table for each group."""
    lines: list[str] = []
    for group, members in grouped(fields).items():
        lines += ["", f"## {title(group)}", "", "| name | type | argument | description |", "|---|---|---|---|"]
        for field in members:
            description = field.description.replace("|", "\\|")
            argument = ARGUMENT_WORDS[field.argument]
            lines.append(f"| `{field.name}` | {type_words(field)} | {argument} | {description} |")
    return lines[1:]
