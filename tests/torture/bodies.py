"""Bodies as the API server posts them, any number, each with events that no other has, and what has to come of them.

They are made of recorded ones where those are at hand, and of the recorded attack; audit ids are numbered anew.
"""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import NamedTuple

import zstandard

from lanner.cli.loading import shipped_rules
from lanner.config import Config
from lanner.decode import decode
from lanner.engine.engine import Engine
from lanner.engine.loader import load_rules
from lanner.store.records import StoredAlert
from tests.app.running import event_list

ROOT = Path(__file__).resolve().parents[2]
RECORDED = ROOT.parent / "shared" / "data" / "webhook-bodies"
ATTACK = (ROOT / "examples" / "attack.jsonl").read_bytes().splitlines()

AUDIT_ID = b'"auditID":"'
CHUNK = 20
"""Events of a body: few, so that many bodies are under way at any moment."""


class Raised(NamedTuple):
    """An alert as far as the event and its rule say it."""

    rule: str
    audit_id: str
    stage: str
    time_ns: int

    @classmethod
    def of(cls, alert: StoredAlert) -> Raised:
        return cls(alert.rule, alert.audit_id, alert.stage, alert.time_ns)


@dataclass(frozen=True, slots=True)
class Body:
    """`malformed` counts the pieces in it that are no events."""

    number: int
    content: bytes
    events: int
    malformed: int
    alerts: Counter[Raised]


@cache
def recorded() -> tuple[tuple[bytes, ...], ...]:
    """Events in groups of `CHUNK`: those of recorded bodies, and as many times again those of the attack."""
    texts = [zstandard.decompress(file.read_bytes()) for file in sorted(RECORDED.glob("*.zst"))]
    chunks = [chunk for text in texts for chunk in _chunks([bytes(event.raw) for event in decode(text).events])]
    attack = _chunks(ATTACK)
    return (*chunks, *attack * max(1, len(chunks) // len(attack)))


def _chunks(events: list[bytes]) -> list[tuple[bytes, ...]]:
    usual = [event for event in events if event.count(AUDIT_ID) == 1]
    return [tuple(usual[start : start + CHUNK]) for start in range(0, len(usual), CHUNK)]


@cache
def _engine() -> Engine:
    return Engine(load_rules(shipped_rules()).ruleset, Config.default({}))


def raised(events: list[bytes] | tuple[bytes, ...]) -> Counter[Raised]:
    """What the rules say to events, without a service."""
    return Counter(
        Raised(alert.rule, str(event.audit_id), str(event.stage), alert.time)
        for event in decode(event_list(events)).events
        for alert in _engine().evaluate(event)
    )


@cache
def _raised_by_chunk(index: int) -> Counter[Raised]:
    return raised(recorded()[index])


def prefix(number: int) -> str:
    """What the audit ids of a body begin with."""
    return f"{number:08x}"


def numbered(number: int) -> Body:
    """The body with this number; every third one holds a piece that is no event."""
    index = random.Random(number).randrange(len(recorded()))
    mark = AUDIT_ID + prefix(number).encode() + b"."
    events = [event.replace(AUDIT_ID, mark) for event in recorded()[index]]
    malformed = number % 3 == 0
    return Body(
        number,
        event_list([*events, b"5"] if malformed else events),
        len(events),
        int(malformed),
        Counter(
            {
                alert._replace(audit_id=f"{prefix(number)}.{alert.audit_id}"): count
                for alert, count in _raised_by_chunk(index).items()
            }
        ),
    )
