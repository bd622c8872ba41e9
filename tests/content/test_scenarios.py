"""The shipped rules on recorded activities: what was meant to be seen is seen, what was harmless stays quiet.

The recordings lie beside the project (`../shared/data`); without them these tests are skipped. They were made for a
ruleset with the same rule names, and each names the rules it was `expected` to raise; where the shipped rules differ on
purpose, the two tables below say so and why.
"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

from lanner import Alert, Engine, Priority, load_rules

ROOT = Path(__file__).parents[2]
RULES = ROOT / "src/lanner/content/k8s_audit.yaml"
DATA = ROOT.parent / "shared/data"

pytestmark = pytest.mark.skipif(not (DATA / "scenarios.json").exists(), reason="needs ../shared/data/scenarios.json")

ABOUT_EVERYBODY = "Disallowed K8s User"
"""Alerts on every request for a resource by the people of the recordings, since none of them is on a list."""

ALSO_RAISED: dict[str, tuple[str, str]] = {
    "privileged-calico-image": ("Create Privileged Pod", "a well-known image name excuses nothing in such a namespace"),
    "hostpath-trailing-slash": ("Create Sensitive Mount Pod", "/etc/ is /etc"),
    "hostpath-pv": ("Create Sensitive Mount Pod", "the pod names only the claim, so the volume is looked at"),
    "nodeport-by-patch": ("Create NodePort Service", "a change counts like a creation"),
    "rolebinding-cluster-admin": ("Attach to cluster-admin Role", "a RoleBinding gives away a namespace"),
    "binding-patched-subject": ("Attach to cluster-admin Role", "a subject added by patch; the answer names the role"),
    "clusterrole-patched-wildcard": ("ClusterRole With Wildcard Created", "a change counts like a creation"),
    "secret-list-by-name": ("K8s Secret Get Successfully", "list and watch read secrets too"),
    "odd-user-agents": ("K8s Secret Get Successfully", "lists of secrets"),
    "impersonate-masters": ("K8s Secret Get Successfully", "a list of secrets is what the impersonation was for"),
    "recon-burst": ("K8s Secret Get Successfully", "one of the lists is of secrets"),
    "impersonate-denied": ("K8s Secret Get Unsuccessfully Tried", "a list of secrets, refused"),
    "anonymous-denied": ("K8s Secret Get Unsuccessfully Tried", "a list of secrets, refused"),
    "token-theft-exec-and-use": (
        "K8s Secret Get Unsuccessfully Tried",
        "the stolen token is tried on a list of secrets",
    ),
    "untrusted-node-refused": (
        "Untrusted Node Unsuccessfully Tried to Join the Cluster",
        "a kubelet is never forbidden to register under its own name",
    ),
}
"""A rule of NOTICE or more severe that the recording was not expected to raise on its decisive requests, and why."""

NOT_RAISED: dict[str, tuple[str, str]] = {
    "benign-configmap-doc-mentions-password": (
        "Create/Modify Configmap With Private Credentials",
        "a sentence about passwords is no credential",
    ),
}
"""A rule that the recording was expected to raise, and why it does not."""

HARMLESS_BUT_REPORTED: dict[str, tuple[str, str]] = {
    "activity-namespace": ("Create Disallowed Namespace", "the rule is about a list that nobody has filled"),
}
"""A rule of WARNING or more severe that a harmless recording raises."""


@dataclass(frozen=True)
class Scenario:
    """One recorded activity; `expected` are the rules it was recorded for, `anchors` its decisive requests."""

    name: str
    file: Path
    suspicious: bool
    expected: frozenset[str]
    anchors: frozenset[str]


def scenarios() -> list[Scenario]:
    """All recordings, or none where they are missing."""
    if not (DATA / "scenarios.json").exists():
        return []
    return [
        Scenario(
            entry["name"],
            DATA / entry["file"],
            entry["suspicious"],
            frozenset(entry["expected"]),
            frozenset(entry["anchor_audit_ids"]),
        )
        for entry in json.loads((DATA / "scenarios.json").read_text(encoding="utf-8"))
    ]


SCENARIOS = scenarios()
BY_NAME = pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)


@cache
def engine() -> Engine:
    """The shipped rules, every matching rule reported."""
    return Engine(load_rules([RULES]).ruleset)


@cache
def alerts(scenario: Scenario) -> tuple[Alert, ...]:
    """The alerts of a recording, without the one that is about everybody."""
    lines = scenario.file.read_bytes().splitlines()
    return tuple(alert for line in lines for alert in engine().process(line) if alert.rule != ABOUT_EVERYBODY)


def raised(scenario: Scenario, at_least: Priority = Priority.DEBUG) -> set[str]:
    """The rules raised on the decisive requests, of that priority or more severe."""
    return {
        alert.rule
        for alert in alerts(scenario)
        if alert.event.audit_id in scenario.anchors and alert.priority <= at_least
    }


@BY_NAME
def test_what_was_meant_to_be_seen_is_seen(scenario: Scenario) -> None:
    """The expected rules alert on the decisive requests, not only on what controllers made of them."""
    left_out = {NOT_RAISED[scenario.name][0]} if scenario.name in NOT_RAISED else set()
    assert scenario.expected - raised(scenario) == left_out


@BY_NAME
def test_nothing_else_is_seen_in_them(scenario: Scenario) -> None:
    """Beyond the expected rules only activity, and what the table says."""
    more = {ALSO_RAISED[scenario.name][0]} if scenario.name in ALSO_RAISED else set()
    assert raised(scenario, Priority.NOTICE) - scenario.expected == more


@pytest.mark.parametrize("scenario", [s for s in SCENARIOS if not s.suspicious], ids=lambda scenario: scenario.name)
def test_harmless_activity_raises_no_warning(scenario: Scenario) -> None:
    """Near misses of attacks stay below WARNING, in every event of the recording."""
    known = {HARMLESS_BUT_REPORTED[scenario.name][0]} if scenario.name in HARMLESS_BUT_REPORTED else set()
    assert {alert.rule for alert in alerts(scenario) if alert.priority <= Priority.WARNING} == known


def test_precision() -> None:
    """Of the recordings that raise a warning nearly all are attacks; the figures are printed with `pytest -s`."""
    warned = [scenario for scenario in SCENARIOS if raised(scenario, Priority.NOTICE)]
    right = [scenario for scenario in warned if scenario.suspicious]
    seen = [scenario for scenario in SCENARIOS if scenario.suspicious and raised(scenario)]
    suspicious = [scenario for scenario in SCENARIOS if scenario.suspicious]
    by_rule = Counter(
        (rule, scenario.suspicious) for scenario in SCENARIOS for rule in raised(scenario, Priority.NOTICE)
    )
    print(f"\n{len(suspicious)} attacks, {len(seen)} with an alert, {len(right)} with NOTICE or more severe")
    print(f"precision of NOTICE or more severe: {len(right)} of {len(warned)} recordings")
    for rule in sorted({rule for rule, _ in by_rule}):
        print(f"  {rule}: {by_rule[rule, True]} attacks, {by_rule[rule, False]} harmless")
    assert {scenario.name for scenario in warned if not scenario.suspicious} == set(HARMLESS_BUT_REPORTED)


def test_the_tables_are_about_recordings_that_exist() -> None:
    """An entry that outlives its recording or its reason is noticed."""
    names = {scenario.name for scenario in SCENARIOS}
    assert set(ALSO_RAISED) | set(NOT_RAISED) | set(HARMLESS_BUT_REPORTED) <= names
