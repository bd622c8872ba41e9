"""List names that the grammar of conditions has no place for, such as `my verbs`.

Falco replaces list names in the text before it parses, so that any name works, also one with a comma. Here a condition
that holds such a name is parsed with a stand-in of the same length, so that all positions stay, and the name is put
back in the tree.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace

from lanner.condition.ast import Check, Compare, Expr, ListLiteral, Literal, rewrite
from lanner.condition.parser import ConditionError, parse
from lanner.condition.printer import print_condition
from lanner.diagnostics.source import Text

_ORDINARY = re.compile(r"""[^()"'\s=,]+""")
_FIRST_STAND_IN = 0xF0000


class OddNames:
    """The odd ones among the list names of a book."""

    def __init__(self, names: Iterable[str]) -> None:
        self._names = sorted((name for name in names if not _ORDINARY.fullmatch(name)), key=len, reverse=True)
        stand_ins = {name: chr(_FIRST_STAND_IN + index) * len(name) for index, name in enumerate(self._names)}
        self._stand_ins = stand_ins
        self._back = {stand_in: name for name, stand_in in stand_ins.items()}

    def within(self, condition: str) -> bool:
        """Whether one of the names occurs in a condition."""
        return any(name in condition for name in self._names)

    def parse(self, text: Text) -> Expr:
        """The tree of a condition; where a list name cannot stand, names do not count. Raises ConditionError."""
        substituted = self._substituted(text.value)
        if substituted != text.value:
            try:
                tree = rewrite(parse(text.with_value(substituted)), self._restored)
            except ConditionError:
                return parse(text)
            printed = print_condition(tree)
            if not any(stand_in in printed for stand_in in self._back):
                return tree
        return parse(text)

    def _substituted(self, condition: str) -> str:
        for name in self._names:
            pattern = rf"(?:(?<=[ \t\n\r(),=])|^){re.escape(name)}(?=[ \t\n\r(),=]|$)"
            condition = re.sub(pattern, self._stand_ins[name], condition)
        return condition

    def _restored(self, check: Check) -> Expr:
        if not isinstance(check, Compare):
            return check
        match check.right:
            case Literal():
                return replace(check, right=self._restored_literal(check.right))
            case ListLiteral(items=items):
                restored = tuple(self._restored_literal(item) for item in items)
                return replace(check, right=replace(check.right, items=restored))
        return check

    def _restored_literal(self, literal: Literal) -> Literal:
        value = literal.value
        for stand_in, name in self._back.items():
            value = value.replace(stand_in, name)
        return replace(literal, value=value)
