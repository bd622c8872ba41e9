"""The version of Lanner, and the versions of Falco's engine and plugins whose behaviour it claims."""

from __future__ import annotations

__version__ = "0.1.0"

ENGINE_VERSION = (0, 63, 0)
"""Falco's rules engine."""

PLUGIN_VERSIONS: dict[str, tuple[int, int, int]] = {"k8saudit": (0, 18, 0), "json": (0, 7, 4)}
"""Falco's plugins that Lanner stands in for."""
