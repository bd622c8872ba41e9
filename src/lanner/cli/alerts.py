"""`lanner alerts`: what the store has, listed, followed, or one alert in full."""

from __future__ import annotations

import csv
import io
import json
import sys
import time
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path

import click

from lanner.cli.loading import read_config
from lanner.cli.looking import Moment, local_time, store_of
from lanner.cli.options import config_options, format_options
from lanner.cli.table import Listing, plural, terminal_width
from lanner.escaping import one_line, printable, printable_json
from lanner.priority import PRIORITY_WORDS, Priority
from lanner.store.records import AlertFilter, StoredAlert, StoredMalformed
from lanner.store.store import PAGE_ALERTS, PAGE_BYTES, Store

SHORT_ID = 8
FOLLOW_FROM = 10
LOOK = 1.0
SHOWN_RAW = 56
COLUMNS = ("id", "time", "priority", "rule", "source", "cluster", "namespace", "user", "verb", "resource", "name")
CSV_COLUMNS = (*COLUMNS, "tags", "audit_id", "output")
TABLE_COLUMNS = ("id", "time", "priority", "cluster", "rule", "user", "verb", "resource", "namespace", "name")
TABLE_KEPT = 6
"""How many of them are there on the narrowest terminal: up to who did it."""

FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")
"""What a cell begins with that a spreadsheet takes for a formula, also in full width."""

MALFORMED_COLUMNS = ("received", "source", "cluster", "reason", "raw")


@click.command(name="alerts", epilog='Example: lanner alerts --since 2h --priority warning --rule "Attach/Exec Pod"')
@click.argument("identifier", metavar="[ID]", default="")
@click.option("--since", type=Moment(), help="From this time on: `2h` ago, `2026-03-01`, `2026-03-01T09:30`.")
@click.option("--until", type=Moment(), help="Before this time.")
@click.option(
    "--priority", type=click.Choice([*PRIORITY_WORDS, "info"], case_sensitive=False), help="So severe, or more."
)
@click.option("--rule", "rules", multiple=True, help="Of this rule; as all of the following, may be given repeatedly.")
@click.option("--cluster", "clusters", multiple=True, help="Of this cluster.")
@click.option("--namespace", "namespaces", multiple=True, help="About this namespace.")
@click.option("--user", "users", multiple=True, help="Of this user.")
@click.option("--tag", "tags", multiple=True, help="Of rules with this tag.")
@click.option("--text", default="", help="With this text in the output or in the name of the rule.")
@click.option(
    "-n", "--limit", type=click.IntRange(min=0), default=100, show_default=True, help="The newest; 0 for all."
)
@click.option("--follow", is_flag=True, help="Go on with alerts as they come, until Ctrl-C.")
@click.option("--malformed", is_flag=True, help="Instead of alerts, what came in and is no event.")
@config_options
@format_options("table", "json", "csv")
def command(
    identifier: str,
    since: int | None,
    until: int | None,
    priority: str | None,
    rules: tuple[str, ...],
    clusters: tuple[str, ...],
    namespaces: tuple[str, ...],
    users: tuple[str, ...],
    tags: tuple[str, ...],
    text: str,
    limit: int,
    follow: bool,
    malformed: bool,
    config_path: Path | None,
    overrides: tuple[str, ...],
    output_format: str,
) -> int:
    """List the alerts of the store, or show one in full.

    With ID, which may be cut short: the alert with all its fields and the raw event. Reads the store itself, so it
    works whether or not the service runs. The newest alert comes last. What --limit leaves out is told on standard
    error.

    In CSV a cell that a spreadsheet would take for a formula, since it begins with = + - @ or a control character, has
    a single quote (') in front.
    """
    wanted = AlertFilter(
        since_ns=since,
        until_ns=until,
        priority=None if priority is None else Priority.parse(priority),
        rules=rules,
        clusters=clusters,
        namespaces=namespaces,
        users=users,
        tags=tags,
        text=text,
    )
    with store_of(read_config(config_path, overrides)) as store:
        if identifier:
            _show(_find(store, identifier), output_format == "json")
        elif malformed:
            pieces = store.malformed(limit + 1 if limit else sys.maxsize)
            _print_malformed(pieces[: limit or None], output_format)
            _tell_cut(len(pieces), limit)
        elif follow:
            _follow(store, wanted, min(limit, FOLLOW_FROM), output_format)
        else:
            found = store.newest(wanted, limit + 1 if limit else None)
            listing = _listing(found.clusters)
            heading = True
            for page in store.read(found, limit or len(found)):
                _print(page, output_format, listing, heading)
                heading = False
            if heading:
                _print((), output_format, listing, heading)
                if output_format == "table":
                    click.echo("no alerts", err=True)
            _tell_cut(len(found), limit)
    return 0


def _tell_cut(there: int, limit: int) -> None:
    """On standard error, so that what is printed stays what was asked for."""
    if limit and there > limit:
        shown = "the newest one is" if limit == 1 else f"the newest {limit:,} are"
        click.echo(f"{shown} shown and there are more: `--limit 0` shows all", err=True)


def _find(store: Store, identifier: str) -> StoredAlert:
    try:
        found = store.alert(identifier)
    except LookupError:
        raise click.ClickException(f"several alerts begin with `{identifier}`; write more of the id") from None
    if found is None:
        raise click.ClickException(f"there is no alert `{identifier}`; `lanner alerts` lists them with their ids")
    return found


def _follow(store: Store, wanted: AlertFilter, begin: int, output_format: str) -> None:
    seq = store.last_seq()
    listing = _listing(clusters=True)
    heading = True
    for recent in store.read(store.newest(wanted, begin), begin):
        _print([alert for alert in recent if alert.seq <= seq], output_format, listing, heading)
        heading = False
    if heading:
        _print((), output_format, listing, heading)
    try:
        while True:
            sys.stdout.flush()
            page = store.alerts(wanted, PAGE_ALERTS, after=seq, max_bytes=PAGE_BYTES)
            if page:
                _print(page, output_format, listing, heading=False)
                seq = page[-1].seq
            else:
                time.sleep(LOOK)
    except KeyboardInterrupt:
        return


def _cells(alert: StoredAlert) -> dict[str, str]:
    """An alert as texts, by column."""
    return {
        "id": alert.id,
        "time": local_time(alert.time_ns),
        "priority": Priority(alert.priority).label,
        "rule": alert.rule,
        "source": alert.source,
        "cluster": alert.cluster,
        "namespace": alert.namespace,
        "user": alert.user,
        "verb": alert.verb,
        "resource": alert.resource,
        "name": alert.name,
        "tags": ",".join(alert.tags),
        "audit_id": alert.audit_id,
        "output": alert.output,
    }


def _listing(clusters: bool) -> Listing:
    """The table of alerts, with the column for clusters or without."""
    columns = [column.upper() for column in TABLE_COLUMNS if clusters or column != "cluster"]
    return Listing(columns, terminal_width(), ("CLUSTER", "RULE", "USER"), TABLE_KEPT - (not clusters))


def _print(alerts: Sequence[StoredAlert], output_format: str, listing: Listing, heading: bool) -> None:
    match output_format:
        case "json":
            for alert in alerts:
                click.echo(printable_json(alert.document))
        case "csv":
            rows = ([_cells(alert)[column] for column in CSV_COLUMNS] for alert in alerts)
            _print_csv(CSV_COLUMNS if heading else (), rows)
        case _:
            _print_table(alerts, listing, heading)


def _print_csv(headers: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    if headers:
        writer.writerow(headers)
    writer.writerows([_csv_cell(cell) for cell in row] for row in rows)
    click.echo(text.getvalue(), nl=False)


def _csv_cell(text: str) -> str:
    """A single quote in front makes text of what a spreadsheet would take for a formula."""
    return f"'{printable(text)}" if text.startswith(FORMULA) else printable(text)


def _print_table(alerts: Sequence[StoredAlert], listing: Listing, heading: bool) -> None:
    rows = []
    for alert in alerts:
        cells = {**_cells(alert), "id": alert.id[:SHORT_ID]}
        if alert.priority == Priority.INFORMATIONAL:
            cells["priority"] = "Info"
        rows.append([one_line(cells[column.lower()]) for column in listing.headers])
    if rows or not heading:
        click.echo("\n".join(listing.lines(rows, heading)))


def _show(alert: StoredAlert, as_json: bool) -> None:
    """One alert in full."""
    event = alert.event or b""
    if as_json:
        click.echo(printable_json(b'{"alert":%b,"event":%b}' % (alert.document, event or b"null")))
        return
    cells = _cells(alert)
    click.secho(one_line(alert.rule), bold=True)
    click.echo(f"  {one_line(alert.output)}")
    click.echo()
    for column in ("id", *(name for name in CSV_COLUMNS if name not in ("id", "rule", "output"))):
        if cells[column]:
            click.echo(f"  {column.replace('_', ' ') + ':':<11} {one_line(cells[column])}")
    click.echo(f"  {'received:':<11} {local_time(alert.received_ns)}")
    click.echo("\n  fields:")
    fields = json.loads(alert.document).get("output_fields", {})
    for name, value in fields.items():
        click.echo(f"    {one_line(name)} = {one_line(json.dumps(value, ensure_ascii=False))}")
    if event:
        click.echo("\n  event:")
        click.echo("\n".join(f"    {line}" for line in _pretty(event).splitlines()))


def _pretty(event: bytes) -> str:
    try:
        text = json.dumps(json.loads(event), indent=2, ensure_ascii=False)
    except (ValueError, RecursionError):
        text = event.decode(errors="replace")
    return printable(text.encode(errors="replace").decode())


def _print_malformed(pieces: Sequence[StoredMalformed], output_format: str) -> None:
    """The oldest first, as alerts."""
    match output_format:
        case "json":
            for piece in reversed(pieces):
                document = json.dumps({**asdict(piece), "raw": piece.raw.decode(errors="replace")})
                click.echo(printable_json(document.encode()))
        case "csv":
            rows = (
                (local_time(piece.received_ns), piece.source, piece.cluster, piece.reason, _text(piece.raw))
                for piece in reversed(pieces)
            )
            _print_csv(MALFORMED_COLUMNS, rows)
        case _:
            if not pieces:
                click.echo("nothing malformed has come in", err=True)
            for piece in reversed(pieces):
                place = f"{piece.source} {piece.cluster}".rstrip()
                click.echo(f"{local_time(piece.received_ns)}  {one_line(f'{place}: {piece.reason}')}")
                cut = len(piece.raw) > SHOWN_RAW
                more = f" ... ({plural(len(piece.raw), 'byte')})" if cut else ""
                click.echo(f"    {_text(piece.raw[:SHOWN_RAW])}{more}")


def _text(raw: bytes) -> str:
    """Bytes as text on one line."""
    return one_line(raw.decode(errors="replace"))
