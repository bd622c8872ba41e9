"""The flags and the audit policy that the documentation gives, on a real API server: what arrives, and what is lost."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.app.running import running
from tests.real.control_plane import PATIENCE, SETTLING, ControlPlane, missing
from tests.real.test_api_server import EACH, Setup, lanner

pytestmark = pytest.mark.kube

ROOT = Path(__file__).parents[2]
POLICY = ROOT / "deploy/kubernetes/audit-policy.yaml"
PAGE = (ROOT / "docs/api-server.md").read_text(encoding="utf-8")

NO_LOG = "--audit-log-path="
"""A log backend beside the webhook makes this version run two batchers, which take turns."""


def documented_flags() -> list[str]:
    """The flags of the page, without the two files, and without a wait of seconds."""
    block = PAGE.partition("<!-- flags:")[2].partition("```text\n")[2].partition("```")[0]
    flags = [flag for flag in block.splitlines() if "-file=" not in flag and "batch-max-wait" not in flag]
    assert len(flags) == 5
    return [*flags, "--audit-webhook-batch-max-wait=1s"]


@pytest.fixture(scope="module")
def control_plane() -> Iterator[ControlPlane]:
    reason = missing()
    if reason:
        pytest.skip(reason)
    with ControlPlane() as plane:
        yield plane


@contextmanager
def receiving(plane: ControlPlane, folder: Path, flags: Sequence[str]) -> Iterator[Setup]:
    """An API server with the shipped policy that posts to a service with the shipped rules."""
    setup = Setup(folder, "http")
    with running(setup.data, *setup.config, *setup.rules, under=plane.inside) as service:
        service.place("api-server")
        with plane.recording(setup.log, setup.webhook, POLICY, [*flags, NO_LOG]):
            plane.request("POST", "/api/v1/namespaces", json.dumps({"metadata": {"name": "shop"}}))
            # Pods need it at once; the controller that makes it may take its time.
            account = {"metadata": {"name": "default"}, "automountServiceAccountToken": False}
            plane.request("POST", "/api/v1/namespaces/shop/serviceaccounts", json.dumps(account))
            yield setup
        assert service.stop() == 0


def raised(setup: Setup) -> dict[str, set[str]]:
    """Which rules the requests with each audit id have raised; every event that came raises `EACH`."""
    found: dict[str, set[str]] = {}
    for line in lanner("alerts", "--json", "--limit", "0", *setup.config).splitlines():
        alert = json.loads(line)
        text = alert["output"]
        known = re.search(r"audit_id=([^ )]+)", text) if alert["rule"] != EACH else re.search(r" Debug (\S+)", text)
        found.setdefault(known[1] if known else "", set()).add(alert["rule"])
    return found


def wait(for_what: Callable[[], bool]) -> None:
    patience = PATIENCE
    while not for_what():
        patience -= SETTLING
        assert patience > 0
        time.sleep(SETTLING)


CONFIG_MAPS = "/api/v1/namespaces/shop/configmaps"
CONFIG_MAP = "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: applied\ndata:\n  a: b\n"


def among_others(plane: ControlPlane, tag: str) -> tuple[set[str], str]:
    """Audit ids of ordinary requests, and that of a server-side apply in YAML in the middle of them."""

    def ordinary(number: int) -> str:
        audit_id = f"{tag}-{number}"
        plane.request("GET", f"{CONFIG_MAPS}/none", Audit_ID=audit_id)
        return audit_id

    before = {ordinary(number) for number in range(4)}
    code, _ = plane.request(
        "PATCH",
        f"{CONFIG_MAPS}/applied?fieldManager=test&force=true",
        CONFIG_MAP,
        Content_Type="application/apply-patch+yaml",
        Audit_ID=f"{tag}-yaml",
    )
    assert code in (200, 201)
    return before | {ordinary(number) for number in range(4, 8)}, f"{tag}-yaml"


def test_with_the_documented_flags_only_the_event_that_cannot_be_encoded_is_lost(
    control_plane: ControlPlane, tmp_path: Path
) -> None:
    """Its neighbours arrive, and the metric counts one."""
    with receiving(control_plane, tmp_path, documented_flags()) as setup:
        ordinary, yaml = among_others(control_plane, "flags")
        wait(lambda: ordinary <= set(raised(setup)))
        assert control_plane.audit_errors() == {"truncate": 1}
        assert yaml not in raised(setup)


def test_without_truncation_its_whole_batch_is_lost(control_plane: ControlPlane, tmp_path: Path) -> None:
    """As the page says; this is why truncation is switched on."""
    flags = ["--audit-webhook-batch-max-wait=3s", "--audit-webhook-initial-backoff=100ms"]
    with receiving(control_plane, tmp_path, flags) as setup:
        ordinary, yaml = among_others(control_plane, "without")
        wait(lambda: "webhook" in control_plane.audit_errors())
        lost = control_plane.audit_errors()["webhook"]
        assert lost > 1
        control_plane.request("GET", f"{CONFIG_MAPS}/none", Audit_ID="marker")
        wait(lambda: "marker" in raised(setup))
        absent = (ordinary | {yaml}) - set(raised(setup))
        assert yaml in absent
        assert 1 < len(absent) <= lost


def pod(**spec: object) -> dict[str, object]:
    return {"containers": [{"name": "main", "image": "web", "securityContext": {"privileged": True}}], **spec}


RBAC = "/apis/rbac.authorization.k8s.io/v1"
OPTIONS = {"kind": "DeleteOptions", "apiVersion": "v1"}
LIST_OF_ONE = "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io"
JSON_PATCH = "application/json-patch+json"
MERGE_PATCH = "application/merge-patch+json"
ADMIN = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"}
EVE = {"kind": "User", "name": "eve", "apiGroup": "rbac.authorization.k8s.io"}
WILDCARD = {"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]}
CREATED = "ClusterRole With Wildcard Created"

Request = tuple[str, str, object, dict[str, str], int, str]

REQUESTS: list[Request] = [
    ("POST", "/api/v1/persistentvolumes", {"metadata": {"name": "host"}, "spec": {
        "capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOnce"], "hostPath": {"path": "/etc"}}},
     {}, 201, "Create Sensitive Mount Pod"),
    ("POST", "/api/v1/namespaces/shop/pods", {"metadata": {"name": "p"}, "spec": pod()}, {}, 201,
     "Create Privileged Pod"),
    ("POST", "/api/v1/namespaces/shop/pods/none/exec?command=sh&stdout=true", None, {}, 404, "Attach/Exec Pod"),
    ("POST", "/api/v1/namespaces", {"metadata": {"generateName": "kube-system"}}, {}, 201,
     "Create Disallowed Namespace"),
    ("POST", f"{RBAC}/clusterroles", {"metadata": {"name": "all"}, "rules": []}, {}, 201, "K8s ClusterRole Created"),
    ("PATCH", f"{RBAC}/clusterroles/all", {"rules": [WILDCARD], "dryRun": ["All"]}, {"Content_Type": MERGE_PATCH}, 200,
     CREATED),
    ("PATCH", f"{RBAC}/clusterroles/all", [{"op": "copy", "from": "/rules/0", "path": "/rules/1"}],
     {"Content_Type": JSON_PATCH}, 200, CREATED),
    ("PATCH", f"{RBAC}/clusterroles/all?dryRun=All", {"rules": [WILDCARD]}, {"Content_Type": MERGE_PATCH}, 200,
     "K8s Dry Run"),
    ("POST", f"{RBAC}/clusterrolebindings", {"metadata": {"name": "b"}, "roleRef": ADMIN}, {"Accept": LIST_OF_ONE}, 406,
     "Attach to cluster-admin Role"),
    ("PATCH", f"{RBAC}/clusterrolebindings/b", [{"op": "add", "path": "/subjects", "value": [EVE]}],
     {"Content_Type": JSON_PATCH}, 200, "Attach to cluster-admin Role"),
    ("PATCH", f"{RBAC}/clusterrolebindings/b", [{"op": "replace", "path": "/subjects/0/name", "value": "mallory"}],
     {"Content_Type": JSON_PATCH, "Accept": "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io"}, 200,
     "K8s Change With Unknown Outcome"),
    ("POST", CONFIG_MAPS, {"metadata": {"name": "c"}, "data": {"password": "hunter2"}}, {}, 201,
     "Create/Modify Configmap With Private Credentials"),
    ("DELETE", f"{CONFIG_MAPS}/c", {**OPTIONS, "dryRun": ["All"]}, {}, 200, "K8s Dry Run"),
    ("DELETE", f"{CONFIG_MAPS}/c?dryRun=All", OPTIONS, {}, 200, "K8s ConfigMap Deleted"),
    ("POST", "/api/v1/namespaces/shop/secrets", {"metadata": {"name": "s"}, "data": {}}, {"Accept": LIST_OF_ONE}, 406,
     "K8s Change With Unknown Outcome"),
    ("DELETE", "/api/v1/namespaces/shop/secrets/s?dryRun=All", OPTIONS, {}, 200, "K8s Secret Deleted"),
    ("DELETE", "/api/v1/namespaces/shop/secrets/s", OPTIONS, {}, 404, ""),
    ("POST", "/apis/apps/v1/namespaces/shop/deployments?dryRun=All", {"metadata": {"name": "d"}, "spec": {
        "selector": {"matchLabels": {"a": "b"}}, "template": {"metadata": {"labels": {"a": "b"}, "annotations": {
            "large": "<" * 200_000}}, "spec": pod()}}}, {}, 201, "Create Privileged Pod"),
]  # fmt: skip
"""Method, path, body, headers, the status of the answer, the rule that alerts."""


def test_what_the_rules_need_arrives(control_plane: ControlPlane, tmp_path: Path) -> None:
    """Bodies, answers and stages, also of an event far over the size at which bodies are removed by default."""
    with receiving(control_plane, tmp_path, documented_flags()) as setup:
        wanted = {}
        for number, (method, path, body, headers, code, rule) in enumerate(REQUESTS):
            text = "" if body is None else json.dumps(body)
            answered, answer = control_plane.request(method, path, text, Audit_ID=f"request-{number}", **headers)
            assert answered == code, answer
            wanted[f"request-{number}"] = rule
        wait(lambda: set(wanted) <= set(raised(setup)))
        came = raised(setup)
        assert {audit_id: rule for audit_id, rule in wanted.items() if rule and rule not in came[audit_id]} == {}
        assert "Lanner internal: truncated event" not in {rule for rules in came.values() for rule in rules}
        assert control_plane.audit_errors() == {}


def test_a_smaller_size_removes_bodies_and_raises_an_alert(control_plane: ControlPlane, tmp_path: Path) -> None:
    """With the API server's own size, 100 KiB, the rule sees nothing of a large pod; the internal alert remains."""
    flags = [flag for flag in documented_flags() if "-truncate-max-" not in flag]
    assert len(flags) == 4
    large = {"metadata": {"name": "large", "annotations": {"large": "x" * 150_000}}, "spec": pod()}
    with receiving(control_plane, tmp_path, flags) as setup:
        path = "/api/v1/namespaces/shop/pods?dryRun=All"
        assert control_plane.request("POST", path, json.dumps(large), Audit_ID="large")[0] == 201
        wait(lambda: "large" in raised(setup))
        came = raised(setup)
        assert "Create Privileged Pod" not in came["large"]
        assert "Lanner internal: truncated event" in {rule for rules in came.values() for rule in rules}
