"""One item of a rules file: reads the values under its keys and reports what is wrong with them.

Behaviour: the `decode_` functions of Falco's `rule_loader_reader.cpp`.
"""

from __future__ import annotations

from collections.abc import Sequence

from lanner.diagnostics.codes import Code
from lanner.diagnostics.diagnostic import Context
from lanner.diagnostics.report import Report
from lanner.diagnostics.source import Span, Text
from lanner.priority import PRIORITY_WORDS, Priority
from lanner.rules.definitions import Word
from lanner.rules.suggest import nearest
from lanner.yamltext import MappingNode, Node, Scalar, SequenceNode

_TRUE = frozenset(form for word in ("y", "yes", "true", "on") for form in (word, word.capitalize(), word.upper()))
_FALSE = frozenset(form for word in ("n", "no", "false", "off") for form in (word, word.capitalize(), word.upper()))


class Stop(Exception):  # noqa: N818
    """The item cannot be read any further."""


class Item:
    """Reads one item; `failed` once there is an error, be it of whoever takes its definitions meanwhile."""

    def __init__(self, node: MappingNode, kind: str, report: Report) -> None:
        self.node = node
        self.kind = kind
        self.report = report
        self.name = ""
        self.span = node.key_span(kind)
        self.context: tuple[Context, ...] = ()
        self._errors = report.error_count

    @property
    def failed(self) -> bool:
        return self.report.error_count > self._errors

    def error(self, message: str, span: Span, help: str = "", code: Code = Code.ERR_YAML_VALIDATE) -> None:
        self.report.add(code, message, span, help, self.context)

    def required(self, node: MappingNode, key: str) -> Scalar | None:
        """The scalar under a key that must be there; None after an error."""
        if key not in node.entries:
            self.error(
                f"`{key}` is missing", self.span if node is self.node else node.span, f"add `{key}:` with a value."
            )
            return None
        return self.optional(node, key)

    def optional(self, node: MappingNode, key: str) -> Scalar | None:
        """The scalar under a key, None if it is not there. A null, an empty text or a collection is an error."""
        value = node.get(key)
        if value is None:
            return None
        if not isinstance(value, Scalar):
            self.error(f"`{key}` takes a single value", value.span, quote_help(value))
        elif value.is_null:
            self.error(f"`{key}` has no value", node.key_span(key), f"give `{key}` a value, or leave it out.")
        elif not value.value:
            self.error(f"`{key}` is empty", value.span, f"give `{key}` a value.")
        else:
            return value
        return None

    def flag(self, key: str, default: bool = False) -> bool:
        """A truth value: yaml-cpp's words, quoted or not; `default` if the key is not there, and after an error."""
        value = self.optional(self.node, key)
        if value is None or value.value in _FALSE:
            return default if value is None else False
        if value.value not in _TRUE:
            self.error(f"`{value.value}` is neither true nor false", value.span, "write `true` or `false`.")
            return default
        return True

    def words(self, key: str) -> tuple[Word, ...]:
        """The scalars of the sequence under a key; () after an error, or if the key is not there."""
        node = self.node.get(key)
        if node is None:
            return ()
        if not isinstance(node, SequenceNode):
            self.error(f"`{key}` takes a list", node.span, f"write `{key}: [a, b]`.")
            return ()
        words: list[Word] = []
        for item in node.items:
            if isinstance(item, Scalar) and not item.is_null:
                words.append(Word(item.value, item.span))
            else:
                what = "nothing" if isinstance(item, Scalar) else "a collection"
                self.error(f"an entry of `{key}` is {what}, not a single value", item.span, quote_help(item))
        return tuple(words)

    def priority(self, required: bool) -> Priority | None:
        value = self.required(self.node, "priority") if required else self.optional(self.node, "priority")
        if value is None:
            return None
        try:
            return Priority.parse(value.value)
        except ValueError:
            near = nearest(value.value.lower(), PRIORITY_WORDS)
            self.error(
                f"`{value.value}` is not a priority", value.span, near or f"use one of {', '.join(PRIORITY_WORDS)}."
            )
            return None

    def text(self, key: str, required: bool = True) -> Text | None:
        value = self.required(self.node, key) if required else self.optional(self.node, key)
        return value.text() if value else None

    def append_flag(self) -> bool:
        append = self.flag("append")
        if append:
            self.report.add(
                Code.DEPRECATED_ITEM,
                "`append` is deprecated",
                self.node.key_span("append"),
                f"write `override:` with `{'items' if self.kind == 'list' else 'condition'}: append` instead.",
                self.context,
            )
        return append

    def warn_unknown_keys(self, node: MappingNode, kind: str, known: Sequence[str]) -> None:
        for key, _ in node.pairs:
            if isinstance(key, Scalar) and key.value not in known:
                self.report.add(
                    Code.UNKNOWN_KEY,
                    f"unknown key `{key.value}` in {'an' if kind == 'exception' else 'a'} {kind}",
                    key.span,
                    nearest(key.value, known) or "the key is ignored; remove it.",
                    self.context,
                )

    def both_ways(self) -> None:
        self.error(
            "`append` and `override` cannot stand together", self.node.key_span("append"), "remove the `append` line."
        )

    def override(self, appendable: Sequence[str], replaceable: Sequence[str]) -> dict[str, str]:
        """The `override` of the item: key -> `append` or `replace`, only what may be done."""
        node = self.node.get("override")
        operations: dict[str, str] = {}
        if isinstance(node, SequenceNode) and node.items:
            # Falco reports this as its own kind of error, and so do we.
            self.error("`override` takes a mapping", node.span, "write `condition: append`.", Code.ERR_VALIDATE)
            raise Stop
        if not isinstance(node, MappingNode):
            return {}
        for key, value in node.pairs:
            if not isinstance(key, Scalar) or not isinstance(value, Scalar):
                span = (value if isinstance(key, Scalar) else key).span
                self.error("`override` takes single values", span, "write `condition: append`.", Code.ERR_VALIDATE)
                raise Stop
            word = value.value
            if word not in ("append", "replace"):
                able = [name for name, keys in (("append", appendable), ("replace", replaceable)) if key.value in keys]
                self.error(
                    f"`{word}` is not a way to override `{key.value}`",
                    value.span if word else key.span,
                    f"write {' or '.join(f'`{name}`' for name in able)}." if able else "remove the line.",
                )
            elif key.value not in (appendable if word == "append" else replaceable):
                if key.value in replaceable:
                    advice = f"write `{key.value}: replace`."
                else:
                    advice = nearest(key.value, replaceable) or f"possible are {', '.join(replaceable)}."
                verb = "appended to" if word == "append" else "replaced"
                self.error(f"`{key.value}` cannot be {verb}", key.span, advice)
            else:
                operations.setdefault(key.value, word)
        return operations


def quote_help(node: Node) -> str:
    if isinstance(node, Scalar):
        return "remove the entry, or give it a value."
    return "put the value in quotes if it begins with a bracket or a brace."
