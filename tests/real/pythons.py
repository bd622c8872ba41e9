"""The Pythons that the project says it runs on, and where they are on this machine."""

from __future__ import annotations

import os
import re
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path

from tests.documents import ROOT

PINS = ROOT / "constraints.txt"

PROBE = "import ensurepip, sys, venv; print('%d.%d' % sys.version_info[:2])"
"""What an interpreter has to be able to do: make virtual environments."""


def supported() -> list[str]:
    """The versions named in the classifiers of the project, `3.11` and so on."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    words = (classifier.rpartition(" :: ") for classifier in project["classifiers"])
    return [version for kind, _, version in words if kind.endswith(":: Python") and re.fullmatch(r"\d\.\d+", version)]


def interpreter(version: str) -> Path | None:
    """An interpreter of a version that runs, on the search path or among those of pyenv."""
    for candidate in _candidates(version):
        probe = subprocess.run([candidate, "-c", PROBE], capture_output=True, text=True, check=False)
        if probe.returncode == 0 and probe.stdout.strip() == version:
            return candidate
    return None


def _candidates(version: str) -> Iterator[Path]:
    name = f"python{version}"
    folders = [Path(folder) for folder in os.environ["PATH"].split(os.pathsep)]
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    folders += sorted(pyenv.glob(f"versions/{version}.*/bin"))
    yield from (folder / name for folder in folders if os.access(folder / name, os.X_OK))


def pins() -> dict[str, str]:
    """The versions in constraints.txt by the normal names of their distributions."""
    lines = [line for line in PINS.read_text(encoding="utf-8").splitlines() if not line.startswith("#")]
    return {normal_name(name): version for name, _, version in (line.partition("==") for line in lines)}


def normal_name(name: str) -> str:
    """The name of a distribution as it is compared."""
    return re.sub(r"[-_.]+", "-", name).lower()
