"""Parts of the service on their own: silence, supervision, evaluation that fails, accounts, wiring."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from lanner import decode as decode_module
from lanner.alert import AlertFormat
from lanner.compiler.ir import TRUE
from lanner.config import Config
from lanner.config.service import DEFAULT_REDACTION, Silence
from lanner.decode import decode
from lanner.diagnostics.source import SourceFile
from lanner.engine.engine import Engine, Progress
from lanner.engine.field_limit import FieldLimit
from lanner.engine.loader import load_sources
from lanner.priority import Priority
from lanner.service import evaluation
from lanner.service.accounts import Account, Accounts
from lanner.service.evaluation import MAX_MALFORMED, Evaluation, Evaluator
from lanner.service.internal import PARTLY_EVALUATED, InternalAlerts
from lanner.service.kept_event import KeptEvent
from lanner.service.moderation import LIMIT
from lanner.service.records import Recorder
from lanner.service.redaction import Redactor
from lanner.service.silence import SECOND, HeardAgain, SilenceWatch
from lanner.service.supervisor import State, Supervisor, Watched
from lanner.service.wiring import subject
from lanner.sources.base import Sink, Source, Unavailable
from lanner.sources.webhook_settings import AllowedSubject
from lanner.store.records import Batch, MalformedRecord, Outcome
from tests.cli.builders import event

RULES = """\
- rule: {name}
  desc: A rule
  condition: ka.verb = create
  output: verb %ka.verb
  priority: WARNING
  source: k8s_audit
"""


def evaluator(minimum: Priority = Priority.DEBUG) -> tuple[Evaluator, Engine]:
    """An evaluator with two rules that match every event."""
    text = "".join(RULES.format(name=name) for name in ("First", "Second"))
    config = Config.default({"FALCO_HOSTNAME": "host"})
    engine = Engine(load_sources([SourceFile("rules.yaml", text)]).ruleset, config)
    form, redactor = AlertFormat.of(config), Redactor(DEFAULT_REDACTION)
    limit = FieldLimit(config.service.limits.field)
    internal = InternalAlerts(form, minimum, limit)
    recorder = Recorder(redactor, KeptEvent(1_000_000, limit), limit, form)
    return Evaluator(engine, form, internal, recorder, redactor), engine


def evaluate(what: Evaluator, body: bytes, event_limit: int = 262_144) -> Evaluation:
    found = Evaluation(event_limit)
    for _ in what.steps([decode(body)], "prod", found):
        pass
    return found


BODY = json.dumps(event()).encode()


def test_a_rule_that_fails_costs_only_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    """When compiled rules fail on an event, each is tried alone; the one that fails is counted."""
    what, engine = evaluator()

    def fail(*_: object) -> None:
        raise RuntimeError

    monkeypatch.setattr(engine, "_match", fail)
    broken = engine.ruleset.rules[0].predicate
    second = replace(engine.ruleset.rules[1], predicate=TRUE)
    monkeypatch.setattr(engine.ruleset, "rules", (engine.ruleset.rules[0], second))
    monkeypatch.setattr(evaluation, "holds", lambda predicate, _: fail() if predicate is broken else True)
    found = evaluate(what, BODY)
    assert [alert.rule for alert in found.alerts] == ["Second"]
    assert (found.evaluated, found.rule_errors) == (1, {"First": 1})


def test_an_output_that_fails_is_still_an_alert(monkeypatch: pytest.MonkeyPatch) -> None:
    """The alert goes out with a text that says so."""
    what, engine = evaluator()

    broken: Any = SimpleNamespace()
    rule = engine.ruleset.rules[0]
    monkeypatch.setattr(engine, "_match", lambda _: [replace(rule, output=broken)])
    (alert,) = evaluate(what, BODY).alerts
    assert alert.output.endswith("Warning First: the output of this rule could not be rendered")


def test_malformed_pieces_are_bounded() -> None:
    """A body of nothing but rubbish is counted whole and kept in part."""
    what, _ = evaluator()
    found = evaluate(what, b"[" + b",".join([b"1"] * 100) + b"]")
    assert (len(found.malformed), found.unkept) == (MAX_MALFORMED, 100 - MAX_MALFORMED)


def test_internal_alerts_obey_the_minimum_priority() -> None:
    """Who asks for errors only does not hear of large events."""
    quiet, _ = evaluator(Priority.ERROR)
    found = evaluate(quiet, BODY, event_limit=10)
    assert (found.oversize, [alert.rule for alert in found.alerts]) == (1, ["First", "Second"])


def test_an_event_that_is_read_in_part_is_always_an_alert(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the limit of sizes is, and however many there are: something may hide in what was not read."""
    monkeypatch.setattr(decode_module, "UNCOUNTED_BYTES", 20_000)
    monkeypatch.setattr(decode_module, "MAX_EVENT_ITEMS", 10_000)
    what, _ = evaluator()
    dense = json.dumps({**event(), "requestObject": {"list": [1] * 30_000}}).encode()
    found = evaluate(what, dense, event_limit=1 << 30)
    [alert] = [alert for alert in found.alerts if alert.source == "internal"]
    assert (alert.rule, alert.priority) == (PARTLY_EVALUATED, Priority.CRITICAL)
    assert f"{len(dense):,} bytes" in alert.output
    assert PARTLY_EVALUATED not in LIMIT


def test_the_same_event_has_the_same_alert_ids() -> None:
    """Ids come of what makes an alert unique: another cluster, rule or time makes another id."""
    what, _ = evaluator()
    first, again = evaluate(what, BODY), evaluate(what, BODY)
    other = evaluate(what, json.dumps(event(number=2)).encode())
    ids = [alert.id for found in (first, other) for alert in found.alerts]
    assert [alert.id for alert in first.alerts] == [alert.id for alert in again.alerts]
    assert len(set(ids)) == 4


@pytest.mark.parametrize("none", [{"auditID": ""}, {"auditID": None}])
def test_events_without_an_id_are_told_apart_by_their_text(none: dict[str, Any]) -> None:
    """Two of them that differ are two alerts, also where everything else that makes an id is the same."""
    what, _ = evaluator()
    bodies = [json.dumps({**event(), **none, "user": {"username": name}}).encode() for name in ("eve", "bob", "eve")]
    if none["auditID"] is None:
        bodies = [body.replace(b'"auditID": null, ', b"").replace(b', "auditID": null', b"") for body in bodies]
    found = evaluate(what, b"[%b]" % b",".join(bodies))
    assert len({alert.id for alert in found.alerts}) == len(found.alerts) * 2 // 3


def test_engines_may_share_their_progress() -> None:
    """evt.num counts all events, whichever of the engines evaluates them, from the time of the first one."""
    text = (
        '- rule: Counted\n  desc: d\n  condition: evt.num > 0\n  output: "%evt.num %evt.reltime.s"\n'
        "  priority: INFO\n  source: k8s_audit\n"
    )
    ruleset = load_sources([SourceFile("r.yaml", text)]).ruleset
    progress = Progress()
    one, other = Engine(ruleset, progress=progress), Engine(ruleset.copy(), progress=progress)
    times = [f"2026-01-02T03:04:0{second}Z" for second in (5, 6, 8)]
    bodies = [json.dumps({**event(), "stageTimestamp": time}).encode() for time in times]
    found = [engine.process(body)[0].message for engine, body in zip((one, other, one), bodies, strict=True)]
    assert found == ["1 0", "2 1", "3 3"]


def test_a_copy_of_a_ruleset_answers_the_same() -> None:
    """Large bodies are evaluated with it in a thread."""
    _, engine = evaluator()
    copy = engine.ruleset.copy()
    (found,) = decode(BODY).events
    assert [rule.name for rule in copy.match(found)] == [rule.name for rule in engine.ruleset.match(found)]


def test_the_books_balance() -> None:
    """received = evaluated + duplicate + malformed, whatever becomes of a batch."""
    accounts = Accounts()
    batch = Batch(
        "webhook", "prod", 50, size=10, digest=b"d", evaluated=3, matched=1, unkept=2, last_event_ns=20,
        malformed=(MalformedRecord("r", b""),), rule_matches={"First": 1},
    )  # fmt: skip
    accounts.count(batch, Outcome.COMMITTED)
    accounts.count(batch, Outcome.DUPLICATE)
    accounts.count(Batch("internal", "", 60), Outcome.COMMITTED)
    (account,) = accounts.sources.values()
    assert (account.received, account.evaluated, account.duplicate, account.malformed) == (12, 3, 6, 3)
    assert (account.lag_ns, account.last_event_ns, account.bodies) == (30, 20, 2)
    assert accounts.rule_matches == {("First", "prod"): 1}


def test_refusals_wait_for_the_store() -> None:
    """They are taken once, and given back when the store did not take them."""
    accounts = Accounts()
    accounts.refuse("webhook", "prod", "unauthorized")
    taken = accounts.take_refusals()
    assert taken == {("webhook", "prod"): {"unauthorized": 1}}
    assert not accounts.take_refusals()
    accounts.give_back("webhook", "prod", taken["webhook", "prod"])
    assert accounts.take_refusals() == taken
    assert accounts.account("webhook", "prod").refused == {"unauthorized": 1}


def test_silence() -> None:
    """Told once for each silence, by the limit of the cluster, never before something was heard; and so is its end."""
    watch = SilenceWatch(Silence(after=10, clusters={"lab": 0, "slow": 100}, first_event=0))
    accounts = {("w", name): Account(last_received_ns=1 * SECOND) for name in ("prod", "lab", "slow")}
    accounts["w", "never"] = Account()
    assert list(watch.look(accounts, 10 * SECOND)) == []
    assert [(s.cluster, s.seconds) for s in watch.look(accounts, 12 * SECOND)] == [("prod", 11)]
    assert list(watch.look(accounts, 13 * SECOND)) == []
    assert watch.silent == {("w", "prod")}
    accounts["w", "prod"].last_received_ns = 13 * SECOND
    assert list(watch.look(accounts, 14 * SECOND)) == [HeardAgain("w", "prod", 12)]
    assert list(watch.look(accounts, 15 * SECOND)) == []
    assert not watch.silent
    assert [s.cluster for s in watch.look(accounts, 23 * SECOND)] == ["prod"]


def test_clusters_of_earlier_runs_are_missed() -> None:
    """A cluster that was lost over a restart is told too, counted from the start."""
    watch = SilenceWatch(Silence(after=10, clusters={}, first_event=0))
    watch.expect([("w", "prod")], 100 * SECOND)
    assert list(watch.look({}, 109 * SECOND)) == []
    assert [s.cluster for s in watch.look({}, 110 * SECOND)] == ["prod"]


class Fragile:
    """A source that fails so many times, then ends."""

    def __init__(self, name: str, failures: list[Exception]) -> None:
        self.name = name
        self._failures = failures

    async def run(self, sink: Sink) -> None:
        if self._failures:
            raise self._failures.pop()


def test_sources_restart_each_for_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    """Waits double up to a bound; one that ends stays ended."""
    waits: list[float] = []

    async def sleep(seconds: float) -> None:
        waits.append(seconds)

    monkeypatch.setattr("lanner.service.supervisor.asyncio.sleep", sleep)
    failures: list[Exception] = [OSError("no") for _ in range(8)]
    fragile: Source = Fragile("fragile", failures)
    sound: Source = Fragile("sound", [])
    watched = [Watched("fragile", "test", lambda: fragile), Watched("sound", "test", lambda: sound)]
    sink: Any = None
    asyncio.run(Supervisor(watched, lambda _: sink).run())
    assert waits == [1, 2, 4, 8, 16, 32, 60, 60]
    assert [(w.state, w.restarts) for w in watched] == [(State.ENDED, 8), (State.ENDED, 0)]


class Finishing:
    """A source that has something to finish when it is stopped."""

    name = "finishing"

    def __init__(self, finished: list[str]) -> None:
        self._finished = finished

    async def run(self, sink: Sink) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            for _ in range(5):
                await asyncio.sleep(0)
            self._finished.append(self.name)


def test_all_sources_finish_what_they_have_accepted() -> None:
    """Stopping asks each of them once, and waits for all."""

    async def stopped() -> list[str]:
        finished: list[str] = []
        watched = [Watched(name, "test", lambda: Finishing(finished)) for name in ("one", "two", "three")]
        sink: Any = None
        running = asyncio.create_task(Supervisor(watched, lambda _: sink).run())
        while not all(one.state is State.RUNNING for one in watched):
            await asyncio.sleep(0)
        running.cancel()
        await asyncio.wait([running])
        assert {one.state for one in watched} == {State.STOPPED}
        return finished

    assert asyncio.run(stopped()) == ["finishing"] * 3


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (OSError(2, "No such file"), "[Errno 2] No such file"),
        (KeyError("x"), "KeyError: 'x'"),
        (RuntimeError(), "RuntimeError"),
        (Unavailable("later", 5), "later"),
    ],
)
def test_what_is_told_of_a_failure(monkeypatch: pytest.MonkeyPatch, error: Exception, told: str) -> None:
    """Errors that were not made for people come with their type."""
    seen: list[str] = []

    async def sleep(seconds: float) -> None:
        seen.append(watched.error)

    monkeypatch.setattr("lanner.service.supervisor.asyncio.sleep", sleep)
    source: Source = Fragile("fragile", [error])
    watched = Watched("fragile", "test", lambda: source)
    sink: Any = None
    asyncio.run(Supervisor([watched], lambda _: sink).run())
    assert seen == [told]


@pytest.mark.parametrize(
    ("written", "want"),
    [
        ("apiserver", AllowedSubject(common_name="apiserver")),
        ("CN=api*, O=prod", AllowedSubject(common_name="api*", organization="prod")),
        ("O=prod", AllowedSubject(organization="prod")),
        ("DNS:*.eu.example", AllowedSubject(alternative_name="DNS:*.eu.example")),
    ],
)
def test_allowed_subjects(written: str, want: AllowedSubject) -> None:
    """As the configuration writes them."""
    assert subject(written) == want


def test_an_unknown_part_of_a_subject_is_refused() -> None:
    """Nothing that is written is passed over."""
    with pytest.raises(ValueError, match="OU=x"):
        subject("OU=x")


def test_matches_are_counted_by_event_and_by_rule() -> None:
    """Two rules on one event are one matched event."""
    what, _ = evaluator()
    found = evaluate(what, BODY)
    assert (found.matched, found.rule_matches) == (1, Counter({"First": 1, "Second": 1}))
