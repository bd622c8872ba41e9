"""`lanner replay`: recorded audit events through the rules, alerts out."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, NamedTuple, Protocol

import click

from lanner.cli.loading import load, read_config
from lanner.cli.options import config_options, rules_option
from lanner.cli.tally import Tally
from lanner.engine.engine import Engine
from lanner.escaping import printable
from lanner.replay.evaluation import Counts, depends_on_order, evaluate
from lanner.replay.workers import BLOCK, WorkerError, Workers
from lanner.sources.files import Input, InputError, expand

INTERRUPTED = 130

FEW = 4 * BLOCK
"""Bytes of events that are evaluated before worker processes start. They take less time than the processes would, and
the rules learn the usual kinds of requests once instead of once in every process.
"""


@click.command(name="replay", epilog="Example: lanner replay -r my_rules.yaml --json audit.log audit-*.log.gz")
@click.argument("events", nargs=-1, required=True)
@rules_option
@config_options
@click.option("--json", "as_json", is_flag=True, help="Alerts as JSON lines; the same as -o json_output=true.")
@click.option(
    "--jobs",
    type=click.IntRange(min=1),
    metavar="N",
    help="Worker processes for long inputs; by default as many as there are cores to use. The output is the same for "
    "any number. Rules that use evt.num or evt.reltime run in one process.",
)
def command(
    events: tuple[str, ...],
    rules: tuple[Path, ...],
    config_path: Path | None,
    overrides: tuple[str, ...],
    as_json: bool,
    jobs: int | None,
) -> int:
    """Run rules over recorded audit events.

    EVENTS are files, folders, patterns, or - for standard input: JSON lines, JSON arrays or event lists; plain, .gz
    or .zst. Alerts go to standard output in the order of the events, a summary to standard error.

    Exit code 0: everything was read, with or without alerts; 1: an input could not be read, rules have errors, or a
    worker process was killed.
    """
    config = read_config(config_path, [*overrides, *(["json_output=true"] if as_json else [])])
    loaded = load(rules, config)
    if not loaded.ok and not loaded.rules:
        raise click.ClickException("there is no rule to run: no rules file could be loaded")
    if depends_on_order(loaded.ruleset):
        jobs = 1
    replay = Replay(Engine(loaded.ruleset, config), jobs or len(os.sched_getaffinity(0)), sys.stdout.buffer)
    try:
        complete = replay.run(events)
    except KeyboardInterrupt:
        replay.finish()
        return INTERRUPTED
    except WorkerError as error:
        replay.finish()
        raise click.ClickException(str(error)) from None
    replay.finish()
    return 0 if complete and loaded.ok else 1


@dataclass
class _Reading:
    """An input. `line`: the one behind the blocks that are accounted for. `failed`: it cannot be read any further."""

    source: Input
    line: int = 1
    failed: bool = False


class _Piece(NamedTuple):
    """Where a block comes from; the line it begins in, if not the one behind the block before; and how many bytes of
    its file on disk it brought.
    """

    reading: _Reading
    line: int | None
    read: int


class Replay:
    """One run: events in, alerts to `out` in the order of the events, everything counted."""

    def __init__(self, engine: Engine, jobs: int, out: BinaryIO) -> None:
        self._engine = engine
        self._jobs = jobs
        self._out = out
        self._terminal = sys.stdout.isatty()
        self._tally = Tally()
        self._complete = True
        self._given = 0
        self._progress: Progress = _Unseen()

    def run(self, arguments: Sequence[str]) -> bool:
        """Read everything that the arguments name; False if something could not be read, which is told at once.

        Raises WorkerError.
        """
        inputs: list[Input] = []
        for argument in arguments:
            try:
                inputs += expand([argument])
            except InputError as error:
                self._miss(error)
        sizes = [source.size for source in inputs]
        total = None if None in sizes else sum(size or 0 for size in sizes)
        workers: Workers[_Piece]
        with _progress(total) as self._progress, Workers(self._engine, self._jobs) as workers:
            for source in inputs:
                reading = _Reading(source)
                try:
                    self._read(reading, workers)
                except InputError as error:
                    self._take_all(workers)
                    self._fail(reading, error)
            self._take_all(workers)
        return self._complete

    def _read(self, reading: _Reading, workers: Workers[_Piece]) -> None:
        position = 0
        for block in reading.source.blocks(BLOCK):
            piece = _Piece(reading, block.line, block.position - position)
            position = block.position
            self._given += block.size
            if self._jobs == 1 or self._given <= FEW or block.waited:
                self._take_all(workers)
                if reading.failed:
                    return
                counts = Counts()
                try:
                    evaluate(self._engine, block, counts, self._write)
                finally:
                    self._account(piece, counts)
            else:
                while not workers.has_room(block):
                    self._take(workers)
                if reading.failed:
                    return
                workers.give(block, piece)
                while workers.finished:
                    self._take(workers)

    def _take_all(self, workers: Workers[_Piece]) -> None:
        while workers.busy:
            self._take(workers)

    def _take(self, workers: Workers[_Piece]) -> None:
        piece, result = workers.take()
        if piece.reading.failed:
            return
        try:
            if result.output:
                self._write(result.output)
        finally:
            self._account(piece, result.counts)
        if result.failure is not None:
            self._fail(piece.reading, result.failure)

    def _fail(self, reading: _Reading, error: InputError) -> None:
        """Tell, once, why an input ends here. What was evaluated of it behind this place does not count."""
        if not reading.failed:
            reading.failed = True
            self._miss(error)

    def _miss(self, error: InputError) -> None:
        self._complete = False
        self._progress.pause()
        click.echo(f"Error: {printable(str(error))}", err=True)

    def _write(self, lines: bytes) -> None:
        if self._terminal:
            self._progress.pause()
        self._out.write(lines)

    def _account(self, piece: _Piece, counts: Counts) -> None:
        """Count what was evaluated. Its alerts are written: whoever sees them may stop the run."""
        reading, line, _ = piece
        line = line or reading.line
        reading.line = line + counts.lines
        self._tally.add(reading.source.name, line, counts)
        if self._terminal or reading.source.path is None:
            self._out.flush()
        if piece.read:
            self._progress.advance(piece.read)

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
