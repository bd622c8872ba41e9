"""Valid conditions and the trees they give, written in normal form."""

from __future__ import annotations

import pytest

from lanner.condition.ast import (
    And,
    Call,
    Compare,
    Exists,
    Expr,
    FieldRef,
    ListLiteral,
    Literal,
    MacroRef,
    Not,
    Or,
    walk,
)
from lanner.condition.parser import ConditionError, parse, parse_operand, parse_operand_at
from lanner.condition.printer import normal_form, print_operand
from lanner.diagnostics.source import SourceFile, Span, Text


def tree(condition: str) -> Expr:
    return parse(Text.plain(condition))


def shown(span: Span | None) -> str:
    assert span is not None
    return span.source.text[span.start : span.end]


JOINING = {
    "one or two and three or four": "(or $one (and $two $three) $four)",
    "one and two and three": "(and $one $two $three)",
    "one and (two and three)": "(and $one $two $three)",
    "(one or two) and not three": "(and (or $one $two) (not $three))",
    "not one and two": "(and (not $one) $two)",
    "not (one and two)": "(not (and $one $two))",
    "not(one or two)and three": "(and (not (or $one $two)) $three)",
    "not not one": "$one",
    "not not not(not not one)": "(not $one)",
    "not (not one)": "$one",
    "not\n\tnot\fnot one": "(not $one)",
    "((one)and(two))": "(and $one $two)",
    "one or(two)or(three)or four": "(or $one $two $three $four)",
    "one or (two) and three": "(or $one (and $two $three))",
    "one and(two)or three": "(or (and $one $two) $three)",
    "(one)or(two)": "(or $one $two)",
    "\b \r\n one\tand\b\btwo \n": "(and $one $two)",
}

NAMES = {
    "A1_b": "$A1_b",
    "nothing and order": "(and $nothing $order)",
    "and and and": "(and $and $and)",
    "or or or": "(or $or $or)",
    "not": "$not",
    "not not": "(not $not)",
    "(not) and one": "(and $not $one)",
    "exists or tolower or val": "(or $exists $tolower $val)",
}

FIELDS = {
    "ka.verb exists": "(exists ka.verb)",
    "len.x_1.Y2 exists": "(exists len.x_1.Y2)",
    "nota.field exists": "(exists nota.field)",
    "a.b[0] exists": '(exists a.b["0"])',
    "a.b[/x/y=(z),1] exists": '(exists a.b["/x/y=(z),1"])',
    "a.b['x y'] exists": '(exists a.b["x y"])',
    'a.b["]["] exists': '(exists a.b["]["])',
    'a.b["it\'s"] exists': '(exists a.b["it\'s"])',
    "a.b['it\\'s \\x41'] exists": '(exists a.b["it\'s A"])',
    'a.b[""] exists': '(exists a.b[""])',
}

OPERATORS = {
    "a.b=x": '(= a.b "x")',
    "a.b==x": '(= a.b "x")',
    "a.b !=x": '(!= a.b "x")',
    "a.b<1 and a.b<=2 and a.b>3 and a.b>=4": '(and (< a.b "1") (<= a.b "2") (> a.b "3") (>= a.b "4"))',
    "a.b=<x": '(= a.b "<x")',
    "a.b glob x*": '(glob a.b "x*")',
    "a.b iglob\tx": '(iglob a.b "x")',
    "a.b contains\nx": '(contains a.b "x")',
    "a.b icontains\r\nx": '(icontains a.b "x")',
    "a.b bcontains ca": '(bcontains a.b "ca")',
    "a.b startswith\bx": '(startswith a.b "x")',
    "a.b bstartswith fe": '(bstartswith a.b "fe")',
    "a.b endswith  x": '(endswith a.b "x")',
    "a.b regex ^x$": '(regex a.b "^x$")',
    "a.b in(x)": '(in a.b ["x"])',
    "a.b intersects (x)": '(intersects a.b ["x"])',
    "a.b pmatch (/x)": '(pmatch a.b ["/x"])',
    "a.b existsand one": "(and (exists a.b) $one)",
    "a.b inside": '(in a.b ["side"])',
    "a.b[0]in(x)and one": '(and (in a.b["0"] ["x"]) $one)',
}

VALUES = {
    "a.b = x.y-z:/*?[1]<>!": '(= a.b "x.y-z:/*?[1]<>!")',
    "a.b = \\d+": '(= a.b "\\\\d+")',
    "a.b = and and one": '(and (= a.b "and") $one)',
    "a.b = tolower": '(= a.b "tolower")',
    "a.b = é☃\u00a0x": '(= a.b "é☃\u00a0x")',
    "a.b = ''": '(= a.b "")',
    "a.b = 'x'and one": '(and (= a.b "x") $one)',
    "a.b = 'say \"x\"'": '(= a.b "say \\"x\\"")',
    "a.b = 'it\\'s'": '(= a.b "it\'s")',
    "a.b = '\\b\\f\\n\\r\\t\\\\\\/'": '(= a.b "\\b\\f\\n\\r\\t\\\\/")',
    "a.b = 'x\\ y'": '(= a.b "x\\\\y")',
    "a.b = 'x\\\\'": '(= a.b "x\\\\")',
    "a.b = '\\\\' and a.b = '\\\\'": '(and (= a.b "\\\\") (= a.b "\\\\"))',
    "a.b = '\\x41\\x7A'": '(= a.b "Az")',
    "a.b = '\\xe2\\x98\\x83!'": '(= a.b "☃!")',
    "a.b = '\\xff'": '(= a.b "\ufffd")',
    "a.b = 'x\ny'": '(= a.b "x\\ny")',
}

NUMBERS = {
    "a.b > 0x1F": '(> a.b "0x1F")',
    "a.b > -10": '(> a.b "-10")',
    "a.b > 1.": '(> a.b "1.")',
    "a.b > 1.5e+3": '(> a.b "1.5e+3")',
    "a.b > 12and one": '(and (> a.b "12") $one)',
}

LISTS = {
    "a.b in ()": "(in a.b [])",
    "a.b in ( x ,'y z',\n\"\" , 5 )": '(in a.b ["x", "y z", "", "5"])',
    "a.b in names and one": '(and (in a.b ["names"]) $one)',
    "a.b pmatch or": '(pmatch a.b ["or"])',
    "a.b in (x)and one": '(and (in a.b ["x"]) $one)',
}

MODIFIERS = {
    "a.b = oneof (x, y)": '(= oneof a.b ["x", "y"])',
    "a.b contains allof()": "(contains allof a.b [])",
    "a.b startswith anyof\n names": '(startswith anyof a.b ["names"])',
    "a.b = allof": '(= a.b "allof")',
    "a.b = anyof and one": '(and (= a.b "anyof") $one)',
    "(a.b = oneof )": '(= a.b "oneof")',
    "a.b = oneofx": '(= a.b "oneofx")',
    "a.b = 'oneof' or one": '(or (= a.b "oneof") $one)',
    "a.b in oneof": '(in a.b ["oneof"])',
}

CALLS = {
    "tolower(a.b) = x": '(= tolower(a.b) "x")',
    "toupper( b64(\nbasename(a.b[0]) ) )=x": '(= toupper(b64(basename(a.b["0"]))) "x")',
    "len(a.b) >= 3": '(>= len(a.b) "3")',
    "len(a.b) exists": "(exists len(a.b))",
    "a.b = tolower(c.d) and one": "(and (= a.b tolower(c.d)) $one)",
    "a.b in toupper(c.d)": "(in a.b toupper(c.d))",
    "a.b > len(c.d)": "(> a.b len(c.d))",
    "a.b = val(c.d)": "(= a.b val(c.d))",
    "a.b intersects val( c.d[0] )": '(intersects a.b val(c.d["0"]))',
    "a.b > val(c.d)": "(> a.b val(c.d))",
    "join(\"-\", (a.b, 'x', 5, tolower(c.d))) = x": '(= join("-", (a.b, "x", "5", tolower(c.d))) "x")',
    "join(',',()) = x": '(= join(",", ()) "x")',
    "concat(a.b, 0x1f, -1.5) = x": '(= concat(a.b, "0x1f", "-1.5") "x")',
    'getopt(a.b, "xy:")[x] = y': '(= getopt(a.b, "xy:")["x"] "y")',
    "len(getopt(a.b, 'x')['x y']) > 1": '(> len(getopt(a.b, "x")["x y"]) "1")',
    "join((a.b), c.d) = x": '(= join((a.b), c.d) "x")',
}

ALL = JOINING | NAMES | FIELDS | OPERATORS | VALUES | NUMBERS | LISTS | MODIFIERS | CALLS


@pytest.mark.parametrize("condition", ALL)
def test_a_condition_gives_its_tree(condition: str) -> None:
    """Each condition reads as the tree beside it."""
    assert normal_form(tree(condition)) == ALL[condition]


def test_chains_stay_as_written() -> None:
    """A chain is one node, and parentheses keep nested chains apart."""
    match tree("one and two and (three and four)"):
        case And((MacroRef("one"), MacroRef("two"), And((MacroRef("three"), MacroRef("four"))))):
            pass
        case other:
            pytest.fail(str(other))


def test_a_bare_list_name_is_marked() -> None:
    """A word in the place of a list is a list of one with `bare` set; a list in parentheses is not."""
    checks = list(walk(tree("a.b in names or a.b in (names) or a.b = anyof names")))
    rights = [check.right for check in checks if isinstance(check, Compare)]
    assert [(type(right), getattr(right, "bare", None)) for right in rights] == [
        (ListLiteral, True),
        (ListLiteral, False),
        (ListLiteral, True),
    ]


def test_quotes_are_remembered() -> None:
    """A literal knows whether it was quoted, which takes no part in equality."""
    bare, quoted = tree("a.b = x"), tree("a.b = 'x'")
    assert isinstance(bare, Compare)
    assert isinstance(quoted, Compare)
    assert (bare.right, quoted.right) == (quoted.right, bare.right)
    assert [getattr(check.right, "quoted", None) for check in (bare, quoted)] == [False, True]


def test_every_node_carries_the_span_of_its_text() -> None:
    """Spans cover each node exactly, without the blanks and parentheses around it."""
    found = tree(" ( one or a.b[ 'x' ] in (y, 'z') ) and not not\nnot ( len(c.d) > 5 ) ".replace("[ 'x' ]", "['x']"))
    assert isinstance(found, And)
    assert shown(found.span) == "( one or a.b['x'] in (y, 'z') ) and not not\nnot ( len(c.d) > 5 )"
    group, negated = found.children
    assert isinstance(group, Or)
    assert shown(group.span) == "one or a.b['x'] in (y, 'z')"
    macro, check = group.children
    assert shown(macro.span) == "one"
    assert isinstance(check, Compare)
    assert shown(check.span) == "a.b['x'] in (y, 'z')"
    assert shown(check.left.span) == "a.b['x']"
    assert shown(check.operator_span) == "in"
    assert isinstance(check.right, ListLiteral)
    assert shown(check.right.span) == "(y, 'z')"
    assert [shown(item.span) for item in check.right.items] == ["y", "'z'"]
    assert isinstance(negated, Not)
    assert shown(negated.span) == "not not\nnot ( len(c.d) > 5 )"
    inner = negated.child
    assert isinstance(inner, Compare)
    assert shown(inner.span) == "len(c.d) > 5"
    assert isinstance(inner.left, Call)
    assert shown(inner.left.arguments[0].span) == "c.d"


def test_spans_follow_the_text_into_its_file() -> None:
    """A condition that stands somewhere in a file has its spans there."""
    source = SourceFile("rules.yaml", "condition: a.b exists")
    found = parse(Text.at("a.b exists", source, range(11, 22)))
    assert isinstance(found, Exists)
    assert found.left.span == source.span(11, 14)


def test_an_operand_alone() -> None:
    """One field or call is read from a whole text, with blanks around it."""
    assert print_operand(parse_operand(Text.plain(" tolower( ka.verb ) "))) == "tolower(ka.verb)"
    assert print_operand(parse_operand(Text.plain("jevt.value[/a]"))) == "jevt.value[/a]"


@pytest.mark.parametrize("text", ["", "verb", "a.b c.d", "a.b[", "trim(a.b)", "val(a.b)", "'a.b'", "tolower (a.b)"])
def test_what_is_not_one_operand(text: str) -> None:
    """Anything else is a problem."""
    with pytest.raises(ConditionError):
        parse_operand(Text.plain(text))


def test_an_operand_within_a_text() -> None:
    """From a given place on, an operand is read as far as it goes."""
    text = Text.plain('user=%ka.user.name.rest %concat(a.b, "/")[0], %a.b[1]')
    assert parse_operand_at(text, 6)[1] == 23
    operand, end = parse_operand_at(text, 25)
    assert isinstance(operand, Call)
    assert (operand.argument, end) == ("0", 44)
    field, end = parse_operand_at(text, 47)
    assert isinstance(field, FieldRef)
    assert (field.name, field.argument, end) == ("a.b", "1", 53)
    with pytest.raises(ConditionError):
        parse_operand_at(text, 5)


def test_literals_of_calls() -> None:
    """Numbers and quoted strings among arguments are literals."""
    found = tree("concat(5, '5') = x")
    assert isinstance(found, Compare)
    assert isinstance(found.left, Call)
    literals = [item for item in found.left.arguments if isinstance(item, Literal)]
    assert [(item.value, item.quoted) for item in literals] == [("5", False), ("5", True)]
