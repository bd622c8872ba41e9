"""docs/default-rules.md tells the truth about the rules file."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

from lanner import CompiledRule, load_rules

ROOT = Path(__file__).parents[2]
RULES = ROOT / "src/lanner/content/k8s_audit.yaml"
PAGE = (ROOT / "docs/default-rules.md").read_text(encoding="utf-8")

OFF = ("allowed_full_admin_users", "allowed_k8s_containers", "allow_all_k8s_nodes", "consider_all_events")
HALF_OFF = "Untrusted Node Unsuccessfully Tried to Join the Cluster"
"""Its part about forbidden attempts is on."""

TECHNIQUE = re.compile(r"T\d{4}(\.\d{3})?")


@cache
def rules() -> dict[str, CompiledRule]:
    return {rule.resolved.name: rule for rule in load_rules([RULES]).rules}


@cache
def rows() -> dict[str, list[str]]:
    """The table: the name of a rule, then the other columns."""
    table = PAGE.partition("| Rule | Priority |")[2].partition("\n\n")[0].splitlines()[2:]
    cells = [[cell.strip() for cell in row.strip("|").split("|")] for row in table]
    return {row[0]: row[1:] for row in cells}


def test_names_and_priorities() -> None:
    """Every rule has its row with the priority it has."""
    words = {"INFORMATIONAL": "INFO"}
    priorities = {name: rule.resolved.priority.name for name, rule in rules().items()}
    assert {name: row[0] for name, row in rows().items()} == {
        name: words.get(priority, priority) for name, priority in priorities.items()
    }


def test_techniques() -> None:
    """The ATT&CK column holds the tags."""
    for name, row in rows().items():
        tags = [tag for tag in rules()[name].resolved.tags if TECHNIQUE.fullmatch(tag)]
        assert row[2] == ", ".join(tags), name


def test_what_to_adapt() -> None:
    """Each list and macro of the last column exists and takes part in its rule."""
    for name, row in rows().items():
        resolved = rules()[name].resolved
        named = set(re.findall(r"`([^`]+)`", row[3]))
        assert named <= {*resolved.macros, *resolved.lists}, name


def test_off_is_off() -> None:
    """Rows say which macro switches a rule on, and the others are on."""
    for name, row in rows().items():
        switches = re.findall(r"off until `(\w+)` is replaced", row[1])
        assert switches == [macro for macro in OFF if macro in rules()[name].resolved.macros and name != HALF_OFF], name
