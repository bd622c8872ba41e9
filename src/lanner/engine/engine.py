"""The engine: a ruleset and an alert format, applied to one event after the other."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lanner.alert import Alert, AlertFormat
from lanner.config import Config
from lanner.decode import MAX_ITEMS, EventError, decode, decode_object, usual_decoder
from lanner.engine.ruleset import Ruleset
from lanner.event import AuditEvent


class Engine:
    """Evaluates events with a ruleset. Its only state is what `evt.num` and `evt.reltime` count from.

    The ruleset may be replaced between two events by assigning `ruleset`.
    """

    def __init__(self, ruleset: Ruleset, config: Config | None = None) -> None:
        self.ruleset = ruleset
        self._format = AlertFormat.of(config or Config.default())
        self._number = 0
        self._start_ns = 0

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
        number = self._number = self._number + 1
        if number == 1:
            self._start_ns = event.time_ns
        if self._counts:
            self._count(event)
        matches = self._match(event)
        if not matches:
            return []
        self._count(event)
        return [Alert(rule, event, self._format) for rule in matches]

    def _count(self, event: AuditEvent) -> None:
        """Tell the event what evt.num and evt.reltime count; most events need not know."""
        event.number = self._number
        event.start_ns = self._start_ns
