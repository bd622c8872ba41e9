"""constraints.txt: the versions in which the project is developed and tested."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator

import pytest
from packaging.requirements import Requirement

from tests.documents import ROOT
from tests.real.pythons import PINS, normal_name, pins

PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def requirements() -> Iterator[str]:
    """Everything that pyproject.toml asks for."""
    yield from PYPROJECT["build-system"]["requires"]
    yield from PYPROJECT["project"]["dependencies"]
    for group in (PYPROJECT["project"]["optional-dependencies"], PYPROJECT["dependency-groups"]):
        for names in group.values():
            yield from names


def test_every_line_pins_one_version() -> None:
    """No ranges, no places to fetch from, nothing twice; the file says how it is made."""
    first, *lines = PINS.read_text(encoding="utf-8").splitlines()
    assert "make lock" in first
    assert [line for line in lines if not re.fullmatch(r"[\w.-]+==[\w.]+", line)] == []
    assert len(pins()) == len(lines)
    assert "pip" in pins()


@pytest.mark.parametrize("text", sorted(set(requirements())))
def test_what_the_project_asks_for_is_pinned_as_it_allows(text: str) -> None:
    """If this fails, run `make lock`."""
    requirement = Requirement(text)
    assert pins()[normal_name(requirement.name)] in requirement.specifier
