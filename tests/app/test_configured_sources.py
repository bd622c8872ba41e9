"""Sources as a configuration asks for them, through a real service: Falco's plugins, credentials, files, restarts."""

from __future__ import annotations

import json
import signal
import socket
import ssl
import subprocess
import sys
from base64 import b64encode
from collections.abc import Collection
from itertools import count
from pathlib import Path

import httpx
import pytest

from lanner.store.records import SourceCounters
from lanner.store.store import open_store
from tests.app.running import ENVIRONMENT, JSON, TIMEOUT, Running, free_port, post, running
from tests.cli.builders import event
from tests.sources.certificates import Authority, needs_openssl, trusting

RULES = """\
- rule: Anything
  desc: Everything that has a verb
  condition: ka.verb exists
  output: "%ka.verb %ka.auditid"
  priority: NOTICE
  source: k8s_audit
"""


@pytest.fixture
def rules(tmp_path: Path) -> Path:
    path = tmp_path / "anything.yaml"
    path.write_text(RULES)
    return path


def books(folder: Path) -> dict[tuple[str, str], SourceCounters]:
    store = open_store(f"sqlite:///{folder}/lanner.db", writable=False)
    try:
        return {(c.source, c.cluster): c for c in store.counters().sources}
    finally:
        store.close()


def configured(tmp_path: Path, text: str) -> tuple[str, ...]:
    """Arguments for a configuration of that text, with the rule that matches everything."""
    (tmp_path / "falco.yaml").write_text(text)
    return ("-c", str(tmp_path / "falco.yaml"), "-r", str(tmp_path / "anything.yaml"))


def lines(*numbers: int) -> str:
    return "".join(f"{json.dumps(event(number=number))}\n" for number in numbers)


def alerts(service: Running, count: int, known: Collection[str] = ()) -> list[str]:
    """The next lines of standard output; known ones may come again before."""
    found: list[str] = []
    while len(found) < count:
        line = service.line()
        assert "Notice create" in line
        if line not in known:
            found.append(line)
    return found


@pytest.mark.usefixtures("rules")
@pytest.mark.parametrize("form", ["http://127.0.0.1:{port}/k8s-audit", "127.0.0.1:{port}/k8s-audit"])
def test_a_webhook_of_falco(tmp_path: Path, form: str) -> None:
    """A falco.yaml as it is works; its limits hold."""
    port = free_port()
    text = (
        "plugins:\n"
        "  - name: k8saudit\n    library_path: libk8saudit.so\n"
        '    init_config: |\n      {"maxEventSize": 2000, "webhookMaxBatchSize": 50000}\n'
        f"    open_params: {json.dumps(form.format(port=port))}\n"
        "  - {name: json, library_path: libjson.so}\n"
        "  - {name: cloudtrail, library_path: libcloudtrail.so}\n"
        "load_plugins: [k8saudit, json]\n"
    )
    with running(tmp_path / "data", *configured(tmp_path, text)) as service:
        url = service.place("k8saudit")
        assert url == f"http://127.0.0.1:{port}/k8s-audit"
        assert post(url, json.dumps(event())).status_code == 200
        assert post(url, json.dumps({**event(number=2), "padding": "x" * 3000})).status_code == 200
        assert post(url, json.dumps({**event(number=3), "padding": "x" * 60_000})).status_code == 413
        assert service.stop() == 0
        assert any("`library_path` of the plugin `k8saudit` is not needed" in entry["event"] for entry in service.log)
    account = books(tmp_path / "data")["k8saudit", ""]
    assert (account.evaluated, account.oversize, dict(account.refused_bodies)) == (2, 1, {"too_large": 1})


@pytest.mark.usefixtures("rules")
@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
def test_a_file_is_followed_over_a_restart(tmp_path: Path, how: signal.Signals) -> None:
    """What is written and rotated while nobody reads is read afterwards, and nothing twice."""
    log = tmp_path / "audit.log"
    log.write_text(lines(1))
    text = f"plugins:\n  - name: k8saudit\n    init_config: {{readFrom: start}}\n    open_params: file://{log}\n"
    options = configured(tmp_path, text)
    with running(tmp_path / "data", *options) as service:
        known = alerts(service, 1)
        with log.open("a") as file:
            file.write(lines(2))
        known += alerts(service, 1)
        service.stop(how)
    with log.open("a") as file:
        file.write(lines(3))
    log.rename(tmp_path / "audit.log.1")
    log.write_text(lines(4, 5))
    with running(tmp_path / "data", *options) as service:
        alerts(service, 3, known if how is signal.SIGKILL else ())
        assert service.stop() == 0
        assert service.rest() == []
    account = books(tmp_path / "data")["k8saudit", ""]
    assert (account.received, account.evaluated) == (5, 5)


@needs_openssl
@pytest.mark.usefixtures("rules")
def test_clusters_are_told_apart_by_their_certificates(tmp_path: Path) -> None:
    """Over https with client certificates, no cluster can post as another; without a certificate nobody is let in."""
    authority = Authority(tmp_path, "authority")
    server = authority.issue("server", "/CN=localhost", "DNS:localhost,IP:127.0.0.1")
    clients = {name: authority.issue(name, f"/O={name}/CN=kube-apiserver-{name}") for name in ("eu", "us")}
    text = (
        "lanner:\n  webhooks:\n"
        f"    - port: 0\n      certificate: {server.with_suffix('.crt')}\n      key: {server.with_suffix('.key')}\n"
        f"      client_ca: {authority.file}\n"
        "      paths:\n"
        "        - {path: /eu, cluster: eu, allowed_subjects: [kube-apiserver-eu]}\n"
        '        - {path: /us, cluster: us, allowed_subjects: ["O=us"], token: for-us}\n'
    )
    with running(tmp_path / "data", *configured(tmp_path, text)) as service:
        eu, us = service.place("webhook").split()
        assert eu.startswith("https://")
        body = json.dumps(event())
        token = {"authorization": "Bearer for-us"}

        def posted(url: str, client: str, headers: dict[str, str]) -> int:
            with httpx.Client(verify=trusting(authority, clients[client])) as http:
                return http.post(url, content=body, headers={**JSON, **headers}).status_code

        assert posted(eu, "eu", {}) == 200
        assert posted(us, "us", token) == 200
        assert posted(us, "us", {}) == 401
        assert posted(us, "eu", token) == 403
        assert posted(eu, "us", {}) == 403
        with httpx.Client(verify=trusting(authority)) as http, pytest.raises((httpx.HTTPError, ssl.SSLError)):
            http.post(eu, content=body, headers=JSON)
        assert service.stop() == 0
    found = books(tmp_path / "data")
    assert found["webhook", "eu"].evaluated == found["webhook", "us"].evaluated == 1


@needs_openssl
@pytest.mark.usefixtures("rules")
def test_https_of_falco(tmp_path: Path) -> None:
    """One file with certificate and key, as the plugin wants it."""
    authority = Authority(tmp_path, "authority")
    server = authority.issue("server", "/CN=localhost", "DNS:localhost,IP:127.0.0.1")
    port = free_port()
    text = (
        f"plugins: [{{name: k8saudit, init_config: {{sslCertificate: {server}}}, "
        f'open_params: "https://127.0.0.1:{port}/k8s-audit"}}]\n'
    )
    with running(tmp_path / "data", *configured(tmp_path, text)) as service:
        with httpx.Client(verify=trusting(authority)) as http:
            url = service.place("k8saudit")
            assert http.post(url, content=json.dumps(event()), headers=JSON).status_code == 200
        assert service.stop() == 0
    assert books(tmp_path / "data")["k8saudit", ""].evaluated == 1


@pytest.mark.usefixtures("rules")
def test_tokens_and_passwords_by_path(tmp_path: Path) -> None:
    """Each path lets in who shows what belongs to it, and no other; what is shown does not get into the log."""
    (tmp_path / "password").write_text("pass-word\n")
    text = (
        "lanner:\n  webhooks:\n    - port: 0\n      paths:\n"
        "        - {path: /token, cluster: a, token: tok-en}\n"
        f"        - {{path: /basic, cluster: b, username: api, password_file: {tmp_path}/password}}\n"
    )
    bearer = "Bearer tok-en"
    basic = "Basic " + b64encode(b"api:pass-word").decode()
    with running(tmp_path / "data", *configured(tmp_path, text), "-o", "log_level=debug") as service:
        with_token, with_basic = service.place("webhook").split()
        body = json.dumps(event())
        for url, shown, status in (
            (with_token, bearer, 200),
            (with_token, basic, 401),
            (with_basic, basic, 200),
            (with_basic, bearer, 401),
            (with_basic, "Basic " + b64encode(b"api:other").decode(), 401),
        ):
            assert post(url, body, authorization=shown).status_code == status
        assert post(with_basic, body).status_code == 401
        assert service.stop() == 0
        log = json.dumps(service.log)
        assert "tok-en" not in log
        assert "pass-word" not in log


@pytest.mark.usefixtures("rules")
def test_a_token_file_that_is_emptied(tmp_path: Path) -> None:
    """The old token is not good any more, an internal alert tells once, and a new token is taken without a restart."""
    token = tmp_path / "token"
    token.write_text("one\n")
    text = f"lanner:\n  webhooks:\n    - {{port: 0, cluster: eu, token_file: {token}}}\n"
    with running(tmp_path / "data", *configured(tmp_path, text)) as service:
        url = service.place("webhook")
        numbers = count(1)

        def status(shown: str) -> int:
            return post(url, json.dumps(event(number=next(numbers))), authorization=f"Bearer {shown}").status_code

        def becomes(shown: str, wanted: int) -> None:
            while status(shown) != wanted:
                pass

        assert status("one") == 200
        token.write_text("")
        becomes("one", 401)
        assert [status(shown) for shown in ("one", "null", "x")] == [401] * 3
        while "senders of cluster eu (source webhook) are refused" not in (line := service.line()):
            assert "Notice create" in line
        assert "Critical" in line
        assert "it is empty" in line
        token.write_text("two\n")
        becomes("two", 200)
        assert status("one") == 401
        assert service.stop() == 0
        assert not [line for line in service.rest() if "are refused" in line]
        assert "one" not in [word for entry in service.log for word in str(entry).split()]


@pytest.mark.usefixtures("rules")
def test_a_listener_without_authentication(tmp_path: Path) -> None:
    """It is warned of at the start, in the log and in /readyz, and takes events."""
    text = "plugins: [{name: k8saudit, open_params: 'http://0.0.0.0:%d/x'}]\n" % free_port()  # noqa: UP031 - braces
    with running(tmp_path / "data", *configured(tmp_path, text)) as service:
        url = service.place("k8saudit").replace("0.0.0.0", "127.0.0.1")
        assert post(url, json.dumps(event())).status_code == 200
        status = service.place("server")
        answer = httpx.get(f"{status}/readyz", timeout=TIMEOUT)
        assert answer.status_code == 200
        (warning,) = answer.json()["warnings"]
        assert "no authentication is configured" in warning
        assert answer.json()["sources"][0]["place"] == url.replace("127.0.0.1", "0.0.0.0")
        service.logged(warning.replace("`k8saudit` ", ""), level="warning", source="k8saudit")
        assert service.stop() == 0
        assert any("warning[CONFIG_OPEN_LISTENER]" in str(entry["event"]) for entry in service.log)


@pytest.mark.usefixtures("rules")
def test_who_has_no_login_is_not_told_where_a_listener_is(tmp_path: Path) -> None:
    """Neither the address nor the paths of those that ask for no authentication: that one does is all."""
    webhook = "{port: %d, address: 0.0.0.0, paths: [{path: /open}, {path: /b, token: a}]}" % free_port()  # noqa: UP031
    text = f"lanner: {{server: {{token: abc}}, webhooks: [{webhook}]}}\n"
    with running(tmp_path / "data", *configured(tmp_path, text)) as service:
        status = service.place("server")
        answer = httpx.get(f"{status}/readyz", timeout=TIMEOUT)
        (warning,) = answer.json()["warnings"]
        assert "no authentication is configured" in warning
        assert not [word for word in ("/open", "0.0.0.0", "http:") if word in answer.text]
        answer = httpx.get(f"{status}/readyz", headers={"authorization": "Bearer abc"}, timeout=TIMEOUT)
        assert "/open" in answer.json()["sources"][0]["place"]


def test_standard_input(tmp_path: Path, rules: Path) -> None:
    """It is read to its end, and then the service ends."""
    command = [sys.executable, "-m", "lanner", "run", "-r", str(rules), "-o", "lanner.files[].path=-"]
    command += ["-o", "lanner.files[0].cluster=prod", "-o", f"lanner.data_dir={tmp_path}/data"]
    command += ["-o", "webserver.listen_port=0"]
    ended = subprocess.run(
        command,
        check=False,
        input=lines(1, 2) + "no event\n",
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
    )
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.count("Notice create") == 2
    account = books(tmp_path / "data")["stdin", "prod"]
    assert (account.received, account.evaluated, account.malformed) == (3, 2, 1)


@pytest.mark.usefixtures("rules")
def test_two_plugins_of_a_kind_fare_each_for_itself(tmp_path: Path) -> None:
    """One whose port is taken comes up when it is free; the other takes events all the time."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        first, second = free_port(), taken.getsockname()[1]
        text = "plugins:\n" + "".join(
            f"  - {{name: k8saudit, open_params: 'http://127.0.0.1:{port}/x'}}\n" for port in (first, second)
        )
        with running(tmp_path / "data", *configured(tmp_path, text)) as service:
            service.logged("source failed", source="k8saudit-2")
            body = json.dumps(event())
            assert post(f"http://127.0.0.1:{first}/x", body).status_code == 200
            taken.close()
            assert service.place("k8saudit-2") == f"http://127.0.0.1:{second}/x"
            assert post(f"http://127.0.0.1:{second}/x", body).status_code == 200
            assert service.stop() == 0
    found = books(tmp_path / "data")
    assert found["k8saudit", ""].evaluated == found["k8saudit-2", ""].evaluated == 1


def test_a_mistake_stops_the_start(tmp_path: Path) -> None:
    """Nothing listens half-configured; the place of the mistake is shown."""
    (tmp_path / "falco.yaml").write_text("plugins:\n  - name: k8saudit\n    open_params: ftp://x\n")
    for command in (["run", "-c"], ["check"]):
        ended = subprocess.run(
            [sys.executable, "-m", "lanner", *command, "falco.yaml"],
            check=False,
            env=ENVIRONMENT,
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=TIMEOUT,
        )
        assert ended.returncode == 1
        assert "falco.yaml:3:18" in ended.stdout + ended.stderr
