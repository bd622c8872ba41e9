"""Lanner: a detection engine for Kubernetes audit events that evaluates Falco rules.

This is the public door; names behind it may change without notice. Each name is imported when first asked for.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from lanner.version import __version__

if TYPE_CHECKING:
    from lanner.alert import Alert
    from lanner.config import Config, ConfigError
    from lanner.decode import EventError
    from lanner.diagnostics.diagnostic import Diagnostic
    from lanner.diagnostics.source import SourceFile
    from lanner.engine.engine import Engine
    from lanner.engine.loader import FileResult, LoadResult, load_rules, load_sources
    from lanner.engine.ruleset import CompiledRule, Ruleset
    from lanner.event import AuditEvent
    from lanner.priority import Priority

_HOMES = {
    "Alert": "lanner.alert",
    "AuditEvent": "lanner.event",
    "CompiledRule": "lanner.engine.ruleset",
    "Config": "lanner.config",
    "ConfigError": "lanner.config",
    "Diagnostic": "lanner.diagnostics.diagnostic",
    "Engine": "lanner.engine.engine",
    "EventError": "lanner.decode",
    "FileResult": "lanner.engine.loader",
    "LoadResult": "lanner.engine.loader",
    "Priority": "lanner.priority",
    "Ruleset": "lanner.engine.ruleset",
    "SourceFile": "lanner.diagnostics.source",
    "load_rules": "lanner.engine.loader",
    "load_sources": "lanner.engine.loader",
}

__all__ = [
    "Alert",
    "AuditEvent",
    "CompiledRule",
    "Config",
    "ConfigError",
    "Diagnostic",
    "Engine",
    "EventError",
    "FileResult",
    "LoadResult",
    "Priority",
    "Ruleset",
    "SourceFile",
    "__version__",
    "load_rules",
    "load_sources",
]


def __getattr__(name: str) -> object:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module `lanner` has no attribute `{name}`")
    return getattr(import_module(home), name)
