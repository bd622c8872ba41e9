"""Audit events made up for tests of the shipped rules, and those rules, loaded once."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

from lanner import Engine, LoadResult, load_rules

RULES = Path(__file__).parents[2] / "src/lanner/content/k8s_audit.yaml"

CONTROLLER = "kube-controller-manager/v1.29.1 (linux/amd64) kubernetes/bc401b9"
REPLICASETS: dict[str, Any] = {"user": "system:serviceaccount:kube-system:replicaset-controller", "agent": CONTROLLER}
KUBELET: dict[str, Any] = {"user": "system:node:worker-1", "groups": ["system:nodes"], "agent": "kubelet/v1.29.1"}

PRIVILEGED: dict[str, Any] = {"privileged": True}


def request(
    verb: str = "create",
    resource: str | None = None,
    *,
    sub: str | None = None,
    name: str | None = "it",
    ns: str | None = "shop",
    user: str = "eve@example.com",
    groups: list[str] | None = None,
    agent: str = "kubectl/v1.32.4",
    code: int = 201,
    stage: str = "ResponseComplete",
    uri: str = "/",
    body: Any = None,
    answer: Any = None,
    decision: str = "allow",
) -> dict[str, Any]:
    """An audit event; what is None is left out."""
    target = {"resource": resource, "subresource": sub, "name": name, "namespace": ns}
    event: dict[str, Any] = {
        "kind": "Event",
        "apiVersion": "audit.k8s.io/v1",
        "auditID": "5f1c9a52-0b7e-4d57-9d83-6a3c1c2f9e11",
        "level": "RequestResponse",
        "stage": stage,
        "verb": verb,
        "requestURI": uri,
        "user": {"username": user, "groups": groups or ["system:authenticated"]},
        "sourceIPs": ["192.0.2.7"],
        "userAgent": agent,
        "responseStatus": {"code": code},
        "requestObject": body,
        "responseObject": answer,
        "annotations": {"authorization.k8s.io/decision": decision},
        "requestReceivedTimestamp": "2026-03-01T09:30:00.000000Z",
        "stageTimestamp": "2026-03-01T09:30:00.000000Z",
    }
    if resource is not None:
        event["objectRef"] = {key: value for key, value in target.items() if value is not None}
    return {key: value for key, value in event.items() if value is not None}


def container(image: str = "registry.example.com/shop/web:1", **security: object) -> dict[str, Any]:
    return {"name": "main", "image": image, **({"securityContext": security} if security else {})}


def pod(**spec: Any) -> dict[str, Any]:
    return {"kind": "Pod", "spec": {"containers": [container()], **spec}}


def deployment(**spec: Any) -> dict[str, Any]:
    return {"kind": "Deployment", "spec": {"template": pod(**spec)}}


def cronjob(**spec: Any) -> dict[str, Any]:
    return {"kind": "CronJob", "spec": {"jobTemplate": {"spec": {"template": pod(**spec)}}}}


def mount(*paths: str) -> dict[str, Any]:
    return pod(volumes=[{"name": f"v{n}", "hostPath": {"path": path, "type": ""}} for n, path in enumerate(paths)])


def rules_of_role(*rules: dict[str, list[str]]) -> dict[str, Any]:
    return {"kind": "ClusterRole", "rules": [{"apiGroups": [""], **rule} for rule in rules]}


def data(**values: str) -> dict[str, Any]:
    return {"kind": "ConfigMap", "data": values}


READ_ONLY: dict[str, list[str]] = {"resources": ["pods"], "verbs": ["get"]}
WILDCARD: dict[str, list[str]] = {"resources": ["*"], "verbs": ["get"]}
BINDING: dict[str, Any] = {"kind": "RoleBinding", "roleRef": {"kind": "ClusterRole", "name": "cluster-admin"}}
SESSION: dict[str, Any] = {"stage": "ResponseStarted", "code": 101}


@cache
def loaded() -> LoadResult:
    return load_rules([RULES])


@cache
def engine() -> Engine:
    return Engine(loaded().ruleset)


def raised(event: dict[str, Any], by: Engine | None = None) -> set[str]:
    return {alert.rule for alert in (by or engine()).process(event)}
