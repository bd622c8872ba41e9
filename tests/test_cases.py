"""The project's own cases in tests/cases, each through the slow evaluator and the compiled engine."""

from __future__ import annotations

from pathlib import Path

import pytest

from lanner.diagnostics.codes import Code
from lanner.diagnostics.render import render_text
from lanner.diagnostics.report import Report
from lanner.testing.cases import Case, read_case_files
from lanner.testing.runner import run_case

FOLDER = Path(__file__).parent / "cases"

# Codes that no rules text can give: a file that cannot be read, and what Falco has and Lanner has no use for.
NOT_FROM_RULES = {Code.ERR_FILE_READ, Code.ERR_EXTENSION, Code.WARNING_EXTENSION, Code.NO_EVTTYPE}


def _read() -> tuple[list[Case], Report]:
    report = Report()
    return read_case_files(sorted(FOLDER.rglob("*.yaml")), report), report


CASES, REPORT = _read()


def test_case_files_are_well_formed() -> None:
    """Every file in tests/cases follows the strict schema, and no two cases share a note."""
    assert not REPORT.diagnostics, render_text(REPORT.diagnostics)


@pytest.mark.parametrize("case", CASES, ids=[case.note for case in CASES])
def test_case(case: Case) -> None:
    """What the case wants is what comes, from every evaluator."""
    assert run_case(case).problems == ()


def test_every_code_of_loading_has_a_case() -> None:
    """Each diagnostic that rules text can give is wanted by some case, with the place it points at."""
    wanted = {
        diagnostic.code
        for case in CASES
        for diagnostic in case.want_diagnostics or ()
        if diagnostic.line is not None and diagnostic.column is not None
    }
    of_rules = {code for code in Code if not code.value.startswith(("CONFIG_", "CASE_"))}
    assert of_rules - NOT_FROM_RULES - wanted == set()
