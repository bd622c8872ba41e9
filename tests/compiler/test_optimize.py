"""Each pass makes the predicate it should, and none changes an answer."""

from __future__ import annotations

import pytest

from lanner.compiler import evaluate, ir
from lanner.compiler.lower import Lowering
from lanner.compiler.optimize import AUDIT_ID, Facts, optimize, specialise
from lanner.condition.parser import parse
from lanner.diagnostics.report import Report
from lanner.diagnostics.source import Text
from lanner.event import MISSING, RECENT, AuditEvent
from lanner.fields.k8s_catalog import k8s_audit_catalog
from lanner.fields.mentions import BodyMentions, Mentions

CATALOG = k8s_audit_catalog()


def lowered(condition: str, builder: ir.Builder) -> ir.Predicate:
    predicate = Lowering(CATALOG, builder, Report()).condition(parse(Text.plain(condition)))
    assert predicate is not None
    return predicate


@pytest.mark.parametrize(
    ("condition", "cheaper"),
    [
        ('ka.verb glob "get"', "ka.verb = get"),
        ('ka.verb glob "*"', "ka.verb exists"),
        ('ka.verb glob "ge*"', "ka.verb startswith ge"),
        ('ka.verb glob "*et"', "ka.verb endswith et"),
        ('ka.verb glob "*e*"', "ka.verb contains e"),
        ("ka.verb regex get", "ka.verb = get"),
        ('ka.verb contains ""', "ka.verb exists"),
        ("ka.verb in (get)", "ka.verb = get"),
        ("ka.verb intersects (get, list)", "ka.verb in (get, list)"),
        ("ka.verb = get or ka.uri = x or ka.verb in (list, watch)", "ka.verb in (get, list, watch) or ka.uri = x"),
        ("ka.verb = get or ka.verb = get", "ka.verb = get"),
        ("ka.req.configmap.obj contains xyz and ka.verb = get", "ka.verb = get and ka.req.configmap.obj contains xyz"),
        ("not not ka.verb = get", "ka.verb = get"),
    ],
)
def test_passes(condition: str, cheaper: str) -> None:
    """The dear form becomes the very node of the cheap one."""
    builder = ir.Builder()
    mentions = Mentions()
    found = optimize(lowered(condition, builder), builder, mentions)
    assert found is optimize(lowered(cheaper, builder), builder, mentions)


def test_words_in_bodies_are_asked_for_by_one_scan() -> None:
    """What stands in front of a test on a body asks the same field in all rules, for words of one value at once."""
    builder, mentions = ir.Builder(), Mentions()
    words = "ka.req.configmap.obj contains password or ka.req.configmap.obj icontains token"
    found = optimize(lowered(f"{words} or ka.uri contains token", builder), builder, mentions)
    near = lowered("ka.uri contains token", builder)
    (field,) = (
        value.field
        for test in ir.tests_of(found)
        for value in ir.values_of(test)
        if isinstance(value, ir.FieldValue) and isinstance(value.field.getter, BodyMentions)
    )
    first = builder.test("intersects", builder.field(field), frozenset(("password", "(?i)token")))
    assert found is builder.any_of([near, builder.all_of([first, lowered(words, builder)])])
    other = optimize(lowered("jevt.value[/requestObject/kind] contains Secret", builder), builder, mentions)
    assert isinstance(other, ir.All)
    assert other.children[0] is builder.test("intersects", builder.field(field), frozenset(("Secret",)))


@pytest.mark.parametrize("condition", ["jevt.rawtime exists", "evt.time exists", 'json.rawtime glob "*"'])
def test_every_event_has_a_time(condition: str) -> None:
    """So asking for it is no question."""
    builder = ir.Builder()
    assert optimize(lowered(condition, builder), builder, Mentions()) is ir.TRUE


@pytest.mark.parametrize(
    ("time", "condition", "holds"),
    [
        ("1970-01-01T00:00:00Z", "jevt.rawtime = 0", True),
        ("1970-01-01T00:00:00Z", "evt.rawtime = 0", True),
        ("2024-01-01T00:00:00Z", "jevt.rawtime = 0", False),
        ("1999-12-31T23:00:00Z", "jevt.rawtime = 946681200000000000", True),
        ("2000-01-01T00:00:00+01:00", "jevt.rawtime = 946681200000000000", True),
        ("2000-01-01T00:00:00+01:00", "jevt.rawtime = 0946681200000000000", False),
        ("2024-01-01T00:00:00Z", "evt.num = 0", False),
    ],
)
def test_ways_to_say_never_are_cheap_and_exact(time: str, condition: str, holds: bool) -> None:
    """A time is compared by its year first, and the answer stays the same."""
    builder = ir.Builder()
    predicate = lowered(condition, builder)
    event = AuditEvent(audit_id="a", stage_timestamp=time)
    event.number = 1
    assert evaluate.holds(predicate, event) is holds
    assert evaluate.holds(optimize(predicate, builder, Mentions()), event) is holds


@pytest.mark.parametrize("condition", ["jevt.rawtime = 0", "evt.num = 0"])
def test_ways_to_say_never_do_not_read_the_time(condition: str) -> None:
    """Of an event of this century, the cheap part decides."""
    builder = ir.Builder()
    predicate = optimize(lowered(condition, builder), builder, Mentions())
    assert specialise(predicate, {("recent",): RECENT}, builder, {}) is ir.FALSE


@pytest.mark.parametrize("condition", ["ka.verb in ()", "ka.user.groups intersects ()", "ka.uri pmatch ()"])
def test_nothing_is_in_an_empty_list(condition: str) -> None:
    """Such a test never holds."""
    builder = ir.Builder()
    assert optimize(lowered(condition, builder), builder, Mentions()) is ir.FALSE


def test_an_empty_result_of_getopt_is_in_any_list() -> None:
    """`in` on a list asks all values, and there may be none; so it stays."""
    builder = ir.Builder()
    test = lowered('getopt(ka.user.groups, "a") in ()', builder)
    assert optimize(test, builder, Mentions()) is test


VERB, USER = ("verb",), ("user", "username")


@pytest.mark.parametrize(
    ("condition", "facts", "rest"),
    [
        ("ka.verb = get and ka.uri = x", {VERB: "get"}, "ka.uri = x"),
        ("ka.verb = get and ka.uri = x", {VERB: "list"}, None),
        ("ka.verb != get", {VERB: MISSING}, None),
        ("not ka.verb != get or ka.uri = x", {VERB: MISSING}, True),
        ("tolower(ka.verb) = get", {VERB: "GET"}, True),
        ("ka.verb = val(ka.user.name)", {VERB: "x", USER: "x"}, True),
        ("ka.verb = val(ka.uri)", {VERB: "x"}, "ka.verb = val(ka.uri)"),
        ("ka.verb = val(ka.uri)", {VERB: MISSING}, None),
        ("concat(ka.verb, ka.uri) exists", {VERB: MISSING}, None),
        ("ka.uri exists or jevt.value[/requestURI] = x", {AUDIT_ID: MISSING}, "jevt.value[/requestURI] = x"),
        ("b64(ka.verb) exists", {VERB: "create"}, None),
        ("len(ka.verb) in len(ka.user.name)", {VERB: "get", USER: "bob"}, True),
        ("len(ka.verb) in len(ka.user.name)", {VERB: "list", USER: "bob"}, None),
        ("ka.verb in tolower(ka.user.name)", {VERB: "get", USER: "GETTER"}, None),
    ],
)
def test_specialise(condition: str, facts: Facts, rest: str | bool | None) -> None:
    """What is known is decided; the rest stays as it was."""
    builder = ir.Builder()
    left = specialise(lowered(condition, builder), facts, builder, {})
    match rest:
        case None:
            assert left is ir.FALSE
        case bool():
            assert left is ir.TRUE
        case _:
            assert left is lowered(rest, builder)
