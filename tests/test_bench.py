"""The measurements run, so that they cannot rot. No time is asserted."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

from bench.growth import Curve, Line, draw
from bench.measure import Group, Measurement, measure, table
from bench.rulesets import CONFIGMAP, Rules, contains, globs, in_list, path_prefixes, prefixes, regexes, words
from bench.scenarios import FALCO, ODDITIES, SHIPPED, generated, large_list, scan
from lanner.condition.ast import Compare, Expr, Operand, walk
from lanner.condition.printer import print_condition
from lanner.decode import decode
from lanner.engine.engine import Engine

ROOT = Path(__file__).parents[1]


def _run(*arguments: str) -> str:
    command = [sys.executable, "-m", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout


def test_quick_run_and_comparison(tmp_path: Path) -> None:
    """A quick run tells every time and its ratio to its baseline, and two runs can be compared."""
    output = tmp_path / "run.json"
    table = _run("bench.run", "--quick", "--output", str(output))
    document = json.loads(output.read_bytes())
    assert document["machine"]["python"]
    results = document["results"]
    assert all(result["best"] > 0 and result["name"] in table for result in results)
    by_name = {(result["group"], result["name"]): result for result in results}
    assert len(by_name) == len(results)
    for result in results:
        if result["baseline"] is not None:
            base = by_name[result["group"], result["baseline"]]
            assert result["best_ratio"] == pytest.approx(result["best"] / base["best"])
    groups = {result["group"] for result in results}
    for wanted in ("an event of", "many rules", "many words", "first events", "a response of", "odd", "lanner replay"):
        assert any(wanted in group for group in groups), wanted
    compared = _run("bench.compare", str(output), str(output))
    assert compared.count("+0.0%") == len(results)


def test_quick_run_of_the_service(tmp_path: Path) -> None:
    """Bodies are posted over one and over many connections, and the store holds exactly what was acknowledged."""
    output = tmp_path / "run.json"
    table = _run("bench.webhook", "--quick", "--output", str(output))
    results = json.loads(output.read_bytes())["results"]
    assert len(results) == 4
    assert all(result["committed"] and result["p99"] > 0 and result["name"] in table for result in results)


def test_quick_breakdown() -> None:
    """What an event's cost is made of is told step by step."""
    told = _run("bench.breakdown", "--quick")
    for step in ("msgspec decodes", "size and year", "choosing the function", "read bodies", "garbage"):
        assert step in told


def test_quick_growth(tmp_path: Path) -> None:
    """Growth is measured and drawn, and the same data gives the same picture."""
    picture, again, data = tmp_path / "growth.svg", tmp_path / "again.svg", tmp_path / "growth.json"
    _run("bench.growth", "--quick", "--output", str(picture), "--data", str(data))
    _run("bench.growth", "--draw", "--output", str(again), "--data", str(data))
    assert picture.read_bytes() == again.read_bytes()
    curves = json.loads(data.read_bytes())["curves"]
    assert all(len(line["points"]) > 1 for curve in curves for line in curve["lines"])


def test_picture_of_the_documentation_shows_its_data() -> None:
    """The names of all curves stand in docs/growth.svg, as text."""
    shown = "".join(ElementTree.parse(ROOT / "docs" / "growth.svg").getroot().itertext())
    for curve in json.loads((ROOT / "docs" / "growth.json").read_bytes())["curves"]:
        for text in (curve["of"], *(line["name"] for line in curve["lines"])):
            assert text in shown


def test_picture_has_a_text_for_every_curve(tmp_path: Path) -> None:
    """A drawn curve is named and its counts stand below it."""
    path = tmp_path / "one.svg"
    lines = [Line(name="<in one & many>", points=[(10, 2.0, 1.0), (1_000, 3.0, 1.5)])]
    draw([Curve(of="things", floor=1.0, lines=lines)], path)
    shown = "".join(ElementTree.parse(path).getroot().itertext())
    for text in ("<in one & many>", "things", "1,000", "floor"):
        assert text in shown


def test_ratios_are_taken_within_a_round() -> None:
    """A machine that turns slower from round to round changes times and not the ratio."""
    slow, base = iter((2.0, 4.0, 8.0)), iter((1.0, 2.0, 4.0))
    group = Group(
        "g",
        lambda: [
            Measurement("base", lambda: next(base), 2),
            Measurement("slow", lambda: next(slow), 2, "base", aim=1.5),
        ],
    )
    results = measure(group, 3)
    assert [result.ratio for result in results] == [None, 2.0]
    assert [result.median for result in results] == [1.0, 2.0]
    assert results[1].best == 1.0
    assert "1.5 MISSED" in table(results)


def test_slow_groups_run_less_often() -> None:
    """A group's own number of rounds is the most it runs."""
    runs: list[int] = []

    def scenario() -> float:
        runs.append(1)
        return 1.0

    group = Group("g", lambda: [Measurement("m", scenario)], rounds=2)
    assert measure(group, 5)[0].rounds == len(runs) == 2


def test_generated_events_are_events() -> None:
    """Without recorded events there are generated ones, the same every time."""
    events = generated(50)
    assert events == generated(50)
    assert all(len(decode(line).events) == 1 for line in events.lines)
    assert [len(decode(body).events) for body in events.bodies()] == [50]


def test_large_events_are_events() -> None:
    """A list response has about the size that was asked for, and msgspec can skip over it."""
    text = large_list(100_000)
    assert 100_000 < len(text) < 105_000
    assert decode(text).events[0].verb == "list"
    assert scan(text, 1)() >= 0


@pytest.mark.parametrize("name", ODDITIES)
def test_odd_events_are_events(name: str) -> None:
    """Whatever is odd about an event, it stays one, and is another than before."""
    for line in generated(20).lines:
        odd = ODDITIES[name](line)
        assert odd != line
        assert len(decode(odd).events) == 1


RULES = """
- list: users
  items: [eve]
- macro: get
  condition: ka.verb = get
- rule: it's "r"
  desc: d
  condition: get
  output: o
  priority: NOTICE
  source: k8s_audit
- rule: words
  desc: d
  condition: get and ka.uri contains "secret" and not ka.user.name in (users)
  output: o
  priority: NOTICE
  source: k8s_audit
  enabled: false
"""


def test_copies_of_rules_have_names_of_their_own() -> None:
    """Three times the rules, enabled or not as they were."""
    loaded = Rules("two", RULES).copies(3).load()
    assert [rule.name for rule in loaded.rules] == [
        'it\'s "r"',
        "words",
        *('it\'s "r" copy 1', "words copy 1", 'it\'s "r" copy 2', "words copy 2"),
    ]
    assert [rule.enabled for rule in loaded.rules] == [True, False] * 3


def test_copies_of_rules_have_constants_of_their_own() -> None:
    """Words are others, exceptions are more, verbs stay; a rule without words is narrowed to something."""
    copies = Rules("two", RULES).copies(3).load().rules[2:]
    narrow, other, *_ = (print_condition(rule.resolved.condition) for rule in copies)
    assert narrow.startswith("ka.verb = get and ")
    assert "ka.verb = get" in other
    assert "secret" not in other
    assert "(eve, " in other


@pytest.mark.parametrize("path", [SHIPPED, FALCO], ids=["shipped", "falco"])
def test_no_copy_says_what_another_says(path: Path) -> None:
    """Of ten copies of a real ruleset no two rules have the same condition, and all ask about the same requests."""
    if not path.exists():
        pytest.skip("the rules are not there")
    rules = Rules("real", path.read_text("utf-8"))
    base = len(rules.load().rules)
    conditions = [rule.resolved.condition for rule in rules.copies(10).load().rules]
    assert len(conditions) == 10 * base
    assert len({print_condition(condition) for condition in conditions[base:]}) == 9 * base
    for number, condition in enumerate(conditions):
        assert _verbs(condition) == _verbs(conditions[number % base])


def _verbs(condition: Expr) -> list[Operand]:
    checks = (check for check in walk(condition) if isinstance(check, Compare))
    return [check.right for check in checks if check.left.name == "ka.verb"]


NONE = Rules("none", "")


@pytest.mark.parametrize(
    ("rules", "uri"),
    [
        (in_list(NONE, "ka.uri", 20), words(20)[3]),
        (contains(NONE, "ka.uri", 20), f"/a/{words(20)[3]}/b"),
        (contains(NONE, "ka.uri", 20, spread=True, among="ka.verb = get"), f"/a/{words(20)[3]}/b"),
        (regexes(NONE, "ka.uri", 20), f"/a/{words(20, 'regex')[0]}/b"),
        (regexes(NONE, "ka.uri", 20, spread=True), f"/api/v1/pods?{words(20, 'regex')[2]}=7"),
        (globs(NONE, "ka.uri", 20, spread=True), f"/a/{words(20, 'glob')[0]}/b"),
        (prefixes(NONE, "ka.uri", 20), f"/api/v1/namespaces/{words(20, 'prefix')[0]}/pods"),
        (path_prefixes(NONE, "ka.uri", 20), f"/api/v1/namespaces/{words(20, 'path')[0]}/pods"),
    ],
    ids=lambda value: value.name if isinstance(value, Rules) else "",
)
def test_rules_with_many_constants_look_for_each(rules: Rules, uri: str) -> None:
    """They load, match a request that one of the constants is made for once, and no other."""
    engine = Engine(rules.load().ruleset)
    event = json.loads(generated(1).lines[0]) | {"verb": "get"}
    assert engine.process(event) == []
    assert len(engine.process(event | {"requestURI": uri})) == 1


def test_words_are_looked_for_in_config_maps_where_the_rules_do() -> None:
    """The condition that is asked first names macros that both rulesets have."""
    rules = Rules("shipped", SHIPPED.read_text("utf-8"))
    assert contains(rules, "ka.req.configmap.obj", 5, among=CONFIGMAP).load().ok
