"""The syntax cases kept beside the project, where they are there."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from lanner.condition.parser import ConditionError, parse
from lanner.condition.printer import normal_form, print_condition
from lanner.diagnostics.source import Text

CASES = Path(__file__).parents[3] / "shared" / "data" / "conformance" / "condition_syntax.yaml"


@pytest.mark.skipif(not CASES.exists(), reason="no syntax cases beside the project")
def test_every_syntax_case_holds() -> None:
    """Each condition is valid or not as the case says, has the tree it gives, and prints to that tree again."""
    failing = {}
    cases = yaml.safe_load(CASES.read_text("utf-8"))
    assert cases
    for case in cases:
        wanted = case.get("ast_hint") if case.get("sane_valid", case["valid"]) else None
        try:
            tree = parse(Text.plain(case["condition"]))
        except ConditionError:
            found = again = None
        else:
            found = normal_form(tree)
            again = normal_form(parse(Text.plain(print_condition(tree))))
        if (found, again) != (wanted, wanted):
            failing[case["id"]] = (found, wanted)
    assert failing == {}
