"""From generated source to a callable that can be printed, stepped through and profiled."""

from __future__ import annotations

import linecache
from collections.abc import Callable, Sequence
from hashlib import blake2b
from typing import Any, cast

from lanner.compiler.codegen import Source
from lanner.event import AuditEvent

Matcher = Callable[[AuditEvent], Sequence[Any]]
"""The rules that match an event, in their order."""


def build(source: Source) -> Matcher:
    """The function of a source that tells which rules match."""
    return cast(Matcher, define(source, "match"))


def define(source: Source, function: str) -> Any:
    """A function of a source. It has a linecache entry, so tracebacks and debuggers show its lines."""
    name = f"<lanner {blake2b(source.text.encode(), digest_size=6).hexdigest()}>"
    code = compile(source.text, name, "exec")
    linecache.cache[name] = (len(source.text), None, source.text.splitlines(keepends=True), name)
    names = source.namespace
    exec(code, names)
    for table, rows in source.tables.items():
        names[table] = {
            number: tuple([(place, names[rule], rest and names[rest]) for place, rule, rest in entries])
            for number, entries in rows.items()
        }
    return names[function]
