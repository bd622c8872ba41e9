"""What a misspelt name was probably meant to be."""

from __future__ import annotations

from collections.abc import Collection
from difflib import get_close_matches

MAX_SEARCHES = 100
"""How many names one Suggester looks for: a search compares with every known name."""


class Suggester:
    """Finds the nearest known name, for the first names of a file that are not known."""

    def __init__(self) -> None:
        self._searches = 0

    def near(self, name: str, known: Collection[str]) -> str:
        """The sentence that suggests a name; empty if none is near."""
        self._searches += 1
        return nearest(name, known) if self._searches <= MAX_SEARCHES else ""


def nearest(name: str, known: Collection[str]) -> str:
    """The sentence that suggests the known name nearest to `name`; empty if none is near."""
    near = get_close_matches(name, known, n=1, cutoff=0.6)
    return f"did you mean `{near[0]}`?" if near else ""
