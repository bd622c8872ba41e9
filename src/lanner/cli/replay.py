"""`lanner replay`: recorded audit events through the rules, alerts out."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import BinaryIO, Protocol

import click

from lanner.cli.loading import load, read_config
from lanner.cli.options import config_options, rules_option
from lanner.cli.table import printable
from lanner.cli.tally import Tally
from lanner.decode import decode
from lanner.engine.engine import Engine
from lanner.sources.files import Input, InputError, expand

INTERRUPTED = 130


@click.command(name="replay", epilog="Example: lanner replay -r my_rules.yaml --json audit.log audit-*.log.gz")
@click.argument("events", nargs=-1, required=True)
@rules_option
@config_options
@click.option("--json", "as_json", is_flag=True, help="Alerts as JSON lines; the same as -o json_output=true.")
def command(
    events: tuple[str, ...],
    rules: tuple[Path, ...],
    config_path: Path | None,
    overrides: tuple[str, ...],
    as_json: bool,
) -> int:
    """Run rules over recorded audit events.

    EVENTS are files, folders, patterns, or - for standard input: JSON lines, JSON arrays or event lists; plain, .gz
    or .zst. Alerts go to standard output, a summary to standard error.

    Exit code 0: everything was read, with or without alerts; 1: an input could not be read, or rules have errors.
    """
    config = read_config(config_path, [*overrides, *(["json_output=true"] if as_json else [])])
    loaded = load(rules, config)
    if not loaded.ok and not loaded.rules:
        raise click.ClickException("there is no rule to run: no rules file could be loaded")
    replay = Replay(Engine(loaded.ruleset, config), sys.stdout.buffer)
    try:
        complete = replay.run(events)
    except KeyboardInterrupt:
        replay.finish()
        return INTERRUPTED
    replay.finish()
    return 0 if complete and loaded.ok else 1


class Replay:
    """One run: events in, alerts to `out`, everything counted."""

    def __init__(self, engine: Engine, out: BinaryIO) -> None:
        self._engine = engine
        self._out = out
        self._tally = Tally()

    def run(self, arguments: Sequence[str]) -> bool:
        """Read everything that the arguments name; False if something could not be read, which is told at once."""
        inputs: list[Input] = []
        complete = True
        for argument in arguments:
            try:
                inputs += expand([argument])
            except InputError as error:
                complete = _tell(error)
        sizes = [source.size for source in inputs]
        with _progress(None if None in sizes else sum(size or 0 for size in sizes)) as progress:
            for source in inputs:
                try:
                    self._read(source, progress)
                except InputError as error:
                    progress.pause()
                    complete = _tell(error)
        return complete

    def _read(self, source: Input, progress: Progress) -> None:
        tally = self._tally
        evaluate = self._engine.evaluate
        terminal = sys.stdout.isatty()
        at_once = terminal or source.path is None
        seen = 0
        for line, text, position in source.chunks():
            decoded = decode(text)
            tally.events += len(decoded.events)
            for item in decoded.malformed:
                tally.count_malformed(f"{source.name}:{line}", item.reason)
            for event in decoded.events:
                alerts = evaluate(event)
                if alerts:
                    tally.count_alerts(alerts)
                    if terminal:
                        progress.pause()
                    self._out.write("".join(f"{alert.to_line()}\n" for alert in alerts).encode(errors="replace"))
                    if at_once:
                        self._out.flush()
            if position != seen:
                progress.advance(position - seen)
                seen = position

    def finish(self) -> None:
        """Write out what is still buffered, and the summary."""
        self._out.flush()
        click.echo("\n".join(self._tally.summary()), err=True)


class Progress(Protocol):
    """Shows how far the reading is. `pause` takes it off the terminal, for whatever is written there next."""

    def advance(self, count: int) -> None: ...
    def pause(self) -> None: ...


class _Unseen:
    """The progress where nobody looks."""

    def advance(self, count: int) -> None:
        pass

    def pause(self) -> None:
        pass


def _progress(total: int | None) -> AbstractContextManager[Progress]:
    if not sys.stderr.isatty():
        return nullcontext(_Unseen())
    from lanner.cli.progress import ByteProgress

    return ByteProgress(total)


def _tell(error: InputError) -> bool:
    click.echo(f"Error: {printable(str(error))}", err=True)
    return False
