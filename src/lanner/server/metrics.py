"""Metrics for Prometheus: Falco's names where the meaning is the same, `lanner_` otherwise.

METRICS is the one table of our own names; docs/metrics.md describes each of them. Counts are of this process, from its
start; `lanner status` has those of all time.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from dataclasses import dataclass

from prometheus_client import CollectorRegistry, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector

from lanner.server.facts import Facts
from lanner.service.accounts import Account
from lanner.service.supervisor import State
from lanner.sources.refusal import CONSEQUENCES, Consequence
from lanner.version import __version__

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
FALCO_HELP = "https://falco.org/docs/metrics/"
SECOND = 1_000_000_000

_NOT_IN_LABELS = re.compile(r"[^a-zA-Z0-9_]")


@dataclass(frozen=True, slots=True)
class Described:
    """One metric: name as Prometheus shows it, kind, labels, meaning."""

    name: str
    kind: str
    labels: tuple[str, ...]
    help: str


_EACH = ("source", "cluster")
METRICS: dict[str, Described] = {
    metric.name: metric
    for metric in (
        Described("lanner_events_received_total", "counter", _EACH, "Events and malformed pieces that came in."),
        Described("lanner_events_evaluated_total", "counter", _EACH, "Events that went through the rules."),
        Described("lanner_events_matched_total", "counter", _EACH, "Events that at least one rule matched."),
        Described(
            "lanner_events_duplicate_total", "counter", _EACH, "Events of bodies that had been committed before."
        ),
        Described("lanner_events_malformed_total", "counter", _EACH, "Pieces that are no events."),
        Described("lanner_events_oversize_total", "counter", _EACH, "Evaluated events over the size limit."),
        Described("lanner_events_truncated_total", "counter", _EACH, "Events that the API server had truncated."),
        Described("lanner_bodies_total", "counter", _EACH, "Webhook bodies committed."),
        Described("lanner_received_bytes_total", "counter", _EACH, "Bytes of all deliveries committed."),
        Described(
            "lanner_bodies_refused_total", "counter", (*_EACH, "reason"), "Requests not answered 200, by reason."
        ),
        Described(
            "lanner_deliveries_unavailable_total", "counter", ("reason",), "Deliveries that could not be committed."
        ),
        Described("lanner_last_event_timestamp_seconds", "gauge", _EACH, "Time of the latest event."),
        Described("lanner_last_received_timestamp_seconds", "gauge", _EACH, "When something came last."),
        Described("lanner_event_lag_seconds", "gauge", _EACH, "How long the latest event took to arrive."),
        Described("lanner_event_lag_max_seconds", "gauge", _EACH, "The longest of those times."),
        Described("lanner_silence_seconds", "gauge", _EACH, "Time since a cluster was heard."),
        Described("lanner_silent", "gauge", _EACH, "1 if a cluster is silent beyond its limit."),
        Described(
            "lanner_overloaded", "gauge", _EACH, "1 if requests were refused for want of room within the last minute."
        ),
        Described(
            "lanner_rule_errors_total", "counter", ("rule_name", "cluster"), "Errors while a rule was evaluated."
        ),
        Described("lanner_source_up", "gauge", ("source", "kind"), "1 if a source runs, or has ended as it should."),
        Described("lanner_source_restarts_total", "counter", ("source", "kind"), "Restarts of a source that failed."),
        Described("lanner_store_up", "gauge", (), "1 if the store works."),
        Described("lanner_commit_queue_batches", "gauge", (), "Batches accepted and not committed."),
        Described("lanner_commit_queue_bytes", "gauge", (), "About the bytes of those."),
        Described("lanner_in_flight_bytes", "gauge", (), "Bytes of webhook bodies that have arrived and are in work."),
        Described(
            "lanner_stdout_unwritten_total", "counter", (), "Alerts not written to standard output; the store has them."
        ),
        Described("lanner_log_lines_dropped_total", "counter", (), "Log lines that standard error did not take."),
        Described("lanner_commit_seconds", "histogram", (), "Time from the end of evaluation to the commit."),
    )
}


class Metrics:
    """The registry of one service."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry(auto_describe=False)
        ProcessCollector(registry=self._registry)
        self._commit = Histogram(
            "lanner_commit_seconds",
            METRICS["lanner_commit_seconds"].help,
            registry=self._registry,
            buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30),
        )

    def committed(self, seconds: float) -> None:
        """A commit took so long."""
        self._commit.observe(seconds)

    def tell_of(self, facts: Facts) -> None:
        """Collect from these facts from now on."""
        self._registry.register(_FactCollector(facts))

    def text(self) -> bytes:
        """All metrics in Prometheus' text format."""
        return generate_latest(self._registry)


class _FactCollector(Collector):
    def __init__(self, facts: Facts) -> None:
        self._facts = facts

    def collect(self) -> Iterator[Metric]:
        yield from self._falco()
        yield from self._accounts()
        yield from self._parts()

    def _falco(self) -> Iterator[Metric]:
        facts = self._facts
        yield _info("falcosecurity_falco_version", {"version": __version__})
        yield _info("falcosecurity_evt_hostname", {"hostname": facts.hostname})
        yield _info("falcosecurity_falco_evt_source", {"evt_source": "k8s_audit"})
        yield _info("falcosecurity_scap_engine_name", {"engine_name": "source_plugin", "evt_source": "k8s_audit"})
        for name, files in (("rules", facts.rules_files), ("config", facts.config_files)):
            info = _info(f"falcosecurity_falco_sha256_{name}_files")
            for file in files:
                info.add_sample(info.name, {"file_name": file.name, "sha256": file.sha256}, 1)
            yield info
        start = GaugeMetricFamily("falcosecurity_falco_start_timestamp_nanoseconds", FALCO_HELP, value=facts.started_ns)
        yield start
        reload = GaugeMetricFamily(
            "falcosecurity_falco_reload_timestamp_nanoseconds", FALCO_HELP, value=facts.started_ns
        )
        yield reload
        seconds = (time.time_ns() - facts.started_ns) // SECOND
        yield CounterMetricFamily("falcosecurity_falco_duration_seconds", FALCO_HELP, value=seconds)
        yield CounterMetricFamily("falcosecurity_falco_outputs_queue_num_drops", FALCO_HELP, value=facts.unwritten())
        matches = CounterMetricFamily("falcosecurity_falco_rules_matches", FALCO_HELP)
        by_rule: dict[str, int] = {}
        for (name, _), count in list(facts.accounts.rule_matches.items()):
            by_rule[name] = by_rule.get(name, 0) + count
        for rule in facts.rules:
            if by_rule.get(rule.name):
                tags = {f"tag_{_NOT_IN_LABELS.sub('_', tag)}": "true" for tag in rule.tags}
                labels = {"priority": str(rule.priority.value), "rule_name": rule.name, "source": rule.source, **tags}
                matches.add_sample("falcosecurity_falco_rules_matches_total", labels, by_rule[rule.name])
        yield matches

    def _accounts(self) -> Iterator[Metric]:
        accounts = self._facts.accounts
        each = list(accounts.sources.items())
        for name, attribute, unit in _COUNTS:
            family = _family(name)
            for key, account in each:
                value = getattr(account, attribute)
                if unit == 1 or value:
                    family.add_metric(key, value / unit)
            yield family
        refused = _family("lanner_bodies_refused_total")
        webhooks = {source.name for source in self._facts.sources if source.kind == "webhook"}
        for key, account in each:
            # A counter that begins with 1 is no increase to Prometheus.
            counts = {**dict.fromkeys(_FROM_ZERO if key[0] in webhooks else (), 0), **account.refused}
            for reason, count in counts.items():
                refused.add_metric((*key, reason), count)
        yield refused
        errors = _family("lanner_rule_errors_total")
        for (rule, cluster), count in list(accounts.rule_errors.items()):
            errors.add_metric((rule, cluster), count)
        yield errors
        unavailable = _family("lanner_deliveries_unavailable_total")
        for reason in ("queue_full", "store"):
            unavailable.add_metric((reason,), accounts.unavailable[reason])
        yield unavailable

    def _parts(self) -> Iterator[Metric]:
        facts = self._facts
        silence, silent = _family("lanner_silence_seconds"), _family("lanner_silent")
        beyond = facts.silent()
        for key, seconds in facts.silence().items():
            silence.add_metric(key, seconds)
            silent.add_metric(key, key in beyond)
        yield silence
        yield silent
        overloaded, beyond_room = _family("lanner_overloaded"), facts.overloaded()
        for key in dict.fromkeys([*facts.accounts.sources, *beyond_room]):
            overloaded.add_metric(key, key in beyond_room)
        yield overloaded
        up, restarts = _family("lanner_source_up"), _family("lanner_source_restarts_total")
        for source in facts.sources:
            labels = (source.name, source.kind)
            up.add_metric(labels, source.state in (State.RUNNING, State.ENDED))
            restarts.add_metric(labels, source.restarts)
        yield up
        yield restarts
        batches, size = facts.waiting()
        for name, value in (
            ("lanner_store_up", not facts.store_failure()),
            ("lanner_commit_queue_batches", batches),
            ("lanner_commit_queue_bytes", size),
            ("lanner_in_flight_bytes", facts.in_flight()),
            ("lanner_stdout_unwritten_total", facts.unwritten()),
            ("lanner_log_lines_dropped_total", facts.log_dropped()),
        ):
            family = _family(name)
            family.add_metric((), value)
            yield family


_FROM_ZERO = tuple(
    reason.value
    for reason, consequence in CONSEQUENCES.items()
    if consequence in (Consequence.LOST, Consequence.OVERLOAD)
)
"""Reasons that are worth an alerting rule."""

_COUNTS: tuple[tuple[str, str, int], ...] = (
    ("lanner_events_received_total", "received", 1),
    ("lanner_events_evaluated_total", "evaluated", 1),
    ("lanner_events_matched_total", "matched", 1),
    ("lanner_events_duplicate_total", "duplicate", 1),
    ("lanner_events_malformed_total", "malformed", 1),
    ("lanner_events_oversize_total", "oversize", 1),
    ("lanner_events_truncated_total", "truncated", 1),
    ("lanner_bodies_total", "bodies", 1),
    ("lanner_received_bytes_total", "bytes", 1),
    ("lanner_last_event_timestamp_seconds", "last_event_ns", SECOND),
    ("lanner_last_received_timestamp_seconds", "last_received_ns", SECOND),
    ("lanner_event_lag_seconds", "lag_ns", SECOND),
    ("lanner_event_lag_max_seconds", "max_lag_ns", SECOND),
)
"""(metric, attribute of Account, how many of its units make one of the metric's); times only once known."""

assert {attribute for _, attribute, _ in _COUNTS} <= set(Account.__slots__)


def _family(name: str) -> CounterMetricFamily | GaugeMetricFamily:
    described = METRICS[name]
    if described.kind == "counter":
        return CounterMetricFamily(name.removesuffix("_total"), described.help, labels=described.labels)
    return GaugeMetricFamily(name, described.help, labels=described.labels)


def _info(name: str, labels: dict[str, str] | None = None) -> Metric:
    metric = Metric(f"{name}_info", FALCO_HELP, "gauge")
    if labels is not None:
        metric.add_sample(metric.name, labels, 1)
    return metric
