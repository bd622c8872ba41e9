"""Which of the loaded rules run: the `rules:` steps and the minimum priority of the configuration.

Source of the behaviour: falco `load_rules_files.cpp` and `indexable_ruleset.h`, but for wildcards, which here match as
shell wildcards do.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Protocol

from lanner.priority import Priority
from lanner.rules.definitions import ResolvedRule


class Step(Protocol):
    """One step of the configuration's `rules:`: enable or disable by rule name (with `*`) or by tag."""

    @property
    def enable(self) -> bool: ...
    @property
    def rule(self) -> str | None: ...
    @property
    def tag(self) -> str | None: ...


def select(rules: Sequence[ResolvedRule], steps: Sequence[Step], minimum: Priority) -> list[bool]:
    """For each rule whether it runs: as its file says, then the steps in their order, then the minimum priority."""
    enabled = [rule.enabled for rule in rules]
    for step in steps:
        for index, rule in enumerate(rules):
            if _matches(step, rule):
                enabled[index] = step.enable
    return [on and rule.priority <= minimum for on, rule in zip(enabled, rules, strict=True)]


def _matches(step: Step, rule: ResolvedRule) -> bool:
    if step.tag is not None and step.tag in rule.tags:
        return True
    if step.rule is None:
        return False
    pattern = ".*".join(re.escape(part) for part in step.rule.split("*"))
    return re.fullmatch(pattern, rule.name, re.DOTALL) is not None
