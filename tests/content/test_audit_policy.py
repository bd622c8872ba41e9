"""The audit policy that ships records what the shipped rules need, and the documentation knows no other."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from lanner.condition.ast import Compare, ListLiteral, Literal, MacroRef, walk
from lanner.fields.k8s_catalog import k8s_audit_catalog
from tests.content.audit_policy import LEVELS, AuditPolicy
from tests.content.builders import RULES, raised, request
from tests.content.exclusions import Conditions
from tests.content.test_rules import SEEN

ROOT = RULES.parents[3]
FILE = ROOT / "deploy/kubernetes/audit-policy.yaml"
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "examples").glob("*.md")])

GROUPS = {
    "daemonsets": "apps",
    "deployments": "apps",
    "replicasets": "apps",
    "statefulsets": "apps",
    "cronjobs": "batch",
    "jobs": "batch",
    "ingresses": "networking.k8s.io",
    "clusterrolebindings": "rbac.authorization.k8s.io",
    "clusterroles": "rbac.authorization.k8s.io",
    "rolebindings": "rbac.authorization.k8s.io",
    "roles": "rbac.authorization.k8s.io",
}
"""The API group of each kind of object that is not in the core group."""

WITHOUT_BODIES = {"secrets"}
"""Kinds whose bodies are credentials: rules about them have to do without, and take a dry run for the real thing."""


@cache
def policy() -> AuditPolicy:
    return AuditPolicy(FILE)


@cache
def conditions() -> Conditions:
    return Conditions(RULES)


def of_its_group(event: dict[str, Any]) -> dict[str, Any]:
    """The event with the API group of its object, which made-up events leave out."""
    if "objectRef" not in event:
        return event
    return {**event, "objectRef": {**event["objectRef"], "apiGroup": GROUPS.get(event["objectRef"]["resource"], "")}}


@pytest.mark.parametrize(("what", "rule", "event"), SEEN, ids=[f"{rule}: {what}" for what, rule, _ in SEEN])
def test_what_is_recorded_raises_the_same_alert(what: str, rule: str, event: dict[str, Any]) -> None:
    """Neither a stage nor a body that a rule needs is left out."""
    recorded = policy().recorded(of_its_group(event))
    assert recorded is not None
    assert rule in raised(recorded)


def bodies(rule: str) -> set[str]:
    """Which of the bodies a condition reads, as the field reference says."""
    read = conditions().read_by(rule)
    described = {field.name: field.description for field in k8s_audit_catalog()}
    texts = " ".join(read | {described.get(field.partition("[")[0], "") for field in read})
    return {body for body in ("requestObject", "responseObject") if body in texts}


def resources(rule: str) -> set[str]:
    """The kinds of objects that a condition names."""
    lists = {item["list"]: item["items"] for item in yaml.safe_load(RULES.read_text("utf-8")) if "list" in item}
    found: set[str] = set()
    work = [conditions().rules[rule]]
    while work:
        for node in walk(work.pop()):
            match node:
                case MacroRef():
                    work.append(conditions().macros[node.name])
                case Compare(left=left, right=Literal(value=value)) if (
                    getattr(left, "name", "") == "ka.target.resource"
                ):
                    found.add(value)
                case Compare(left=left, right=ListLiteral(items=items)) if (
                    getattr(left, "name", "") == "ka.target.resource"
                ):
                    found |= {name for item in items for name in lists.get(item.value, [item.value])}
    return found


@pytest.mark.parametrize("rule", sorted(conditions().rules))
def test_levels(rule: str) -> None:
    """For each kind of object that a condition names, the bodies that it reads are recorded."""
    needed = {"responseObject": "RequestResponse", "requestObject": "Request"}
    least = max((LEVELS.index(needed[body]) for body in bodies(rule)), default=LEVELS.index("Metadata"))
    for resource in resources(rule):
        for verb in ("create", "update", "patch"):
            level = policy().level(of_its_group(request(verb, resource)))
            if resource in WITHOUT_BODIES:
                assert level == "Metadata"
            else:
                assert LEVELS.index(level) >= least, f"{verb} {resource}"
        for verb in ("delete", "deletecollection"):
            level = policy().level(of_its_group(request(verb, resource)))
            assert level == ("Metadata" if resource in WITHOUT_BODIES else "Request")


def test_some_conditions_need_bodies() -> None:
    """Otherwise the test above would prove nothing."""
    assert bodies("Create Privileged Pod") == {"requestObject"}
    assert bodies("Attach to cluster-admin Role") == {"requestObject", "responseObject"}
    assert resources("Create Sensitive Mount Pod") >= {"pods", "deployments", "persistentvolumes"}


@pytest.mark.parametrize(
    "event",
    [
        request("create", "serviceaccounts", sub="token"),
        request("create", "secrets"),
        request("list", "secrets"),
        {
            **request("create", "tokenreviews"),
            "objectRef": {"resource": "tokenreviews", "apiGroup": "authentication.k8s.io"},
        },
    ],
    ids=["a token", "a secret", "a list of secrets", "a token under review"],
)
def test_credentials_are_not_recorded(event: dict[str, Any]) -> None:
    """Who asked for them is."""
    assert policy().level(event) == "Metadata"


def test_nothing_that_a_client_writes_keeps_a_request_from_being_recorded() -> None:
    """What is left out is left out by who asks; but for paths that hold nothing."""
    unheard = [rule for rule in yaml.safe_load(FILE.read_text("utf-8"))["rules"] if rule["level"] == "None"]
    for rule in unheard:
        assert rule.get("users") or rule.get("userGroups") or rule["nonResourceURLs"]
    for user in ("eve@example.com", "system:serviceaccount:shop:web", "system:anonymous"):
        for resource in ("leases", "endpoints", "services"):
            for verb in ("get", "update", "watch"):
                assert policy().level(request(verb, resource, user=user)) != "None"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_the_documentation_has_one_policy_and_one_set_of_flags(page: Path) -> None:
    """They stand in api-server.md, from where all other pages take them."""
    text = page.read_text(encoding="utf-8")
    if page.name == "api-server.md":
        assert text.count("kind: Policy") == 1
        assert FILE.read_text(encoding="utf-8").strip() in text
    elif page.name != "CHANGELOG.md":
        assert not re.search(r"kind: Policy|--audit-webhook|omitStages", text)
