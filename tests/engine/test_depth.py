"""Events nested about as deep as msgspec goes, which depends on how much of Python's stack is in use."""

from __future__ import annotations

import json

from lanner.decode import decode, usual_decoder
from lanner.diagnostics.source import SourceFile
from lanner.engine.engine import Engine
from lanner.engine.loader import load_sources

RULES = """
- rule: r
  desc: d
  condition: evt.rawtime > 5 and jevt.value[/stageTimestamp] exists
  output: "%evt.time %ka.verb %jevt.value[/requestObject/a] %ka.user.name"
  priority: INFO
  source: k8s_audit
"""
DEPTHS = range(700, 1100)


def nested(depth: int) -> bytes:
    """An event in which nobody asks for what is nested."""
    return (
        '{"kind":"Event","auditID":"a","stageTimestamp":"2026-01-02T03:04:05.123456Z",'
        f'"requestObject":{{"a":1}},"verb":"get","x":{"[" * depth}{"]" * depth}}}'
    ).encode()


def test_any_depth_alerts() -> None:
    """What was decoded once stays readable wherever it is read again."""
    loaded = load_sources([SourceFile("r.yaml", RULES)])
    assert loaded.ok
    engine = Engine(loaded.ruleset)
    for depth in DEPTHS:
        (alert,) = engine.process(nested(depth))
        assert alert.output.endswith(" get 1 <NA>")
        assert json.loads(alert.to_json())["time"] == "2026-01-02T03:04:05.123456000Z"


def test_the_time_is_read_from_a_deeper_stack() -> None:
    """Where msgspec has less room than it had when it decoded the event."""

    def deeper(levels: int, text: bytes) -> tuple[str, int]:
        if levels:
            return deeper(levels - 1, text)
        return str(event.stage_timestamp), event.time_ns

    for depth in DEPTHS:
        text = nested(depth)
        event = usual_decoder(frozenset(), alone=True)(text) or decode(text).events[0]
        assert deeper(40, text) == ("2026-01-02T03:04:05.123456Z", 1_767_323_045_123_456_000)
