"""What a client chooses may lower the priority of an alert, and never silences: the table in docs, made-up requests."""

from __future__ import annotations

import json
import re
from copy import deepcopy
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from lanner import Priority
from lanner.fields.k8s_catalog import k8s_audit_catalog
from tests.content.builders import (
    BINDING,
    KUBELET,
    PRIVILEGED,
    READ_ONLY,
    REPLICASETS,
    RULES,
    WILDCARD,
    container,
    data,
    deployment,
    engine,
    mount,
    pod,
    raised,
    request,
    rules_of_role,
)
from tests.content.exclusions import Conditions
from tests.content.test_rules import SEEN

PAGE = (RULES.parents[3] / "docs/client-chosen-fields.md").read_text(encoding="utf-8")

ABOUT_EVERYBODY = "Disallowed K8s User"
"""Raised on every request of the made-up user, so it proves nothing."""

DRY_RUN = "K8s Dry Run"
UNKNOWN_OUTCOME = "K8s Change With Unknown Outcome"
FAMILIAR = "K8s Familiar Request"

NOT_THE_CLIENT = ("the engine", "the authenticator", "the API server", "the audit policy")
"""How the second column begins for fields that a client does not choose."""

UNREAD = "no rule reads it"


@cache
def conditions() -> Conditions:
    return Conditions(RULES)


@cache
def rows() -> dict[str, list[str]]:
    """The table: a field, then the other columns."""
    table = PAGE.partition("| field | who chooses it |")[2].partition("\n\n")[0].splitlines()[2:]
    cells = [[cell.strip() for cell in row.strip("|").split("|")] for row in table]
    assert len({row[0] for row in cells}) == len(cells)
    return {row[0].strip("`"): row[1:] for row in cells}


def watched(event: dict[str, Any]) -> set[str]:
    return raised(event) - {ABOUT_EVERYBODY}


def test_every_field_that_a_condition_reads_is_in_the_table() -> None:
    """A field that comes into use has to be classified; one that is named as unread is not read."""
    unread = {field for field, row in rows().items() if row[3].startswith(UNREAD)}
    assert conditions().read() == set(rows()) - unread


def test_fields_of_the_table_exist() -> None:
    """A misspelt field would be unread for ever."""
    known = {field.name for field in k8s_audit_catalog()} | {"evt.source", "jevt.value"}
    assert {field.partition("[")[0] for field in rows()} <= known


def test_every_exclusion_by_what_a_client_chooses_is_in_the_table() -> None:
    """A `not`, `!=` or `exists` over such a field is a way to keep an alert away: it needs a reason."""
    listed = {(name, field) for field, row in rows().items() for name in re.findall(r"`([^`]+)`", row[1])}
    found = conditions().exclusions()
    chosen = {(name, field) for name, field in found if not rows()[field][0].startswith(NOT_THE_CLIENT)}
    assert chosen <= listed
    assert listed <= found


def test_every_exclusion_has_a_verdict() -> None:
    """Which is one of the known ones, with a reason."""
    for field, (_, excludes, verdict, reason) in rows().items():
        assert verdict in {"no", "lowers", "by identity", "not by itself", "your list", "it is what is asked for"}, (
            field
        )
        assert reason or not excludes, field


STORED = [
    (f"{rule}: {what}", event)
    for what, rule, event in SEEN
    if event["verb"] in ("create", "update", "patch") and event["stage"] == "ResponseComplete"
    and event["responseStatus"]["code"] < 300
    and event["user"]["username"] != REPLICASETS["user"]
    and watched(event)
]  # fmt: skip
"""Requests of clients that change something, and alert; controllers are passed over by who they are."""


@pytest.mark.parametrize("event", [event for _, event in STORED], ids=[what for what, _ in STORED])
def test_a_dry_run_is_still_reported(event: dict[str, Any]) -> None:
    """The query is a true dry run of these verbs, and lowers at most."""
    dry = {**event, "requestURI": "/x?dryRun=All"}
    assert watched(dry)
    assert (DRY_RUN in watched(dry)) or watched(dry) == watched(event)


@pytest.mark.parametrize("event", [event for _, event in STORED], ids=[what for what, _ in STORED])
def test_a_dry_run_in_the_body_of_a_write_is_none(event: dict[str, Any]) -> None:
    """The API server drops it and stores the object."""
    body = event.get("requestObject") or {}
    if isinstance(body, dict):
        assert watched({**event, "requestObject": {**body, "dryRun": ["All"]}}) == watched(event)
        kind = {"kind": "DeleteOptions"} if "kind" in body else {}
        assert watched({**event, "requestObject": {**body, **kind, "dryRun": ["All"]}}) == watched(event)


@pytest.mark.parametrize(
    "query", ["dryrun=All", "DryRun=All", "dryRun[]=All", "?dryRun=All", "dryRun=All;x=1", "dryRun%3DAll", "x=1"]
)
def test_a_query_that_the_api_server_ignores_is_no_dry_run(query: str) -> None:
    """Each of these was stored by a real one."""
    event = request("patch", "clusterroles", ns=None, code=200, body={"rules": [WILDCARD]}, uri=f"/x?{query}")
    assert "ClusterRole With Wildcard Created" in raised(event)


KINDS = {
    "deployments": "Deployment",
    "services": "Service",
    "configmaps": "ConfigMap",
    "namespaces": "Namespace",
    "serviceaccounts": "Serviceaccount",
    "roles": "Role",
    "clusterroles": "ClusterRole",
    "rolebindings": "RoleBinding",
    "clusterrolebindings": "ClusterRoleBinding",
    "secrets": "Secret",
}

OPTIONS = {"kind": "DeleteOptions", "apiVersion": "v1"}

DELETIONS: list[tuple[str, str, Any, bool]] = [
    ("query, level Metadata or no body", "/x?dryRun=All", None, False),
    ("query and a body", "/x?dryRun=All", OPTIONS, False),
    ("an empty list", "/x?dryRun=All", {**OPTIONS, "dryRun": []}, False),
    ("another value", "/x", {**OPTIONS, "dryRun": ["all"]}, False),
    ("a body of another kind", "/x", {"kind": "ConfigMap", "dryRun": ["All"]}, False),
    ("the body", "/x", {**OPTIONS, "dryRun": ["All"]}, True),
    ("both", "/x?dryRun=All", {**OPTIONS, "dryRun": ["All"]}, True),
]
"""Where it says dry run, the URI, the body as recorded, whether it is one."""


@pytest.mark.parametrize(("resource", "kind"), KINDS.items(), ids=list(KINDS))
@pytest.mark.parametrize("verb", ["delete", "deletecollection"])
@pytest.mark.parametrize(("uri", "body", "dry"), [case[1:] for case in DELETIONS], ids=[case[0] for case in DELETIONS])
def test_deletions(resource: str, kind: str, verb: str, uri: str, body: Any, dry: bool) -> None:
    """Only DeleteOptions can make a deletion a dry run, and that is reported too."""
    event = request(verb, resource, code=200, uri=uri, body=body)
    assert watched(event) == {DRY_RUN if dry else f"K8s {kind} Deleted"}


def uncertain(event: dict[str, Any], code: int, stage: str = "ResponseComplete") -> dict[str, Any]:
    """The same request with an answer that does not hold the object."""
    changed = deepcopy(event)
    changed.update(stage=stage, responseStatus={"code": code})
    changed.pop("responseObject", None)
    return changed


ENDS = [*((code, "ResponseComplete") for code in (400, 406, 500, 504)), (500, "Panic")]


@pytest.mark.parametrize(("code", "stage"), ENDS)
@pytest.mark.parametrize("event", [event for _, event in STORED], ids=[what for what, _ in STORED])
def test_an_answer_that_proves_nothing_silences_nothing(event: dict[str, Any], code: int, stage: str) -> None:
    """`Accept`, `?timeout` and `?includeObject` get these answers for objects that are stored."""
    assert watched(uncertain(event, code, stage))


@pytest.mark.parametrize(("resource", "kind"), KINDS.items(), ids=list(KINDS))
def test_activity_with_such_an_answer(resource: str, kind: str) -> None:
    """The text does not claim that it was done."""
    for verb in ("create", "delete", "patch"):
        assert watched(request(verb, resource, ns="shop", code=406)) >= {UNKNOWN_OUTCOME}
        assert f"K8s {kind} Created" not in watched(request(verb, resource, ns="shop", code=406))


@pytest.mark.parametrize(
    ("event", "rule"),
    [
        (request("list", "secrets", name=None, code=500, stage="Panic"), "K8s Secret Get Successfully"),
        (request("get", "secrets", code=406), "K8s Secret Get Unsuccessfully Tried"),
        (request("create", "pods", sub="exec", code=500, stage="Panic"), "Attach/Exec Pod"),
    ],
    ids=["a list that broke off", "a demand for another form", "a session that broke off"],
)
def test_requests_that_end_oddly(event: dict[str, Any], rule: str) -> None:
    """Half of an answer may have been sent; a code may say that the secret exists."""
    assert rule in raised(event)


@pytest.mark.parametrize("answer", [None, {"kind": "Table"}, {"kind": "PartialObjectMetadata"}])
def test_rights_changed_behind_another_form_of_answer(answer: Any) -> None:
    """A patch need not name the role, and the client can ask for an answer that does not either."""
    subject = [{"op": "add", "path": "/subjects/-", "value": {"kind": "User", "name": "eve"}}]
    for resource in ("rolebindings", "clusterrolebindings"):
        assert UNKNOWN_OUTCOME in raised(request("patch", resource, code=200, body=subject, answer=answer))
        assert UNKNOWN_OUTCOME not in raised(request("patch", resource, code=200, body=subject, answer=BINDING))
        assert UNKNOWN_OUTCOME not in raised(request("patch", resource, code=403, body=subject, answer=answer))
    copied = [{"op": "copy", "from": "/rules/1/verbs", "path": "/rules/0/verbs"}]
    assert UNKNOWN_OUTCOME in raised(request("patch", "clusterroles", code=200, body=copied, answer=answer))
    assert UNKNOWN_OUTCOME not in raised(
        request("patch", "clusterroles", code=200, body=copied, answer=rules_of_role(READ_ONLY))
    )


@pytest.mark.parametrize(
    ("body", "reported"),
    [
        ('{"spec":{"hostPath":{"p\\u0061th":"/etc"}}}', True),
        ('{"spec":{"hostPath":{"path":"\\u002Fetc"}}}', True),
        ('{"spec":{"hostPath":{"path":"\\/etc"}}}', True),
        ('[{"op":"add","path":"/rules/0/resources/0","value":"pods\\u002fexec"}]', True),
        ('{"data":{"page":"\\u003cb\\u003e \\u0026 \\"quoted\\" \\u0027 \\n\\t\\u2028"}}', False),
        ('{"data":{"page":"plain"}}', False),
    ],
)
def test_words_of_a_patch_behind_escapes(body: str, reported: bool) -> None:
    """A patch is audited as it was sent; the escapes that encoders write for themselves are none of these."""
    text = json.dumps(request("patch", "deployments", code=200, body="BODY")).replace('"BODY"', body)
    rules = {alert.rule for alert in engine().process(text)}
    assert (UNKNOWN_OUTCOME in rules) == reported


@pytest.mark.parametrize(
    ("spec", "sensitive"),
    [
        ({"local": {"fsType": "}", "path": "/etc"}}, True),
        ({"local": {"fsType": '"}', "path": "/etc"}}, True),
        ({"hostPath": {"unknown": {}, "path": "/etc"}}, True),
        ({"hostPath": {"path": "/etc", "type": "}"}}, True),
        ({"hostPath": {"path": "/data", "type": "}"}, "other": {"path": "/etc"}}, False),
        ({"local": {"fsType": "{", "path": "/mnt/disks"}}, False),
    ],
)
def test_braces_before_a_path(spec: dict[str, Any], sensitive: bool) -> None:
    """Texts and fields that the API server drops do not end the place where a path is looked for."""
    event = request("patch", "persistentvolumes", code=201, body={"spec": spec})
    assert ("Create Sensitive Mount Pod" in raised(event)) == sensitive


@pytest.mark.parametrize(
    ("patch", "answer"),
    [
        ([{"op": "replace", "path": "/spec/type", "value": "NodePort"}], None),
        ([{"op": "copy", "from": "/metadata/annotations/a", "path": "/spec/type"}], {"spec": {"type": "NodePort"}}),
    ],
)
def test_a_json_patch_to_a_node_port(patch: Any, answer: Any) -> None:
    """What it does is seen in its values, or in the answer."""
    assert "Create NodePort Service" in raised(request("patch", "services", code=200, body=patch, answer=answer))


GENERATED: list[tuple[str, str, dict[str, Any]]] = [
    ("Create Disallowed Namespace", "namespaces", {"generateName": "default"}),
    ("System ClusterRole Modified/Deleted", "clusterroles", {"generateName": "system:kube-"}),
    ("Service Account Created in Kube Namespace", "serviceaccounts", {"generateName": "default"}),
]


@pytest.mark.parametrize(("rule", "resource", "metadata"), GENERATED, ids=[rule for rule, _, _ in GENERATED])
def test_a_generated_name_hides_nothing(rule: str, resource: str, metadata: dict[str, Any]) -> None:
    """The name is not in the request; it is in the answer, which the audit level may leave out."""
    body, answer = {"metadata": metadata}, {"metadata": {"name": metadata["generateName"] + "x7k2p"}}
    assert rule in raised(request(resource=resource, name=None, ns="kube-system", body=body, answer=answer))
    assert rule in raised(request(resource=resource, name=None, ns="kube-system", body=body))


def test_a_name_that_the_server_made_up_is_in_the_text() -> None:
    """So that the namespace can be found."""
    event = request(
        resource="namespaces", name=None, ns=None, body={"metadata": {"generateName": "mine-"}},
        answer={"metadata": {"name": "mine-x7k2p"}},
    )  # fmt: skip
    (text,) = [alert.output for alert in engine().process(event) if alert.rule == "Create Disallowed Namespace"]
    assert "generate_name=mine- created_as=mine-x7k2p" in text


NODE_AGENT = pod(containers=[container("docker.io/calico/node:v3", **PRIVILEGED)], hostNetwork=True)

FAMILIAR_REQUESTS: list[tuple[str, dict[str, Any], dict[str, Any] | None, str]] = [
    (
        "a node agent's image",
        request(resource="pods", ns="kube-system", body=NODE_AGENT, **REPLICASETS),
        request(resource="pods", ns="kube-system", body=NODE_AGENT),
        "Create Privileged Pod",
    ),
    (
        "a static pod",
        request(resource="pods", ns="kube-system", body=NODE_AGENT, **KUBELET),
        request(resource="pods", ns="kube-system", body=NODE_AGENT, user="system:node:worker-1"),
        "Create HostNetwork Pod",
    ),
    (
        "a known image in kube-system",
        request(resource="pods", ns="kube-system", body=pod(containers=[container("registry.k8s.io/kube-proxy:v1")])),
        request(resource="pods", ns="kube-system", body=pod(containers=[container("mirror.example/kube-proxy:v1")])),
        "Pod Created in Kube Namespace",
    ),
    (
        "a patch that names its kind",
        request("patch", "daemonsets", code=200, body=deployment(containers=[container(**PRIVILEGED)])),
        None,
        "Create Privileged Pod",
    ),
    ("an update", request("update", "daemonsets", code=200, body={"spec": {"template": mount("/etc")}}), None,
     "Create Sensitive Mount Pod"),
    (
        "a system role by its name",
        request("update", "clusterroles", name="system:coredns", ns=None, code=200, body=rules_of_role(READ_ONLY)),
        request("update", "clusterroles", name="system:node", ns=None, code=200, body=rules_of_role(READ_ONLY)),
        "System ClusterRole Modified/Deleted",
    ),
]  # fmt: skip
"""What looks familiar, the request, one that does not, and the rule that passes over the one and reports the other."""


@pytest.mark.parametrize(
    ("familiar", "strange", "rule"),
    [case[1:] for case in FAMILIAR_REQUESTS],
    ids=[case[0] for case in FAMILIAR_REQUESTS],
)
def test_what_looks_familiar_is_reported_at_info(
    familiar: dict[str, Any], strange: dict[str, Any] | None, rule: str
) -> None:
    """The exclusion lowers; without it the rule itself alerts."""
    assert FAMILIAR in raised(familiar)
    assert rule not in raised(familiar)
    if strange is not None:
        assert rule in raised(strange)


@pytest.mark.parametrize(
    ("event", "rule"),
    [
        (request(resource="serviceaccounts", name="cilium", ns="kube-system"), "K8s Serviceaccount Created"),
        (request(resource="namespaces", name="kube-node-lease", ns=None), "K8s Namespace Created"),
    ],
    ids=["a service account", "a namespace"],
)
def test_a_familiar_name_leaves_the_alert_about_activity(event: dict[str, Any], rule: str) -> None:
    """Names on the shipped lists are names that anybody can give."""
    assert watched(event) == {rule}


def test_the_user_agent_excuses_nobody_by_itself() -> None:
    """A person who calls the program kube-controller-manager or kubelet is a person."""
    for agent in (REPLICASETS["agent"], KUBELET["agent"], "k3s/v1", "kube-apiserver/v1"):
        assert "K8s Secret Get Successfully" in raised(request("list", "secrets", code=200, agent=agent))
        event = request("patch", "clusterroles", code=200, body={"rules": [WILDCARD]}, agent=agent)
        assert "ClusterRole With Wildcard Created" in raised(event)


def test_impersonation_excuses_nobody() -> None:
    """The sender counts, not the user whose rights are used."""
    for name in ("system:serviceaccount:kube-system:namespace-controller", "system:node:worker-1"):
        event = request("list", "secrets", code=200, agent=KUBELET["agent"])
        event["impersonatedUser"] = {"username": name, "groups": ["system:nodes"]}
        assert "K8s Secret Get Successfully" in raised(event)


def test_the_rules_about_what_was_passed_over_are_at_info() -> None:
    """They lower a priority; they do not make everyday things a warning."""
    priorities = {
        alert.rule: alert.priority
        for event in (
            request("delete", "secrets", code=200, body={**OPTIONS, "dryRun": ["All"]}),
            request("delete", "secrets", code=500),
            FAMILIAR_REQUESTS[0][1],
            request(resource="configmaps", body=data(a="b"), uri="/x?dryRun=All"),
        )
        for alert in engine().process(event)
        if alert.rule in (DRY_RUN, UNKNOWN_OUTCOME, FAMILIAR)
    }
    assert priorities == dict.fromkeys((DRY_RUN, UNKNOWN_OUTCOME, FAMILIAR), Priority.INFORMATIONAL)


RECORDED = Path(__file__).parents[3] / "shared/data/reports/events"


@pytest.mark.skipif(not RECORDED.exists(), reason="needs ../shared/data/reports/events")
@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("dryrun-in-patch-body", ["ClusterRole With Wildcard Created"]),
        ("dryrun-control", ["ClusterRole With Wildcard Created"]),
        ("dryrun-in-uri-of-delete-with-body", ["K8s Secret Deleted"]),
    ],
)
def test_reported_events(name: str, wanted: list[str]) -> None:
    """Each was seen on a real API server, which stored the patch and deleted the secret."""
    for line in (RECORDED / f"{name}.jsonl").read_bytes().splitlines():
        assert [alert.rule for alert in engine().process(line) if alert.rule != ABOUT_EVERYBODY] == wanted
