"""The status server's routes, without a network."""

from __future__ import annotations

import asyncio
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette

from lanner.config import Config
from lanner.diagnostics.source import SourceFile
from lanner.engine.loader import load_sources
from lanner.server.app import status_app
from lanner.server.facts import Facts, FileDigest
from lanner.server.metrics import METRICS, Metrics
from lanner.server.server import StatusServer
from lanner.service.accounts import Accounts
from lanner.service.supervisor import State, Watched
from lanner.sources.base import Source
from lanner.sources.refusal import CONSEQUENCES, Consequence
from lanner.sources.webhook_settings import PathSettings
from lanner.store.records import Batch, Outcome

RULES = """\
- rule: A rule
  desc: A rule
  condition: ka.verb = create
  output: verb %ka.verb
  priority: WARNING
  source: k8s_audit
  tags: [T1098.006, k8s]
"""


def no_source() -> Source:
    raise NotImplementedError


class Stage:
    """A service that is told what to be."""

    def __init__(self) -> None:
        self.failure = ""
        self.overloaded: dict[tuple[str, str], int] = {}
        self.sources = [Watched("webhook", "webhook", no_source, State.RUNNING, place="http://127.0.0.1:1/x")]
        self.accounts = Accounts()
        self.metrics = Metrics()
        self.facts = Facts(
            started_ns=10**18,
            hostname="host",
            rules=load_sources([SourceFile("rules.yaml", RULES)]).rules,
            rules_files=[FileDigest("rules.yaml", "abc")],
            config_files=[],
            accounts=self.accounts,
            sources=self.sources,
            store="postgresql://db.internal:5432/lanner",
            store_identity=lambda: "0123456789abcdef",
            store_failure=lambda: self.failure,
            waiting=lambda: (2, 300),
            in_flight=lambda: 77,
            silence=lambda: {("webhook", "prod"): 5.0},
            silent=lambda: frozenset({("webhook", "prod")}),
            overloaded=lambda: self.overloaded,
            unwritten=lambda: 4,
            log_dropped=lambda: 5,
        )
        self.metrics.tell_of(self.facts)

    def app(self, access: PathSettings | None = None) -> Starlette:
        return status_app(self.facts, self.metrics, "/livez", True, access or PathSettings())

    def get(self, path: str, access: PathSettings | None = None, **headers: str) -> httpx.Response:
        return self.asked(self.app(access), path, **headers)

    def asked(self, app: Any, path: str, **headers: str) -> httpx.Response:
        async def ask() -> httpx.Response:
            async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as client:
                return await client.get(path, headers=headers)

        return asyncio.run(ask())


def test_health_is_where_it_was_configured() -> None:
    """Falco's answer, at the configured path alone."""
    assert Stage().get("/livez").json() == {"status": "ok"}
    assert Stage().get("/healthz").status_code == 404


RUNNING, FAILED, STARTING, ENDED = State.RUNNING, State.FAILED, State.STARTING, State.ENDED


@pytest.mark.parametrize(
    ("failure", "sources", "status", "word"),
    [
        ("", [("webhook", RUNNING)], 200, "ok"),
        ("", [("webhook", FAILED)], 503, "not ready"),
        ("", [("webhook", STARTING)], 503, "not ready"),
        ("the disk is full", [("webhook", RUNNING)], 503, "not ready"),
        ("", [("webhook", RUNNING), ("webhook", FAILED)], 200, "degraded"),
        ("", [("webhook", RUNNING), ("file", FAILED)], 200, "degraded"),
        ("", [("webhook", RUNNING), ("plugin", FAILED), ("file", ENDED)], 200, "degraded"),
        # Senders find nobody, whatever files are read.
        ("", [("webhook", FAILED), ("file", RUNNING)], 503, "not ready"),
        ("", [("webhook", STARTING), ("file", ENDED)], 503, "not ready"),
        ("", [("file", RUNNING)], 200, "ok"),
        ("", [("file", ENDED)], 200, "ok"),
        ("", [("file", RUNNING), ("plugin", FAILED)], 200, "degraded"),
        ("", [("file", FAILED), ("plugin", FAILED)], 503, "not ready"),
    ],
)
def test_readiness(failure: str, sources: list[tuple[str, State]], status: int, word: str) -> None:
    """Ready means: the store works and somebody can take events; all that does not work is named."""
    stage = Stage()
    stage.failure = failure
    stage.sources[:] = [
        Watched(f"{kind}-{number}", kind, no_source, state) for number, (kind, state) in enumerate(sources)
    ]
    answer = stage.get("/readyz")
    document = answer.json()
    assert (answer.status_code, document["status"]) == (status, word)
    assert document["store"].get("error", "") == failure
    named = [source.name for source in stage.sources if source.state not in (RUNNING, ENDED)]
    assert [text.split("`")[1] for text in document["problems"] if "source" in text] == named
    assert ("the store does not work" in document["problems"]) == bool(failure)


LOCKED = PathSettings(tokens=("let-me-in",), logins=(("me", "pw"),))


@pytest.mark.parametrize("path", ["/versions", "/metrics"])
def test_authentication(path: str) -> None:
    """What is locked opens to a token or a login, and to nothing else."""
    stage = Stage()
    denied = stage.get(path, LOCKED)
    assert denied.status_code == 401
    assert "Basic" in denied.headers["www-authenticate"]
    assert stage.get(path, LOCKED, authorization="Bearer let-me-out").status_code == 401
    assert stage.get(path, LOCKED, authorization="Bearer let-me-in").status_code == 200
    assert stage.get(path, LOCKED, authorization="Basic bWU6cHc=").status_code == 200


def test_probes_need_no_login_and_learn_no_details() -> None:
    """A kubelet cannot log in."""
    stage = Stage()
    stage.failure = "cannot reach db.internal"
    assert stage.get("/livez", LOCKED).status_code == 200
    assert not {"db.internal", "0123456789abcdef"} & set(re.findall(r"[\w.]+", stage.get("/readyz", LOCKED).text))
    assert "db.internal" in stage.get("/readyz", LOCKED, authorization="Bearer let-me-in").text


def test_a_secret_file_that_is_bad_locks_everybody_out(tmp_path: Path) -> None:
    """Details too; probes go on, and it is told."""
    told: list[str] = []
    access = PathSettings(token_files=(tmp_path / "token",))
    stage = Stage()
    (tmp_path / "token").write_text("")
    for shown in ({}, {"authorization": "Bearer "}, {"authorization": "Bearer x"}):
        app = status_app(stage.facts, stage.metrics, "/livez", True, access, told.append)
        assert stage.asked(app, "/metrics", **shown).status_code == 401
        assert "db.internal" not in stage.asked(app, "/readyz", **shown).text
        assert stage.asked(app, "/livez", **shown).status_code == 200
    assert len(told) == 2  # by each application, when somebody showed something
    assert "it is empty" in told[0]


def test_a_listener_without_authentication_is_told_of() -> None:
    """By a text in the document; the service stays ready."""
    stage = Stage()
    assert stage.get("/readyz").json()["warnings"] == []
    stage.sources[0].warning = "takes events from anybody"
    answer = stage.get("/readyz", LOCKED)
    assert (answer.status_code, answer.json()["status"]) == (200, "ok")
    assert answer.json()["warnings"] == ["the source `webhook` takes events from anybody"]


def test_overload_is_named_and_leaves_the_service_ready() -> None:
    """Another receiver would have no more room; which cluster it is, only those with a login learn."""
    stage = Stage()
    stage.overloaded = {("webhook", "prod"): 1234, ("second", ""): 1}
    answer = stage.get("/readyz")
    assert (answer.status_code, answer.json()["status"]) == (200, "degraded")
    assert answer.json()["problems"] == [
        "cluster `prod` (source `webhook`) is overloaded: 1,234 requests refused with 503 within a minute",
        "source `second` is overloaded: 1 requests refused with 503 within a minute",
    ]
    assert "prod" not in stage.get("/readyz", LOCKED).text
    metrics = stage.get("/metrics").text
    assert 'lanner_overloaded{cluster="prod",source="webhook"} 1.0' in metrics
    stage.overloaded = {}
    stage.accounts.account("webhook", "prod")
    assert stage.get("/readyz").json()["status"] == "ok"
    assert 'lanner_overloaded{cluster="prod",source="webhook"} 0.0' in stage.get("/metrics").text


def test_an_address_that_is_none_is_named() -> None:
    """Not only that some name could not be resolved."""
    config = replace(Config.default({}).service.server, address="lanner.invalid")
    server = StatusServer(Stage().app(), config)
    sink: Any = None
    with pytest.raises(OSError, match=r"the address `lanner.invalid` cannot be resolved: "):
        asyncio.run(server.run(sink))


def test_versions_have_falcos_shape() -> None:
    """falcoctl reads the engine's version from there."""
    document = Stage().get("/versions").json()
    assert document["engine_version"] == "63"
    assert document["engine_version_semver"] == "0.63.0"
    assert document["plugin_versions"] == {"k8saudit": "0.18.0", "json": "0.7.4"}


def test_metrics_say_what_is_true() -> None:
    """Counts, states and Falco's names with their labels."""
    stage = Stage()
    batch = Batch("webhook", "prod", 2 * 10**9, digest=b"x", evaluated=3, matched=1, last_event_ns=10**9,
                  rule_matches={"A rule": 1}, rule_errors={"A rule": 2})  # fmt: skip
    stage.accounts.count(batch, Outcome.COMMITTED)
    stage.accounts.count(batch, Outcome.DUPLICATE)
    stage.accounts.refuse("webhook", "prod", "unauthorized")
    stage.metrics.committed(0.02)
    lines = stage.get("/metrics").text.splitlines()
    labels = 'priority="4",rule_name="A rule",source="k8s_audit",tag_T1098_006="true",tag_k8s="true"'
    for line in (
        'lanner_events_received_total{cluster="prod",source="webhook"} 6.0',
        'lanner_events_duplicate_total{cluster="prod",source="webhook"} 3.0',
        'lanner_event_lag_seconds{cluster="prod",source="webhook"} 1.0',
        'lanner_bodies_refused_total{cluster="prod",reason="unauthorized",source="webhook"} 1.0',
        'lanner_rule_errors_total{cluster="prod",rule_name="A rule"} 2.0',
        'lanner_silent{cluster="prod",source="webhook"} 1.0',
        'lanner_source_up{kind="webhook",source="webhook"} 1.0',
        "lanner_store_up 1.0",
        "lanner_commit_queue_bytes 300.0",
        "lanner_in_flight_bytes 77.0",
        "lanner_commit_seconds_count 1.0",
        f"falcosecurity_falco_rules_matches_total{{{labels}}} 1.0",
        'falcosecurity_falco_sha256_rules_files_info{file_name="rules.yaml",sha256="abc"} 1.0',
        "falcosecurity_falco_outputs_queue_num_drops_total 4.0",
    ):
        assert line in lines


def test_refusals_that_are_worth_an_alert_count_from_zero() -> None:
    """Prometheus sees no increase in a counter that begins with 1; sources without requests have none of these."""
    stage = Stage()
    for source in ("webhook", "file"):
        stage.accounts.account(source, "prod")
    lines = [
        line for line in stage.get("/metrics").text.splitlines() if line.startswith("lanner_bodies_refused_total{")
    ]
    for reason in ("too_large", "damaged", "content_type", "content_encoding", "failed", "overload"):
        assert f'lanner_bodies_refused_total{{cluster="prod",reason="{reason}",source="webhook"}} 0.0' in lines
    assert len(lines) == 6


def test_every_metric_is_described_and_given() -> None:
    """The table, the page and the answer name the same metrics."""
    text = Stage().get("/metrics").text
    page = (Path(__file__).resolve().parent.parent.parent / "docs" / "metrics.md").read_text(encoding="utf-8")
    given = {line.split()[2] for line in text.splitlines() if line.startswith("# TYPE lanner_")}
    assert {name for name in given if not name.endswith("_created")} == set(METRICS)
    assert all(f"| `{name}` |" in page for name in METRICS)


def test_the_alerting_rule_about_lost_events_names_all_reasons() -> None:
    """A new reason for which events are lost must not be missing there."""
    text = (Path(__file__).resolve().parent.parent.parent / "deploy/prometheus/alerts.yaml").read_text("utf-8")
    named = re.findall(r'lanner_bodies_refused_total\{reason=~"([a-z_|]+)"', text)
    lost = {reason.value for reason, consequence in CONSEQUENCES.items() if consequence is Consequence.LOST}
    assert [set(one.split("|")) for one in named] == [lost]


@pytest.mark.parametrize("file", ["grafana/lanner.json", "prometheus/alerts.yaml"])
def test_dashboards_and_alerting_rules_use_metrics_that_exist(file: str) -> None:
    """A renamed metric must not leave a panel empty."""
    text = (Path(__file__).resolve().parent.parent.parent / "deploy" / file).read_text(encoding="utf-8")
    used = set(re.findall(r"\blanner_[a-z_]+", text))
    known = {*METRICS, "lanner_commit_seconds_bucket"}
    assert used
    assert used <= known
