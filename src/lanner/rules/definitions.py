"""What a rules file defines: lists, macros, rules, changes to earlier ones, and version requirements.

All are immutable and carry the span of what was written, so that every later problem can point into the file.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple, TypeAlias

from lanner.condition.ast import Call, Expr, FieldRef
from lanner.diagnostics.source import Span, Text
from lanner.priority import Priority


class Word(NamedTuple):
    """A short value and where it stands."""

    value: str
    span: Span

    def text(self) -> Text:
        """The value with the places of its characters; where it was written with escapes, that of its beginning."""
        source, start = self.span.source, self.span.start
        length = len(self.value)
        for first in (start, start + 1):
            if source.text.startswith(self.value, first):
                return Text.at(self.value, source, range(first, first + length + 1))
        return Text.at(self.value, source, [start] * (length + 1))


class Words(NamedTuple):
    """A list among the values of an exception."""

    items: tuple[Entry, ...]
    span: Span


Entry: TypeAlias = "Word | Words"
"""A part of an exception: one value or a list; an empty Word stands for a null."""


@dataclass(frozen=True, slots=True)
class ListDef:
    """A list. `index` is its place among all definitions, `visibility` the place of its last change."""

    name: str
    span: Span
    items: tuple[Word, ...]
    append: bool = False
    index: int = 0
    visibility: int = 0


@dataclass(frozen=True, slots=True)
class MacroDef:
    """A macro. It sees macros whose `index` is below its own `visibility`."""

    name: str
    span: Span
    condition: Text
    append: bool = False
    index: int = 0
    visibility: int = 0


@dataclass(frozen=True, slots=True)
class ExceptionItem:
    """An exception as written; parts may be missing when it adds to an earlier one."""

    name: str
    span: Span
    fields: Entry | None
    comps: Entry | None
    values: tuple[Entry, ...]


@dataclass(frozen=True, slots=True)
class ExceptionDef:
    """A checked exception.

    `single`: `fields` was one name, so that `values` is a flat list for its one operator. Otherwise each of `values`
    has as many parts as there are fields. `operators` has one word for each field, such as `=` or `startswith anyof`.
    """

    name: str
    span: Span
    fields: tuple[FieldRef | Call, ...]
    operators: tuple[str, ...]
    values: tuple[Entry, ...]
    single: bool = False


@dataclass(frozen=True, slots=True)
class RuleItem:
    """A complete rule as written."""

    name: str
    span: Span
    condition: Text
    output: Text
    description: str
    priority: Priority
    source: str
    source_span: Span | None
    tags: tuple[str, ...]
    exceptions: tuple[ExceptionItem, ...]
    enabled: bool
    skip_if_unknown_filter: bool


@dataclass(frozen=True, slots=True)
class RuleChange:
    """A change to an earlier rule: `append` adds to the parts that are given, otherwise they replace the old ones."""

    name: str
    span: Span
    append: bool
    source: Word | None = None
    condition: Text | None = None
    output: Text | None = None
    description: str | None = None
    tags: tuple[str, ...] | None = None
    exceptions: tuple[ExceptionItem, ...] | None = None
    priority: Priority | None = None
    enabled: bool | None = None
    skip_if_unknown_filter: bool | None = None


@dataclass(frozen=True, slots=True)
class RuleSwitch:
    """`- rule: X` with `enabled` and nothing else: switches an earlier rule on or off."""

    name: str
    span: Span
    enabled: bool


@dataclass(frozen=True, slots=True)
class EngineRequirement:
    """`required_engine_version`."""

    version: tuple[int, int, int]
    span: Span


@dataclass(frozen=True, slots=True)
class PluginRequirement:
    """One entry of `required_plugin_versions`: its own (name, version as written), then its alternatives."""

    alternatives: tuple[tuple[str, str], ...]
    span: Span


@dataclass(frozen=True, slots=True)
class Broken:
    """An item that could not be read. That others refer to it is not a problem of theirs."""

    kind: str
    name: str


Definition: TypeAlias = (
    "ListDef | MacroDef | RuleItem | RuleChange | RuleSwitch | EngineRequirement | PluginRequirement | Broken"
)


@dataclass(frozen=True, slots=True)
class RuleDef:
    """A rule as it stands after all changes so far. `known_source` is False for rules that are never looked into."""

    name: str
    span: Span
    condition: Text
    output: Text
    description: str
    priority: Priority
    source: str
    tags: frozenset[str]
    exceptions: tuple[ExceptionDef, ...]
    enabled: bool
    skip_if_unknown_filter: bool
    known_source: bool
    source_span: Span | None = None
    index: int = 0
    visibility: int = 0


@dataclass(frozen=True, slots=True)
class ResolvedRule:
    """A rule whose condition stands alone: no macro is left, list names are their items, exceptions are added.

    `tags` are sorted. `output` and `condition_text` are as declared, appended parts included. `span` is that of the
    name. `macros` and `lists` are the names used, directly or not, in order of first use.
    """

    name: str
    description: str
    source: str
    priority: Priority
    tags: tuple[str, ...]
    enabled: bool
    skip_if_unknown_filter: bool
    output: Text
    condition: Expr
    condition_text: Text
    span: Span
    macros: tuple[str, ...]
    lists: tuple[str, ...]
    exceptions: tuple[ExceptionDef, ...]


@dataclass(frozen=True, slots=True)
class Versions:
    """What rules files may require: the version of the engine and those of the plugins it stands in for."""

    engine: tuple[int, int, int]
    plugins: Mapping[str, tuple[int, int, int]] = field(default_factory=dict)
