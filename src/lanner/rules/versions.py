"""Versions in rules files: how they are written, and which ones go together.

Behaviour: libs `version.h`, and yaml-cpp's reading of unsigned numbers.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from lanner.rules.definitions import Versions
from lanner.version import ENGINE_VERSION, PLUGIN_VERSIONS

Version = tuple[int, int, int]

OWN_VERSIONS = Versions(ENGINE_VERSION, PLUGIN_VERSIONS)

_SEMVER = re.compile(r"\s*\+?(\d+)\.\s*\+?(\d+)\.\s*\+?(\d+)", re.ASCII)
_NUMBER = re.compile(r"\+?(?:(0[xX][0-9a-fA-F]+)|(0[0-7]*)|([1-9][0-9]*))\s*")


def parse_version(text: str) -> Version | None:
    """Three numbers with dots; what follows them does not count."""
    found = _SEMVER.match(text)
    return (int(found[1]), int(found[2]), int(found[3])) if found else None


def unsigned_number(text: str) -> int | None:
    """A decimal, octal or hexadecimal number of 32 bits; None for anything else."""
    found = _NUMBER.fullmatch(text)
    if not found or len(text) > 20:
        return None
    number = int(found[1], 16) if found[1] else int(found[2], 8) if found[2] else int(found[3])
    return number if number < 1 << 32 else None


def implicit_version(text: str) -> Version | None:
    """A bare number N stands for 0.N.0; None if it is not one."""
    number = unsigned_number(text)
    return None if number is None else (0, number, 0)


def compatible(present: Version, required: Version) -> bool:
    """Same major version, and not older."""
    return present[0] == required[0] and present >= required


def unmet(alternatives: Sequence[tuple[str, Version]], plugins: Mapping[str, Version]) -> str:
    """Why a plugin requirement is not met; empty if it is.

    The first alternative whose plugin is there decides, even if a later one would do
    (Falco `falco_engine.cpp`, check_plugin_requirement_alternatives).
    """
    for name, version in alternatives:
        if name in plugins:
            if compatible(plugins[name], version):
                return ""
            return f"needs plugin `{name}` {dotted(version)}, but this is {dotted(plugins[name])}"
    return "needs plugin " + " or ".join(f"`{name}` {dotted(version)}" for name, version in alternatives)


def dotted(version: Version) -> str:
    return ".".join(map(str, version))
