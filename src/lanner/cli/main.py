"""The entry point: finds the command, and turns whatever ends it into an exit code.

Nothing but click is imported before a command is known, so that `lanner --help` answers at once. COMMANDS is the one
list of commands; each module in it has a click command named `command`.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import NamedTuple

import click

from lanner.escaping import one_line, printable
from lanner.version import __version__

INTERRUPTED = 130
BROKEN_PIPE = 141


class _Entry(NamedTuple):
    module: str
    summary: str


COMMANDS: dict[str, _Entry] = {
    "run": _Entry("lanner.cli.run", "Take audit events from API servers and files, and raise alerts."),
    "alerts": _Entry("lanner.cli.alerts", "List the alerts of the store, or show one in full."),
    "status": _Entry("lanner.cli.status", "Show what came in, from where, what became of it, and how the service is."),
    "replay": _Entry("lanner.cli.replay", "Run rules over recorded audit events."),
    "check": _Entry("lanner.cli.check", "Check rules files and configuration files."),
    "fields": _Entry("lanner.cli.fields", "List the fields that conditions and outputs can use."),
    "rules": _Entry("lanner.cli.rules", "List rules, or describe one of them."),
    "debug": _Entry("lanner.cli.debug", "Print the Python source that the rules become for events of one shape."),
}


class LazyGroup(click.Group):
    """A group whose commands are imported when they are asked for; its help comes from the table."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        entry = COMMANDS.get(cmd_name)
        if entry is None:
            return None
        command = import_module(entry.module).command
        assert isinstance(command, click.Command)
        return command

    def invoke(self, ctx: click.Context) -> object:
        """Run the command. Of a reader that went away click would make exit code 1, so it is met here."""
        try:
            result: object = super().invoke(ctx)
            sys.stdout.flush()
        except BrokenPipeError:
            _flush_or_silence()
            return BROKEN_PIPE
        return result

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, entry.summary) for name, entry in COMMANDS.items()])


@click.group(
    cls=LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Example: lanner replay -r my_rules.yaml audit.log",
)
@click.version_option(__version__, "-V", "--version", message="lanner %(version)s")
def group() -> None:
    """Detect suspicious activity in Kubernetes audit events with Falco rules."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit: 0 done, 1 something was wrong with an input, 2 wrong usage."""
    _open_streams()
    sys.exit(run(arguments))


def run(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit code. Errors of the user's making are told on standard error."""
    try:
        result = group.main(arguments, prog_name="lanner", standalone_mode=False)
    except click.ClickException as error:
        error.message = printable(error.message)  # type: ignore[misc]  # it may quote what others wrote
        error.show()
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        return INTERRUPTED
    except OSError as error:
        place = f": {one_line(str(error.filename))}" if error.filename else ""
        click.echo(f"Error: {error.strerror or error}{place}", err=True)
        _flush_or_silence()
        return 1
    return result if isinstance(result, int) else 0


def _open_streams() -> None:
    """Put something in the place of standard streams that the caller closed.

    A file opened later would take their number. Reading from closed input and writing to closed output must fail, so
    they are opened the other way round; messages may get lost.
    """
    if sys.stdin is None:
        sys.stdin = os.fdopen(os.open(os.devnull, os.O_WRONLY))
    if sys.stdout is None:
        sys.stdout = os.fdopen(os.open(os.devnull, os.O_RDONLY), "w")
    if sys.stderr is None:
        sys.stderr = os.fdopen(os.open(os.devnull, os.O_WRONLY), "w")


def _flush_or_silence() -> None:
    """Write out standard output; if it takes nothing more, send it nowhere, so that the interpreter's last flush of it
    cannot fail."""
    try:
        sys.stdout.flush()
    except OSError:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)
