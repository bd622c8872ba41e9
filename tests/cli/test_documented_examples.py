"""The examples in the documentation, run as a reader would run them."""

from __future__ import annotations

from pathlib import Path

import pytest

from lanner.config import Config
from lanner.diagnostics.codes import Code
from lanner.service.wiring import wire
from tests.cli.conftest import Lanner
from tests.documents import ROOT, blocks, readme_example


def test_the_readme_example_gives_what_the_readme_says(
    lanner: Lanner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The rule, the event, the alert, and the message for the misspelt macro."""
    example = readme_example()
    monkeypatch.chdir(tmp_path)
    Path("rules.yaml").write_text(example.rules)
    Path("events.jsonl").write_text(example.event)
    assert lanner(*example.command[1:]).stdout == example.alert
    Path("rules.yaml").write_text(example.rules.replace("condition: kmodify", "condition: modify"))
    assert lanner("check", "rules.yaml").stdout == example.message


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
