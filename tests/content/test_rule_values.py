"""The shipped rules on what requests carry: paths and credentials; what alerts say; what users may override."""

from __future__ import annotations

import json

import pytest

from lanner import Engine, SourceFile, load_sources
from tests.content.builders import (
    PRIVILEGED,
    REPLICASETS,
    RULES,
    SESSION,
    container,
    data,
    engine,
    loaded,
    mount,
    pod,
    raised,
    request,
)

USER = "Disallowed K8s User"
PRIVILEGED_POD = "Create Privileged Pod"
MOUNT = "Create Sensitive Mount Pod"
EXEC = "Attach/Exec Pod"
CREDENTIALS = "Create/Modify Configmap With Private Credentials"

SENSITIVE = """
    / // /./ /etc /etc/ //etc /./etc /etc/shadow /proc /proc/1 /root/.ssh /boot /home/admin /var /var/
    /var/lib /var//lib/ /var/log /run /var/run /dev /sys /usr/bin /var/lib/kubelet /var/lib/kubelet/pki
    /var/lib/docker /var/lib/etcd/member /run/containerd/containerd.sock /var/run/docker.sock
    /run/crio/crio.sock /data/../etc /data/.. /var/spool/cron/crontabs /opt/cni/bin
    /etc/ssl /etc/ssl/ /etc/ssl/private /etc/cron.d /etc/cni/net.d /etc/ssh/sshd_config /etc/modprobe.d
    /etc/ld.so.preload /etc/login.defs /etc/tmpfiles.d /etc/opt /etc/kubernetes/manifests /etc//shadow
"""

HARMLESS = """
    /data /var/log/app /etcd-data /var/lib/app /varnish /opt/app /homes /mnt/etc /run/app
    /var/run/app.sock /srv/proc /dev/shm /sys/fs/cgroup /lib/modules /procs /var/libs /data/..hidden
    /etc/localtime /etc/timezone /etc/machine-id /etc/os-release /etc/ssl/certs /etc/ssl/certs/ca.pem
    /etc/ca-certificates
"""


@pytest.mark.parametrize("path", SENSITIVE.split())
def test_sensitive_paths(path: str) -> None:
    """Directories that give away the node, in whatever spelling leads there."""
    assert MOUNT in raised(request(resource="pods", body=mount(path)))
    assert MOUNT in raised(request(resource="deployments", body={"spec": {"template": mount(path)}}))


@pytest.mark.parametrize("path", HARMLESS.split())
def test_harmless_paths(path: str) -> None:
    """Directories of applications, also where their names look alike, and what every second program mounts."""
    assert MOUNT not in raised(request(resource="pods", body=mount(path)))
    assert MOUNT not in raised(request(resource="deployments", body={"spec": {"template": mount(path)}}))


@pytest.mark.parametrize(
    "value",
    [
        {"db": "password=x"},
        {"application.properties": "url=jdbc\nspring.datasource.password = hunter2\n"},
        {"config.yaml": "db:\n  user: shop\n  password: hunter2\n"},
        {"config.yaml": 'password: "correct horse"\n'},
        {"config.json": '{"client_secret": "s3cr3t", "a": 1}'},
        {"PASSWORD": "hunter2"},
        {"passphrase": "correct horse battery staple"},
        {"aws-access-key-id": "whatever"},
        {"credentials": "[default]\naws_access_key_id = AKIAIOSFODNN7EXAMPLE\n"},
        {"note": "key AKIAIOSFODNN7EXAMPLE"},
        {"url": "postgres://shop:hunter2@db:5432/shop"},
        {"settings.xml": "<password>hunter2</password>"},
        {"tls.key": "-----BEGIN RSA PRIVATE KEY-----\nMIIE\n"},
        {"run.sh": "export API_KEY='abcdef'\n"},
    ],
    ids=lambda value: next(iter(value)),
)
def test_credentials(value: dict[str, str]) -> None:
    """A name that means a credential with something that may be one, and the forms that give themselves away."""
    assert CREDENTIALS in raised(request(resource="configmaps", body=data(**value)))


@pytest.mark.parametrize(
    "value",
    [
        {"text": "To reset your password, open the portal."},
        {"help": "Your password: must have twelve characters."},
        {"config.yaml": "password: ${DB_PASSWORD}\n"},
        {"config.yaml": "password: {{ .Values.password }}\n"},
        {"config.yaml": "password:\n  secretKeyRef: db\n"},
        {"config.yaml": 'password: ""\nuser: shop\n'},
        {"config.yaml": "password_file: /run/secrets/db\n"},
        {"config.properties": "password.min.length=8\npassword.policy=strict\n"},
        {"config.properties": "password=\nuser=shop\n"},
        {"password-policy": "strict"},
        {"url": "postgres://db:5432/shop"},
        {"url": "https://example.com/a@b"},
        {"ca.crt": "-----BEGIN CERTIFICATE-----\nMIIC\n"},
        {"settings.xml": "<password>${env.PASSWORD}</password>"},
    ],
    ids=lambda value: next(iter(value.values()))[:30],
)
def test_no_credentials(value: dict[str, str]) -> None:
    """Sentences, references, empty values and files."""
    assert CREDENTIALS not in raised(request(resource="configmaps", body=data(**value)))


def test_credentials_in_markup_as_the_api_server_writes_it() -> None:
    """It escapes angle brackets."""
    event = json.dumps(request(resource="configmaps", body=data(xml="<password>hunter2</password>")))
    escaped = event.replace("<", "\\u003c").replace(">", "\\u003e")
    assert CREDENTIALS in {alert.rule for alert in engine().process(escaped)}


def test_what_happened_is_in_the_text() -> None:
    """A refused pod is not called started: the text says that it was requested, and the result."""
    event = request(resource="pods", code=403, body=pod(containers=[container(**PRIVILEGED)]))
    texts = [alert.output for alert in engine().process(event) if alert.rule == PRIVILEGED_POD]
    assert len(texts) == 1
    assert "Privileged container requested (result=403 user=eve@example.com" in texts[0]
    assert "ips=(192.0.2.7)" in texts[0]


def test_the_whole_command_is_in_the_text() -> None:
    """Every word of an exec is shown."""
    uri = "/api/v1/namespaces/shop/pods/web/exec?command=cat&command=%2Fetc%2Fshadow&container=main"
    texts = [alert.output for alert in engine().process(request("get", "pods", sub="exec", uri=uri, **SESSION))]
    assert any(f"uri={uri}" in text for text in texts)


OVERRIDES = """
- list: allowed_k8s_users
  items: [eve@example.com]
  override: {items: append}
- list: k8s_audit_privileged_images
  items: [registry.example.com/shop/web]
  override: {items: append}
- list: allowed_host_paths
  items: [/etc/app]
  override: {items: append}
- macro: user_known_exec_pod_activities
  condition: (ka.user.name = eve@example.com)
- macro: allowed_full_admin_users
  condition: (k8s_audit_never_true)
- macro: allow_all_k8s_nodes
  condition: (k8s_audit_never_true)
- macro: consider_activity_events
  condition: (k8s_audit_never_true)
- macro: consider_all_events
  condition: (k8s_audit_always_true)
- macro: consider_controller_pods
  condition: (k8s_audit_never_true)
"""


def test_overrides() -> None:
    """The lists and macros that users know do what their names say."""
    own = load_sources([SourceFile(str(RULES), RULES.read_text(encoding="utf-8")), SourceFile("own.yaml", OVERRIDES)])
    assert own.ok
    tuned = Engine(own.ruleset)
    privileged = pod(containers=[container(**PRIVILEGED)])
    assert USER not in raised(request("list", "pods", code=200), tuned)
    assert PRIVILEGED_POD not in raised(request(resource="pods", body=privileged), tuned)
    assert PRIVILEGED_POD in raised(
        request(resource="pods", body=pod(containers=[container("x", **PRIVILEGED)])), tuned
    )
    assert MOUNT not in raised(request(resource="pods", body=mount("/etc"), **REPLICASETS), tuned)
    assert MOUNT not in raised(request(resource="pods", body=mount("/etc/app")), tuned)
    assert MOUNT in raised(request(resource="pods", body=mount("/etc/app", "/etc/shadow")), tuned)
    assert EXEC not in raised(request("create", "pods", sub="exec", **SESSION), tuned)
    assert "K8s Service Created" not in raised(request(resource="services"), tuned)
    assert {"Full K8s Administrative Access", "All K8s Audit Events"} <= raised(
        request("list", "pods", code=200, user="kubernetes-admin"), tuned
    )
    assert "Untrusted Node Successfully Joined the Cluster" in raised(request(resource="nodes", ns=None), tuned)


def test_appended_conditions() -> None:
    """Text appended to a condition limits all of it, so no condition may end in a bare alternative."""
    appended = "".join(
        f"- rule: {rule.resolved.name}\n  condition: and not ka.verb exists\n  override: {{condition: append}}\n"
        for rule in loaded().rules
    )
    own = load_sources([SourceFile(str(RULES), RULES.read_text(encoding="utf-8")), SourceFile("own.yaml", appended)])
    assert own.ok
    tuned = Engine(own.ruleset)
    for verb in ("create", "patch"):
        for body in (
            pod(containers=[container(**PRIVILEGED)], hostNetwork=True, hostPID=True, hostIPC=True),
            mount("/"),
        ):
            for resource in ("pods", "persistentvolumes", "deployments", "roles"):
                assert raised(request(verb, resource, body=body), tuned) == set()
            assert raised(request(verb, "pods", sub="ephemeralcontainers", body=body), tuned) == set()


def test_the_file_loads_without_a_word() -> None:
    """No error, no warning, the 48 rules that Falco users know and three more, all for audit events."""
    assert loaded().diagnostics == ()
    assert len(loaded().rules) == 48 + 3
    assert {rule.resolved.source for rule in loaded().rules} == {"k8s_audit"}
    assert all("k8s" in rule.resolved.tags for rule in loaded().rules)


def test_alerts_can_be_traced() -> None:
    """Every text has the user, and every one but the dump of whole events the addresses and the audit id."""
    for rule in loaded().rules:
        text = rule.resolved.output.value
        assert "%ka.user.name" in text
        if rule.resolved.name != "All K8s Audit Events":
            assert "%ka.sourceips" in text
            assert "%ka.auditid" in text
