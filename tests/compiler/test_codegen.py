"""The generated function: readable, safe, and able to take whatever conditions there are."""

from __future__ import annotations

import linecache
import traceback
from collections.abc import Sequence

import pytest

from lanner.compiler import ir
from lanner.compiler.build import Matcher
from lanner.compiler.build import build as build_source
from lanner.compiler.codegen import generate
from lanner.compiler.evaluate import holds
from lanner.compiler.lower import Lowering
from lanner.condition.parser import parse
from lanner.diagnostics.report import Report
from lanner.diagnostics.source import Text
from lanner.event import AuditEvent, User
from lanner.fields.k8s_catalog import k8s_audit_catalog

CATALOG = k8s_audit_catalog()


def lowered(*conditions: str) -> list[ir.Predicate]:
    builder = ir.Builder()
    predicates = [
        Lowering(CATALOG, builder, Report()).condition(parse(Text.plain(condition))) for condition in conditions
    ]
    return [predicate for predicate in predicates if predicate is not None]


def build(rules: Sequence[tuple[object, ir.Predicate]]) -> tuple[Matcher, str]:
    source = generate(rules)
    return build_source(source), source.listing()


def event(verb: str = "get", user: str = "eve", uri: str = "/x") -> AuditEvent:
    return AuditEvent(audit_id="a", verb=verb, user=User(username=user), request_uri=uri)


def test_constants_are_not_written_into_the_code() -> None:
    """Whatever a text holds, it is a global; in the source it stands in a comment only, as an ASCII literal."""
    hostile = "x'); import os # \\n\" é"
    (predicate,) = lowered('ka.verb = "' + hostile.replace("\\", "\\\\").replace('"', '\\"') + '"')
    match, source = build([("rule", predicate)])
    assert match(event(verb=hostile)) == ["rule"]
    code = [line for line in source.splitlines() if not line.startswith("#")]
    assert not any("import" in line for line in code)
    assert source.isascii()


def test_each_value_is_read_once() -> None:
    """However many rules ask for it."""
    predicates = lowered("ka.user.name = a", "ka.user.name startswith b", "not ka.user.name contains c")
    _, source = build(list(enumerate(predicates)))
    assert source.count("e.user.username") == 1


def test_dear_tests_are_remembered() -> None:
    """A test that several rules share is worked out once."""
    predicates = lowered(*(f"ka.uri contains secret and ka.verb != v{n}" for n in range(3)))
    match, source = build(list(enumerate(predicates)))
    assert "t0 := " in source
    assert match(event(uri="/secrets")) == [0, 1, 2]


@pytest.mark.parametrize("levels", [30, 499])
def test_deep_conditions(levels: int) -> None:
    """Conditions deeper than Python's parser allows are split into functions, and answer as the evaluator does."""
    (predicate,) = lowered("not (ka.uri = /y or " * levels + "ka.verb = get" + ")" * levels)
    match, source = build([("rule", predicate)])
    assert "def part" in source
    for verb in ("get", "list"):
        for uri in ("/x", "/y"):
            one = event(verb=verb, uri=uri)
            assert bool(match(one)) is holds(predicate, one)


def test_shared_parts_do_not_multiply() -> None:
    """A part that stands in two others, which stand in two others, and so on, stays one function each."""
    builder = ir.Builder()
    test = lowered("ka.verb = get")[0]
    tests = lowered(*(f"ka.uri = /{n}" for n in range(60)))
    part = test
    for other in tests:
        part = builder.any_of([builder.all_of([part, other]), builder.negation(builder.any_of([part, other]))])
    match, source = build([("rule", part)])
    assert len(source) < 50_000
    for uri in ("/0", "/59", "/none"):
        assert bool(match(event(uri=uri))) is holds(part, event(uri=uri))


def test_tracebacks_show_the_generated_lines() -> None:
    """The source has a linecache entry that survives a check of all files."""
    (predicate,) = lowered("ka.user.name = eve")
    match, _ = build([("rule", predicate)])
    linecache.checkcache()
    try:
        match(None)  # type: ignore[arg-type]
    except AttributeError:
        assert "e.user.username" in traceback.format_exc()
    else:
        raise AssertionError("None is no event")


def test_exactly_one() -> None:
    """`oneof` counts."""
    (predicate,) = lowered("ka.verb startswith oneof (g, ge, x)")
    match, _ = build([("rule", predicate)])
    assert not match(event(verb="get"))
    assert match(event(verb="go"))
