"""`lanner debug`: the source that rules become."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.conftest import Lanner

RULES = """
- rule: Secrets read
  desc: d
  condition: ka.verb in (get, list) and ka.target.resource = secrets and ka.target.namespace = prod
  output: o
  priority: INFO
  source: k8s_audit
- rule: Not eve
  desc: d
  condition: ka.verb = get and not ka.user.name = eve
  output: o
  priority: INFO
  source: k8s_audit
"""
EVENT = """{"kind":"Event","auditID":"a","stage":"ResponseComplete","verb":"list","objectRef":{"resource":"secrets"},
"user":{"username":"eve"},"stageTimestamp":"2026-01-02T03:04:05.000000Z"}"""


@pytest.fixture
def rules(tmp_path: Path) -> str:
    path = tmp_path / "rules.yaml"
    path.write_text(RULES)
    return str(path)


@pytest.mark.parametrize(
    ("shape", "there", "gone"),
    [
        (
            ["--verb", "get", "--resource", "secrets", "--user", "eve"],
            ["Secrets read", "e.object_ref.namespace"],
            ["Not eve"],
        ),
        (["--verb", "get", "--resource", "pods", "--user", "bob"], ["Not eve"], ["Secrets read", "e.object_ref"]),
        (["--verb", "watch"], ["def match(e):"], ["Not eve", "Secrets read"]),
    ],
)
def test_what_is_left_for_a_shape(
    lanner: Lanner, rules: str, shape: list[str], there: list[str], gone: list[str]
) -> None:
    """Only rules that can still match are in the source, with what they still ask."""
    result = lanner("debug", "-r", rules, *shape)
    assert result.code == 0
    assert all(text in result.stdout for text in there)
    assert not any(text in result.stdout for text in gone)


def test_the_shape_of_an_event(lanner: Lanner, rules: str, tmp_path: Path) -> None:
    """An event in a file says what its shape is; a file with anything else is told to be none."""
    path = tmp_path / "event.json"
    path.write_text(EVENT)
    assert "Secrets read" in lanner("debug", "-r", rules, "--event", str(path)).stdout
    path.write_text("{}")
    result = lanner("debug", "-r", rules, "--event", str(path))
    assert result.code == 1
    assert "it has no `kind`" in result.stderr
