"""Many constants on one value: all tests of a kind are answered by one look at it.

A lookup takes a value and returns the numbers of its tests that hold, mostly none. What it costs hardly depends on how
many tests there are: a table for equality, a sorted list for prefixes and suffixes, one automaton for words and
patterns, a trie for paths. Its answers are those of comparisons.py.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Collection, Iterable, Sequence
from enum import Enum
from functools import cached_property
from itertools import islice
from typing import Any, TypeAlias

import re2

from lanner.compiler import ir
from lanner.compiler.comparisons import SCALAR, regex_options
from lanner.compiler.globs import byte_options, searching
from lanner.compiler.path_trie import PathTrie

Find: TypeAlias = Callable[[Any], Collection[int]]
"""The numbers of the tests that hold for a value that is present; none twice."""

_MEMORY = 16 << 20
_MEMORY_PER_BYTE = 512
_MOST_MEMORY = 512 << 20
"""Bytes that an automaton may use: so much, and so much for each byte of its patterns. It uses them only as far as
texts lead it to new states; with too few it forgets states and works them out again."""


MAX_ANSWERS = 4096
MAX_LENGTH = 256
"""Values whose answers a lookup remembers, and characters of such a value; clients choose the values."""


class Kind(Enum):
    """Tests that one structure answers; the value is a rough cost of asking it, as in optimize.py."""

    EQUAL = ("equal", 2)
    PREFIX = ("prefix", 4)
    SUFFIX = ("suffix", 5)
    PATTERN = ("pattern", 12)
    REGEX = ("regex", 13)
    PATH = ("path", 20)

    def __init__(self, _: str, cost: int) -> None:
        self.cost = cost


_KINDS = {
    "=": Kind.EQUAL,
    "in": Kind.EQUAL,
    "intersects": Kind.EQUAL,
    "startswith": Kind.PREFIX,
    "endswith": Kind.SUFFIX,
    "contains": Kind.PATTERN,
    "icontains": Kind.PATTERN,
    "glob": Kind.PATTERN,
    "iglob": Kind.PATTERN,
    "regex": Kind.REGEX,
    "pmatch": Kind.PATH,
}

_WEIGHTS = {"icontains": 2, "glob": 4, "iglob": 4, "regex": 4}


def kind_of(test: ir.Test) -> Kind | None:
    """What can answer a test; None for one that only stands for itself.

    `in` on a list is not among them: it asks for all values, and holds for none.
    """
    if ir.is_value(test.right) or (test.left.is_list and test.operator != "intersects"):
        return None
    return _KINDS.get(test.operator)


def weight(test: ir.Test) -> int:
    """How many comparisons of short texts a test is worth."""
    return 4 * len(_paths(test)) if test.operator == "pmatch" else _WEIGHTS.get(test.operator, 1)


class Lookup:
    """All tests of one kind on one value. The structure is made when it is first asked for."""

    def __init__(self, value: ir.Value, kind: Kind) -> None:
        self.value = value
        self.kind = kind
        self.numbers: dict[ir.Test, int] = {}

    def add(self, test: ir.Test) -> None:
        """Give a test its number. All tests are there before the first question."""
        self.numbers.setdefault(test, len(self.numbers))

    @cached_property
    def find(self) -> Find:
        tests = tuple(self.numbers)
        match self.kind:
            case Kind.EQUAL:
                return _equal(tests, self.value.is_list)
            case Kind.PREFIX:
                return _prefixes([str(test.right) for test in tests])
            case Kind.SUFFIX:
                return _suffixes([str(test.right) for test in tests])
            case Kind.PATTERN:
                return _remembering(_patterns(tests))
            case Kind.REGEX:
                return _remembering(_regexes(tests))
            case Kind.PATH:
                paths = ((number, path) for test, number in self.numbers.items() for path in _paths(test))
                return _remembering(PathTrie(paths).find)

    def __repr__(self) -> str:
        """What the numbers mean, for the listing of generated code."""
        first = [f"{number}: {test.operator} {test.right!r:.60}" for test, number in islice(self.numbers.items(), 8)]
        more = f", and {len(self.numbers) - 8} more" if len(self.numbers) > 8 else ""
        return f"<Lookup {', '.join(first)}{more}>"


class Lookups:
    """The lookups for all tests of some predicates."""

    def __init__(self, predicates: Iterable[ir.Predicate]) -> None:
        lookups: dict[tuple[ir.Value, Kind], Lookup] = {}
        self._by_test: dict[ir.Test, Lookup] = {}
        for test in ir.tests_of(*predicates):
            kind = kind_of(test)
            if kind is None:
                continue
            lookup = lookups.get((test.left, kind))
            if lookup is None:
                lookup = lookups[test.left, kind] = Lookup(test.left, kind)
            lookup.add(test)
            self._by_test[test] = lookup

    def of(self, test: ir.Test) -> Lookup | None:
        """What answers the test, among others; None if nothing does."""
        return self._by_test.get(test)


def _remembering(find: Find) -> Find:
    """The same, with the answers for short values seen lately: most requests are made again and again."""
    answers: dict[str, Collection[int]] = {}

    def remembered(value: str) -> Collection[int]:
        answer = answers.get(value)
        if answer is None:
            answer = find(value)
            if len(value) <= MAX_LENGTH:
                if len(answers) >= MAX_ANSWERS:
                    answers.clear()
                answers[value] = answer
        return answer

    return remembered


# --- equality --------------------------------------------------------------------------------------------------------


def _equal(tests: Sequence[ir.Test], of_list: bool) -> Find:
    lists: dict[str | int | bool, list[int]] = {}
    for number, test in enumerate(tests):
        for item in test.right if isinstance(test.right, frozenset) else (test.right,):
            lists.setdefault(item, []).append(number)  # type: ignore[arg-type]
    shared: dict[tuple[int, ...], tuple[int, ...]] = {}
    table = {item: shared.setdefault(key, key) for item, numbers in lists.items() for key in (tuple(numbers),)}
    if of_list:
        return lambda values: {number for value in values for number in table.get(value, ())}
    return lambda value: table.get(value, ())


# --- prefixes and suffixes -------------------------------------------------------------------------------------------


def _prefixes(prefixes: Sequence[str]) -> Find:
    """The last prefix that is not behind the value in order begins with every one that the value begins with."""
    order = sorted(range(len(prefixes)), key=prefixes.__getitem__)
    texts = [prefixes[number] for number in order]
    shorter: list[int] = []
    numbers: list[tuple[int, ...]] = []
    open_texts: list[int] = []
    for at, text in enumerate(texts):
        while open_texts and not text.startswith(texts[open_texts[-1]]):
            open_texts.pop()
        shorter.append(open_texts[-1] if open_texts else -1)
        numbers.append((order[at], *(numbers[shorter[at]] if open_texts else ())))
        open_texts.append(at)

    def find(value: str) -> Collection[int]:
        at = bisect_right(texts, value) - 1
        while at >= 0:
            if value.startswith(texts[at]):
                return numbers[at]
            at = shorter[at]
        return ()

    return find


def _suffixes(suffixes: Sequence[str]) -> Find:
    longest = max(map(len, suffixes))
    find = _prefixes([suffix[::-1] for suffix in suffixes])
    return lambda value: find(value[-longest:][::-1])


# --- words and patterns ----------------------------------------------------------------------------------------------


def _patterns(tests: Sequence[ir.Test]) -> Find:
    expressions = [searching(test.operator, str(test.right)) for test in tests]
    possible = [(number, found) for number, found in enumerate(expressions) if found is not None]
    return _automaton(tests, possible, byte_options(), re2.Set.SearchSet)


def _regexes(tests: Sequence[ir.Test]) -> Find:
    expressions = [(number, str(test.right).encode()) for number, test in enumerate(tests)]
    return _automaton(tests, expressions, regex_options(), re2.Set.FullMatchSet)


def _automaton(
    tests: Sequence[ir.Test],
    expressions: Sequence[tuple[int, bytes]],
    options: re2.Options,
    kind: Callable[[re2.Options], re2.Set],
) -> Find:
    """One automaton for all expressions; the tests one by one where it would be too big."""
    options.max_mem = _MEMORY + _MEMORY_PER_BYTE * sum(len(expression) for _, expression in expressions)
    while options.max_mem <= _MOST_MEMORY:
        automaton = kind(options)
        try:
            for _, expression in expressions:
                automaton.Add(expression)
            automaton.Compile()
        except re2.error:
            options.max_mem *= 4
            continue
        return _matching(automaton, [number for number, _ in expressions])
    compare = [(number, SCALAR[test.operator], test.right) for number, test in enumerate(tests)]
    return lambda value: [number for number, holds, right in compare if holds(value, right)]


def _matching(automaton: re2.Set, numbers: Sequence[int]) -> Find:
    match = automaton.Match
    return lambda value: tuple([numbers[found] for found in match(value.encode()) or ()])


def _paths(test: ir.Test) -> tuple[str, ...]:
    assert isinstance(test.right, tuple)
    return test.right
