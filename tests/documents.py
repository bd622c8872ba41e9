"""Parts of the pages that tests run as readers would."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent


def blocks(page: Path, language: str) -> list[str]:
    """The contents of the fenced blocks of a language."""
    return re.findall(rf"(?s)```{language}\n(.*?)```", page.read_text(encoding="utf-8"))


class ReadmeExample(NamedTuple):
    """The first example: its files, the words of its command, what that prints, and `check` of a misspelt macro."""

    rules: str
    event: str
    command: list[str]
    alert: str
    message: str


def readme_example() -> ReadmeExample:
    """The example of README.md."""
    page = ROOT / "README.md"
    (rules,), (event,) = blocks(page, "yaml"), blocks(page, "json")
    alert, message = blocks(page, "text")
    command = re.search(r"`(lanner replay [^`]*)` prints", page.read_text(encoding="utf-8"))
    assert command is not None
    return ReadmeExample(rules, event, command[1].split(), alert, message)
