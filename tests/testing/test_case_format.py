"""The format of test cases: what the reader takes, what it refuses, and what the runner finds."""

from __future__ import annotations

from pathlib import Path

import pytest

from lanner.diagnostics.codes import Code
from lanner.diagnostics.report import Report
from lanner.diagnostics.source import SourceFile
from lanner.testing.cases import Case, read_case_files, read_cases
from lanner.testing.runner import run_case

RULES = """\
- note: a note
  rules: |
    - rule: r
      desc: d
      condition: ka.verb = get
      output: by %ka.user.name
      priority: NOTICE
      source: k8s_audit
      tags: [b, a]
"""
EVENTS = """\
  events:
    - {verb: get, user: {username: eve}}
    - {verb: list}
"""


def read(text: str) -> tuple[list[Case], list[tuple[int, int, str]]]:
    """The cases of a text, and line, column and message of every problem."""
    report = Report()
    cases = read_cases(SourceFile("cases.yaml", text), report)
    problems = []
    for diagnostic in report.diagnostics:
        assert diagnostic.span is not None
        place = diagnostic.span.location
        problems.append((place.line, place.column, diagnostic.message))
    return cases, problems


def problems_of(text: str) -> tuple[str, ...]:
    """What does not hold in the one case of a text, which must be well-formed."""
    [case], problems = read(text)
    assert problems == []
    return run_case(case).problems


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("note: x\n", (1, 1, "a file of test cases is a list of cases")),
        ("- just text\n", (1, 3, "a case is a mapping")),
        (RULES + "  want: []\n", (10, 9, "the case wants alerts and has no events")),
        (RULES + EVENTS, (1, 3, "the case wants nothing")),
        (RULES + EVENTS + "  wants: []\n  want: []\n", (13, 3, "`wants` is not a key of a case")),
        (RULES + EVENTS + "  want: []\n  want: []\n", (14, 3, "`want` is given twice")),
        (RULES + EVENTS + "  want: {rule: r}\n", (13, 9, "`want` is not a list")),
        (
            RULES + EVENTS + "  want:\n    - {rule: r, colour: red}\n",
            (14, 17, "`colour` is not a key of a wanted alert"),
        ),
        (RULES + EVENTS + "  want:\n    - {event: 0}\n", (14, 7, "a wanted alert needs `rule`")),
        (RULES + EVENTS + "  want:\n    - {rule: r, event: -1}\n", (14, 24, "`event` is neither a position nor")),
        (RULES + EVENTS + "  want:\n    - {rule: r, priority: high}\n", (14, 27, "`high` is not a priority")),
        (RULES + EVENTS + "  want:\n    - {rule: r, output_fields: x}\n", (14, 32, "`output_fields` is not a mapping")),
        (RULES + "  want_diagnostics:\n    - {code: LOAD_ERR}\n", (11, 14, "there is no diagnostic code `LOAD_ERR`")),
        (RULES + "  want_diagnostics:\n    - {line: 1}\n", (11, 7, "a wanted diagnostic needs `code`")),
        (RULES + EVENTS + "  want: []\n  want_malformed: some\n", (14, 19, "`want_malformed` is not a number")),
        (RULES + EVENTS + "  want: []\n  config: first\n", (14, 11, "`config` is not a mapping")),
        (RULES + "  events: missing.json\n  want: []\n", (10, 11, "cannot read the file `missing.json`")),
        (RULES + "  events: [[]]\n  want: []\n", (10, 12, "an event is a mapping, JSON text, or")),
        ("- note: n\n  want_diagnostics: []\n", (1, 3, "a case needs `rules`")),
        ("- note: n\n  rules: missing.yaml\n  want_diagnostics: []\n", (2, 10, "cannot read the file `missing.yaml`")),
    ],
)
def test_malformed_cases_are_refused_at_their_place(text: str, problem: tuple[int, int, str]) -> None:
    """Every mistake is told with its line and column, and the case is left out."""
    cases, problems = read(text)
    assert cases == []
    assert len(problems) == 1
    line, column, message = problems[0]
    assert (line, column) == problem[:2]
    assert message.startswith(problem[2])


def test_all_mistakes_of_a_file_are_told() -> None:
    """One mistake does not hide the next, and the good cases are read."""
    good = RULES + EVENTS + "  want: []\n"
    cases, problems = read(f"- note: 1\n  what: 2\n- 3\n{good}")
    assert len(cases) == 1
    assert [problem[0] for problem in problems] == [2, 1, 1, 3]


def test_notes_are_unique_among_files(tmp_path: Path) -> None:
    """The second case of a note is refused, wherever the first one is."""
    for name in ("a.yaml", "b.yaml"):
        (tmp_path / name).write_text(RULES + EVENTS + "  want: []\n", "utf-8")
    report = Report()
    read_case_files([tmp_path / "a.yaml", tmp_path / "b.yaml", tmp_path / "c.yaml"], report)
    assert [diagnostic.code for diagnostic in report.diagnostics] == [Code.ERR_FILE_READ, Code.CASE_ERROR]
    assert "a.yaml:1" in report.diagnostics[1].help


def test_rules_and_events_come_from_files_too(tmp_path: Path) -> None:
    """File names are relative to the file of the cases; events may stand on several lines or one on each."""
    event = '{"kind":"Event","apiVersion":"audit.k8s.io/v1","auditID":"x","verb":"get","stage":"ResponseComplete",\n'
    event += '"stageTimestamp":"2024-01-01T00:00:00Z"}\n'
    (tmp_path / "one.json").write_text(event, "utf-8")
    (tmp_path / "many.jsonl").write_text((event.replace("\n", "") + "\n") * 2, "utf-8")
    rule = "- {rule: r, desc: d, condition: ka.verb = get, output: o, priority: NOTICE, source: k8s_audit}\n"
    (tmp_path / "r.yaml").write_text(rule, "utf-8")
    path = tmp_path / "cases.yaml"
    path.write_text(
        "- note: n\n  rules: [r.yaml]\n  events: [one.json, many.jsonl]\n"
        "  want: [{rule: r, event: x}, {rule: r, event: 1}, {rule: r, event: 2}]\n",
        "utf-8",
    )
    report = Report()
    [case] = read_case_files([path], report)
    assert not report.diagnostics
    assert run_case(case).problems == ()


def test_inline_events_keep_the_spelling_of_values() -> None:
    """Numbers stay as written, words other than JSON's are strings, and equal keys stay."""
    [case], _ = read(
        RULES + "  events: {n: 1e3, m: 0404, yes: yes, d: 2024-03-05, z: ~, q: '1', k: 1, k: 2}\n  want: []\n"
    )
    text = case.events[0].text.decode()
    assert text.endswith('"n":1e3,"m":"0404","yes":"yes","d":"2024-03-05","z":null,"q":"1","k":1,"k":2}')
    assert '"auditID":"event-0"' in text


def test_a_case_that_holds_has_no_problems() -> None:
    """Every key of a wanted alert is compared, and equal."""
    want = (
        "  want:\n    - rule: r\n      event: 0\n      priority: notice\n      message: by eve\n      tags: [a, b]\n"
        "      output_fields: {ka.user.name: eve}\n"
    )
    assert problems_of(RULES + EVENTS + want) == ()
    assert problems_of(RULES + EVENTS + want.replace("event: 0", "event: event-0")) == ()
    assert problems_of(RULES + "  want_diagnostics: []\n") == ()


@pytest.mark.parametrize(
    ("want", "problem"),
    [
        ("want: []", "alert not wanted: `r` on event 0: by eve"),
        ("want: [{rule: r}, {rule: r}]", "no alert of the rule `r` came"),
        ("want: [{rule: s}]", "alert 0: wanted the rule 's', got 'r'"),
        ("want: [{rule: r, event: 1}]", "alert 0: wanted event 1, got 0"),
        ("want: [{rule: r, event: x}]", "alert 0: wanted the event `x`, got `event-0`"),
        ("want: [{rule: r, priority: error}]", "alert 0: wanted the priority 'Error', got 'Notice'"),
        ("want: [{rule: r, message: by}]", "alert 0: wanted the message 'by', got 'by eve'"),
        ("want: [{rule: r, output: by eve}]", "alert 0: wanted the output 'by eve', got '"),
        ("want: [{rule: r, tags: [a]}]", "alert 0: wanted the tags ('a',), got ('a', 'b')"),
        ("want: [{rule: r, output_fields: {x: 1}}]", "alert 0: wanted the output field `x`, which"),
        (
            "want: [{rule: r, output_fields: {ka.user.name: bob}}]",
            "alert 0: wanted the output field `ka.user.name` 'bob'",
        ),
        ("want_diagnostics: [{code: LOAD_UNKNOWN_KEY}]", "no diagnostic LOAD_UNKNOWN_KEY came"),
        ("want: [{rule: r}]\n  want_malformed: 1", "wanted 1 malformed pieces in the events, got 0"),
    ],
)
def test_what_does_not_hold_is_told(want: str, problem: str) -> None:
    """Each wrong expectation is one problem that names what came."""
    found = problems_of(RULES + EVENTS + f"  {want}\n")
    assert len(found) == 1
    assert found[0].startswith(problem)


@pytest.mark.parametrize(
    ("want", "problem"),
    [
        ("want: []", "the rules do not load: LOAD_ERR_VALIDATE at rules:3:14: "),
        ("want_diagnostics: []", "diagnostic not wanted: LOAD_ERR_VALIDATE at rules:3:14: "),
        ("want_diagnostics: [{code: LOAD_ERR_YAML_PARSE}]", "diagnostic 0: wanted code LOAD_ERR_YAML_PARSE ("),
        ("want_diagnostics: [{code: LOAD_ERR_VALIDATE, line: 4}]", "diagnostic 0: wanted line 4 ("),
        ("want_diagnostics: [{code: LOAD_ERR_VALIDATE, column: 4}]", "diagnostic 0: wanted column 4 ("),
        ("want_diagnostics: [{code: LOAD_ERR_VALIDATE, file: x}]", "diagnostic 0: wanted file x ("),
        ("want_diagnostics: [{code: LOAD_ERR_VALIDATE, message_contains: zzz}]", "diagnostic 0: wanted a message with"),
        ("want_diagnostics: [{code: LOAD_ERR_VALIDATE, help_contains: zzz}]", "diagnostic 0: wanted a help with `zzz`"),
    ],
)
def test_diagnostics_are_compared(want: str, problem: str) -> None:
    """Code, place and words of a diagnostic are compared; without `want_diagnostics` no error may come."""
    found = problems_of(RULES.replace("ka.verb = get", "unknown") + EVENTS + f"  {want}\n")
    assert len(found) == 1
    assert found[0].startswith(problem)


def test_evaluators_that_disagree_are_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """If the reference evaluator says something else than the compiled rules, no case with such an event holds."""
    monkeypatch.setattr("lanner.testing.answers.holds", lambda predicate, event: True)
    found = problems_of(RULES + EVENTS + "  want: [{rule: r}]\n")
    assert found == (
        "event 1: the evaluators do not agree: evaluated: `r`, compiled: nothing, compiled without dispatch: nothing",
    )


def test_the_cases_of_the_documentation_hold() -> None:
    """The examples on the page that describes the format are well-formed, and what they want comes."""
    page = (Path(__file__).parents[2] / "docs" / "testing-rules.md").read_text("utf-8")
    blocks = [block.partition("```")[0] for block in page.split("```yaml\n")[1:]]
    assert len(blocks) == 2
    for block in blocks:
        assert problems_of(block) == ()
