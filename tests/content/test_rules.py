"""The shipped rules on made-up requests, one habit or former defect at a time."""

from __future__ import annotations

from typing import Any

import pytest

from tests.content.builders import (
    BINDING,
    CONTROLLER,
    KUBELET,
    PRIVILEGED,
    READ_ONLY,
    REPLICASETS,
    SESSION,
    WILDCARD,
    container,
    cronjob,
    deployment,
    loaded,
    mount,
    pod,
    raised,
    request,
    rules_of_role,
)

USER = "Disallowed K8s User"
ANONYMOUS = "Anonymous Request Allowed"
PRIVILEGED_POD = "Create Privileged Pod"
MOUNT = "Create Sensitive Mount Pod"
NETWORK = "Create HostNetwork Pod"
KUBE_POD = "Pod Created in Kube Namespace"
EXEC = "Attach/Exec Pod"
FORWARD = "port-forward"
DEBUG = "EphemeralContainers Created"
NODE_PORT = "Create NodePort Service"
TLS = "Ingress Object without TLS Certificate Created"
CREDENTIALS = "Create/Modify Configmap With Private Credentials"
NODE_REFUSED = "Untrusted Node Unsuccessfully Tried to Join the Cluster"
WILD_ROLE = "ClusterRole With Wildcard Created"
WRITE_ROLE = "ClusterRole With Write Privileges Created"
EXEC_ROLE = "ClusterRole With Pod Exec Created"
SYSTEM_ROLE = "System ClusterRole Modified/Deleted"
ADMIN = "Attach to cluster-admin Role"
KUBE_ACCOUNT = "Service Account Created in Kube Namespace"
ACCOUNT = "K8s Serviceaccount Created"
READ = "K8s Secret Get Successfully"
NOT_READ = "K8s Secret Get Unsuccessfully Tried"
NAMESPACE = "Create Disallowed Namespace"

SEEN: list[tuple[str, str, dict[str, Any]]] = [
    ("an unknown user", USER, request("list", "pods", code=200)),
    ("the administrator of k3s is a person", "K8s Service Created", request(resource="services", user="system:admin")),
    ("anonymous, by name", ANONYMOUS, request("list", "pods", user="system:anonymous", code=200)),
    ("anonymous, by group", ANONYMOUS, request("get", user="x", groups=["system:unauthenticated"], uri="/metrics")),
    (
        "an anonymous health check of a resource",
        ANONYMOUS,
        request("get", "pods", user="system:anonymous", uri="/api/v1/pods"),
    ),
    ("a privileged pod", PRIVILEGED_POD, request(resource="pods", body=pod(containers=[container(**PRIVILEGED)]))),
    (
        "a pod by server-side apply",
        PRIVILEGED_POD,
        request("patch", "pods", code=201, body=pod(containers=[container(**PRIVILEGED)])),
    ),
    (
        "a privileged pod, refused",
        PRIVILEGED_POD,
        request(resource="pods", code=403, body=pod(containers=[container(**PRIVILEGED)])),
    ),
    (
        "a privileged pod of a controller",
        PRIVILEGED_POD,
        request(resource="pods", name=None, body=pod(containers=[container(**PRIVILEGED)]), **REPLICASETS),
    ),
    (
        "a known image outside the infrastructure",
        PRIVILEGED_POD,
        request(resource="pods", body=pod(containers=[container("docker.io/calico/node:v3", **PRIVILEGED)])),
    ),
    (
        "a privileged init container behind a known image",
        PRIVILEGED_POD,
        request(
            resource="pods",
            ns="kube-system",
            body=pod(containers=[container("docker.io/calico/node:v3")], initContainers=[container(**PRIVILEGED)]),
        ),
    ),
    (
        "a privileged template",
        PRIVILEGED_POD,
        request(resource="deployments", body=deployment(containers=[container(), container(**PRIVILEGED)])),
    ),
    (
        "a privileged init container of a cron job",
        PRIVILEGED_POD,
        request(resource="cronjobs", body=cronjob(initContainers=[container(**PRIVILEGED)])),
    ),
    (
        "a privileged template in kube-system",
        PRIVILEGED_POD,
        request(resource="daemonsets", ns="kube-system", body=deployment(containers=[container(**PRIVILEGED)])),
    ),
    (
        "a template patched to be privileged",
        PRIVILEGED_POD,
        request(
            "patch",
            "daemonsets",
            code=200,
            body={"spec": {"template": {"spec": pod(containers=[container(**PRIVILEGED)])["spec"]}}},
        ),
    ),
    (
        "a privileged debug container",
        PRIVILEGED_POD,
        request(
            "patch",
            "pods",
            sub="ephemeralcontainers",
            code=200,
            body={"spec": {"ephemeralContainers": [container(**PRIVILEGED)]}},
        ),
    ),
    (
        "a privileged debug container, before version 1.22",
        PRIVILEGED_POD,
        request(
            "update",
            "pods",
            sub="ephemeralcontainers",
            code=200,
            body={"ephemeralContainers": [container(**PRIVILEGED)]},
        ),
    ),
    (
        "a persistent volume of the node",
        MOUNT,
        request(resource="persistentvolumes", ns=None, body={"spec": {"hostPath": {"path": "/"}}}),
    ),
    (
        "a local volume of the node",
        MOUNT,
        request(resource="persistentvolumes", ns=None, body={"spec": {"local": {"path": "/etc"}}}),
    ),
    (
        "a sensitive path beside an ordinary one",
        MOUNT,
        request(resource="pods", body=mount("/etc/localtime", "/etc/shadow")),
    ),
    (
        "a path in a template",
        MOUNT,
        request(resource="jobs", body={"spec": {"template": mount("/var/run/docker.sock")}}),
    ),
    ("the network of the node", NETWORK, request(resource="pods", body=pod(hostNetwork=True))),
    (
        "the network of the node in a template",
        NETWORK,
        request(resource="statefulsets", body=deployment(hostNetwork=True)),
    ),
    ("an unknown image in kube-system", KUBE_POD, request(resource="pods", ns="kube-system", body=pod())),
    (
        "an unknown init container in kube-system",
        KUBE_POD,
        request(
            resource="pods",
            ns="kube-system",
            body=pod(containers=[container("registry.k8s.io/kube-proxy:v1")], initContainers=[container()]),
        ),
    ),
    ("a workload in kube-system", KUBE_POD, request(resource="daemonsets", ns="kube-system", body=deployment())),
    ("exec over SPDY", EXEC, request("create", "pods", sub="exec", **SESSION)),
    ("exec over a websocket", EXEC, request("get", "pods", sub="exec", **SESSION)),
    ("exec, refused", EXEC, request("get", "pods", sub="exec", stage="ResponseStarted", code=403)),
    ("attach", EXEC, request("create", "pods", sub="attach", **SESSION)),
    ("a tunnel when it opens", FORWARD, request("create", "pods", sub="portforward", **SESSION)),
    ("a debug container", DEBUG, request("patch", "pods", sub="ephemeralcontainers", code=200)),
    ("a namespace", NAMESPACE, request(resource="namespaces", name="shadow")),
    (
        "a service changed to a node port",
        NODE_PORT,
        request("patch", "services", code=200, body={"spec": {"type": "NodePort"}}),
    ),
    ("an ingress with an empty list of certificates", TLS, request(resource="ingresses", body={"spec": {"tls": []}})),
    ("a node turned away", NODE_REFUSED, request(resource="nodes", ns=None, code=403)),
    ("a wildcard", WILD_ROLE, request(resource="roles", body=rules_of_role(READ_ONLY, WILDCARD))),
    ("a wildcard by update", WILD_ROLE, request("update", "clusterroles", code=200, body=rules_of_role(WILDCARD))),
    ("a wildcard by merge patch", WILD_ROLE, request("patch", "clusterroles", code=200, body={"rules": [WILDCARD]})),
    (
        "a wildcard by JSON patch",
        WILD_ROLE,
        request("patch", "roles", code=200, body=[{"op": "add", "path": "/rules/0/verbs/-", "value": "*"}]),
    ),
    (
        "a disguised wildcard by JSON patch",
        WILD_ROLE,
        request(
            "patch",
            "roles",
            code=200,
            body=[{"op": "copy", "from": "/rules/1/verbs", "path": "/rules/0/verbs"}],
            answer=rules_of_role(WILDCARD),
        ),
    ),
    ("a wildcard, refused", WILD_ROLE, request(resource="roles", code=403, body=rules_of_role(WILDCARD))),
    (
        "write verbs",
        WRITE_ROLE,
        request("patch", "roles", code=200, body={"rules": [{"resources": ["pods"], "verbs": ["patch"]}]}),
    ),
    (
        "write verbs by JSON patch",
        WRITE_ROLE,
        request("patch", "roles", code=200, body=[{"op": "add", "path": "/rules/0/verbs/-", "value": "delete"}]),
    ),
    (
        "the right to exec",
        EXEC_ROLE,
        request("update", "roles", code=200, body=rules_of_role({"resources": ["pods/exec"], "verbs": ["get"]})),
    ),
    (
        "the right to everything of a pod",
        EXEC_ROLE,
        request(resource="roles", body=rules_of_role({"resources": ["pods/*"], "verbs": ["get"]})),
    ),
    ("a system role", SYSTEM_ROLE, request("delete", "clusterroles", name="system:node", ns=None, code=200)),
    ("cluster-admin for a namespace", ADMIN, request(resource="rolebindings", body=BINDING)),
    (
        "a subject added to cluster-admin",
        ADMIN,
        request(
            "patch",
            "clusterrolebindings",
            ns=None,
            code=200,
            body=[{"op": "add", "path": "/subjects/-", "value": {"kind": "User", "name": "eve"}}],
            answer=BINDING,
        ),
    ),
    ("a service account in kube-system", KUBE_ACCOUNT, request(resource="serviceaccounts", ns="kube-system")),
    ("a service account", ACCOUNT, request(resource="serviceaccounts")),
    ("a secret", READ, request("get", "secrets", code=200)),
    ("a list of secrets", READ, request("list", "secrets", name=None, code=200)),
    (
        "a watch of secrets, when it opens",
        READ,
        request("watch", "secrets", name=None, stage="ResponseStarted", code=200),
    ),
    (
        "a kubelet's name with another program",
        READ,
        request("get", "secrets", code=200, **{**KUBELET, "agent": "curl/8.5.0"}),
    ),
    (
        "a controller's token in other hands",
        READ,
        request("list", "secrets", code=200, user="system:serviceaccount:kube-system:namespace-controller"),
    ),
    ("a list of secrets, refused", NOT_READ, request("list", "secrets", name=None, code=403)),
    ("a guessed name", NOT_READ, request("get", "secrets", code=404)),
    ("a secret of the control plane's namespace", "K8s Secret Created", request(resource="secrets", ns="kube-system")),
    (
        "all deployments of a namespace",
        "K8s Deployment Deleted",
        request("deletecollection", "deployments", name=None, code=200),
    ),
]
"""What is requested, a rule that must alert, the event."""

UNSEEN: list[tuple[str, str, dict[str, Any]]] = [
    ("a user on the list", USER, request("list", "pods", code=200, user="kubernetes-admin")),
    ("discovery", USER, request("get", code=200, uri="/apis/apps/v1")),
    ("a request that nobody is known for", USER, {**request("get", "pods", code=401), "user": {}}),
    ("the version", ANONYMOUS, request("get", user="system:anonymous", uri="/version?timeout=5s", code=200)),
    ("health", ANONYMOUS, request("get", user="system:anonymous", uri="/healthz", code=200)),
    ("one part of health", ANONYMOUS, request("get", user="system:anonymous", uri="/readyz/etcd?verbose", code=200)),
    ("discovery", ANONYMOUS, request("get", user="system:anonymous", uri="/apis/apps/v1", code=200)),
    ("refused", ANONYMOUS, request("list", "pods", user="system:anonymous", code=403, decision="forbid")),
    (
        "what kubeadm publishes",
        ANONYMOUS,
        request("get", "configmaps", user="system:anonymous", ns="kube-public", name="cluster-info", code=200),
    ),
    ("an ordinary pod", PRIVILEGED_POD, request(resource="pods", body=pod())),
    (
        "a pod that exists already",
        PRIVILEGED_POD,
        request(resource="pods", code=409, body=pod(containers=[container(**PRIVILEGED)])),
    ),
    (
        "a refused pod of a controller",
        PRIVILEGED_POD,
        request(resource="pods", code=403, body=pod(containers=[container(**PRIVILEGED)]), **REPLICASETS),
    ),
    (
        "a node agent where it belongs",
        PRIVILEGED_POD,
        request(
            resource="pods",
            ns="kube-system",
            body=pod(
                containers=[container("docker.io/calico/node:v3", **PRIVILEGED)],
                initContainers=[container("docker.io/calico/cni:v3", **PRIVILEGED)],
            ),
            **REPLICASETS,
        ),
    ),
    (
        "a word in an argument",
        PRIVILEGED_POD,
        request(resource="deployments", body=deployment(containers=[{**container(), "args": ['{"privileged":true}']}])),
    ),
    (
        "a template repeated by a controller",
        PRIVILEGED_POD,
        request(
            resource="replicasets",
            body=deployment(containers=[container(**PRIVILEGED)]),
            user="system:serviceaccount:kube-system:deployment-controller",
            agent=CONTROLLER,
        ),
    ),
    (
        "a template applied again",
        PRIVILEGED_POD,
        request("patch", "daemonsets", code=200, body=deployment(containers=[container(**PRIVILEGED)])),
    ),
    (
        "a template of an installer",
        PRIVILEGED_POD,
        request(
            resource="daemonsets",
            user="eks:addon-manager",
            ns="kube-system",
            body=deployment(containers=[container(**PRIVILEGED)]),
        ),
    ),
    ("paths that everybody mounts", MOUNT, request(resource="pods", body=mount("/etc/localtime", "/etc/ssl/certs"))),
    (
        "a directory inside the container",
        MOUNT,
        request(resource="pods", body=pod(volumes=[{"name": "v", "emptyDir": {}}])),
    ),
    (
        "a node agent's mount",
        MOUNT,
        request(
            resource="pods",
            ns="kube-system",
            body={
                "spec": {**mount("/lib", "/run")["spec"], "containers": [container("registry.k8s.io/kube-proxy:v1")]}
            },
            **KUBELET,
        ),
    ),
    ("no host namespace", NETWORK, request(resource="pods", body=pod(hostNetwork=False))),
    (
        "a known image in kube-system",
        KUBE_POD,
        request(
            resource="pods", ns="kube-system", body=pod(containers=[container("registry.k8s.io/coredns/coredns:v1")])
        ),
    ),
    ("logs", EXEC, request("get", "pods", sub="log", stage="ResponseStarted", code=200)),
    ("the end of a session", EXEC, request("create", "pods", sub="exec", code=101)),
    ("the end of a tunnel", FORWARD, request("create", "pods", sub="portforward", code=101)),
    ("a tunnel, refused", FORWARD, request("create", "pods", sub="portforward", stage="ResponseStarted", code=403)),
    ("the list of debug containers", DEBUG, request("get", "pods", sub="ephemeralcontainers", code=200)),
    ("a namespace nobody may create", NAMESPACE, request(resource="namespaces", name=None, code=403)),
    ("a namespace that exists", NAMESPACE, request(resource="namespaces", name="shop", code=409)),
    ("a service inside", NODE_PORT, request(resource="services", body={"spec": {"type": "ClusterIP"}})),
    ("an ingress with a certificate", TLS, request(resource="ingresses", body={"spec": {"tls": [{"hosts": ["a"]}]}})),
    ("an ingress without a body", TLS, request(resource="ingresses")),
    ("a node that is there already", NODE_REFUSED, request(resource="nodes", ns=None, code=409)),
    ("reading", WILD_ROLE, request(resource="roles", body=rules_of_role(READ_ONLY))),
    ("every API group", WILD_ROLE, request(resource="roles", body=rules_of_role({**READ_ONLY, "apiGroups": ["*"]}))),
    (
        "a look for drift",
        WILD_ROLE,
        request("patch", "roles", code=200, uri="/x?dryRun=All", body=rules_of_role(WILDCARD)),
    ),
    (
        "the API server's own roles",
        SYSTEM_ROLE,
        request(
            "update",
            "clusterroles",
            name="system:node",
            code=200,
            user="system:apiserver",
            agent="kube-apiserver/v1.29.1",
        ),
    ),
    ("another role", ADMIN, request(resource="rolebindings", body={"roleRef": {"name": "view"}})),
    ("a token", KUBE_ACCOUNT, request(resource="serviceaccounts", sub="token", ns="kube-system")),
    ("a token", ACCOUNT, request(resource="serviceaccounts", sub="token")),
    (
        "the account that every namespace gets",
        ACCOUNT,
        request(
            resource="serviceaccounts",
            user="system:serviceaccount:kube-system:service-account-controller",
            agent=CONTROLLER,
        ),
    ),
    ("a dry run", ACCOUNT, request(resource="serviceaccounts", uri="/api/v1/namespaces/a/serviceaccounts?dryRun=All")),
    (
        "a deletion that is a dry run",
        "K8s Deployment Deleted",
        request("delete", "deployments", code=200, body={"kind": "DeleteOptions", "dryRun": ["All"]}),
    ),
    ("a kubelet", READ, request("get", "secrets", code=200, **KUBELET)),
    ("a kubelet that finds nothing", NOT_READ, request("get", "secrets", code=404, **KUBELET)),
    ("the end of a watch", READ, request("watch", "secrets", name=None, code=200)),
]
"""What is requested, a rule that must stay silent, the event."""


@pytest.mark.parametrize(("what", "rule", "event"), SEEN, ids=[f"{rule}: {what}" for what, rule, _ in SEEN])
def test_seen(what: str, rule: str, event: dict[str, Any]) -> None:
    """The rule alerts."""
    assert rule in raised(event)


@pytest.mark.parametrize(("what", "rule", "event"), UNSEEN, ids=[f"{rule}: {what}" for what, rule, _ in UNSEEN])
def test_unseen(what: str, rule: str, event: dict[str, Any]) -> None:
    """The rule does not alert."""
    assert rule not in raised(event)


def test_the_rules_named_here_exist() -> None:
    """A misspelt name would stay silent for ever."""
    assert {rule for _, rule, _ in SEEN + UNSEEN} <= {rule.resolved.name for rule in loaded().rules}
