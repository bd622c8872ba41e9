"""What is imported when: the command line has to answer at once, and the library must be cheap to import."""

from __future__ import annotations

import subprocess
import sys

import pytest

HEAVY = {"yaml", "re2", "hyperscan", "rich", "msgspec", "zstandard"}


def imported_by(code: str) -> set[str]:
    """The top-level modules that are loaded after running `code` in a fresh interpreter."""
    script = f"{code}\nimport sys\nprint('\\nLOADED', *sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return {name.partition(".")[0] for name in done.stdout.rpartition("LOADED")[2].split()}


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["no-such-command"], []])
def test_the_bare_command_line_imports_nothing_heavy(arguments: list[str]) -> None:
    """Without a command only click is needed."""
    loaded = imported_by(f"from lanner.cli.main import run\nrun({arguments!r})")
    assert "click" in loaded
    assert not loaded & HEAVY


def test_importing_the_library_imports_nothing_heavy() -> None:
    """The names of the public door are imported when they are used."""
    assert not imported_by("import lanner") & HEAVY


def test_listing_fields_needs_no_rules() -> None:
    """A command imports what it needs and no more."""
    loaded = imported_by("from lanner.cli.main import run\nrun(['fields', 'ka.verb'])")
    assert not loaded & {"rich", "zstandard", "hyperscan"}
