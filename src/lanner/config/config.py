"""The configuration as the rest of the program sees it."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeVar, cast

from lanner.config.check import check
from lanner.config.files import load_tree
from lanner.config.service import ServiceConfig, read_service
from lanner.config.settings import SETTINGS
from lanner.config.tree import Items, Node, Scalar, Section, TreeError, plain, valid_text
from lanner.diagnostics.codes import Code
from lanner.diagnostics.diagnostic import Diagnostic
from lanner.diagnostics.report import Report
from lanner.diagnostics.source import Span, Text
from lanner.priority import Priority

T = TypeVar("T")

DEFAULT_PATH = Path("/etc/lanner/falco.yaml")
PATH_VARIABLE = "LANNER_CONFIG"
HOSTNAME_VARIABLE = "FALCO_HOSTNAME"


@dataclass(frozen=True, slots=True)
class RuleSelection:
    """A step of `rules:`: turn on (`enable`) or off the rules of a name, with `*` for anything, or of a tag."""

    enable: bool
    rule: str | None
    tag: str | None
    span: Span = field(compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class AppendOutput:
    """An entry of `append_output`: which rules it is for, and what it adds to their outputs.

    `extra_fields`: names, each with the text of a format, or None for the value of the field of that name.
    """

    source: str
    rule: str
    tags: frozenset[str]
    extra_output: Text | None
    extra_fields: tuple[tuple[Text, Text | None], ...]


@dataclass(frozen=True, slots=True)
class Config:
    """All settings; see settings.py for what they mean.

    `rules_files` as written, without those that do not exist: files and folders, relative to the current directory.
    `raw`: the whole configuration as plain values, for whoever needs keys that have no attribute here.
    `path`: the main file; `files`: all files that were read. `service`: what only `lanner run` and the commands that
    look into its store need.
    """

    rules_files: tuple[str, ...]
    rules: tuple[RuleSelection, ...]
    priority: Priority
    rule_matching: str
    json_output: bool
    json_include_output_property: bool
    json_include_message_property: bool
    json_include_output_fields_property: bool
    json_include_tags_property: bool
    time_format_iso_8601: bool
    append_output: tuple[AppendOutput, ...]
    static_fields: Mapping[str, str]
    hostname: str
    raw: Mapping[str, Any] = field(repr=False)
    path: str | None
    files: tuple[str, ...]
    service: ServiceConfig
    diagnostics: tuple[Diagnostic, ...]

    @property
    def ok(self) -> bool:
        """Whether there is no error in it; warnings do not count."""
        return not any(diagnostic.is_error for diagnostic in self.diagnostics)

    @classmethod
    def load(
        cls,
        path: str | os.PathLike[str] | None = None,
        overrides: Sequence[str] = (),
        environ: Mapping[str, str] = os.environ,
    ) -> Config:
        """Read a configuration file, what it includes, and `-o` options.

        Without a path: the file that LANNER_CONFIG names, else /etc/lanner/falco.yaml if it exists, else the defaults.
        Bad values are in `diagnostics`, and the defaults hold in their place. Raises ConfigError if the file cannot
        be read at all.
        """
        report = Report()
        chosen = _find(path, environ)
        root, files = load_tree(chosen, overrides, environ, report)
        return _Reader(root, report).config(None if chosen is None else str(chosen), files, environ)

    @classmethod
    def default(cls, environ: Mapping[str, str] = os.environ) -> Config:
        """The settings that hold without a file."""
        return _Reader(Section(), Report()).config(None, [], environ)


def _find(path: str | os.PathLike[str] | None, environ: Mapping[str, str]) -> Path | None:
    if path is not None:
        return Path(path)
    if environ.get(PATH_VARIABLE):
        return Path(environ[PATH_VARIABLE])
    return DEFAULT_PATH if DEFAULT_PATH.exists() else None


class _Reader:
    """Reads a `Config` out of a tree."""

    def __init__(self, root: Section, report: Report) -> None:
        self._root = root
        self._report = report
        self._values = check(root, report)

    def config(self, path: str | None, files: Sequence[str], environ: Mapping[str, str]) -> Config:
        rules_files = self._rules_files()
        rules = tuple(step for step in map(self._selection, self._items("rules")) if step is not None)
        append_output = tuple(
            entry for entry in map(self._append_output, self._items("append_output")) if entry is not None
        )
        service = read_service(self._root, self._values, environ, self._report)
        return Config(
            rules_files=rules_files,
            rules=rules,
            priority=Priority.parse(self._value("priority", str)),
            rule_matching=self._value("rule_matching", str),
            json_output=self._value("json_output", bool),
            json_include_output_property=self._value("json_include_output_property", bool),
            json_include_message_property=self._value("json_include_message_property", bool),
            json_include_output_fields_property=self._value("json_include_output_fields_property", bool),
            json_include_tags_property=self._value("json_include_tags_property", bool),
            time_format_iso_8601=self._value("time_format_iso_8601", bool),
            append_output=append_output,
            static_fields=MappingProxyType(cast("dict[str, str]", self._values.get("static_fields", {}))),
            hostname=valid_text(environ.get(HOSTNAME_VARIABLE) or socket.gethostname()),
            raw=MappingProxyType(cast("dict[str, Any]", plain(self._root))),
            path=path,
            files=tuple(files),
            service=service,
            diagnostics=self._report.diagnostics,
        )

    def _value(self, name: str, kind: type[T]) -> T:
        value = self._values.get(name, SETTINGS[name].default)
        assert isinstance(value, kind)
        return value

    def _items(self, name: str) -> list[Node]:
        entry = self._root.entries.get(name)
        return entry.value.items if entry is not None and isinstance(entry.value, Items) else []

    def _rules_files(self) -> tuple[str, ...]:
        entries = self._root.entries
        old, new = entries.get("rules_file"), entries.get("rules_files")
        if old is not None and new is not None:
            self._report.add(
                Code.CONFIG_ERROR, "`rules_file` and `rules_files` are both set", old.key, "keep `rules_files`."
            )
        elif old is not None:
            self._report.add(
                Code.DEPRECATED_ITEM, "`rules_file` is the old name of `rules_files`", old.key, "write `rules_files`."
            )
        entry = new or old
        if entry is None:
            return ()
        found = cast("tuple[str, ...]", self._values.get("rules_files" if new is not None else "rules_file", ()))
        kept: list[str] = []
        for index, name in enumerate(found):
            node = entry.value.items[index] if isinstance(entry.value, Items) else entry.value
            if not name.strip():  # as a path it would be the current directory
                self._report.add(
                    Code.CONFIG_ERROR, "an entry of `rules_files` is empty", node.span, "name a file or folder."
                )
                continue
            if Path(name).exists():
                kept.append(name)
                continue
            self._report.add(
                Code.CONFIG_FILE_NOT_FOUND,
                f"there is no rules file `{name}`",
                node.span,
                "it is left out, as Falco does; a relative path begins at the current directory.",
            )
        return tuple(kept)

    def _selection(self, item: Node) -> RuleSelection | None:
        if not isinstance(item, Section) or item.span is None:
            return None
        present = [word for word in ("enable", "disable") if word in item.entries]
        if len(present) != 1:
            self._report.add(
                Code.CONFIG_ERROR,
                "a step of `rules` needs one of `enable` and `disable`",
                item.span,
                "write `- enable: {tag: k8s}`.",
            )
            return None
        body = item.entries[present[0]].value
        rule, tag = (_text_at(body, key) for key in ("rule", "tag"))
        if not rule and not tag:
            self._report.add(
                Code.CONFIG_ERROR,
                f"`{present[0]}` needs a `rule` or a `tag`",
                item.span,
                f"write `- {present[0]}: {{rule: NAME}}`.",
            )
            return None
        return RuleSelection(present[0] == "enable", rule or None, tag or None, item.span)

    def _append_output(self, item: Node) -> AppendOutput | None:
        if not isinstance(item, Section):
            return None
        match = item.entries["match"].value if "match" in item.entries else Section()
        tags = match.entries["tags"].value if isinstance(match, Section) and "tags" in match.entries else None
        extra = item.entries.get("extra_output")
        try:
            fields = self._extra_fields(item)
        except TreeError as error:
            self._report.add(Code.CONFIG_ERROR, error.message, error.span, error.help)
            return None
        return AppendOutput(
            source=_text_at(match, "source") or "",
            rule=_text_at(match, "rule") or "",
            tags=frozenset(
                node.text.value
                for node in (tags.items if isinstance(tags, Items) else [tags])
                if isinstance(node, Scalar)
            ),
            extra_output=extra.value.text if extra is not None and isinstance(extra.value, Scalar) else None,
            extra_fields=fields,
        )

    def _extra_fields(self, item: Section) -> tuple[tuple[Text, Text | None], ...]:
        entry = item.entries.get("extra_fields")
        if entry is None or (isinstance(entry.value, Scalar) and entry.value.empty):
            return ()
        advice = "write a field name, or `{name: text with fields}`."
        if not isinstance(entry.value, Items):
            raise TreeError("`extra_fields` must be a list", entry.key, advice)
        found: dict[str, tuple[Text, Text | None]] = {}
        for node in entry.value.items:
            match node:
                case Scalar(empty=False):
                    name, template, span = node.text, None, node.span
                case Section() if len(node.entries) == 1:
                    (key, value), *_ = node.entries.items()
                    if not isinstance(value.value, Scalar):
                        raise TreeError(f"the format of `{key}` must be a text", value.key, advice)
                    start = value.key.start
                    name = Text.at(
                        key,
                        value.key.source,
                        [*(min(start + i, value.key.end) for i in range(len(key))), value.key.end],
                    )
                    template, span = value.value.text, value.key
                case _:
                    raise TreeError(
                        "an item of `extra_fields` is neither a name nor one `name: text`", entry.key, advice
                    )
            previous = found.get(name.value)
            if previous is not None and not (template is None and previous[1] is None):
                raise TreeError(f"`{name.value}` is added twice", span, "leave one of them out.")
            found[name.value] = (name, template)
        return tuple(found.values())


def _text_at(node: Node, key: str) -> str | None:
    if not isinstance(node, Section) or key not in node.entries:
        return None
    value = node.entries[key].value
    return value.text.value if isinstance(value, Scalar) and not value.empty else None
