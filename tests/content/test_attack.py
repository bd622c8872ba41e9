"""The recorded attack that ships as an example, and what its page says of it."""

from __future__ import annotations

import json
import re
from collections import Counter
from functools import cache
from pathlib import Path
from typing import Any

from lanner import Alert, Engine, load_rules
from tests.content.builders import raised, request

ROOT = Path(__file__).parents[2]
RULES = ROOT / "src/lanner/content/k8s_audit.yaml"
OUR_CLUSTER = ROOT / "examples/our_cluster.yaml"
ATTACK = ROOT / "examples/attack.jsonl"
PAGE = (ROOT / "examples/README.md").read_text(encoding="utf-8")

LEFT_OUT = "Disallowed K8s User"


@cache
def events() -> list[dict[str, Any]]:
    return [json.loads(line) for line in ATTACK.read_bytes().splitlines()]


def alerts(*rules: Path) -> list[Alert]:
    engine = Engine(load_rules(rules).ruleset)
    return [alert for line in ATTACK.read_bytes().splitlines() for alert in engine.process(line)]


def test_it_is_a_small_file_in_the_order_of_time() -> None:
    """Below 400 kB, and no event before the one above it."""
    assert ATTACK.stat().st_size < 400_000
    times = [event["stageTimestamp"] for event in events()]
    assert times == sorted(times)
    assert all(event["requestReceivedTimestamp"] <= event["stageTimestamp"] for event in events())


def test_it_holds_no_event_twice() -> None:
    """An audit id and a stage are one event."""
    counted = Counter((event["auditID"], event["stage"]) for event in events())
    assert set(counted.values()) == {1}


def test_the_page_tells_every_alert() -> None:
    """The table has the alerts of each minute, and nothing that does not come."""
    told: dict[str, list[str]] = {}
    for time, names in re.findall(r"^\| (\d\d:\d\d) \| [^|]+ \| ([^|]*)\|$", PAGE, re.MULTILINE):
        told[time] = sorted(name.strip() for name in names.split(",") if name.strip())
    came: dict[str, list[str]] = {time: [] for time in told}
    for alert in alerts(RULES):
        if alert.rule != LEFT_OUT:
            came[str(alert.event.stage_timestamp)[11:16]].append(alert.rule)
    assert {time: sorted(names) for time, names in came.items()} == told


def test_a_forged_address_hides_nothing() -> None:
    """What the client says of where it comes from stands before the address that the API server saw."""
    engine = Engine(load_rules([RULES, OUR_CLUSTER]).ruleset)

    def outside(*addresses: str) -> bool:
        event = request("list", "pods", code=200, user="system:serviceaccount:shop:web")
        return "Service Account Used from Outside" in raised({**event, "sourceIPs": list(addresses)}, engine)

    assert outside("192.0.2.7")
    assert outside("10.0.0.1", "192.0.2.7")
    assert outside("10.0.0.1", "10.0.0.2,10.0.0.3", "2001:db8::10")
    assert not outside("10.0.0.1")
    assert not outside("192.0.2.7", "10.0.0.1")


def test_what_a_team_adds() -> None:
    """Fewer alerts about people and pods, one about the stolen token."""
    before, after = Counter(a.rule for a in alerts(RULES)), Counter(a.rule for a in alerts(RULES, OUR_CLUSTER))
    assert load_rules([RULES, OUR_CLUSTER]).diagnostics == ()
    assert (before[LEFT_OUT], after[LEFT_OUT]) == (37, 6)
    assert after - before == Counter({"Service Account Used from Outside": 1})
    assert before - after == Counter({LEFT_OUT: 31, "Create Sensitive Mount Pod": 4})
