"""`lanner rules`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.conftest import RULES, Lanner

MORE = """\
- list: people
  items: [alice, bob]

- rule: Secret read
  desc: Somebody read a secret
  condition: ka.verb = get and (ka.target.resource = secrets or tolower(ka.target.name) endswith anyof (key, pem))
  output: secret read (user=%ka.user.name)
  priority: notice
  source: k8s_audit
  enabled: false
  exceptions:
    - name: by_people
      fields: ka.user.name
      values: [people, carol]
"""


@pytest.fixture
def two_rules(tmp_path: Path) -> Path:
    """A file with two rules, one of them off."""
    path = tmp_path / "two.yaml"
    path.write_text(RULES + "\n" + MORE)
    return path


def test_rules_are_listed(lanner: Lanner, two_rules: Path) -> None:
    """One line for each rule, in the order of the file."""
    result = lanner("rules", "-r", two_rules)
    assert result.code == 0
    assert [line.split("  ")[0] for line in result.stdout.splitlines()] == ["NAME", "ConfigMap changed", "Secret read"]
    assert result.stdout.splitlines()[1].split()[-4:] == ["Warning", "on", "k8s_audit", "config,k8s"]
    assert result.stdout.splitlines()[2].split()[-3:] == ["Notice", "off", "k8s_audit"]


def test_without_files_the_shipped_rules_are_listed(lanner: Lanner) -> None:
    """There are rules out of the box, all of them valid."""
    result = lanner("rules", "--json")
    assert result.code == 0
    rules = json.loads(result.stdout)["rules"]
    assert {rule["info"]["source"] for rule in rules} == {"k8s_audit"}


@pytest.mark.parametrize("name", ["Secret read", "secret READ"])
def test_one_rule_is_described(lanner: Lanner, two_rules: Path, name: str) -> None:
    """Its facts, its condition as written, and with everything put in."""
    result = lanner("rules", "-r", two_rules, name)
    assert result.code == 0
    for part in (
        "Secret read",
        "description: Somebody read a secret",
        "priority:    Notice",
        "enabled:     no",
        f"{two_rules}:15",
        "lists:       people",
        "exceptions:  by_people",
        "secret read (user=%ka.user.name)",
        "condition as written:\n    ka.verb = get and (ka.target.resource = secrets or",
        "and not ka.user.name in (alice, bob, carol)",
    ):
        assert part in result.stdout


def test_json_has_the_shape_of_falco(lanner: Lanner, two_rules: Path) -> None:
    """`info` is what was declared, `details` what became of it."""
    (rule,) = json.loads(lanner("rules", "-r", two_rules, "Secret read", "--json").stdout)["rules"]
    assert rule["info"]["priority"] == "Notice"
    assert rule["info"]["enabled"] is False
    details = rule["details"]
    assert details["condition_fields"] == ["ka.verb", "ka.target.resource", "ka.target.name", "ka.user.name"]
    assert details["condition_operators"] == ["=", "endswith anyof", "in"]
    assert details["lists"] == ["people"]
    assert details["exception_names"] == ["by_people"]
    assert "carol" in details["condition_compiled"]


def test_macros_are_put_in(lanner: Lanner, two_rules: Path) -> None:
    """The expanded condition names no macro."""
    (rule,) = json.loads(lanner("rules", "-r", two_rules, "ConfigMap changed", "--json").stdout)["rules"]
    assert rule["info"]["condition"] == "writes and ka.target.resource = configmaps"
    assert rule["details"]["condition_compiled"] == "ka.verb in (create, update) and ka.target.resource = configmaps"
    assert rule["details"]["macros"] == ["writes"]


def test_an_unknown_rule_suggests_a_near_one(lanner: Lanner, two_rules: Path) -> None:
    """A typing mistake is answered with the right name."""
    result = lanner("rules", "-r", two_rules, "Secret raed")
    assert result.code == 1
    assert "did you mean `Secret read`?" in result.stderr


def test_good_rules_are_listed_beside_a_bad_file(lanner: Lanner, two_rules: Path, tmp_path: Path) -> None:
    """A bad file is told of and costs the exit code, not the list."""
    bad = tmp_path / "bad.yaml"
    bad.write_text("- rule: half\n")
    result = lanner("rules", "-r", bad, "-r", two_rules)
    assert result.code == 1
    assert "LOAD_ERR_YAML_VALIDATE" in result.stderr
    assert "Secret read" in result.stdout
