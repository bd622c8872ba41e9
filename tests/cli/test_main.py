"""The entry point: what holds for every command."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import click
import pytest

from lanner.cli.main import COMMANDS, group
from lanner.version import __version__
from tests.cli.builders import event, lines
from tests.cli.conftest import Lanner


def test_version(lanner: Lanner) -> None:
    """--version tells the version and nothing else."""
    assert lanner("--version").stdout == f"lanner {__version__}\n"


@pytest.mark.parametrize("name", COMMANDS)
def test_help_shows_an_example(lanner: Lanner, name: str) -> None:
    """Every command's help has an example of its use."""
    result = lanner(name, "--help")
    assert result.code == 0
    assert f"Example: lanner {name} " in result.stdout


@pytest.mark.parametrize("name", COMMANDS)
def test_the_table_of_commands_says_what_the_commands_say(name: str) -> None:
    """The summary in the list of commands is the first sentence of the command's help."""
    command = group.get_command(click.Context(group), name)
    assert command is not None
    assert command.name == name
    assert (command.help or "").startswith(COMMANDS[name].summary + "\n")


@pytest.mark.parametrize(
    "arguments", [["no-such-command"], ["replay"], ["check", "-r", "a", "b"], ["fields", "--format", "tea"], []]
)
def test_wrong_usage(lanner: Lanner, arguments: list[str]) -> None:
    """Wrong usage is told on standard error, with exit code 2."""
    result = lanner(*arguments)
    assert result.code == 2
    assert "Usage: lanner" in result.stderr
    assert not result.stdout


def test_a_reader_that_goes_away_ends_the_command_quietly(
    process: Callable[..., subprocess.Popen[bytes]], tmp_path: Path, rules_file: Path
) -> None:
    """Behind `| head` there is no error message."""
    events = tmp_path / "events.jsonl"
    events.write_bytes(lines(*(event(number=n) for n in range(20_000))))
    with process("replay", "-r", rules_file, events) as run:
        assert run.stdout is not None
        assert run.stderr is not None
        run.stdout.readline()
        run.stdout.close()
        assert run.stderr.read() == b""
    assert run.returncode == 141


@pytest.mark.parametrize(
    ("closed", "arguments", "code", "message"),
    [
        ("<&-", "replay -", 1, "Error: cannot read `standard input`: Bad file descriptor"),
        (">&-", "fields", 1, "Error: Bad file descriptor"),
        ("2>&-", "replay missing.jsonl", 1, ""),
    ],
)
def test_closed_streams(closed: str, arguments: str, code: int, message: str) -> None:
    """A standard stream that the caller closed costs what would go through it, and is no traceback."""
    command = f"{sys.executable} -m lanner {arguments} {closed}"
    done = subprocess.run(command, shell=True, capture_output=True, text=True, check=False)
    assert done.returncode == code
    assert "Traceback" not in done.stderr
    assert done.stderr.startswith(message)
