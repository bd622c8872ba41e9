"""An audit policy -> what the API server records of a request.

The matching is that of Kubernetes' `policy.Checker`: the first rule that fits decides, a rule without resources and
paths fits both kinds of requests, and `resources: [pods]` means pods alone, without subresources.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

LEVELS = ("None", "Metadata", "Request", "RequestResponse")
"""From the least to the most."""


class AuditPolicy:
    def __init__(self, path: Path) -> None:
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
        self._omitted = set(document.get("omitStages", ()))
        self._rules: list[dict[str, Any]] = document["rules"]

    def level(self, event: dict[str, Any]) -> str:
        """The level for a request, of which this is an event."""
        return next((rule["level"] for rule in self._rules if _fits(rule, event)), "None")

    def recorded(self, event: dict[str, Any]) -> dict[str, Any] | None:
        """What is recorded of an event that has everything; None if nothing is."""
        level = self.level(event)
        if level == "None" or event["stage"] in self._omitted:
            return None
        left_out = {"Metadata": ("requestObject", "responseObject"), "Request": ("responseObject",)}.get(level, ())
        return {key: value for key, value in event.items() if key not in left_out} | {"level": level}


def _fits(rule: dict[str, Any], event: dict[str, Any]) -> bool:
    user = event.get("user", {})
    if rule.get("users") and user.get("username") not in rule["users"]:
        return False
    if rule.get("userGroups") and not set(rule["userGroups"]) & set(user.get("groups", ())):
        return False
    if rule.get("verbs") and event["verb"] not in rule["verbs"]:
        return False
    target = event.get("objectRef")
    if target is None:
        paths = rule.get("nonResourceURLs", ())
        path = event["requestURI"].partition("?")[0]
        return not rule.get("resources") if not paths else any(_path_fits(pattern, path) for pattern in paths)
    if rule.get("nonResourceURLs"):
        return False
    return not rule.get("resources") or any(_resource_fits(group, target) for group in rule["resources"])


def _path_fits(pattern: str, path: str) -> bool:
    return path.startswith(pattern[:-1]) if pattern.endswith("*") else path == pattern


def _resource_fits(group: dict[str, Any], target: dict[str, str]) -> bool:
    if group.get("group", "") != target.get("apiGroup", ""):
        return False
    resource, sub = target["resource"], target.get("subresource", "")
    whole = f"{resource}/{sub}" if sub else resource
    fitting = {whole, "*", f"*/{sub}" if sub else "*", f"{resource}/*"}
    return not group.get("resources") or bool(fitting & set(group["resources"]))
