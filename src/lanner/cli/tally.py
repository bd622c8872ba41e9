"""What a replay has seen so far, and the summary of it."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from lanner.cli.table import plural
from lanner.escaping import printable
from lanner.priority import Priority
from lanner.replay.evaluation import PLACES, Counts


@dataclass(slots=True)
class Tally:
    """Counts of a run. `places`: where the first few malformed items stood, and why they are malformed."""

    started: float = field(default_factory=time.perf_counter)
    events: int = 0
    malformed: int = 0
    places: list[str] = field(default_factory=list)
    alerts: Counter[tuple[Priority, str]] = field(default_factory=Counter)

    def add(self, name: str, line: int, counts: Counts) -> None:
        """Add what a block held that begins in that line of the input of that name."""
        self.events += counts.events
        self.malformed += counts.malformed
        room = PLACES - len(self.places)
        self.places += [f"{name}:{line + number}: {reason}" for number, reason in counts.places[:room]]
        self.alerts.update(counts.alerts)

    def summary(self) -> Iterator[str]:
        """The summary, line by line."""
        elapsed = time.perf_counter() - self.started
        rate = f"{self.events / elapsed:,.0f} events/s" if elapsed > 0 else ""
        yield (
            f"{plural(self.events, 'event')} in {elapsed:,.2f} s ({rate}), "
            f"{plural(self.alerts.total(), 'alert')}, {self.malformed:,} malformed"
        )
        if self.alerts:
            yield "alerts by priority:"
            by_priority: Counter[Priority] = Counter()
            for (priority, _), count in self.alerts.items():
                by_priority[priority] += count
            for priority in sorted(by_priority):
                yield f"{by_priority[priority]:>9,}  {priority.label}"
            yield "alerts by rule:"
            for (priority, rule), count in sorted(self.alerts.items(), key=lambda item: (-item[1], item[0])):
                yield f"{count:>9,}  {printable(rule)} ({priority.label})"
        if self.malformed:
            yield "malformed:" if self.malformed <= PLACES else f"malformed, the first {PLACES}:"
            for place in self.places:
                yield f"           {printable(place)}"
