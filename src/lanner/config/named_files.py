"""Looks whether the files that settings name are there: certificates, keys, tokens, passwords, what is read.

Only warnings come of it. Whatever needs such a file reads it when it starts, and is started again until that succeeds,
so the file may come later, and the user who checks need not be the one who runs the service.
"""

from __future__ import annotations

import glob
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from lanner.config.service import STANDARD_INPUT, ServerConfig
from lanner.config.tree import Items, Node, Scalar, Section
from lanner.diagnostics.codes import Code
from lanner.diagnostics.report import Report
from lanner.diagnostics.source import Span

_SECRETS = tuple(
    f"{place}.{key}"
    for place in ("lanner.webhooks[]", "lanner.webhooks[].paths[]", "lanner.server")
    for key in ("token_file", "password_file")
)
NAMED = ("lanner.webhooks[].certificate", "lanner.webhooks[].key", "lanner.webhooks[].client_ca", *_SECRETS)
"""Settings that name a file which has to be there."""

_WHERE = "a relative path begins at the current directory."


def check_named_files(root: Section, server: ServerConfig, report: Report) -> None:
    """`root`: the settings; `server`: what is read from them for the server."""
    for name in NAMED:
        for scalar in _scalars(root, name.split(".")):
            check_file(scalar.text.value, scalar.span, report)
    if server.enabled and server.certificate:
        for key in ("ssl_certificate", "ssl_enabled"):
            written = next(_scalars(root, ["webserver", key]), None)
            if written is not None:
                check_file(server.certificate, written.span, report)
                break
        for scalar in _scalars(root, ["lanner", "server", "key"]):
            check_file(scalar.text.value, scalar.span, report)
    for scalar in _scalars(root, ["lanner", "files[]", "path"]):
        check_input(scalar.text.value, scalar.span, report)


def check_file(name: str, span: Span, report: Report) -> None:
    """A file that has to be there, and readable."""
    problem = f"`{name}` is a folder, not a file" if _is_folder(name) else _problem(name, "file")
    if problem:
        advice = f"it has to be there, and readable, when the service starts; {_WHERE}"
        report.add(Code.CONFIG_FILE_NOT_FOUND, problem, span, advice)


def check_input(name: str, span: Span, report: Report) -> None:
    """Where events are read from: a file or a folder; standard input and patterns are fine as they are."""
    if name == STANDARD_INPUT:
        return
    problem = _problem(name, "file or folder")
    if problem and not glob.has_magic(name):
        advice = f"it is read as soon as it is there, and may be read; {_WHERE}"
        report.add(Code.CONFIG_FILE_NOT_FOUND, problem, span, advice)


def _is_folder(name: str) -> bool:
    try:
        return Path(name).is_dir()
    except OSError:
        return False


def _problem(name: str, kind: str) -> str:
    """What is wrong with a path; empty if it can be read."""
    try:
        there = Path(name).exists()
    except OSError as error:  # a folder on the way to it that may not be entered
        return f"the {kind} `{name}` cannot be reached: {(error.strerror or str(error)).lower()}"
    if not there:
        return f"there is no {kind} `{name}`"
    return "" if os.access(name, os.R_OK) else f"the {kind} `{name}` may not be read by the user who checks"


def _scalars(node: Node, path: Sequence[str]) -> Iterator[Scalar]:
    """The values with something in them at a path of keys; `key[]` stands for every item of a list."""
    if not path:
        if isinstance(node, Scalar) and not node.empty and node.text.value:
            yield node
        return
    entry = node.entries.get(path[0].removesuffix("[]")) if isinstance(node, Section) else None
    if entry is None:
        return
    if not path[0].endswith("[]"):
        yield from _scalars(entry.value, path[1:])
    elif isinstance(entry.value, Items):
        for item in entry.value.items:
            yield from _scalars(item, path[1:])
