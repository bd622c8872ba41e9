"""From files and `-o` options to one tree of settings.

Order, as in Falco: the main file, then the files in `config_files` (also those that `-o` adds) in the order given and
folders by name, then all other `-o` options. An included file replaces a section of Falco's as a whole; our own section
is put together key by key, so that a file that sets one of its keys takes nothing from the others.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from lanner.config.check import OWN
from lanner.config.overrides import apply, parse_override
from lanner.config.tree import Entry, Items, Node, Scalar, Section, TreeError, build
from lanner.diagnostics.codes import Code
from lanner.diagnostics.report import Report
from lanner.diagnostics.source import SourceFile, Span
from lanner.regular_file import MAX_TEXT_BYTES, read_regular_file, reason
from lanner.secrecy import secret_stretches, url_stretches
from lanner.yamltext import documents

INCLUDES = "config_files"


class ConfigError(Exception):
    """A configuration file that cannot be read at all."""


def load_tree(
    path: Path | None, overrides: Sequence[str], environ: Mapping[str, str], report: Report
) -> tuple[Section, list[str]]:
    """(the settings, the files they come from). Raises ConfigError if the main file cannot be read."""
    root = Section()
    files: list[str] = []
    if path is not None:
        files.append(str(path))
        root = _read(path, environ, report)
    # What `-o` says of included files must be known before they are read, and comes only once.
    later: list[str] = []
    for option in overrides:
        if option.startswith(INCLUDES):
            _override(root, option, report)
        else:
            later.append(option)
    _include(root, path, files, environ, report)
    for option in later:
        _override(root, option, report)
    return root, files


def _override(root: Section, option: str, report: Report) -> None:
    try:
        apply(root, parse_override(option))
    except TreeError as error:
        report.add(Code.CONFIG_ERROR, error.message, error.span, error.help)


def _read(path: Path, environ: Mapping[str, str], report: Report) -> Section:
    """The settings in a file; none if it is no mapping. Raises ConfigError if it cannot be read."""
    try:
        text = read_regular_file(path, MAX_TEXT_BYTES).decode("utf-8-sig")
    except OSError as error:
        raise ConfigError(f"cannot read `{path}`: {reason(error)}") from None
    except UnicodeDecodeError:
        raise ConfigError(f"cannot read `{path}`: it is not UTF-8 text") from None
    source = SourceFile(str(path), text)
    errors = report.error_count
    found = documents(source, report)
    parsed = report.error_count == errors
    for start, end in url_stretches(text) if parsed else secret_stretches(text):
        source.hide(start, end)
    for extra in found[1:]:
        report.add(
            Code.CONFIG_ERROR,
            "the configuration has a second document, of which nothing would hold",
            extra.span,
            "leave out the line `---` between them, or include another file by `config_files`.",
        )
    try:
        root = build(found[0], environ) if found else Section()
    except TreeError as error:
        report.add(Code.CONFIG_ERROR, error.message, error.span, error.help)
        return Section()
    if isinstance(root, Section):
        return root
    report.add(Code.CONFIG_ERROR, "the configuration is not a mapping", root.span, "write `key: value` lines.")
    return Section()


def _include(root: Section, main: Path | None, files: list[str], environ: Mapping[str, str], report: Report) -> None:
    entry = root.entries.get(INCLUDES)
    if entry is None:
        return
    nodes = entry.value.items if isinstance(entry.value, Items) else [entry.value]
    for node in nodes:
        found = _path_and_strategy(node)
        if found is None:
            continue  # reported where all settings are checked
        name, strategy, span = found
        if not name.strip():
            report.add(Code.CONFIG_ERROR, "an entry of `config_files` is empty", span, "name a file or folder.")
            continue
        path = Path(name)
        if main is not None and path == main:
            report.add(Code.CONFIG_ERROR, f"`{name}` includes itself", span, "leave it out of `config_files`.")
            continue
        if not path.exists():
            report.add(
                Code.CONFIG_FILE_NOT_FOUND, f"there is no `{name}` to include", span, "it is left out, as Falco does."
            )
            continue
        for file in _files_in(path):
            files.append(str(file))
            try:
                included = _read(file, environ, report)
            except ConfigError as error:
                report.add(Code.CONFIG_ERROR, str(error), span, "make it readable, or leave it out of `config_files`.")
                continue
            _merge(root, included, strategy, report)


def _path_and_strategy(node: Node) -> tuple[str, str, Span] | None:
    match node:
        case Scalar(empty=False):
            return node.text.value, "append", node.span
        case Section():
            path = node.entries.get("path")
            strategy = node.entries.get("strategy")
            if path is None or not isinstance(path.value, Scalar):
                return None
            word = strategy.value.text.value if strategy and isinstance(strategy.value, Scalar) else "append"
            return path.value.text.value, word, path.value.span
        case _:
            return None


def _files_in(path: Path) -> list[Path]:
    if path.is_dir():
        return sorted((child for child in path.iterdir() if child.is_file()), key=str)
    return [path]


def _merge(root: Section, included: Section, strategy: str, report: Report, inside: bool = False) -> None:
    """`append` adds to lists and replaces the rest, `override` replaces, `add-only` keeps what is there.

    `inside`: of our own section, whose sections are put together with `append`.
    """
    root.repeated += included.repeated
    for key, entry in included.entries.items():
        own = inside or key == OWN
        if key == INCLUDES and not inside:
            report.add(
                Code.CONFIG_ERROR, "an included file cannot include files", entry.key, "list them in the main file."
            )
            continue
        present = root.entries.get(key)
        if present is None or strategy == "override":
            root.entries[key] = entry
        elif strategy == "add-only":
            continue
        elif isinstance(entry.value, Items) and isinstance(present.value, Items):
            joined = Items([*present.value.items, *entry.value.items], present.value.span)
            root.entries[key] = Entry(present.key, joined)
        elif own and isinstance(entry.value, Section) and isinstance(present.value, Section):
            _merge(present.value, entry.value, strategy, report, own)
        else:
            root.entries[key] = entry
