"""Values that stand in YAML instead of in a condition -> literals of the syntax tree.

An item of a list or of an exception is the value itself: blanks, commas and parentheses in it mean nothing. Only a
value that is wholly in quotes of its own, as in `'"a b"'`, is read as the condition language reads a quoted string.
"""

from __future__ import annotations

import re

from lanner.condition.ast import Compare, ListLiteral, Literal
from lanner.condition.parser import ConditionError, parse
from lanner.diagnostics.source import Text
from lanner.rules.definitions import Word

NUMBER = re.compile(r"0[xX][0-9a-fA-F]+|[+-]?(?:[0-9]+\.?[0-9]*|[0-9]*\.[0-9]+)(?:[eE][+-][0-9]+)?")
"""A number of the condition language."""

_EQUALS = Text.plain("a.b = ")
_IN = Text.plain("a.b in ")


def literal(word: Word) -> Literal:
    """The value of an item."""
    value = word.value
    if len(value) > 1 and value[0] in "\"'" and value[-1] == value[0]:
        try:
            expr = parse(_EQUALS.joined(word.text(), ""))
        except ConditionError:
            return Literal(value, word.span, quoted=True)
        if isinstance(expr, Compare) and isinstance(expr.right, Literal):
            return Literal(expr.right.value, word.span, quoted=True)
    return Literal(value, word.span, quoted=" " in value)


def written_list(word: Word) -> ListLiteral:
    """A value that is a list as conditions write it: `(a, "b c")`. Raises ConditionError."""
    expr = parse(_IN.joined(word.text(), ""))
    if isinstance(expr, Compare) and isinstance(expr.right, ListLiteral):
        return expr.right
    raise ConditionError("this is not a list of values", word.span, "write `(a, b)`.")
