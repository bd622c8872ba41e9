"""A block of texts through the engine, and what comes of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from msgspec import Struct, field

from lanner.alert import Alert
from lanner.decode import decode_parts
from lanner.engine.engine import Engine
from lanner.engine.ruleset import Ruleset
from lanner.fields.generic import COUNTED
from lanner.priority import Priority
from lanner.sources.files import Block

PLACES = 5
"""Malformed pieces of a block whose places are told."""


class Counts(Struct):
    """What a block held. `lines`: how many of them it ends behind the one it begins in. `places`: how many lines behind
    that the text of a malformed piece begins, and the reason; `malformed` counts them all. `alerts`: how many by
    priority and rule, in the order in which they came first.
    """

    lines: int = 0
    events: int = 0
    malformed: int = 0
    places: list[tuple[int, str]] = field(default_factory=list)
    alerts: dict[tuple[Priority, str], int] = field(default_factory=dict)


def evaluate(engine: Engine, block: Block, counts: Counts, write: Callable[[bytes], object]) -> None:
    """Evaluate a block's events; `write` gets the lines of their alerts, those of one event at once.

    `counts` counts on all the while, so that it holds even if an interrupt cuts this short. Raises InputError where the
    block cannot be read any further.
    """
    usual = engine.decode_usual
    match = engine.evaluate
    counts.lines, texts = block.read()
    for line, text in texts:
        event = usual(text)
        if event is not None:
            counts.events += 1
            alerts = match(event)
            if alerts:
                _tell(alerts, counts, write)
            continue
        for part in decode_parts(text):
            counts.events += len(part.events)
            counts.malformed += len(part.malformed) + part.unkept
            for item in part.malformed[: PLACES - len(counts.places)]:
                counts.places.append((line, item.reason))
            for event in part.events:
                alerts = match(event)
                if alerts:
                    _tell(alerts, counts, write)


def _tell(alerts: Sequence[Alert], counts: Counts, write: Callable[[bytes], object]) -> None:
    for alert in alerts:
        key = (alert.priority, alert.rule)
        counts.alerts[key] = counts.alerts.get(key, 0) + 1
    write("".join(f"{alert.to_line()}\n" for alert in alerts).encode(errors="replace"))


def depends_on_order(ruleset: Ruleset) -> bool:
    """Whether some alert may depend on the events before: on how many there were, or when the first one happened."""
    return ruleset.counts or any(
        field.definition.name in COUNTED for rule in ruleset.rules if rule.enabled for field in rule.output.asks
    )
