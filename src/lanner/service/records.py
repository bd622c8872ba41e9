"""From alerts to what is kept and shown of them: the line, the JSON document, the event.

In: alerts on one event of a cluster. Out: `AlertRecord`s. The document has Falco's keys and two more: `id`, which
every copy of the alert carries, and `cluster`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from hashlib import blake2b

import msgspec

from lanner.alert import Alert, AlertFormat, FieldOutput, to_json
from lanner.engine.field_limit import FieldLimit
from lanner.event import MISSING, AuditEvent, MaybeText, Path
from lanner.fields.times import rfc_3339
from lanner.jsontext.access import REFUSED, JSONError, compact
from lanner.priority import Priority
from lanner.service.kept_event import KeptEvent
from lanner.service.redaction import Redactor
from lanner.store.records import AlertRecord, EventIdentity

INTERNAL = "internal"
"""The source of alerts that Lanner raises about itself."""


RECORDED: frozenset[Path] = frozenset(
    (
        ("stage",),
        ("request_uri",),
        ("verb",),
        ("user", "username"),
        ("impersonated_user", "username"),
        ("object_ref", "namespace"),
        ("object_ref", "resource"),
        ("object_ref", "subresource"),
        ("object_ref", "name"),
        ("request_received_timestamp",),
    )
)
"""Attributes of an event that records are made of."""

MAX_NORMALIZED_BYTES = 1_048_576
"""Larger events are known by their bytes where all that they say counts: decoded, they take ten times as much."""

_decode = msgspec.json.Decoder().decode
_encode_sorted = msgspec.json.Encoder(order="sorted").encode


@dataclass(frozen=True, slots=True)
class FixedOutput:
    """An output that is known already, where a rule's output is rendered from the event."""

    message: str
    values: Mapping[str, FieldOutput]

    def rendered(self, event: AuditEvent) -> tuple[str, Mapping[str, FieldOutput]]:
        return self.message, dict(sorted(self.values.items()))


@dataclass(frozen=True, slots=True)
class StandIn:
    """What an alert needs of a rule, for alerts that no rule raises, or whose rule cannot render its output."""

    name: str
    priority: Priority
    output: FixedOutput
    source: str = INTERNAL
    tags: tuple[str, ...] = (INTERNAL,)


class Recorder:
    """Makes records. `kept_event` cuts large events, `limit` bounds the texts of columns."""

    def __init__(self, redactor: Redactor, kept_event: KeptEvent, limit: FieldLimit, format: AlertFormat) -> None:
        self._redactor = redactor
        self._format = format
        self._kept_event = kept_event
        self._limit = limit

    def records(
        self, event: AuditEvent, alerts: Iterable[Alert], cluster: str, errors: Counter[str]
    ) -> list[AlertRecord]:
        """The records of alerts on one event, which needs the attributes of RECORDED and of the alerts' outputs.

        An output that fails to render is counted in `errors` by rule.
        """
        redacted = self._redactor.event(event)
        kept = self._kept_event.text(redacted.raw)
        identity = event_identity(event, cluster)
        event_id = identity.event_id()
        return [
            self._record(alert.on(redacted), redacted, identity.alert_id(alert.rule), event_id, kept, cluster, errors)
            for alert in alerts
        ]

    def _record(
        self,
        alert: Alert,
        event: AuditEvent,
        identifier: str,
        event_id: str,
        kept: bytes,
        cluster: str,
        errors: Counter[str],
    ) -> AlertRecord:
        try:
            output, document = alert.to_text(), alert.document(identifier, cluster)
        except MemoryError:
            raise
        except Exception:
            errors[alert.rule] += 1
            alert = Alert(_unrendered(alert), event, self._format)
            output, document = alert.to_text(), alert.document(identifier, cluster)
        ref = event.object_ref
        column = self._column
        return AlertRecord(
            id=identifier,
            cluster=cluster,
            source=alert.source,
            rule=alert.rule,
            priority=alert.priority,
            tags=alert.tags,
            time_ns=alert.time,
            audit_id=column(event.audit_id),
            stage=column(event.stage),
            namespace=column(ref.namespace),
            user=column(event.user.username),
            resource=column(ref.resource),
            name=column(ref.name),
            verb=column(event.verb),
            output=output,
            document=to_json(document),
            event=kept,
            event_id=event_id,
        )

    def _column(self, value: MaybeText) -> str:
        """The text of an attribute within the limit; empty for a missing one."""
        return "" if value is MISSING else self._limit.text(value)


def _unrendered(alert: Alert) -> StandIn:
    output = FixedOutput(f"{alert.rule}: the output of this rule could not be rendered", {})
    return StandIn(alert.rule, alert.priority, output, alert.source, alert.tags)


def moment(time_ns: int) -> AuditEvent:
    """An event that is nothing but a time, for alerts that no event raised."""
    return AuditEvent(stage_timestamp=rfc_3339(time_ns))


def text(value: MaybeText) -> str:
    """The text of an attribute; empty for a missing one."""
    return "" if value is MISSING else value


def event_identity(event: AuditEvent, cluster: str) -> EventIdentity:
    """What tells an event from all others of its cluster, as it came: what is redacted of it may change.

    Clients choose the audit id, so the times and the request count too. An API server writes times to the microsecond.
    Where they are not as fine as that, as in old API versions, or where there is no audit id, all that the event says
    counts: then two requests that differ in nothing but their bodies are two events. Otherwise the bodies do not count,
    since what a server sends of one event to two places may have them or not.
    """
    stage_time = event.stage_timestamp
    received = event.request_received_timestamp
    fine = event.audit_id and (_is_fine(stage_time) or _is_fine(received))
    return EventIdentity(
        cluster,
        _part(event.audit_id),
        _part(event.stage),
        _part(received),
        _part(stage_time),
        _part(event.timestamp) if stage_time is MISSING else None,
        _part(event.request_uri),
        _part(event.verb),
        _part(event.user.username),
        _part(event.impersonated_user.username),
        None if fine else blake2b(_normal_form(event.raw), digest_size=16).hexdigest(),
    )


def _part(value: MaybeText) -> str | None:
    return None if value is MISSING else value


def _is_fine(time: MaybeText) -> bool:
    """Whether a time is told to the microsecond: `2026-01-02T03:04:05.678901Z`. Zeros may have been put in."""
    if time is MISSING:
        return False
    micros = time[23:26]
    return time[19:20] == "." and micros != "000" and micros.isdigit() and len(micros) == 3


def _normal_form(raw: bytes) -> bytes:
    """JSON in the same bytes however it was written: order of keys, escapes, blanks. Of large or odd texts, and of
    texts that are no JSON, less or nothing is changed."""
    try:
        if len(raw) <= MAX_NORMALIZED_BYTES:
            return _encode_sorted(_decode(raw))
    except REFUSED:
        pass
    try:
        return compact(raw)
    except JSONError:
        return raw
