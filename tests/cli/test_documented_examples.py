"""The examples in the documentation, run as a reader would run them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from lanner.config import Config
from lanner.diagnostics.codes import Code
from lanner.service.wiring import wire
from tests.cli.conftest import Lanner

ROOT = Path(__file__).resolve().parent.parent.parent


def blocks(page: Path, language: str) -> list[str]:
    """The contents of the fenced blocks of a language."""
    return re.findall(rf"(?s)```{language}\n(.*?)```", page.read_text(encoding="utf-8"))


def test_the_readme_example_gives_what_the_readme_says(
    lanner: Lanner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The rule, the event, the alert, and the message for the misspelt macro."""
    readme = ROOT / "README.md"
    (rules,) = blocks(readme, "yaml")
    (event,) = blocks(readme, "json")
    alert, message = blocks(readme, "text")
    monkeypatch.chdir(tmp_path)
    Path("rules.yaml").write_text(rules)
    Path("events.jsonl").write_text(event)
    command = "lanner replay -r rules.yaml -o time_format_iso_8601=true events.jsonl"
    assert f"`{command}`" in readme.read_text(encoding="utf-8")
    assert lanner(*command.split()[1:]).stdout == alert
    Path("rules.yaml").write_text(rules.replace("condition: kmodify", "condition: modify"))
    assert lanner("check", "rules.yaml").stdout == message


def test_the_first_rule_of_the_guide_is_valid(lanner: Lanner, tmp_path: Path) -> None:
    """What beginners copy works."""
    path = tmp_path / "rules.yaml"
    path.write_text("".join(blocks(ROOT / "docs" / "getting-started.md", "yaml")))
    assert lanner("check", path).stdout == f"{path}: ok\n"


@pytest.mark.parametrize("page", ["sources.md", "service.md", "configuration.md"])
def test_configurations_in_the_pages_are_good(page: str, tmp_path: Path) -> None:
    """What is copied into a falco.yaml has no problem, and makes sources; no warning but that of Falco's own webhook,
    which knows no authentication."""
    found = [
        text
        for text in blocks(ROOT / "docs" / page, "yaml")
        if text.startswith(("lanner:", "plugins:", "rules:\n  - d"))
    ]
    assert found
    for text in found:
        (tmp_path / "falco.yaml").write_text(text)
        config = Config.load(tmp_path / "falco.yaml", environ={"HOME": str(tmp_path)})
        wiring = wire(config.service)
        problems = [*config.diagnostics, *wiring.diagnostics]
        open_by_nature = text.startswith("plugins:") and "http://:" in text
        assert [problem.code for problem in problems] == [Code.CONFIG_OPEN_LISTENER] * open_by_nature
        assert wiring.sources
