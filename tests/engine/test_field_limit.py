"""What one value may add to an alert."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lanner.config import Config
from lanner.decode import decode
from lanner.diagnostics.source import SourceFile
from lanner.engine.engine import Engine
from lanner.engine.field_limit import FieldLimit
from lanner.engine.loader import load_sources
from lanner.event import MISSING
from tests.cli.builders import event

LIMIT = FieldLimit(8)


@pytest.mark.parametrize(
    ("value", "bounded"),
    [
        ("", ""),
        ("abcdefgh", "abcdefgh"),
        ("abcdefghi", "abcdefgh[cut: 9 bytes in all]"),
        ("éééé", "éééé"),
        ("ééééé", "éééé[cut: 10 bytes in all]"),
        ("aéééé", "aééé[cut: 9 bytes in all]"),
        ("😀😀😀", "😀😀[cut: 12 bytes in all]"),
        (["abcd"], ["abcd"]),
        (["abcd", "efgh", "ij"], ["abcd", "[cut: 3 items in all]"]),
        (["abcdefghijkl"], ["abcdefgh[cut: 12 bytes in all]"]),
        (["abcdefghijkl", ""], ["abcdefgh[cut: 12 bytes in all]", "[cut: 2 items in all]"]),
        ([""] * 4, ["", "", "[cut: 4 items in all]"]),
        (7, 7),
        (True, True),
        (MISSING, MISSING),
    ],
)
def test_values(value: object, bounded: object) -> None:
    """What fits is the value itself; of the rest, its beginning and its full size."""
    assert LIMIT.value(value) == bounded


@given(st.text(), st.integers(1, 40))
def test_texts_within_the_limit_stay(text: str, limit: int) -> None:
    """A text is cut if and only if it is too long, and never within a character."""
    bounded = FieldLimit(limit).text(text)
    size = len(text.encode())
    if size <= limit:
        assert bounded == text
    else:
        head = bounded.removesuffix(f"[cut: {size:,} bytes in all]")
        assert head != bounded
        assert text.startswith(head)
        assert limit - 4 < len(head.encode()) <= limit


RULES = """\
- rule: Long values
  desc: A rule
  condition: ka.target.name endswith end and ka.req.pod.containers.image intersects (last)
  output: "%ka.target.name %tolower(ka.target.name) %ka.req.pod.containers.image %ka.user.groups %9ka.target.name"
  priority: WARNING
  source: k8s_audit
"""


def test_alerts_hold_the_beginning_and_conditions_see_everything() -> None:
    """In the message as in the fields, of attributes, bodies, calls and lists alike."""
    config = Config.load(None, ["lanner.limits.field=16"], {"FALCO_HOSTNAME": "host"})
    loaded = load_sources([SourceFile("rules.yaml", RULES)], config)
    assert loaded.ok
    made: dict[str, Any] = event()
    made["objectRef"] = {"resource": "pods", "name": "NAME" * 10 + "end"}
    made["user"] = {"username": "u", "groups": ["group"] * 9}
    containers = [{"image": "first"}, {"image": "second"}, {"image": "last"}]
    made["requestObject"] = {"spec": {"containers": containers}}
    [alert] = Engine(loaded.ruleset, config).process(json.dumps(made).encode())
    name = "NAMENAMENAMENAME[cut: 43 bytes in all]"
    assert alert.message == (
        f"{name} {'name' * 4}[cut: 43 bytes in all] (first,[cut: 3 items in all]) (group,group,[cut: 9 items in all])"
        " NAMENAMEN"
    )
    fields = alert.output_fields
    assert fields["ka.target.name"] == name
    assert fields["ka.req.pod.containers.image"] == ["first", "[cut: 3 items in all]"]
    assert fields["ka.user.groups"] == ["group", "group", "[cut: 9 items in all]"]


COUNTED = """\
- rule: Counted
  desc: A rule
  condition: evt.num > 0
  output: "%evt.num %ka.user.groups"
  priority: WARNING
  source: k8s_audit
"""


def test_what_depends_on_the_engine_is_read_anew() -> None:
    """Values that are kept with an event are those that it alone decides."""
    engine = Engine(load_sources([SourceFile("rules.yaml", COUNTED)]).ruleset)
    [decoded] = decode(json.dumps({**event(), "user": {"groups": ["a"]}}).encode()).events
    assert [engine.process(decoded)[0].message for _ in range(2)] == ["1 (a)", "2 (a)"]
