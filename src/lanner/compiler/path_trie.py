"""Many paths at once: which of them a path lies at or below, as pmatch sees it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field

from lanner.compiler.comparisons import components
from lanner.compiler.globs import compile_glob, has_wildcards


@dataclass(slots=True)
class _Node:
    """What may follow a path: components by name, patterns by their text. `numbers` belong to the path itself."""

    numbers: list[int] = field(default_factory=list)
    named: dict[str, _Node] = field(default_factory=dict)
    patterns: dict[str, tuple[Callable[[str], bool], _Node]] = field(default_factory=dict)


class PathTrie:
    """Numbered paths, taken apart into components; empty components do not count."""

    def __init__(self, paths: Iterable[tuple[int, str]]) -> None:
        self._root = _Node()
        for number, path in paths:
            node = self._root
            for component in components(path):
                if has_wildcards(component):
                    node = node.patterns.setdefault(component, (compile_glob(component), _Node()))[1]
                else:
                    node = node.named.setdefault(component, _Node())
            node.numbers.append(number)

    def find(self, path: str) -> Collection[int]:
        """The numbers of all paths at or below which this one lies."""
        nodes = [self._root]
        found = set(self._root.numbers)
        for component in components(path):
            below: list[_Node] = []
            for node in nodes:
                named = node.named.get(component)
                if named is not None:
                    below.append(named)
                below.extend(child for matches, child in node.patterns.values() if matches(component))
            if not below:
                break
            for node in below:
                found.update(node.numbers)
            nodes = below
        return found
