"""The conformance cases kept beside the project, where they are there."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from lanner.testing.conformance import CHECKS, DEPARTED_QUIRKS, environment, main, read_cases, run_folder, wanted

ROOT = Path(__file__).parents[1]
FOLDER = ROOT.parent / "shared" / "data" / "conformance"


@pytest.fixture(autouse=True)
def _environment() -> Iterator[None]:
    with environment():
        yield


@pytest.mark.skipif(not FOLDER.exists(), reason="no conformance cases beside the project")
@pytest.mark.parametrize("kind", CHECKS)
def test_every_case_holds(kind: str) -> None:
    """All cases of the file hold, by the sane expectation where one is given."""
    [file] = run_folder(FOLDER, kind)
    assert file.outcomes
    assert {outcome.id: outcome.problems for outcome in file.failing} == {}


def test_departed_quirks_are_documented() -> None:
    """A quirk that is departed from stands by its name in docs/differences.md."""
    text = (ROOT / "docs" / "differences.md").read_text("utf-8")
    assert [name for name in DEPARTED_QUIRKS if name not in text] == []


def test_sane_expectations_replace_the_others() -> None:
    """`sane_KEY` takes the place of KEY, and `sane` of several keys or of the main one."""
    assert wanted({"match": True, "sane_match": False}, "match") == {"match": False}
    assert wanted({"rendered": "a", "sane": {"rendered": "b"}}, "rendered") == {"rendered": "b"}
    assert wanted({"rendered": "a", "sane": "c"}, "rendered") == {"rendered": "c"}


EVENT = (
    '{"kind":"Event","apiVersion":"audit.k8s.io/v1","auditID":"%s","stage":"ResponseComplete","verb":"get",'
    '"user":{"username":"eve"},"stageTimestamp":"2024-03-05T11:00:00.000000001Z"}'
)
RULE = "- {rule: r, desc: d, condition: ka.verb = get, output: o, priority: NOTICE, source: k8s_audit}"

GOOD: dict[str, list[dict[str, Any]]] = {
    "condition_syntax": [
        {"id": "s1", "condition": "a and b or c", "valid": True, "ast_hint": "(or (and $a $b) $c)"},
        {"id": "s2", "condition": "a and", "valid": False, "error_contains": "anything"},
    ],
    "condition_eval": [{"id": "e1", "condition": "ka.verb = get", "event": "one", "match": True}],
    "rules_load": [
        {
            "id": "l1",
            "files": [RULE],
            "outcome": {
                "errors": [],
                "warnings": [],
                "rules": ["r"],
                "enabled": ["r"],
                "conditions": {"r": '(= ka.verb "get")'},
                "outputs": {"r": "o"},
                "info": {"r": {"priority": "Notice", "tags": [], "description": "d", "output": "o"}},
                "fires": {"r": ["one", "two"]},
            },
        },
        {
            "id": "l2",
            "files": [RULE, "- {rule: x}", "not read: at all"],
            "outcome": {"errors": ["LOAD_ERR_YAML_VALIDATE: idea"], "warnings": [], "rules": []},
        },
        {
            "id": "l4",
            "files": ["- odd: 1\n- rule: 5\n  desc: d\n- rule: 6\n  append: true\n"],
            "outcome": {"errors": ["LOAD_ERR_YAML_VALIDATE: idea"], "warnings": ["LOAD_UNKNOWN_ITEM"]},
        },
        {
            "id": "l3",
            "files": ["- required_plugin_versions: [{name: k8saudit, version: 99.0.0}]"],
            "outcome": {"errors": ["PLUGIN_REQUIREMENT"], "rules": []},
        },
    ],
    "field_values": [
        {"id": "v1", "field": "ka.user.name", "event": "two", "value": "eve"},
        {"id": "v2", "field": "ka.target.name", "event": "two", "value": None},
        {"id": "v3", "field": "evt.rawtime", "event": "two", "value": "1709636400000000001"},
        {"id": "v4", "field": "evt.num", "event": "two", "value": "1"},
        {"id": "v5", "field": "evt.reltime", "event": "two", "value": "000000000"},
    ],
    "output_format": [
        {
            "id": "o1",
            "output": "by %ka.user.name",
            "event": "one",
            "rule": "named",
            "tags": ["b", "a"],
            "priority": "error",
            "config": {"json_include_output_property": False},
            "rendered": "by eve",
            "json_fields": {"ka.user.name": "eve"},
            "json_top": {
                "rule": "named",
                "tags": ["a", "b"],
                "priority": "Error",
                "output": "ABSENT",
                "hostname": "conf-host",
            },
            "text_line": "2024-03-05T11:00:00.000000001+0000: Error by eve\n",
        }
    ],
    "event_input": [
        {
            "id": "i1",
            "lines": [EVENT % "@PAD70000@", "junk"],
            "events": ["x" * 70000],
            "rawtimes": [1709636400000000001],
        }
    ],
}
"""One case and more of each kind, with every key there is, that hold."""

BAD_ALERTS: list[dict[str, Any]] = [
    {"rendered": "by bob"},
    {"json_fields": {}},
    {"json_top": {"output": "ABSENT"}},
    {"json_top": {"priority": "Error"}},
    {"text_line": "by eve"},
]
BAD: dict[str, list[dict[str, Any]]] = {
    "condition_syntax": [
        {"id": "s1", "condition": "a and b", "valid": True, "ast_hint": "(or $a $b)"},
        {"id": "s2", "condition": "a", "valid": False},
        {"id": "s3", "condition": "a and", "valid": True},
    ],
    "condition_eval": [
        {"id": "e1", "condition": "ka.verb = get", "event": "one", "match": False},
        {"id": "e2", "condition": "nonsense", "event": "one", "match": False},
        {"id": "e3", "condition": "ka.verb = get", "event": "no such event", "match": False},
    ],
    "rules_load": [
        {"id": f"l{number}", "files": [RULE], "outcome": outcome}
        for number, outcome in enumerate(
            (
                {"errors": ["LOAD_ERR_VALIDATE: idea"]},
                {"warnings": ["LOAD_UNKNOWN_KEY"]},
                {"rules": []},
                {"enabled": []},
                {"conditions": {"r": '(= ka.verb "list")'}},
                {"outputs": {"r": "x"}},
                {"info": {"r": {"priority": "Error"}}},
                {"fires": {"r": ["two"]}},
                {"fires": {"s": ["two"]}},
            )
        )
    ]
    + [
        {
            "id": "w0",
            "files": ["- odd: 1\n- rule: 5\n"],
            "outcome": {"errors": ["LOAD_ERR_YAML_VALIDATE"], "warnings": []},
        },
        {"id": "w1", "files": [RULE], "outcome": {"errors": [], "warnings": ["LOAD_UNKNOWN_ITEM"]}},
    ],
    "field_values": [{"id": "v1", "field": "ka.user.name", "event": "two", "value": None}],
    "output_format": [
        {"id": f"o{number}", "output": "by %ka.user.name", "event": "one", **want}
        for number, want in enumerate(BAD_ALERTS)
    ],
    "event_input": [
        {"id": "i1", "lines": [EVENT % "a"], "events": []},
        {"id": "i2", "lines": [EVENT % "a"], "events": ["a"], "rawtimes": [0]},
    ],
}
"""Cases of each kind of which none holds."""


def _write(folder: Path, files: dict[str, list[dict[str, Any]]]) -> None:
    (folder / "events").mkdir()
    for name in ("one", "two"):
        (folder / "events" / f"{name}.json").write_text((EVENT % name).replace(",", ",\n"), "utf-8")
    (folder / "events" / "ORDER.txt").write_text("one\ntwo\n", "utf-8")
    for kind, cases in files.items():
        (folder / f"{kind}.yaml").write_text(yaml.safe_dump(cases), "utf-8")


def test_runner_knows_every_key(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Cases that hold are counted, and the exit status is 0."""
    _write(tmp_path, GOOD)
    assert main([str(tmp_path), "--verbose"]) == 0, capsys.readouterr().out
    lines = capsys.readouterr().out.splitlines()
    assert lines == [f"{kind}: {len(cases)} of {len(cases)} hold" for kind, cases in GOOD.items()]


def test_runner_names_the_cases_that_fail(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Every wrong expectation is found out, by its id, and the exit status is 1."""
    _write(tmp_path, BAD)
    assert main([str(tmp_path)]) == 1
    lines = capsys.readouterr().out.splitlines()
    expected = []
    for kind, cases in BAD.items():
        expected += [f"{kind}: 0 of {len(cases)} hold", "  " + " ".join(str(case["id"]) for case in cases)]
    assert lines == expected


def test_runner_takes_one_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`--file` leaves the others out; a folder without any file is a usage error."""
    _write(tmp_path, {"field_values": GOOD["field_values"], "condition_eval": BAD["condition_eval"]})
    assert main([str(tmp_path), "--file", "field_values.yaml"]) == 0
    assert capsys.readouterr().out == "field_values: 5 of 5 hold\n"
    assert main([str(tmp_path), "--file", "rules_load"]) == 2


def test_case_files_are_read_within_the_limits_of_yamltext(tmp_path: Path) -> None:
    """PyYAML itself ends the process on 30,000 brackets."""
    path = tmp_path / "field_values.yaml"
    for text, message in (("[" * 30_000, "nested deeper than"), ("- {id: a", "did not find expected"), ("a", "list")):
        path.write_text(text)
        with pytest.raises(ValueError, match=message):
            read_cases(path)
