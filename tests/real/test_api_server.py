"""A real API server posts to the service, and writes the same events to its log: nothing is lost, nothing is double.

`LANNER_KUBE_EVENTS` sets how many events each of these tests waits for, at least; `LANNER_KUBE_KILLS` how often the
service is killed.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import pytest

from lanner.cli.loading import shipped_rules
from lanner.store.store import open_store
from tests.app.running import ENVIRONMENT, Running, running
from tests.real.control_plane import ControlPlane, lines, missing
from tests.sources.certificates import Authority

pytestmark = pytest.mark.kube

EVENTS = int(os.environ.get("LANNER_KUBE_EVENTS", "2500"))
KILLS = int(os.environ.get("LANNER_KUBE_KILLS", "1"))

EACH = "Each event"

# One alert for each event: the store then names the events that came, and does not only count them.
EACH_RULE = f"""\
- rule: {EACH}
  desc: One alert for each event, with what tells events apart
  condition: jevt.value[/auditID] exists
  output: "%jevt.value[/auditID] %jevt.value[/stage] %jevt.value[/stageTimestamp]"
  priority: DEBUG
  source: k8s_audit
"""

KUBECONFIG = """\
apiVersion: v1
kind: Config
clusters: [{{name: lanner, cluster: {{server: "{server}"{authority}}}}}]
users: [{{name: api-server, user: {{{user}}}}}]
contexts: [{{name: lanner, context: {{cluster: lanner, user: api-server}}}}]
current-context: lanner
"""


@pytest.fixture(scope="module")
def control_plane() -> Iterator[ControlPlane]:
    reason = missing()
    if reason:
        pytest.skip(reason)
    with ControlPlane() as plane:
        yield plane


class Setup:
    """A service and what the API server has to know of it, in a folder. The port is free in the control plane."""

    def __init__(self, folder: Path, scheme: str) -> None:
        self.folder = folder
        self.data = folder / "data"
        self.log = folder / "audit.jsonl"
        self.webhook = folder / "webhook"
        path = "/k8s-audit/real"
        place: dict[str, Any] = {"name": "api-server", "cluster": "real", "path": path, "address": "127.0.0.1"}
        authority = user = ""
        if scheme == "https":
            servers, clients = Authority(folder, "servers"), Authority(folder, "clients")
            place["certificate"] = str(servers.issue("lanner", "/CN=lanner", "IP:127.0.0.1"))
            place["client_ca"] = str(clients.file)
            place["allowed_subjects"] = ["api-server-real"]
            certificate = clients.issue("api-server", "/CN=api-server-real")
            authority = f", certificate-authority: {servers.file}"
            user = f"client-certificate: {certificate}, client-key: {certificate}"
        server = f"{scheme}://127.0.0.1:9765{path}"
        self.webhook.write_text(KUBECONFIG.format(server=server, authority=authority, user=user))
        self._config = folder / "falco.yaml"
        self._config.write_text(json.dumps({"lanner": {"webhooks": [place], "data_dir": str(self.data)}}))
        self._rules = [*shipped_rules(), folder / "each.yaml"]
        self._rules[-1].write_text(EACH_RULE)

    @property
    def config(self) -> tuple[str, ...]:
        return ("-c", str(self._config))

    @property
    def rules(self) -> tuple[str, ...]:
        return tuple(word for path in self._rules for word in ("-r", str(path)))

    def arrived(self) -> int:
        """How many events the books have, each counted once."""
        with closing(open_store(f"sqlite:///{self.data}/lanner.db", writable=False)) as store:
            return sum(source.evaluated for source in store.counters().sources)

    def check(self) -> None:
        """Compare the log with the books and the store."""
        (account,) = json.loads(lanner("status", "--json", *self.config))["sources"]
        written = lines(self.log)
        assert (account["source"], account["cluster"], account["malformed"]) == ("api-server", "real", 0)
        assert account["evaluated"] == account["received"] - account["duplicate"] == written
        stored = _alerts(lanner("alerts", "--json", "--limit", "0", *self.config))
        came = Counter(alert["output"].split(" Debug ", 1)[1] for alert in stored if alert["rule"] == EACH)
        assert came == _identities(self.log)
        assert {alert["cluster"] for alert in stored} == {"real"}
        replayed = _alerts(lanner("replay", "--json", *self.config, *self.rules, str(self.log)))
        assert _comparable(stored) == _comparable(replayed)
        assert {alert["rule"] for alert in stored} > {EACH}


def lanner(*arguments: str) -> bytes:
    """What a command writes."""
    command = [sys.executable, "-m", "lanner", *arguments]
    done = subprocess.run(command, capture_output=True, env=ENVIRONMENT, check=False)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout


def _alerts(output: bytes) -> list[dict[str, Any]]:
    """The alerts that audit events raised, of JSON lines."""
    return [alert for alert in map(json.loads, output.splitlines()) if alert["source"] == "k8s_audit"]


def _comparable(alerts: list[dict[str, Any]]) -> Counter[str]:
    """Alerts as texts, without what only the store adds."""
    return Counter(
        json.dumps({key: alert[key] for key in alert if key not in ("id", "cluster")}, sort_keys=True)
        for alert in alerts
    )


def _identities(log: Path) -> Counter[str]:
    """What `EACH` says of the events in a log."""
    with log.open("rb") as file:
        events: Iterator[dict[str, Any]] = map(json.loads, file)
        return Counter(f"{event['auditID']} {event['stage']} {event['stageTimestamp']}" for event in events)


@pytest.mark.parametrize(("scheme", "kills"), [("http", 0), ("https", KILLS)])
def test_every_event_is_accounted_for_once(
    control_plane: ControlPlane, tmp_path: Path, scheme: str, kills: int
) -> None:
    """The books have each event of the audit log once, and the store has the alerts that a replay of the log raises.

    Also if the service is killed meanwhile: what it had not acknowledged is sent again.
    """
    setup = Setup(tmp_path, scheme)
    with ExitStack() as services:

        def start() -> Running:
            service = running(setup.data, *setup.config, *setup.rules, under=control_plane.inside)
            started = services.enter_context(service)
            assert started.place("api-server").startswith(f"{scheme}://")
            return started

        service = start()
        with control_plane.recording(setup.log, setup.webhook):
            with control_plane.traffic(setup.log, seed=len(scheme)) as wait:
                for kill in range(kills):
                    wait((kill + 1) * EVENTS // (kills + 1))
                    service.stop(signal.SIGKILL)
                    service = start()
                wait(EVENTS)
            control_plane.settle(setup.log, setup.arrived)
        assert service.stop() == 0
    setup.check()
