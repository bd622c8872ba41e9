"""The engine: a ruleset and an alert format, applied to one event after the other."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import count
from typing import Any

from lanner.alert import Alert, AlertFormat
from lanner.config import Config
from lanner.decode import EventError, decode, decode_object, usual_decoder
from lanner.engine.ruleset import Ruleset
from lanner.event import AuditEvent


class Progress:
    """What `evt.num` and `evt.reltime` count from: how many events there were, and the time of the first one."""

    __slots__ = ("next_number", "start_ns")

    def __init__(self) -> None:
        self.next_number = count(1).__next__  # safe from several threads
        self.start_ns = 0


class Engine:
    """Evaluates events with a ruleset. Its only state is its progress, which several engines may share.

    The ruleset may be replaced between two events by assigning `ruleset`. Not for several threads at once: give each
    an engine with a copy of the ruleset.
    """

    def __init__(self, ruleset: Ruleset, config: Config | None = None, progress: Progress | None = None) -> None:
        self.ruleset = ruleset
        self._format = AlertFormat.of(config or Config.default())
        self._progress = progress or Progress()
        self._next_number = self._progress.next_number

    @property
    def ruleset(self) -> Ruleset:
        return self._ruleset

    @ruleset.setter
    def ruleset(self, ruleset: Ruleset) -> None:
        self._ruleset = ruleset
        self._match = ruleset.match  # looked up once, not for every event
        self._counts = ruleset.counts
        self.decode_usual = usual_decoder(ruleset.asks, alone=True)
        """The event that a text is, with the attributes that rules ask for; None for a text that is no single event as
        the API server writes it, which `decode` reads."""

    def process(self, event: bytes | str | Mapping[str, Any] | AuditEvent) -> list[Alert]:
        """The alerts of one event, given as JSON text, as a mapping like json.loads makes, or decoded.

        Raises EventError, which says what is wrong, for anything that is not exactly one audit event.
        """
        if isinstance(event, bytes):
            usual = self.decode_usual(event)
            if usual is not None:
                return self.evaluate(usual)
        return self._process_any(event)

    def _process_any(self, event: bytes | str | Mapping[str, Any] | AuditEvent) -> list[Alert]:
        match event:
            case AuditEvent():
                return self.evaluate(event)
            case bytes() | str():
                decoded = decode(event if isinstance(event, bytes) else event.encode(errors="replace"))
                if decoded.malformed:
                    raise EventError(decoded.malformed[0].reason)
                if len(decoded.events) != 1:
                    raise EventError(f"the text holds {len(decoded.events)} events instead of one")
                return self.evaluate(decoded.events[0])
            case _:
                return self.evaluate(decode_object(event))

    def evaluate(self, event: AuditEvent) -> list[Alert]:
        """The alerts of a decoded event, in the order of the rules; usually none.

        The event needs the attributes that `ruleset.asks` for.
        """
        number = self._next_number()
        if number == 1:
            self._progress.start_ns = event.time_ns
        if self._counts:
            self._count(event, number)
        matches = self._match(event)
        if not matches:
            return []
        self._count(event, number)
        return [Alert(rule, event, self._format) for rule in matches]

    def _count(self, event: AuditEvent, number: int) -> None:
        """Tell the event what evt.num and evt.reltime count; most events need not know."""
        event.number = number
        event.start_ns = self._progress.start_ns
