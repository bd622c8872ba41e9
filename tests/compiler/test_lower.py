"""What conditions become, what is refused and what is warned of."""

from __future__ import annotations

import pytest

from lanner.compiler import ir
from lanner.compiler.lower import Lowering
from lanner.condition.parser import parse
from lanner.diagnostics.codes import Code
from lanner.diagnostics.report import Report
from lanner.diagnostics.source import Text
from lanner.fields.k8s_catalog import k8s_audit_catalog

CATALOG = k8s_audit_catalog({"team": "red"})


def lower(condition: str) -> tuple[ir.Predicate | None, Report]:
    report = Report()
    return Lowering(CATALOG, ir.Builder(), report).condition(parse(Text.plain(condition))), report


@pytest.mark.parametrize(
    ("condition", "word", "message", "help"),
    [
        (
            "ka.req.role.rules.verbs contains create",
            "contains",
            "has several values",
            "write `ka.req.role.rules.verbs intersects (create)`",
        ),
        ("ka.user.groups = x", "=", "has several values", "ka.user.groups in (x)"),
        ("ka.verb = get and ka.vreb = get", "ka.vreb", "there is no field `ka.vreb`", "ka.verb"),
        ("ka.uri.param = x", "ka.uri.param", "needs an argument", "ka.uri.param[key]"),
        ("ka.verb[0] = x", "ka.verb[0]", "takes no argument", "without brackets"),
        ("ka.sourceips[01] in (x)", "ka.sourceips[01]", "`01` is none", "leading zeros"),
        ("ka.verb = val(ka.vreb)", "ka.vreb", "no field", "ka.verb"),
        ("ka.verb = val(ka.user.groups)", "val(ka.user.groups)", "a list of texts", "same type"),
        ("len(ka.verb) = val(ka.uri)", "val(ka.uri)", "a number", "same type"),
        ("len(ka.verb) contains 5", "contains", "is a number", "numbers take"),
        ("len(ka.verb) = five", "five", "not a whole number", "digits"),
        ("len(ka.verb) > 1.5", "1.5", "not a whole number", "digits"),
        ("len(ka.verb) > 0x6", "0x6", "not a whole number", "digits"),
        ('len(ka.verb) = "\u00a06"', '"\u00a06"', "not a whole number", "digits"),
        ("evt.is_async > 1", ">", "true or false", "evt.is_async = true"),
        ("evt.is_async = 1", "1", "neither true nor false", "`true` or `false`"),
        ("ka.verb bcontains 6162", "bcontains", "byte buffers", "contains"),
        ('ka.verb regex "(a"', '"(a"', "not a regular expression", "POSIX"),
        ('ka.verb regex anyof ("a+", "b[")', '"b["', "not a regular expression", "POSIX"),
        ("ka.verb regex val(ka.uri)", "val(ka.uri)", "no field on its right", "pattern itself"),
        ("ka.uri pmatch val(ka.uri)", "val(ka.uri)", "no field on its right", "pattern itself"),
        ("len(evt.rawtime) = 5", "len(evt.rawtime)", "`len` takes", "lanner fields"),
        ('join(",", (ka.verb, ka.user.groups)) = x', "(ka.verb, ka.user.groups)", "single texts", "as it is"),
        ("tolower(ka.verb)[x] = a", "tolower(ka.verb)[x]", "takes no argument", ""),
    ],
)
def test_refused(condition: str, word: str, message: str, help: str) -> None:
    """The message names the problem, the span is the very word, the help the way out."""
    predicate, report = lower(condition)
    assert predicate is None
    (problem,) = report.diagnostics
    assert problem.code is Code.ERR_COMPILE_CONDITION
    assert message in problem.message
    assert help in problem.help
    assert problem.span is not None
    assert problem.span.source.text[problem.span.start : problem.span.end] == word


@pytest.mark.parametrize(
    ("written", "number"),
    [("6", 6), ("+006", 6), ("-0", 0), ("-7", -7), ('" 6"', 6), ("18446744073709551615", 2**64 - 1)],
)
def test_numbers(written: str, number: int) -> None:
    """Decimal, with or without a sign, zeros or blanks before it."""
    predicate, _ = lower(f"len(ka.verb) = {written}")
    assert isinstance(predicate, ir.Test)
    assert predicate.right == number


def test_numbers_of_any_length() -> None:
    """A number beyond 64 bits is greater than any value, however long it is written."""
    predicate, _ = lower(f"len(ka.verb) < {'9' * 10_000}")
    assert isinstance(predicate, ir.Test)
    assert isinstance(predicate.right, int)
    assert predicate.right >= 2**64


def test_all_problems_of_a_condition_are_reported() -> None:
    """One refused check does not hide the next."""
    predicate, report = lower("ka.no1 = x or not (ka.user.groups = a and ka.no2 exists)")
    assert predicate is None
    assert [problem.span.start for problem in report.diagnostics if problem.span] == [0, 34, 42]


@pytest.mark.parametrize(
    ("condition", "code", "help"),
    [
        ("ka.verb = <NA>", Code.UNSAFE_NA_CHECK, "ka.verb exists"),
        ("ka.verb in (get, <NA>)", Code.UNSAFE_NA_CHECK, "not ka.verb exists"),
        ("jevt.value[/verb] != <NA>", Code.UNSAFE_NA_CHECK, "exists"),
        ("ka.verb regex create", Code.COMPILE_CONDITION, "startswith"),
        ('ka.verb regex ".*create.*"', Code.COMPILE_CONDITION, "contains"),
        ('ka.verb regex "^create$"', Code.COMPILE_CONDITION, "="),
        ("ka.verb = ka.uri", Code.COMPILE_CONDITION, "val(ka.uri)"),
        ("ka.verb = static.team", Code.COMPILE_CONDITION, "val(static.team)"),
        ('ka.verb in ("tolower(ka.verb)")', Code.COMPILE_CONDITION, "without quotes"),
    ],
)
def test_warned_of(condition: str, code: Code, help: str) -> None:
    """Valid, and hardly meant: the rule loads, with a warning that says what to write."""
    predicate, report = lower(condition)
    assert predicate is not None
    assert [problem.code for problem in report.diagnostics] == [code]
    assert help in report.diagnostics[0].help


@pytest.mark.parametrize(
    "condition",
    [
        "ka.verb contains <NA>",
        "evt.source = <NA>",
        'ka.verb regex "creat(e|ed)"',
        'ka.verb regex "a.*b"',
        "ka.verb = ka.verbose",
        "ka.verb = tolower",
    ],
)
def test_not_warned_of(condition: str) -> None:
    """What is meant as it stands gives no warning."""
    predicate, report = lower(condition)
    assert predicate is not None
    assert not report.diagnostics


def test_equal_parts_are_one_node() -> None:
    """Nodes are shared, so that equality is identity."""
    predicate, _ = lower("(ka.verb = get and ka.uri = x) or not (ka.verb = get and ka.uri = x)")
    assert isinstance(predicate, ir.Any)
    first, second = predicate.children
    assert isinstance(second, ir.Negation)
    assert second.child is first


@pytest.mark.parametrize(
    ("condition", "kind"),
    [
        ("ka.verb startswith anyof ()", ir.Truth),
        ("ka.verb startswith allof ()", ir.Truth),
        ("ka.verb startswith oneof ()", ir.Truth),
        ("ka.verb startswith oneof (a, b)", ir.ExactlyOne),
        ("ka.verb startswith anyof (a, b)", ir.Any),
        ("ka.verb startswith allof (a, b)", ir.All),
        ("ka.verb startswith allof (a)", ir.Test),
    ],
)
def test_modifiers(condition: str, kind: type) -> None:
    """A modifier becomes a connective over single tests; no items, no match."""
    predicate, _ = lower(condition)
    assert type(predicate) is kind
    assert predicate is not ir.TRUE


def test_deep_conditions() -> None:
    """A thousand levels are lowered without recursion."""
    predicate, report = lower("not (ka.uri = x or " * 499 + "ka.verb = get" + ")" * 499)
    assert predicate is not None
    assert not report.diagnostics
