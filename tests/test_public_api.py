"""The public door: what `import lanner` offers, and nothing else."""

from __future__ import annotations

import lanner

NAMES = {
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
}


def test_the_public_names() -> None:
    """A name that is added or lost is noticed here."""
    assert set(lanner.__all__) == NAMES


def test_every_public_name_can_be_imported_and_is_documented() -> None:
    """Names are imported when used; each has a docstring."""
    for name in lanner.__all__:
        value = getattr(lanner, name)
        assert isinstance(value, str) or value.__doc__


def test_an_unknown_name_is_an_attribute_error() -> None:
    """As for any module."""
    assert not hasattr(lanner, "no_such_name")
