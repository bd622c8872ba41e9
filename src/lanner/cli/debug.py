"""`lanner debug`: what the rules become for events of one shape, as the Python source that runs."""

from __future__ import annotations

from pathlib import Path

import click

from lanner.cli.loading import load, read_config
from lanner.cli.options import config_options, rules_option
from lanner.decode import decode
from lanner.escaping import printable
from lanner.event import MISSING, AuditEvent, MaybeText, ObjectRef, ResponseStatus, User
from lanner.regular_file import read_regular_file
from lanner.sources.files import MAX_TEXT

_A_TIME = "2026-01-02T03:04:05.000000Z"  # any: it only has to be since 2000


@click.command(
    name="debug", epilog="Example: lanner debug -r my_rules.yaml --verb create --resource pods --code 201 --user eve"
)
@rules_option
@config_options
@click.option(
    "--event",
    "path",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="A file with one event, whose shape is taken in the place of the options below.",
)
@click.option("--stage", default="ResponseComplete", show_default=True, help="The stage of the event.")
@click.option("--verb", help="Its verb.")
@click.option("--resource", help="The resource it is about, as in objectRef.")
@click.option("--subresource", help="The subresource.")
@click.option("--code", help="The response code.")
@click.option("--user", help="The name of the user.")
def command(
    rules: tuple[Path, ...],
    config_path: Path | None,
    overrides: tuple[str, ...],
    path: Path | None,
    stage: str,
    verb: str | None,
    resource: str | None,
    subresource: str | None,
    code: str | None,
    user: str | None,
) -> int:
    """Print the Python source that the rules become for events of one shape.

    The shape of an event is its stage, verb, resource, subresource and response code, and who made the request; what
    is not given counts as missing. All that these decide about the rules is gone from the source: what is left is what
    such an event costs. Comments behind it tell what its names stand for.
    """
    loaded = load(rules, read_config(config_path, overrides))
    if not loaded.ok and not loaded.rules:
        raise click.ClickException("there is no rule to show: no rules file could be loaded")
    event = (
        AuditEvent(
            audit_id="",
            stage=stage,
            stage_timestamp=_A_TIME,
            verb=_given(verb),
            object_ref=ObjectRef(resource=_given(resource), subresource=_given(subresource)),
            response_status=ResponseStatus(code=int(code) if code and code.isdecimal() else _given(code)),
            user=User(username=_given(user)),
        )
        if path is None
        else _only_event(path)
    )
    click.echo(printable(loaded.ruleset.source_for(event)), nl=False)
    return 0 if loaded.ok else 1


def _given(value: str | None) -> MaybeText:
    return MISSING if value is None else value


def _only_event(path: Path) -> AuditEvent:
    """The event in a file. Raises click.ClickException for anything else."""
    decoded = decode(read_regular_file(path, MAX_TEXT))
    if decoded.malformed:
        raise click.ClickException(f"{path}: {decoded.malformed[0].reason}")
    if len(decoded.events) != 1:
        raise click.ClickException(f"{path}: {len(decoded.events)} events where one is needed")
    return decoded.events[0]
