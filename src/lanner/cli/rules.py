"""`lanner rules`: the rules as Lanner understands them, listed or one of them described."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Sequence
from difflib import get_close_matches
from pathlib import Path

import click

from lanner.cli.layout import layout
from lanner.cli.loading import load, read_config
from lanner.cli.options import config_options, format_options, rules_option
from lanner.cli.table import table, terminal_width
from lanner.condition.ast import Compare, Exists, Expr, FieldRef, operands, walk
from lanner.condition.printer import print_condition, print_operand
from lanner.engine.ruleset import CompiledRule
from lanner.escaping import printable, printable_json


@click.command(name="rules", epilog='Example: lanner rules -r my_rules.yaml "Create Privileged Pod"')
@click.argument("name", metavar="[NAME]", default="")
@rules_option
@config_options
@format_options("text", "json")
def command(
    name: str, rules: tuple[Path, ...], config_path: Path | None, overrides: tuple[str, ...], output_format: str
) -> int:
    """List rules, or describe one of them.

    With NAME: its description, condition as written and with all macros and lists put in, fields and exceptions.
    """
    result = load(rules, read_config(config_path, overrides))
    shown = [find(result.rules, name)] if name else list(result.rules)
    if output_format == "json":
        document = json.dumps({"rules": [as_json(rule) for rule in shown]}, indent=2, ensure_ascii=False)
        click.echo(printable_json(document.encode(errors="replace")))
    elif name:
        click.secho(printable(shown[0].name), bold=True)
        click.echo(printable("\n".join(described(shown[0]))))
    else:
        click.echo(printable("\n".join(listed(shown, terminal_width()))))
    return 0 if result.ok else 1


def find(rules: Sequence[CompiledRule], name: str) -> CompiledRule:
    """The rule of that name, in any case. Ends the command with the nearest name if there is none."""
    names = {rule.resolved.name: rule for rule in rules}
    by_lower = {known.lower(): known for known in names}
    known = name if name in names else by_lower.get(name.lower())
    if known is not None:
        return names[known]
    near = get_close_matches(name.lower(), by_lower, n=1) or [lower for lower in by_lower if name.lower() in lower]
    hint = f"did you mean `{by_lower[near[0]]}`?" if near else "`lanner rules` lists all rules."
    raise click.ClickException(f"there is no rule `{name}`; {hint}")


def listed(rules: Sequence[CompiledRule], width: int | None) -> list[str]:
    """One line per rule, and how many there are."""
    rows = [
        (
            rule.resolved.name,
            rule.resolved.priority.label,
            "on" if rule.enabled else "off",
            rule.resolved.source,
            ",".join(rule.resolved.tags),
        )
        for rule in rules
    ]
    return table(("NAME", "PRIORITY", "STATE", "SOURCE", "TAGS"), rows, width)


def described(rule: CompiledRule) -> list[str]:
    """A rule for people, below its name: a few facts, then the condition twice."""
    resolved = rule.resolved
    place = resolved.span.location
    facts = {
        "description": resolved.description.strip(),
        "priority": resolved.priority.label,
        "source": resolved.source,
        "enabled": "yes" if rule.enabled else "no",
        "tags": ", ".join(resolved.tags),
        "defined in": f"{place.file}:{place.line}",
        "macros": ", ".join(resolved.macros),
        "lists": ", ".join(resolved.lists),
        "fields": ", ".join(condition_fields(resolved.condition)),
        "exceptions": ", ".join(exception.name for exception in resolved.exceptions),
    }
    lines: list[str] = []
    for word, value in facts.items():
        if value:
            lines += textwrap.wrap(
                value,
                80,
                initial_indent=f"  {word + ':':<13}",
                subsequent_indent=" " * 15,
                break_on_hyphens=False,
                break_long_words=False,
            )
    for heading, text in (
        ("output", textwrap.dedent(resolved.output.value).strip().splitlines()),
        ("condition as written", textwrap.dedent(resolved.condition_text.value).strip().splitlines()),
        ("condition expanded", list(layout(resolved.condition))),
    ):
        lines += ["", f"  {heading}:", *(f"    {line}" for line in text)]
    return lines


def condition_fields(condition: Expr) -> list[str]:
    """The fields a condition reads, with their arguments, in order of first use."""
    names = {
        print_operand(operand): None
        for check in walk(condition)
        for operand in operands(check)
        if isinstance(operand, FieldRef)
    }
    return list(names)


def condition_operators(condition: Expr) -> list[str]:
    """The operators in a condition, in order of first use."""
    found: dict[str, None] = {}
    for check in walk(condition):
        match check:
            case Exists():
                found["exists"] = None
            case Compare(operator=operator, modifier=None):
                found[operator] = None
            case Compare(operator=operator, modifier=modifier):
                found[f"{operator} {modifier}"] = None
    return list(found)


def as_json(rule: CompiledRule) -> dict[str, object]:
    """A rule in the shape of Falco's `-L` with json_output: `info` as declared, `details` as compiled."""
    resolved = rule.resolved
    return {
        "info": {
            "name": resolved.name,
            "description": resolved.description,
            "condition": resolved.condition_text.value,
            "output": resolved.output.value,
            "priority": resolved.priority.label,
            "source": resolved.source,
            "enabled": rule.enabled,
            "tags": list(resolved.tags),
        },
        "details": {
            "condition_compiled": print_condition(resolved.condition),
            "condition_fields": condition_fields(resolved.condition),
            "condition_operators": condition_operators(resolved.condition),
            "macros": list(resolved.macros),
            "lists": list(resolved.lists),
            "exception_names": [exception.name for exception in resolved.exceptions],
            "file": resolved.span.location.file,
            "line": resolved.span.location.line,
        },
    }
