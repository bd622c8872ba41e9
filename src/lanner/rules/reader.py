"""YAML nodes -> definitions, one item of a rules file at a time.

Behaviour: Falco `rule_loader_reader.cpp`. An item with a problem becomes a `Broken` definition, and reading goes on.
Keys are checked where they are used, so that a key that means nothing in its place is not looked into.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from lanner.diagnostics.codes import Code
from lanner.diagnostics.diagnostic import Context
from lanner.diagnostics.report import Report
from lanner.diagnostics.source import SourceFile, Text
from lanner.rules.definitions import (
    Broken,
    Definition,
    EngineRequirement,
    Entry,
    ExceptionItem,
    ListDef,
    MacroDef,
    PluginRequirement,
    RuleChange,
    RuleItem,
    RuleSwitch,
    Word,
    Words,
)
from lanner.rules.item import Item, Stop
from lanner.rules.suggest import nearest
from lanner.rules.versions import implicit_version, parse_version, unsigned_number
from lanner.yamltext import MappingNode, Node, Scalar, SequenceNode, documents

APPEND_KEYS = ("condition", "exceptions", "output", "desc", "tags")
"""What `override` may append to in a rule, in the order in which it is done."""

REPLACE_KEYS = (
    *APPEND_KEYS,
    "priority",
    "capture",
    "capture_duration",
    "enabled",
    "warn_evttypes",
    "skip-if-unknown-filter",
)
"""What `override` may replace in a rule."""

KNOWN_KEYS: dict[str, tuple[str, ...]] = {
    "required_engine_version": ("required_engine_version",),
    "required_plugin_versions": ("required_plugin_versions",),
    "list": ("list", "items", "append", "override"),
    "macro": ("macro", "condition", "append", "override"),
    "rule": ("rule", "source", "append", "override", *REPLACE_KEYS),
    "exception": ("name", "fields", "comps", "values"),
}
"""The keys of each kind of item. The order of the kinds decides what an item with several of their keys is."""

_ITEM_KINDS = tuple(kind for kind in KNOWN_KEYS if kind != "exception")
_MACRO_NAME = re.compile(r"[a-zA-Z][a-zA-Z0-9_]*")
_LIST_NAME = re.compile(r"""[^()"'\s=,]+""")


def read_rules(source: SourceFile, report: Report) -> Iterator[Definition]:
    """The definitions of a file, in order.

    They are read as they are asked for, so that the problems of reading an item and those of fitting it in (see
    collector.py) come in the order of the file. Problems go to the report; nothing is raised.
    """
    for document in documents(source, report):
        if not isinstance(document, SequenceNode):
            report.add(
                Code.ERR_YAML_VALIDATE,
                "a rules file is a list of items",
                document.span,
                "begin every item with a dash: `- rule: name`.",
            )
            continue
        for item in document.items:
            if isinstance(item, Scalar) and item.is_null:
                continue
            if not isinstance(item, MappingNode):
                report.add(
                    Code.ERR_YAML_VALIDATE,
                    "an item is a mapping of keys to values",
                    item.span,
                    "write for example `- rule: name`.",
                )
                continue
            yield from _read_item(item, report)


def _read_item(item: MappingNode, report: Report) -> Iterator[Definition]:
    kind = next((kind for kind in _ITEM_KINDS if kind in item.entries), None)
    if kind is None:
        key = next(iter(item.entries), "")
        report.add(
            Code.UNKNOWN_ITEM,
            f"unknown item `{key}`" if key else "an item without a kind",
            item.key_span(key),
            nearest(key, _ITEM_KINDS) or "an item is a `rule`, a `macro`, a `list` or a version requirement.",
        )
        return
    reader = _Reader(item, kind, report)
    yield from reader.definitions()
    if not reader.failed:
        reader.warn_unknown_keys(item, kind, KNOWN_KEYS[kind])


class _Reader(Item):
    """Turns an item into definitions."""

    def definitions(self) -> Iterator[Definition]:
        match self.kind:
            case "required_engine_version":
                yield from self._engine_requirement()
                return
            case "required_plugin_versions":
                yield from self._plugin_requirements()
                return
        name = self.required(self.node, self.kind)
        if name is None:
            return
        self.name, self.span = name.value, name.span
        self.context = (Context(self.kind, self.name, self.span),)
        try:
            match self.kind:
                case "list":
                    yield from self._whole(self._list())
                case "macro":
                    yield from self._whole(self._macro())
                case _:
                    yield from self._rule()
        except Stop:
            yield Broken(self.kind, self.name)

    def _whole(self, definition: Definition) -> Iterator[Definition]:
        if self.failed:
            raise Stop
        yield definition

    # Version requirements

    def _engine_requirement(self) -> Iterator[Definition]:
        value = self.required(self.node, "required_engine_version")
        if value is None:
            return
        version = implicit_version(value.value) or parse_version(value.value)
        if version is None:
            self.error(
                f"`{value.value}` is not an engine version", value.span, "write a number, or a version such as 0.31.0."
            )
            return
        yield EngineRequirement(version, value.span)

    def _plugin_requirements(self) -> Iterator[Definition]:
        node = self.node.entries["required_plugin_versions"]
        if not isinstance(node, SequenceNode):
            self.error("`required_plugin_versions` takes a list", node.span, "write `- name: k8saudit` below it.")
            return
        for plugin in node.items:
            errors = self.report.error_count
            alternatives: list[tuple[str, str]] = []
            nodes: list[Node] = [plugin]
            if isinstance(plugin, MappingNode) and "alternatives" in plugin.entries:
                others = plugin.entries["alternatives"]
                if isinstance(others, SequenceNode):
                    nodes.extend(others.items)
                else:
                    self.error("`alternatives` takes a list", others.span, "write `- name: plugin` below it.")
            for entry in nodes:
                if not isinstance(entry, MappingNode):
                    self.error("a plugin requirement is a mapping", entry.span, "give it `name` and `version`.")
                    continue
                name, version = self.required(entry, "name"), self.required(entry, "version")
                if name and version:
                    alternatives.append((name.value, version.value))
            if self.report.error_count == errors:
                yield PluginRequirement(tuple(alternatives), plugin.span)

    # Lists and macros

    def _list(self) -> Definition:
        if not _LIST_NAME.fullmatch(self.name):
            self.report.add(
                Code.INVALID_LIST_NAME,
                f"list name `{self.name}` is hard to refer to",
                self.span,
                "use a name without blanks, quotes, parentheses, commas and `=`.",
                self.context,
            )
        if "items" not in self.node.entries:
            self.error("`items` is missing", self.span, "add `items: [a, b]`.")
        items = self.words("items")
        append = self.append_flag()
        return ListDef(self.name, self.span, items, self._joined_override("items", append))

    def _macro(self) -> Definition:
        if not _MACRO_NAME.fullmatch(self.name):
            self.report.add(
                Code.INVALID_MACRO_NAME,
                f"no condition can refer to a macro named `{self.name}`",
                self.span,
                "use letters, digits and underscores, beginning with a letter.",
                self.context,
            )
        condition = self.text("condition")
        append = self.append_flag()
        append = self._joined_override("condition", append)
        return MacroDef(self.name, self.span, condition or Text.plain(""), append)

    def _joined_override(self, key: str, append: bool) -> bool:
        """Whether a list or macro is appended to, by either of the two ways to say so."""
        operations = self.override((key,), (key,))
        if append and operations:
            self.both_ways()
        return append or operations.get(key) == "append"

    # Rules

    def _rule(self) -> Iterator[Definition]:
        append = self.append_flag()
        operations = self.override(APPEND_KEYS, REPLACE_KEYS)
        if operations:
            if append:
                self.both_ways()
            yield from self._override_rule(operations)
        elif self.failed and "override" in self.node.entries:
            raise Stop
        elif append:
            change = RuleChange(
                self.name,
                self.span,
                append=True,
                source=self._source(),
                condition=self.text("condition", required=False),
                exceptions=self.exceptions(append=True) if "exceptions" in self.node.entries else None,
            )
            yield from self._whole(change)
        elif not any(key in self.node.entries for key in ("condition", "output", "desc", "priority")):
            yield from self._whole(self._switch())
        else:
            yield from self._whole(self._whole_rule())

    def _switch(self) -> Definition:
        if "enabled" not in self.node.entries:
            self.error(
                f"rule `{self.name}` has no condition",
                self.span,
                "a rule needs `condition`, `output`, `desc` and `priority`.",
            )
        enabled = self.flag("enabled")
        if not self.failed:
            self.report.add(
                Code.DEPRECATED_ITEM,
                "switching a rule by `enabled` alone is deprecated",
                self.node.key_span("enabled"),
                "add `override: {enabled: replace}`.",
                self.context,
            )
        return RuleSwitch(self.name, self.span, enabled)

    def _whole_rule(self) -> Definition:
        condition = self.text("condition")
        output = self.text("output")
        desc = self.required(self.node, "desc")
        priority = self.priority(required=True)
        source = self.optional(self.node, "source")
        enabled = self.flag("enabled", default=True)
        self.flag("warn_evttypes", default=True)
        skip = self.flag("skip-if-unknown-filter")
        self.flag("capture")
        self._duration()
        tags = tuple(word.value for word in self.words("tags"))
        exceptions = self.exceptions(append=False)
        if self.failed or condition is None or output is None or desc is None or priority is None:
            raise Stop
        return RuleItem(
            name=self.name,
            span=self.span,
            condition=condition,
            output=output.stripped(" \t\n\r\f\v"),
            description=desc.value,
            priority=priority,
            source=source.value if source else "syscall",
            source_span=source.span if source else None,
            tags=tags,
            exceptions=exceptions,
            enabled=enabled,
            skip_if_unknown_filter=skip,
        )

    def _source(self) -> Word | None:
        source = self.optional(self.node, "source")
        return Word(source.value, source.span) if source else None

    def _duration(self) -> None:
        value = self.optional(self.node, "capture_duration")
        if value and unsigned_number(value.value) is None:
            self.error(f"`{value.value}` is not a number", value.span, "write milliseconds as a whole number.")

    def _override_rule(self, operations: dict[str, str]) -> Iterator[Definition]:
        """A rule with `override`: first what is appended, then what is replaced, then the keys it does not name."""
        for operation in ("append", "replace"):
            keys = [key for key, word in operations.items() if word == operation]
            if keys:
                yield from self._whole(self._change(operation, keys))
        for key in self.node.entries:
            if key in REPLACE_KEYS and key not in operations:
                words = "`append` or `replace`" if key in APPEND_KEYS else "`replace`"
                self.error(
                    f"`override` does not say what to do with `{key}`",
                    self.node.key_span(key),
                    f"add `{key}` with {words} to `override`, or remove the key.",
                )

    def _change(self, operation: str, keys: list[str]) -> Definition:
        for key in keys:
            if key not in self.node.entries:
                self.error(
                    f"`override` is to {operation} `{key}`, but there is no `{key}`",
                    self.node.key_span("override"),
                    f"add `{key}:` to the item, or take it out of `override`.",
                )
        append = operation == "append"
        description = self.optional(self.node, "desc") if "desc" in keys else None
        if "warn_evttypes" in keys:
            self.flag("warn_evttypes")
        if "capture" in keys:
            self.flag("capture")
        if "capture_duration" in keys:
            self._duration()
        return RuleChange(
            self.name,
            self.span,
            append,
            source=self._source(),
            condition=self.text("condition", required=False) if "condition" in keys else None,
            output=self.text("output", required=False) if "output" in keys else None,
            description=description.value if description else None,
            tags=tuple(word.value for word in self.words("tags")) if "tags" in keys else None,
            exceptions=self.exceptions(append) if "exceptions" in keys else None,
            priority=self.priority(required=False) if "priority" in keys else None,
            enabled=self.flag("enabled") if "enabled" in keys else None,
            skip_if_unknown_filter=self.flag("skip-if-unknown-filter") if "skip-if-unknown-filter" in keys else None,
        )

    # Exceptions

    def exceptions(self, append: bool) -> tuple[ExceptionItem, ...]:
        node = self.node.get("exceptions")
        if node is None or (isinstance(node, Scalar) and node.is_null):
            return ()
        if not isinstance(node, SequenceNode):
            self.error("`exceptions` takes a list", node.span, "write `- name: my_exception` below it.")
            return ()
        items: list[ExceptionItem] = []
        outer = self.context
        for entry in node.items:
            exception = self._exception(entry, {item.name for item in items}, append)
            self.context = outer
            if exception:
                items.append(exception)
        return tuple(items)

    def _exception(self, node: Node, names: set[str], append: bool) -> ExceptionItem | None:
        if not isinstance(node, MappingNode):
            self.error("an exception is a mapping", node.span, "give it `name`, `fields` and `values`.")
            return None
        name = self.required(node, "name")
        if name is None:
            return None
        self.context = (*self.context, Context("exception", name.value, name.span))
        if name.value in names:
            self.report.add(
                Code.EXCEPTION_NAME_NOT_UNIQUE,
                f"two exceptions of this rule are named `{name.value}`",
                name.span,
                "give each a name of its own, or put the values together.",
                self.context,
            )
        errors = self.report.error_count
        if "fields" not in node.entries and not append:
            self.error("`fields` is missing", name.span, "add `fields:` with one or more field names.")
        fields = self._entry(node.get("fields"), "fields")
        comps = self._entry(node.get("comps"), "comps")
        values = node.get("values")
        entries: tuple[Entry, ...] = ()
        if isinstance(values, SequenceNode):
            entries = tuple(entry for item in values.items if (entry := self._entry(item, "values")) is not None)
        elif values is not None:
            self.error("`values` takes a list", values.span, "write one list for each case below it.")
        elif append:
            self.report.add(
                Code.APPEND_NO_VALUES,
                f"exception `{name.value}` adds no values",
                name.span,
                "add `values:`, or remove the exception.",
                self.context,
            )
        if self.report.error_count == errors:
            self.warn_unknown_keys(node, "exception", KNOWN_KEYS["exception"])
        return ExceptionItem(name.value, name.span, fields, comps, entries)

    def _entry(self, node: Node | None, key: str, depth: int = 2) -> Entry | None:
        """A value or a list of values; a null, a mapping and what lies below `depth` levels is an empty Word."""
        match node:
            case None:
                return None
            case Scalar():
                if not node.value and not node.is_null:
                    self.error(f"a value of `{key}` is empty", node.span, "give it a value, or remove it.")
                return Word("" if node.is_null else node.value, node.span)
            case SequenceNode() if depth:
                items = tuple(entry for item in node.items if (entry := self._entry(item, key, depth - 1)) is not None)
                return Words(items, node.span)
        return Word("", node.span)
