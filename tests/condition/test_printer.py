"""How trees are written."""

from __future__ import annotations

import pytest

from lanner.condition.ast import And, Compare, FieldRef, ListLiteral, Literal, MacroRef, Not, Or
from lanner.condition.parser import parse
from lanner.condition.printer import normal_form, print_condition, print_operand
from lanner.diagnostics.source import SourceFile, Span, Text

NOWHERE = Span(SourceFile("<nowhere>", ""), 0, 0)

PRINTED = {
    "one   and(two)": "one and two",
    "one and (two and three)": "one and (two and three)",
    "one or (two and three)": "one or two and three",
    "(one or two) and not(three)": "(one or two) and not three",
    "not (one and two)": "not (one and two)",
    "(not) and one": "(not) and one",
    "a.b==x": "a.b = x",
    "a.b = 'x'": 'a.b = "x"',
    "a.b = 'x y'": 'a.b = "x y"',
    "a.b = 'say \"x\\\\\"'": 'a.b = "say \\"x\\\\\\""',
    "a.b = '\n\\x01'": 'a.b = "\\n\\x01"',
    "a.b = oneof": 'a.b = "oneof"',
    "a.b in names": "a.b in names",
    "a.b in(x,'y', \"\")": 'a.b in (x, "y", "")',
    "a.b startswith anyof(x)": "a.b startswith anyof (x)",
    "a.b['x']=y": "a.b[x] = y",
    "a.b['x y']=y": 'a.b["x y"] = y',
    'a.b[""]=y': 'a.b[""] = y',
    "a.b>0x1f": "a.b > 0x1f",
    "join('-',(a.b,5,'5'))=val(c.d)": 'join("-", (a.b, 5, "5")) = val(c.d)',
    "getopt(a.b,'x')[x] exists": 'getopt(a.b, "x")[x] exists',
}


@pytest.mark.parametrize("condition", PRINTED)
def test_a_condition_is_printed_in_one_way(condition: str) -> None:
    """Printing settles blanks, quotes and parentheses, and is stable."""
    printed = print_condition(parse(Text.plain(condition)))
    assert printed == PRINTED[condition]
    assert print_condition(parse(Text.plain(printed))) == printed


def test_values_that_were_no_text_are_quoted() -> None:
    """A value that came from elsewhere (an exception, a list) is quoted where it must be."""
    values = ListLiteral(tuple(Literal(value, NOWHERE) for value in ("it's", "a,b", "x(y", "x")), NOWHERE)
    check = Compare(FieldRef("a.b", None, NOWHERE), "in", values, NOWHERE)
    assert print_condition(check) == 'a.b in ("it\'s", "a,b", "x(y", x)'
    assert print_operand(Literal("a\0b", NOWHERE)) == '"a\\x00b"'


def test_normal_form_is_the_same_for_equal_conditions() -> None:
    """Nested chains are flattened and double negations vanish, also where only a tree can hold them."""
    one, two, three = (MacroRef(name, NOWHERE) for name in ("one", "two", "three"))
    nested = And((one, Not(Not(And((two, three), NOWHERE), NOWHERE), NOWHERE)), NOWHERE)
    assert normal_form(nested) == "(and $one $two $three)"
    assert normal_form(Not(Not(Or((one, Or((two, three), NOWHERE)), NOWHERE), NOWHERE), NOWHERE)) == (
        "(or $one $two $three)"
    )
