"""What a real Falco said of the recorded events, held against Lanner. Reads ../shared where it is there."""

from __future__ import annotations

import io
import json
import os
import time
from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import zstandard

from lanner.alert import Alert
from lanner.config import Config
from lanner.decode import decode
from lanner.diagnostics.codes import Code
from lanner.engine.engine import Engine
from lanner.engine.loader import LoadResult, load_rules
from lanner.event import MISSING
from lanner.fields.k8s_catalog import k8s_audit_catalog
from tests.falco_differences import MESSAGES, is_fixed

DATA = Path(__file__).parents[2] / "shared" / "data"
RULESET = DATA / "falco" / "k8s_audit_rules.yaml"
EXAMPLE = DATA / "example"

pytestmark = pytest.mark.skipif(not RULESET.exists(), reason="no recorded events beside the project")


def lines(name: str) -> Iterator[bytes]:
    """The lines of a compressed file of ../shared/data."""
    with (DATA / name).open("rb") as file, zstandard.ZstdDecompressor().stream_reader(file) as reader:
        yield from io.BufferedReader(reader)


@cache
def ruleset() -> LoadResult:
    return load_rules([RULESET])


def alerts_of(events: Iterator[bytes]) -> Iterator[Alert]:
    engine = Engine(ruleset().ruleset)
    for event in events:
        yield from engine.process(event)


def key(alert: Alert) -> tuple[object, object, str]:
    return alert.event.audit_id, alert.event.stage, alert.rule


def test_the_default_ruleset_of_falco_loads() -> None:
    """Falco's own rules load without an error, all 48 of them."""
    assert [diagnostic for diagnostic in ruleset().diagnostics if diagnostic.is_error] == []
    assert len(ruleset().rules) == 48


def test_the_alerts_on_the_corpus_are_those_of_falco() -> None:
    """The same alerts with the same texts and fields, none more and none less."""
    recorded: dict[tuple[object, object, str], dict[str, Any]] = {}
    for line in lines("corpus-alerts.jsonl.zst"):
        alert = json.loads(line)
        recorded[alert["auditID"], alert["stage"], alert["rule"]] = alert
    assert len(recorded) == 3855
    counted: Counter[tuple[object, object, str]] = Counter()
    different: list[tuple[str, str]] = []
    departed: set[str] = set()
    for alert in alerts_of(lines("corpus.jsonl.zst")):
        counted[key(alert)] += 1
        falco = recorded.get(key(alert))
        if falco is None:
            continue
        fields = {name: value for name, value in alert.output_fields.items() if name != "evt.time"}
        same = (alert.message, fields, alert.priority.label) == (
            falco["message"],
            falco["output_fields"],
            falco["priority"],
        )
        if not same and alert.rule in MESSAGES:
            departed.add(alert.rule)
        elif not same:
            different.append((alert.message, falco["message"]))
    assert set(counted) - set(recorded) == set()
    assert set(recorded) - set(counted) == set()
    assert max(counted.values()) == 1
    assert different == []
    assert departed == set(MESSAGES)


def test_field_values_are_those_of_falco() -> None:
    """Every value of every field equals the recorded one, but for the documented fixes, each of which shows."""
    recorded = lines("fields-values.jsonl.zst")
    names: list[str] = json.loads(next(recorded))["fields"]
    catalog = k8s_audit_catalog()
    fields = [(name, catalog.bind(*_split(name))) for name in names]
    different: Counter[str] = Counter()
    events = 0
    for line, expected in zip(lines("fields-events.jsonl.zst"), recorded, strict=True):
        values = json.loads(expected)["values"]
        [event] = decode(line).events
        for name, field in fields:
            value = field.value(event)
            if (None if value is MISSING else value) != values.get(name):
                different[name] += 1
        events += 1
    assert events == 4999
    assert {name: count for name, count in different.items() if not is_fixed(name)} == {}


def _split(name: str) -> tuple[str, str | None]:
    plain, bracket, argument = name.partition("[")
    return plain, argument.removesuffix("]") if bracket else None


def _scenarios() -> list[dict[str, Any]]:
    path = DATA / "scenarios.json"
    scenarios: list[dict[str, Any]] = json.loads(path.read_bytes()) if path.exists() else []
    return scenarios


@pytest.mark.parametrize("scenario", _scenarios(), ids=lambda scenario: scenario["name"])
def test_scenarios_raise_the_rules_that_falco_raises(scenario: dict[str, Any]) -> None:
    """Under Falco's ruleset a recorded activity raises exactly the rules that the real Falco raised."""
    with (DATA / scenario["file"]).open("rb") as file:
        raised = {alert.rule for alert in alerts_of(iter(file))}
    assert raised == set(scenario["falco_default_rules"])


@pytest.fixture
def _zone(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", request.param)
    monkeypatch.setenv("FALCO_HOSTNAME", "host")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def _example_alert(config: Config) -> Alert:
    engine = Engine(load_rules([EXAMPLE / "rules.yaml"], config).ruleset, config)
    [alert] = engine.process((EXAMPLE / "event.json").read_bytes())
    return alert


@pytest.mark.parametrize("_zone", ["America/Los_Angeles"], indirect=True)
@pytest.mark.usefixtures("_zone")
def test_the_example_alert_as_text() -> None:
    """Byte for byte the recorded line, with the offset of the event's own date."""
    text = _example_alert(Config.load(os.devnull)).to_text()
    assert text.rstrip("\n") + "\n" == (EXAMPLE / "alert.txt").read_text("utf-8")


@pytest.mark.parametrize("_zone", ["UTC"], indirect=True)
@pytest.mark.usefixtures("_zone")
def test_the_example_alert_as_json() -> None:
    """Byte for byte the recorded document."""
    document = _example_alert(Config.load(os.devnull, ["json_output=true"])).to_json()
    assert document.rstrip(b"\n") + b"\n" == (EXAMPLE / "alert.json").read_bytes()


def test_the_misspelt_macro_of_the_example() -> None:
    """The error points at the word, not at the end of the line, and names the macro that was meant."""
    path = EXAMPLE / "rules-undefined-macro.yaml"
    [diagnostic] = [found for found in load_rules([path]).diagnostics if found.is_error]
    assert diagnostic.code is Code.ERR_VALIDATE
    assert diagnostic.span is not None
    place = diagnostic.span.location
    line = path.read_text("utf-8").splitlines()[place.line - 1]
    assert line[place.column - 1 :].startswith("modify and")
    assert diagnostic.span.end - diagnostic.span.start == len("modify")
    assert "`kmodify`" in diagnostic.help
