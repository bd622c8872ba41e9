"""A section of settings that stands in the tree: its values by key, and where each of them stands.

In: the section, the name of its settings in the table. What must not be empty (`Setting.asks_for`) is held against that
here: a key that is there and holds nothing asks for something that cannot be.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from types import MappingProxyType
from typing import TypeVar

from lanner.config.check import read
from lanner.config.settings import AUTHENTICATION, SETTINGS, Setting
from lanner.config.tree import Items, Node, Scalar, Section
from lanner.diagnostics.codes import Code
from lanner.diagnostics.report import Report
from lanner.diagnostics.source import Span

T = TypeVar("T")

Places = Mapping[str, Span]
"""Where the value of each key stands, for those keys that are there."""


@dataclass(frozen=True, slots=True)
class Place:
    """A section, and the name of its settings in the table: `lanner.webhooks[]`, `lanner.server`."""

    name: str
    node: Section

    @property
    def span(self) -> Span:
        assert self.node.span is not None
        return self.node.span

    def setting(self, key: str) -> Setting:
        """The entry of the table for a key."""
        return SETTINGS[f"{self.name}.{key}"]

    def get(self, key: str, kind: type[T]) -> T:
        """The value of a key, else its default; also where the value cannot be used, which is reported elsewhere."""
        setting = self.setting(key)
        entry = self.node.entries.get(key)
        value: object = setting.default
        if entry is not None and not (isinstance(entry.value, Scalar) and entry.value.empty):
            with suppress(ValueError):  # reported where all settings are checked
                value = read(setting, entry.value)
        assert isinstance(value, kind)
        return value

    def has(self, key: str) -> bool:
        """Whether the key is there, whatever its value."""
        return key in self.node.entries

    def is_set(self, key: str) -> bool:
        """Whether the key is there with something that is not null."""
        return self.has(key) and not _is_null(self.node.entries[key].value)

    def at(self, key: str) -> Span:
        """Where a value stands; the section if it is not there."""
        entry = self.node.entries.get(key)
        return self.span if entry is None else entry.value.span or entry.key

    def places(self) -> Places:
        """Where all its values stand."""
        return MappingProxyType({key: self.at(key) for key in self.node.entries})

    def check_not_empty(self, report: Report) -> None:
        """Reports every key that asks for something and holds nothing."""
        for key, entry in self.node.entries.items():
            setting = SETTINGS.get(f"{self.name}.{key}")
            if setting is None or not setting.asks_for:
                continue
            if setting.asks_for != AUTHENTICATION and _is_null(entry.value):
                continue  # as good as no key; who wants to come in is never let in by that
            empty = _empty(entry.value)
            if empty is not None:
                report.add(
                    Code.CONFIG_ERROR,
                    f"`{setting.name}` asks for {setting.asks_for} and is empty",
                    empty.span or entry.key,
                    f"give `{key}` a value, or leave it out where no {setting.asks_for} is wanted.",
                )
            elif isinstance(entry.value, Scalar) and (incomplete := entry.value).unset:
                report.add(
                    Code.CONFIG_ERROR,
                    f"`{setting.name}` asks for {setting.asks_for} and is incomplete",
                    incomplete.span,
                    "set the variable.",
                )


def _is_null(node: Node) -> bool:
    return isinstance(node, Scalar) and node.empty


def _empty(node: Node) -> Node | None:
    """What holds nothing: the value, or an item of it; None where there is something everywhere."""
    match node:
        case Scalar():
            return node if node.blank else None
        case Items(items=[]):
            return node
        case Items():
            return next((item for item in node.items if isinstance(item, Scalar) and (item.blank or item.unset)), None)
        case _:
            return None
