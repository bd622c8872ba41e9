"""Alerts that Lanner raises about itself: one function for each kind, in the form of all alerts.

They have the source `internal` and names that begin with `Lanner internal`, and go the way of all alerts: into the
store, then to the outputs. The least severe priority that the configuration asks for holds for them too.
"""

from __future__ import annotations

from collections.abc import Mapping

from lanner.alert import Alert, AlertFormat, FieldOutput
from lanner.engine.field_limit import FieldLimit
from lanner.event import AuditEvent
from lanner.fields.times import rfc_3339
from lanner.priority import Priority
from lanner.service.records import FixedOutput, StandIn, moment, text
from lanner.service.refusals import Refused
from lanner.sources.refusal import Consequence
from lanner.store.records import RemovedBySize, RemovedShare

OVERSIZE = "Lanner internal: oversize event"
PARTLY_EVALUATED = "Lanner internal: event evaluated in part"
TRUNCATED = "Lanner internal: truncated event"
MALFORMED = "Lanner internal: malformed events"
SILENT = "Lanner internal: cluster went silent"
REFUSED = "Lanner internal: the store refused"
REMOVED = "Lanner internal: unsent alerts removed"
SECRET = "Lanner internal: secret file unusable"
REMOVED_BY_SIZE = "Lanner internal: alerts removed by size"
UNTRUSTED_CLOCK = "Lanner internal: clock not trusted"
LOST = "Lanner internal: events lost"
NOT_TAKEN = "Lanner internal: requests not taken"
OVERLOAD = "Lanner internal: overload"

MAX_NAMED = 5
"""Shares that are named in the message about what was removed."""

MAX_NAME = 100
"""Characters of a name in it: users choose theirs."""

PRIORITIES: Mapping[str, Priority] = {
    OVERSIZE: Priority.WARNING,
    PARTLY_EVALUATED: Priority.CRITICAL,
    TRUNCATED: Priority.WARNING,
    MALFORMED: Priority.WARNING,
    SILENT: Priority.CRITICAL,
    REFUSED: Priority.CRITICAL,
    REMOVED: Priority.CRITICAL,
    SECRET: Priority.CRITICAL,
    REMOVED_BY_SIZE: Priority.WARNING,
    UNTRUSTED_CLOCK: Priority.WARNING,
    LOST: Priority.CRITICAL,
    NOT_TAKEN: Priority.WARNING,
    OVERLOAD: Priority.WARNING,
}


_REFUSED: Mapping[Consequence, tuple[str, str]] = {
    Consequence.LOST: (LOST, "The events are lost: every retry gets the same answer"),
    Consequence.RETRIED: (NOT_TAKEN, "An API server sends again up to four times, then the events are lost"),
    Consequence.OVERLOAD: (OVERLOAD, "An API server sends again up to four times, then the events are lost"),
    Consequence.UNPROVEN: (NOT_TAKEN, "Anyone can cause this; if it was an API server, its events may be lost"),
}
"""Rule and meaning of the alert for requests that were refused."""


class InternalAlerts:
    """Makes internal alerts; None in the place of one that is less severe than asked for. `limit` bounds the texts of
    events in them."""

    def __init__(self, format: AlertFormat, minimum: Priority, limit: FieldLimit) -> None:
        self._format = format
        self._minimum = minimum
        self._limit = limit

    def oversize(self, event: AuditEvent, limit: int) -> Alert | None:
        """An event larger than the limit, which rules see all the same: padding must not hide anything."""
        size = event.full_size or event.size
        return self._on_event(
            OVERSIZE, event, f"audit event of {size:,} bytes, over the limit of {limit:,}", {"lanner.size": size}
        )

    def partly_evaluated(self, event: AuditEvent) -> Alert | None:
        """An event with so many items that only the first of each list were read: something may hide in the others."""
        return self._on_event(
            PARTLY_EVALUATED,
            event,
            f"audit event of {event.full_size:,} bytes was evaluated in part: it has more items than any request that"
            " an API server accepts",
            {"lanner.size": event.full_size},
        )

    def truncated(self, event: AuditEvent) -> Alert | None:
        """An event that the API server sent without its bodies."""
        return self._on_event(TRUNCATED, event, "audit event without its bodies: the API server has truncated it", {})

    def malformed(self, time_ns: int, source: str, cluster: str, count: int, reason: str) -> Alert | None:
        """Pieces of a body that are no events; `reason` is why the first is none."""
        return self._at(
            MALFORMED,
            time_ns,
            f"{count:,} malformed {'piece' if count == 1 else 'pieces'} from {_named(source, cluster)}: {reason}",
            {"lanner.source": source, "lanner.cluster": cluster, "lanner.count": count, "lanner.reason": reason},
        )

    def left_out(
        self, time_ns: int, kind: str, source: str, cluster: str, count: int, since_ns: int, users: Mapping[str, int]
    ) -> Alert | None:
        """Alerts of one kind that were not raised one by one, because there were too many; `users`: about whom."""
        about = f" about {', '.join(f'{user} ({number:,})' for user, number in users.items())}" if users else ""
        return self._at(
            kind,
            time_ns,
            f"{count:,} more `{kind}` {'alert' if count == 1 else 'alerts'} from {_named(source, cluster)}{about}"
            f" since {rfc_3339(since_ns)}, not raised one by one",
            {"lanner.source": source, "lanner.cluster": cluster, "lanner.left_out": count, "lanner.users": [*users]},
        )

    def silent(self, time_ns: int, source: str, cluster: str, seconds: float) -> Alert | None:
        """A cluster that was heard and is not any more."""
        return self._at(
            SILENT,
            time_ns,
            f"nothing has come from {_named(source, cluster)} for {seconds:,.0f} s",
            {"lanner.source": source, "lanner.cluster": cluster, "lanner.seconds": round(seconds)},
        )

    def refused(self, time_ns: int, reason: str) -> Alert | None:
        """The store did not take what had to be committed; senders were told to come again."""
        return self._at(REFUSED, time_ns, f"the store refused: {reason}", {"lanner.reason": reason})

    def removed(self, time_ns: int, count: int) -> Alert | None:
        """Retention had to remove alerts that an output still waited for."""
        return self._at(
            REMOVED, time_ns, f"{count:,} alerts were removed before every output had them", {"lanner.count": count}
        )

    def secret(self, time_ns: int, source: str, cluster: str, problem: str) -> Alert | None:
        """A file with tokens, a password or a client CA that cannot be used, so that nobody is let in by it."""
        return self._at(
            SECRET,
            time_ns,
            f"senders of {_named(source, cluster)} are refused: {problem}",
            {"lanner.source": source, "lanner.cluster": cluster, "lanner.reason": problem},
        )

    def removed_by_size(self, time_ns: int, removed: RemovedBySize) -> Alert | None:
        """Retention removed alerts because the store was too large: of those who took the most."""
        named = [_share(share) for share in removed.shares[:MAX_NAMED]]
        more = ", and others" if sum(share.alerts for share in removed.shares[:MAX_NAMED]) < removed.alerts else ""
        return self._at(
            REMOVED_BY_SIZE,
            time_ns,
            f"{removed.alerts:,} alerts ({removed.bytes:,} bytes) from {rfc_3339(removed.first_ns)} to"
            f" {rfc_3339(removed.last_ns)} were removed, since the store is over `lanner.retention.size`:"
            f" {', '.join(named)}{more}",
            {
                "lanner.count": removed.alerts,
                "lanner.bytes": removed.bytes,
                "lanner.first": rfc_3339(removed.first_ns),
                "lanner.last": rfc_3339(removed.last_ns),
                "lanner.rules": sorted({share.rule for share in removed.shares}),
                "lanner.users": sorted({_cut(share.user) for share in removed.shares if share.user}),
            },
        )

    def untrusted_clock(self, time_ns: int, trusted_ns: int) -> Alert | None:
        """The clock is far ahead of the newest event and of the store."""
        return self._at(
            UNTRUSTED_CLOCK,
            time_ns,
            f"the clock says {rfc_3339(time_ns)}, and nothing that was received says that it is later than"
            f" {rfc_3339(trusted_ns)}: alerts are removed by that time, not by the clock",
            {"lanner.clock": rfc_3339(time_ns), "lanner.trusted": rfc_3339(trusted_ns)},
        )

    def not_taken(self, time_ns: int, refused: Refused) -> Alert | None:
        """Requests of one source and cluster that were refused for one reason."""
        rule, meaning = _REFUSED[refused.consequence]
        last = refused.last
        requests = "1 request" if refused.count == 1 else f"{refused.count:,} requests"
        size = f"{'' if refused.count == 1 else 'the largest '}of {refused.largest:,} bytes"
        peers = ", ".join(refused.peers) + (" and others" if refused.more_peers else "")
        return self._at(
            rule,
            time_ns,
            f"{requests} of {_named(refused.source, last.cluster)} refused"
            f"{f' with {last.status}' if last.status else ''} ({last.reason}) since {rfc_3339(refused.since_ns)}"
            f"{f', {size}' if refused.largest else ''}{f', from {peers}' if peers else ''}: {last.text}. {meaning}.",
            {
                "lanner.source": refused.source,
                "lanner.cluster": last.cluster,
                "lanner.reason": str(last.reason),
                "lanner.status": last.status,
                "lanner.count": refused.count,
                "lanner.bytes": refused.largest,
                "lanner.peers": list(refused.peers),
            },
        )

    def _on_event(self, name: str, event: AuditEvent, what: str, values: Mapping[str, FieldOutput]) -> Alert | None:
        ref = event.object_ref
        shown = {
            "ka.auditid": event.audit_id,
            "ka.user.name": event.user.username,
            "ka.verb": event.verb,
            "ka.target.resource": ref.resource,
            "ka.target.namespace": ref.namespace,
            "ka.target.name": ref.name,
        }
        fields: dict[str, FieldOutput] = {key: self._limit.text(text(value)) for key, value in shown.items()}
        listed = " ".join(f"{key.rpartition('ka.')[2]}={value}" for key, value in fields.items() if value)
        return self._alert(name, event, f"{what} ({listed})", {**fields, **values})

    def _at(self, name: str, time_ns: int, message: str, values: Mapping[str, FieldOutput]) -> Alert | None:
        return self._alert(name, moment(time_ns), message, values)

    def _alert(self, name: str, event: AuditEvent, message: str, values: Mapping[str, FieldOutput]) -> Alert | None:
        priority = PRIORITIES[name]
        if priority > self._minimum:
            return None
        return Alert(StandIn(name, priority, FixedOutput(message, values)), event, self._format)


def _share(share: RemovedShare) -> str:
    where = f" in {_cut(share.cluster)}" if share.cluster else ""
    who = f" about {_cut(share.user)}" if share.user else ""
    return f"{share.alerts:,} of `{_cut(share.rule)}`{who}{where}"


def _cut(text: str) -> str:
    return text if len(text) <= MAX_NAME else f"{text[:MAX_NAME]}..."


def _named(source: str, cluster: str) -> str:
    return f"cluster {cluster} (source {source})" if cluster else f"source {source}"
