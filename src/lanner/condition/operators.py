"""The one table of operators, modifiers and transformers of the condition language.

Behaviour: Falco engine 0.63 (libs `filter/parser.h` and `filter_compare.cpp`).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Operands(Enum):
    """What stands on the right of an operator, and so how the parser reads on after it."""

    NONE = "nothing"
    NUMBER = "a number"
    STRING = "a string"
    LIST = "a list"


@dataclass(frozen=True, slots=True)
class Operator:
    """One operator.

    `word`: written with letters. A word operator for strings needs a blank behind it; one for lists and `exists` do
    not. `on_lists`: may stand behind a field of several values. `on_numbers`: may stand behind a numeric field.
    `field_right`: a field or transformer may stand on its right. `modifiers`: takes oneof, anyof, allof.
    """

    name: str
    right: Operands
    description: str
    on_lists: bool = False
    on_numbers: bool = False
    field_right: bool = True

    @property
    def word(self) -> bool:
        return self.name.isalpha()

    @property
    def modifiers(self) -> bool:
        return self.right is Operands.STRING


# The order is the order in which the parser tries them: a longer name before its prefix.
OPERATORS: dict[str, Operator] = {
    operator.name: operator
    for operator in (
        Operator("exists", Operands.NONE, "the field has a value", on_lists=True, on_numbers=True),
        Operator("<=", Operands.NUMBER, "less or equal; text is ordered byte by byte", on_numbers=True),
        Operator("<", Operands.NUMBER, "less; text is ordered byte by byte", on_numbers=True),
        Operator(">=", Operands.NUMBER, "greater or equal; text is ordered byte by byte", on_numbers=True),
        Operator(">", Operands.NUMBER, "greater; text is ordered byte by byte", on_numbers=True),
        Operator("=", Operands.STRING, "equal; `==` is the same", on_numbers=True),
        Operator("!=", Operands.STRING, "not equal; false for a missing field", on_numbers=True),
        Operator("glob", Operands.STRING, "matches a shell pattern; `*` crosses `/`"),
        Operator("iglob", Operands.STRING, "matches a shell pattern, ASCII case ignored"),
        Operator("contains", Operands.STRING, "holds a substring"),
        Operator("icontains", Operands.STRING, "holds a substring, ASCII case ignored"),
        Operator("bcontains", Operands.STRING, "bytes that hold a hex string; for byte buffers only"),
        Operator("startswith", Operands.STRING, "begins with"),
        Operator("bstartswith", Operands.STRING, "bytes that begin with a hex string; for byte buffers only"),
        Operator("endswith", Operands.STRING, "ends with"),
        Operator(
            "regex", Operands.STRING, "all of the value matches an RE2 pattern in POSIX syntax", field_right=False
        ),
        Operator("intersects", Operands.LIST, "at least one value is in the list", on_lists=True, on_numbers=True),
        Operator("in", Operands.LIST, "every value is in the list", on_lists=True, on_numbers=True),
        Operator("pmatch", Operands.LIST, "the path lies at or below an item of the list", field_right=False),
    )
}

MODIFIERS: dict[str, str] = {
    "oneof": "exactly one item of the list holds",
    "anyof": "at least one item of the list holds",
    "allof": "every item of the list holds",
}


@dataclass(frozen=True, slots=True)
class Transformer:
    """One transformer; `functional` ones take any number of arguments, literals and lists among them."""

    name: str
    description: str
    functional: bool = False


TRANSFORMERS: dict[str, Transformer] = {
    transformer.name: transformer
    for transformer in (
        Transformer("tolower", "ASCII letters in lower case"),
        Transformer("toupper", "ASCII letters in upper case"),
        Transformer("b64", "base64 decoded; missing padding is accepted"),
        Transformer("basename", "the part of a path after the last `/`"),
        Transformer("len", "bytes of a string, or number of values of a list"),
        Transformer("join", "values joined by a separator: join(separator, list)", functional=True),
        Transformer("concat", "strings put together: concat(a, b, ...)", functional=True),
        Transformer("getopt", "options of a command line: getopt(list, optstring)[option]", functional=True),
    )
}

VAL = "val"
"""Marks a field on the right of an operator: `ka.target.name = val(ka.resp.name)`."""
