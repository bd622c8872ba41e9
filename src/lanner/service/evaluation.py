"""What comes of the bytes of a delivery: events evaluated, alerts recorded, everything counted.

In: decoded texts. Out: an `Evaluation`. The work goes in steps, so that an event loop can turn in between.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from time import perf_counter

from lanner.alert import Alert, AlertFormat
from lanner.compiler.evaluate import holds
from lanner.decode import Decoded, Malformed, usual_decoder, whole
from lanner.engine.engine import Engine
from lanner.event import AuditEvent
from lanner.rfc3339 import FIRST, since_1970
from lanner.service.internal import InternalAlerts
from lanner.service.records import RECORDED, Recorder
from lanner.service.redaction import Redactor
from lanner.store.records import AlertRecord, MalformedRecord, weight

STEP_SECONDS = 0.005
"""How long evaluation goes on until others get their turn; one event may take longer."""

CLOCK_EVENTS = 10
CLOCK_BYTES = 16 * 1024
"""The clock is read after so many events, and after each event of so many bytes. To read it is not free."""

MAX_WEIGHT = 8 * 1024 * 1024
"""Bytes of alerts that may wait for the end of their delivery. Heavier ones are committed while it is evaluated."""

MAX_MALFORMED = 20
"""Malformed pieces that are kept of one delivery."""

MAX_MALFORMED_BYTES = 65_536
"""Bytes that are kept of a malformed piece."""

TRUNCATED = "audit.k8s.io/truncated"


@dataclass(slots=True)
class Evaluation:
    """What a delivery came to. `event_limit`: the size from which an event is oversize. `weight`: about how many bytes
    of memory the alerts take."""

    event_limit: int
    evaluated: int = 0
    matched: int = 0
    oversize: int = 0
    truncated: int = 0
    last_event_ns: int = 0
    alerts: list[AlertRecord] = field(default_factory=list)
    weight: int = 0
    malformed: list[MalformedRecord] = field(default_factory=list)
    unkept: int = 0
    rule_matches: Counter[str] = field(default_factory=Counter)
    rule_errors: Counter[str] = field(default_factory=Counter)

    def add(self, records: list[AlertRecord]) -> None:
        """Add the alerts on one event."""
        self.alerts += records
        self.weight += weight(records)

    def take_alerts(self) -> tuple[AlertRecord, ...]:
        """The alerts so far, which go into a batch of their own."""
        taken = tuple(self.alerts)
        self.alerts.clear()
        self.weight = 0
        return taken


class Evaluator:
    """Evaluates deliveries with one engine. Not for several threads at once: engines are not."""

    def __init__(
        self,
        engine: Engine,
        format: AlertFormat,
        internal: InternalAlerts,
        recorder: Recorder,
        redactor: Redactor,
    ) -> None:
        self._engine = engine
        self._format = format
        self._internal = internal
        self._recorder = recorder
        self._redactor = redactor
        asked = engine.ruleset.asks
        self.decoder = usual_decoder(None if asked is None else asked | RECORDED | {("annotations", TRUNCATED)})
        """Reads of events what rules ask for, and what this looks at itself."""

    def steps(self, texts: Iterable[Decoded], cluster: str, evaluation: Evaluation) -> Iterator[None]:
        """Fill in the evaluation of what texts hold. Yields between pieces of work: at least every STEP_SECONDS, and as
        soon as the alerts weigh MAX_WEIGHT. Done when it ends."""
        count = 0
        latest = FIRST
        turn_ends = perf_counter() + STEP_SECONDS
        evaluate = self._engine.evaluate
        for decoded in texts:
            for piece in decoded.malformed:
                self._malformed(piece, evaluation)
            evaluation.unkept += decoded.unkept
            for event in decoded.events:
                try:
                    alerts = evaluate(event)
                except MemoryError:
                    raise
                except Exception:
                    alerts = self._one_by_one(event, evaluation)
                size = event.size
                oversize = size > evaluation.event_limit
                partly = size >= CLOCK_BYTES and event.full_size > 0
                truncated = event.annotations and event.annotations.get(TRUNCATED) == "true"
                if alerts or oversize or truncated or partly:
                    own = self._remarked(event, oversize, bool(truncated), evaluation)
                    self._record(event, alerts, own, cluster, evaluation)
                time = event.time
                if time > latest:
                    latest = time
                if size >= CLOCK_BYTES:
                    event.__dict__.clear()  # what was worked out for it takes many times its bytes, and is used no more
                count += 1
                if evaluation.weight >= MAX_WEIGHT or (
                    (size >= CLOCK_BYTES or count % CLOCK_EVENTS == 0) and perf_counter() >= turn_ends
                ):
                    yield
                    turn_ends = perf_counter() + STEP_SECONDS
            evaluation.evaluated += len(decoded.events)
        evaluation.last_event_ns = max(evaluation.last_event_ns, since_1970(latest))

    def _malformed(self, piece: Malformed, evaluation: Evaluation) -> None:
        if len(evaluation.malformed) == MAX_MALFORMED:
            evaluation.unkept += 1
            return
        raw = self._redactor.piece(piece.raw[:MAX_MALFORMED_BYTES])[:MAX_MALFORMED_BYTES]
        evaluation.malformed.append(MalformedRecord(piece.reason, raw))

    def _remarked(
        self, event: AuditEvent, oversize: bool, truncated: bool, evaluation: Evaluation
    ) -> list[Alert | None]:
        """Internal alerts on an event that is oversize or truncated."""
        own: list[Alert | None] = []
        if oversize:
            evaluation.oversize += 1
            own.append(self._internal.oversize(event, evaluation.event_limit))
        if event.full_size:
            own.append(self._internal.partly_evaluated(event))
        if truncated:
            evaluation.truncated += 1
            own.append(self._internal.truncated(event))
        return own

    def _record(
        self,
        event: AuditEvent,
        alerts: list[Alert],
        own: list[Alert | None],
        cluster: str,
        evaluation: Evaluation,
    ) -> None:
        evaluation.matched += bool(alerts)
        for alert in alerts:
            evaluation.rule_matches[alert.rule] += 1
        raised = [*alerts, *(alert for alert in own if alert is not None)]
        evaluation.add(self._recorder.records(event, raised, cluster, evaluation.rule_errors))

    def _one_by_one(self, event: AuditEvent, evaluation: Evaluation) -> list[Alert]:
        """The alerts of an event that some rule cannot be evaluated on: every rule alone, so that only that one is
        lost."""
        found: list[Alert] = []
        event = whole(event)  # conditions as they were written may ask for more than what is left of them
        ruleset = self._engine.ruleset
        for rule in ruleset.rules:
            if not rule.enabled or (found and ruleset.first_only):
                continue
            try:
                if holds(rule.predicate, event):
                    found.append(Alert(rule, event, self._format))
            except MemoryError:
                raise
            except Exception:
                evaluation.rule_errors[rule.name] += 1
        return found
