"""Alerts as text and as JSON."""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml

from lanner.alert import Alert, AlertFormat
from lanner.config import Config
from lanner.decode import decode
from lanner.diagnostics.report import Report
from lanner.diagnostics.source import Text
from lanner.engine.field_limit import FieldLimit
from lanner.engine.output_format import append_to_output, compile_output
from lanner.event import AuditEvent
from lanner.fields.k8s_catalog import k8s_audit_catalog
from lanner.priority import Priority

SHARED = Path(__file__).resolve().parent.parent.parent / "shared" / "data"

EVENT = {
    "kind": "Event",
    "auditID": "a-1",
    "verb": "create",
    "user": {"username": "dana\n\x1b[31m\x7fÜ\u2028"},
    "stageTimestamp": "2024-07-05T10:20:30.000456Z",
}


@pytest.fixture
def zone() -> Iterator[Any]:
    """Sets the time zone of the process, and puts the old one back."""
    before = os.environ.get("TZ")

    def set_zone(name: str) -> None:
        os.environ["TZ"] = name
        time.tzset()

    set_zone("UTC")
    yield set_zone
    if before is None:
        del os.environ["TZ"]
    else:
        os.environ["TZ"] = before
    time.tzset()


def decoded(text: str | bytes) -> AuditEvent:
    (event,) = decode(text if isinstance(text, bytes) else text.encode()).events
    return event


def make_alert(
    config: Config,
    event: AuditEvent,
    output: str = "by %ka.user.name",
    name: str = "a rule",
    priority: str = "WARNING",
    tags: tuple[str, ...] = (),
) -> Alert:
    report = Report()
    catalog = k8s_audit_catalog(config.static_fields, config.hostname)
    template, extra = append_to_output(Text.plain(output), name, "k8s_audit", tags, config.append_output)
    compiled = compile_output(template, catalog, report, FieldLimit(16384), extra_fields=extra)
    assert compiled is not None, report.diagnostics
    rule = SimpleNamespace(
        name=name, priority=Priority.parse(priority), source="k8s_audit", tags=tuple(sorted(tags)), output=compiled
    )
    return Alert(rule, event, AlertFormat.of(config))


def configured(*options: str) -> Config:
    config = Config.load(os.devnull, options, {"FALCO_HOSTNAME": "host"})
    assert not config.diagnostics
    return config


def test_json_has_falcos_keys_in_order(zone: Any) -> None:
    """A JSON alert has Falco's keys in alphabetical order, letters as they are, the missing as null."""
    alert = make_alert(configured(), decoded(json.dumps(EVENT)), "by %ka.user.name on %ka.target.name", tags=("z", "a"))
    assert alert.to_json().decode() == (
        '{"hostname":"host","output":"10:20:30.000456000: Warning by dana\\n\\u001b[31m\\u007fÜ\\u2028 on <NA>",'
        '"output_fields":{"evt.time":1720174830000456000,"ka.target.name":null,'
        '"ka.user.name":"dana\\n\\u001b[31m\\u007fÜ\\u2028"},'
        '"priority":"Warning","rule":"a rule","source":"k8s_audit","tags":["a","z"],'
        '"time":"2024-07-05T10:20:30.000456000Z"}'
    )


def test_text_is_one_line_without_control_characters(zone: Any) -> None:
    """Values cannot break the line of a text alert or send commands to a terminal."""
    alert = make_alert(configured(), decoded(json.dumps(EVENT)))
    assert alert.to_text() == "10:20:30.000456000: Warning by dana\\n\\u001b[31m\\u007fÜ\\u2028"
    assert "\n" in alert.output


@pytest.mark.parametrize(
    ("name", "prefix"),
    [("UTC", "10:20:30.000456000"), ("Europe/Berlin", "12:20:30.000456000"), ("Asia/Kolkata", "15:50:30.000456000")],
)
def test_time_is_local(zone: Any, name: str, prefix: str) -> None:
    """The time in front of an alert is that of the local zone on the day of the event; JSON times are UTC."""
    zone(name)
    alert = make_alert(configured(), decoded(json.dumps(EVENT)))
    assert alert.output.startswith(f"{prefix}: Warning by dana")
    assert alert.to_dict()["time"] == "2024-07-05T10:20:30.000456000Z"


def test_iso_time(zone: Any) -> None:
    """With time_format_iso_8601 the time in front is ISO 8601 in UTC, and evt.time.iso8601 the field."""
    zone("Europe/Berlin")
    alert = make_alert(configured("time_format_iso_8601=true"), decoded(json.dumps(EVENT)), "done")
    assert alert.output == "2024-07-05T10:20:30.000456000+0000: Warning done"
    assert alert.output_fields == {"evt.time.iso8601": 1720174830000456000}


@pytest.mark.parametrize("iso", [False, True])
@pytest.mark.parametrize(
    "output", ["done", "%ka.verb %ka.auditid", "%ka.verb %evt.hostname %evt.source", "%evt.time %evt.time.iso8601"]
)
def test_fields_stand_in_the_order_of_their_names(output: str, iso: bool) -> None:
    """The time, which alerts add, has its place among the fields of the output, as value and in JSON."""
    alert = make_alert(configured(f"time_format_iso_8601={json.dumps(iso)}"), decoded(json.dumps(EVENT)), output)
    assert list(alert.output_fields) == sorted(alert.output_fields)
    assert ("evt.time.iso8601" if iso else "evt.time") in alert.output_fields
    assert list(json.loads(alert.to_json())["output_fields"].items()) == list(alert.output_fields.items())


@pytest.mark.parametrize(
    ("option", "key", "there"),
    [
        ("json_include_output_property=false", "output", False),
        ("json_include_output_fields_property=false", "output_fields", False),
        ("json_include_tags_property=false", "tags", False),
        ("json_include_message_property=true", "message", True),
        ("json_include_message_property=false", "message", False),
    ],
)
def test_keys_can_be_left_out(option: str, key: str, there: bool) -> None:
    """The json_include settings say which keys a JSON alert has."""
    document = json.loads(make_alert(configured(option), decoded(json.dumps(EVENT)), "done").to_json())
    assert (key in document) is there
    if there:
        assert document[key] == "done"


@pytest.mark.parametrize(("priority", "label"), [("INFO", "Informational"), ("error", "Error"), ("debug", "Debug")])
def test_priority_is_capitalised(priority: str, label: str) -> None:
    """Alerts carry the full priority word, capitalised."""
    assert make_alert(configured(), decoded(json.dumps(EVENT)), priority=priority).to_dict()["priority"] == label


def test_line_follows_json_output(zone: Any) -> None:
    """json_output decides whether a line is JSON or text."""
    event = decoded(json.dumps(EVENT))
    assert make_alert(configured(), event, "x").to_line() == "10:20:30.000456000: Warning x"
    assert json.loads(make_alert(configured("json_output=true"), event, "x").to_line())["rule"] == "a rule"


def test_rendered_once() -> None:
    """Output and fields are rendered when first asked for, and kept."""
    calls: list[str] = []

    class Output:
        def rendered(self, event: AuditEvent) -> tuple[str, dict[str, Any]]:
            calls.append("rendered")
            return "x", {}

    rule = SimpleNamespace(name="r", priority=Priority.DEBUG, source="k8s_audit", tags=(), output=Output())
    alert = Alert(rule, decoded(json.dumps(EVENT)), AlertFormat("host"))
    assert calls == []
    assert alert.to_json() == alert.to_json()
    assert calls == ["rendered"]


def test_shared_example(zone: Any) -> None:
    """The classic ConfigMap example comes out byte for byte, as text and as JSON."""
    example = SHARED / "example"
    if not example.exists():
        pytest.skip("no shared data")
    rule = yaml.safe_load((example / "rules.yaml").read_text())[-1]
    event = decoded((example / "event.json").read_bytes())
    arguments = (rule["output"], rule["rule"], rule["priority"], tuple(rule["tags"]))
    zone("America/Los_Angeles")
    assert make_alert(configured(), event, *arguments).to_text() + "\n" == (example / "alert.txt").read_text()
    zone("UTC")
    assert make_alert(configured(), event, *arguments).to_json() + b"\n" == (example / "alert.json").read_bytes()


def _cases() -> list[Any]:
    path = SHARED / "conformance" / "output_format.yaml"
    cases = yaml.safe_load(path.read_text()) if path.exists() else []
    return [pytest.param(case, id=re.sub(r"\W+", "-", case["output"])) for case in cases]


@pytest.mark.parametrize("case", _cases())
def test_shared_outputs(case: dict[str, Any], zone: Any) -> None:
    """Outputs and JSON documents that a real Falco gave for shared events."""
    event = decoded((SHARED / "conformance" / "events" / f"{case['event']}.json").read_bytes())
    options = {"json_output": True, "time_format_iso_8601": True, **case.get("config", {})}
    config = configured(*(f"{key}={json.dumps(value)}" for key, value in options.items()))
    alert = make_alert(
        config,
        event,
        case["output"],
        case.get("rule", "r"),
        case.get("priority", "NOTICE"),
        tuple(case.get("tags", ())),
    )
    want = {**case, **case.get("sane", {})}
    document = json.loads(alert.to_json())
    assert alert.message == want["rendered"]
    if "json_fields" in want:
        fields = document["output_fields"]
        time_field = "evt.time.iso8601" if config.time_format_iso_8601 else "evt.time"
        assert {key: value for key, value in fields.items() if key != time_field or key in want["json_fields"]} == want[
            "json_fields"
        ]
    for key, value in want.get("json_top", {}).items():
        assert document.get(key, "ABSENT") == value
    if "text_line" in want:
        assert alert.to_text() == want["text_line"]
