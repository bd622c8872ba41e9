"""What a replay has seen so far, and the summary of it."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from lanner.alert import Alert
from lanner.cli.table import plural, printable
from lanner.priority import Priority

PLACES_SHOWN = 5


@dataclass(slots=True)
class Tally:
    """Counts of a run. `places`: where the first few malformed items stood, and why they are malformed."""

    started: float = field(default_factory=time.perf_counter)
    events: int = 0
    malformed: int = 0
    places: list[str] = field(default_factory=list)
    alerts: Counter[tuple[Priority, str]] = field(default_factory=Counter)

    def count_alerts(self, alerts: Iterable[Alert]) -> None:
        self.alerts.update((alert.priority, alert.rule) for alert in alerts)

    def count_malformed(self, place: str, reason: str) -> None:
        self.malformed += 1
        if len(self.places) < PLACES_SHOWN:
            self.places.append(f"{place}: {reason}")

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
            yield "malformed:" if self.malformed <= PLACES_SHOWN else f"malformed, the first {PLACES_SHOWN}:"
            for place in self.places:
                yield f"           {printable(place)}"
