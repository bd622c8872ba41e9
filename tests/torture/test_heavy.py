"""Events made to cost much more memory or disk than their bytes: the service stays small and sees their neighbour."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from lanner.service.internal import PARTLY_EVALUATED
from lanner.store.store import open_store
from tests.app.running import JSON, event_list, post, running
from tests.torture.test_hostile import LONG, MEBIBYTE, peak
from tests.torture.test_kills import options

MEMORY = 300 * MEBIBYTE
DISK = 400 * MEBIBYTE
BODY = 57 * 1000 * 1000
"""Bytes of a body: just below the limit."""

PATIENCE_SECONDS = 600
"""Some take half a minute of CPU."""

REFUSED: dict[str, Any] = {"code": 403, "reason": "Forbidden"}


def audited(verb: str, resource: str, number: int = 0, **members: Any) -> dict[str, Any]:
    """An event about an object in the namespace shop."""
    return {
        "kind": "Event",
        "apiVersion": "audit.k8s.io/v1",
        "level": "RequestResponse",
        "auditID": f"heavy-{number}",
        "stage": "ResponseComplete",
        "requestURI": f"/api/v1/namespaces/shop/{resource}",
        "verb": verb,
        "user": {"username": "mallory", "groups": ["system:authenticated"]},
        "sourceIPs": ["192.0.2.10"],
        "objectRef": {"resource": resource, "namespace": "shop", "apiVersion": "v1", "name": "x"},
        "responseStatus": {"code": 201},
        "requestReceivedTimestamp": "2026-01-02T03:04:05.000000Z",
        "stageTimestamp": "2026-01-02T03:04:05.000001Z",
        **members,
    }


_EXEC = {"resource": "pods", "namespace": "shop", "name": "web", "subresource": "exec"}
NEIGHBOUR = audited("create", "pods", auditID="the neighbour", objectRef=_EXEC)


def pod(*containers: dict[str, Any]) -> dict[str, Any]:
    """The body of a pod that breaks many rules at once."""
    spec = {"hostNetwork": True, "hostPID": True, "containers": [*containers], "volumes": [{"hostPath": {"path": "/"}}]}
    return {"kind": "Pod", "metadata": {"name": "x"}, "spec": spec}


def privileged(image: str) -> dict[str, Any]:
    return {"name": "c", "image": image, "securityContext": {"privileged": True}}


def pods(count: int = 60) -> list[dict[str, Any]]:
    """Refused pods with image names of 900 kB."""
    body = pod(privileged("x" * 900_000))
    return [audited("create", "pods", number, requestObject=body, responseStatus=REFUSED) for number in range(count)]


def reads(count: int = 35) -> list[dict[str, Any]]:
    """Refused reads of secrets with names of 900 kB, which stand in each event twice."""
    name = "x" * 900_000
    ref = {"resource": "secrets", "namespace": "kube-system", "name": name}
    uri = f"/api/v1/namespaces/kube-system/secrets/{name}"
    return [
        audited("get", "secrets", number, objectRef=ref, requestURI=uri, responseStatus=REFUSED)
        for number in range(count)
    ]


def roles(count: int = 5) -> list[dict[str, Any]]:
    """Large cluster roles."""
    rules = [{"apiGroups": ["*"], "resources": ["pods/exec", f"r{n}"], "verbs": ["*", "create"]} for n in range(12_000)]
    body = {"kind": "ClusterRole", "metadata": {"name": "x"}, "rules": rules}
    return [audited("create", "clusterroles", number, requestObject=body) for number in range(count)]


def ports() -> list[dict[str, Any]]:
    """A service with 120,000 ports."""
    body = {"kind": "Service", "spec": {"type": "NodePort", "ports": [{"port": n % 65536} for n in range(120_000)]}}
    return [audited("create", "services", requestObject=body)]


def execs() -> list[dict[str, Any]]:
    """As many events as fit, each with an alert."""
    size = len(json.dumps(NEIGHBOUR)) + 20
    return [{**NEIGHBOUR, "auditID": f"exec-{number}"} for number in range(BODY // size)]


def many(item: Any) -> list[Any]:
    """As many items as fit."""
    return [item] * (BODY // (len(json.dumps(item, separators=(",", ":"))) + 1))


def named(value: Any, size: int) -> dict[str, Any]:
    """As many members as fit."""
    return {f"k{number:07}": value for number in range(BODY // size)}


def test_a_rule_at_the_end_of_the_largest_role_is_seen(tmp_path: Path) -> None:
    """A cluster role of the 3 MiB that an API server accepts, in request and answer, is evaluated whole."""
    small = {"apiGroups": [""], "resources": ["a"], "verbs": ["get"]}
    rules = [small] * 55_000 + [{"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]}]
    role = {"kind": "ClusterRole", "metadata": {"name": "x"}, "rules": rules}
    body = event_list([json.dumps(audited("create", "clusterroles", requestObject=role, responseObject=role))])
    assert len(body) > 6_000_000
    url = f"sqlite:///{tmp_path}/lanner.db"
    with running(tmp_path, *options(url), "-o", "stdout_output.enabled=false") as service:
        assert post(service.place("webhook"), body).status_code == 200
        assert service.stop() == 0
    store = open_store(url, writable=False)
    try:
        raised = {alert.rule for alert in store.alerts(after=0, limit=100)}
    finally:
        store.close()
    assert "ClusterRole With Wildcard Created" in raised
    assert PARTLY_EVALUATED not in raised


HEAVY: dict[str, Callable[[], list[dict[str, Any]]]] = {
    "refused pods": pods,
    "large cluster roles": roles,
    "service ports": ports,
    "refused reads": reads,
    "alerts": execs,
    "one image name": lambda: [audited("create", "pods", requestObject=pod(privileged("x" * BODY)))],
    "one value": lambda: [audited("create", "configmaps", requestObject={"data": {"password": "x" * BODY}})],
    "containers": lambda: [audited("create", "pods", requestObject=pod(*many(privileged("nginx"))))],
    "empty containers": lambda: [audited("create", "pods", requestObject=pod(*many({})))],
    "groups": lambda: [{**NEIGHBOUR, "auditID": "groups", "user": {"username": "m", "groups": many("group")}}],
    "annotations": lambda: [audited("create", "pods", annotations=named("x", 16))],
    "members": lambda: [audited("create", "pods", **named(1, 14))],
    "secrets": lambda: [
        audited("list", "secrets", responseObject={"items": many({"metadata": {"name": "s"}, "data": {"k": "v"}})})
    ],
    "keys of a secret": lambda: [audited("create", "secrets", requestObject={"data": named("dg==", 19)})],
}


@pytest.mark.parametrize(
    "kind",
    [
        *list(HEAVY)[:3],
        *(
            pytest.param(kind, marks=pytest.mark.skipif(not LONG, reason="takes a minute: make torture"))
            for kind in list(HEAVY)[3:]
        ),
    ],
)
def test_heavy_events(tmp_path: Path, kind: str) -> None:
    """They are evaluated and raise alerts; so does the event beside them. Memory and disk stay within bounds."""
    body = event_list([json.dumps(one, separators=(",", ":")) for one in (*HEAVY[kind](), NEIGHBOUR)])
    url = f"sqlite:///{tmp_path}/lanner.db"
    with running(tmp_path, *options(url), "-o", "stdout_output.enabled=false") as service:
        answer = httpx.post(service.place("webhook"), content=body, headers=JSON, timeout=PATIENCE_SECONDS)
        assert answer.status_code == 200
        assert peak(service) < MEMORY
        assert written(service.process.pid) < DISK
        assert service.stop() == 0
    store = open_store(url, writable=False)
    try:
        raised = [alert for alert in store.alerts(after=0, limit=1_000_000) if alert.source != "internal"]
        [books] = [one for one in store.counters().sources if one.source == "webhook"]
    finally:
        store.close()
    assert [alert for alert in raised if alert.audit_id == "the neighbour"]
    assert [alert for alert in raised if alert.audit_id != "the neighbour"]
    assert books.received == books.evaluated > 1


def written(pid: int) -> int:
    """Bytes that a process has had written to disk."""
    lines = Path(f"/proc/{pid}/io").read_text().splitlines()
    return int(dict(line.split(": ") for line in lines)["write_bytes"])
