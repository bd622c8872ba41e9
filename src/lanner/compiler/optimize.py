"""Makes predicates cheaper without changing what they say.

`optimize` is run over every rule's predicate, `specialise` by the dispatch for each shape of request.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TypeAlias

from lanner.compiler import ir
from lanner.compiler.comparisons import LISTS, SCALAR
from lanner.compiler.evaluate import transform
from lanner.compiler.globs import plain_parts
from lanner.event import MISSING, Missing
from lanner.fields.bodies import Repositories
from lanner.fields.catalog import BoundField
from lanner.fields.generic import IS_RECENT, RAW_TIMES, Constant
from lanner.fields.mentions import BodyMentions, Mentions
from lanner.fields.paths import Annotation, Attribute, TextList

Pass: TypeAlias = Callable[[ir.Predicate, ir.Builder], ir.Predicate]


def optimize(predicate: ir.Predicate, builder: ir.Builder, mentions: Mentions) -> ir.Predicate:
    """All passes, one after the other. `mentions`: the scans that these rules share."""
    for step in PASSES:
        predicate = step(predicate, builder)
    return order_by_cost(ask_bodies_first(predicate, builder, mentions), builder)


# --- simpler tests ---------------------------------------------------------------------------------------------------

_CENTURY_NS = 946_500_000 * 1_000_000_000
"""More than a day before the year 2000."""

_REGEX_SPECIAL = frozenset(".+*?^$()[]{}|\\")


def simplify_tests(predicate: ir.Predicate, builder: ir.Builder) -> ir.Predicate:
    """Replace a test by a cheaper one that says the same: a glob without wildcards is an equality, and so on."""

    def combine(node: ir.Predicate, children: tuple[ir.Predicate, ...]) -> ir.Predicate:
        if not isinstance(node, ir.Test):
            return _rebuilt(node, children, builder)
        if all(_is_fixed(value) for value in ir.values_of(node)):
            return _decided(node, {})
        return _simplified(node, builder)

    return ir.fold(predicate, combine)


def _is_fixed(value: ir.Value) -> bool:
    """Whether a value is the same in all events."""
    return not isinstance(value, ir.FieldValue) or isinstance(value.field.getter, Constant)


def _simplified(test: ir.Test, builder: ir.Builder) -> ir.Predicate:
    left, right = test.left, test.right
    match test.operator, right:
        case "=", 0 if isinstance(left, ir.FieldValue) and left.field.definition.name == "evt.num":
            return ir.FALSE  # events are counted from 1; `evt.num = 0` is how rules say never
        case "=", str() | int() if _is_raw_time(left) and not _in_this_century(right):
            # `jevt.rawtime = 0` says never, too; the year tells as much without reading the time
            return builder.all_of([builder.negation(builder.test("exists", builder.field(IS_RECENT))), test])
        case "exists", _ if isinstance(left, ir.FieldValue) and left.field.definition.always:
            return ir.TRUE
        case (("contains" | "icontains" | "startswith" | "endswith"), ""):
            return _simplified(builder.test("exists", left), builder)
        case "glob", str():
            return _simplified_glob(test, right, builder)
        case "regex", str() if _REGEX_SPECIAL.isdisjoint(right):
            return builder.test("=", left, right)
        case "intersects", frozenset() if not left.is_list:
            return _simplified(builder.test("in", left, right), builder)
        case (("in" | "intersects"), frozenset()) if not right and (not left.is_list or test.operator == "intersects"):
            return ir.FALSE
        case "in", frozenset() if len(right) == 1 and not left.is_list:
            return builder.test("=", left, next(iter(right)))
        case "pmatch", ():
            return ir.FALSE
        case _:
            return test


def _is_raw_time(value: ir.Value) -> bool:
    return isinstance(value, ir.FieldValue) and value.field.definition.name in RAW_TIMES


def _in_this_century(time: str | int) -> bool:
    """Whether nanoseconds since 1970, a number or its text, can be a time written 20.., in whatever zone."""
    text = str(time)
    return text.isdecimal() and int(text) >= _CENTURY_NS


def _simplified_glob(test: ir.Test, pattern: str, builder: ir.Builder) -> ir.Predicate:
    parts = plain_parts(pattern)
    match parts:
        case None:
            return test
        case (False, text, False):
            return builder.test("=", test.left, text)
        case (_, "", _):
            return _simplified(builder.test("exists", test.left), builder)
        case (True, text, True):
            return builder.test("contains", test.left, text)
        case (True, text, False):
            return builder.test("endswith", test.left, text)
        case (False, text, True):
            return builder.test("startswith", test.left, text)
        case _:
            return test


# --- one lookup for many equalities ----------------------------------------------------------------------------------


def merge_memberships(predicate: ir.Predicate, builder: ir.Builder) -> ir.Predicate:
    """`x = a or x in (b, c)` is `x in (a, b, c)`."""

    def combine(node: ir.Predicate, children: tuple[ir.Predicate, ...]) -> ir.Predicate:
        if not isinstance(node, ir.Any):
            return _rebuilt(node, children, builder)
        members: dict[ir.Value, set[str | int | bool]] = {}
        kept: list[ir.Predicate | ir.Value] = []
        for child in children:
            items = _members(child)
            if items is None or not isinstance(child, ir.Test):
                kept.append(child)
                continue
            if child.left not in members:
                members[child.left] = set()
                kept.append(child.left)
            members[child.left] |= items
        return builder.any_of(
            _membership(builder, item, members[item])
            if isinstance(item, ir.FieldValue | ir.Transformed | ir.Constant | ir.ListOf)
            else item
            for item in kept
        )

    return ir.fold(predicate, combine)


def _members(predicate: ir.Predicate) -> frozenset[str | int | bool] | None:
    """The constants that a test for equality or membership on one value allows; None for any other predicate."""
    match predicate:
        case ir.Test(operator="=", right=str() | int() | bool()):
            return frozenset((predicate.right,))  # type: ignore[arg-type]
        case ir.Test(operator="in", left=left, right=frozenset()) if not left.is_list:
            return predicate.right  # type: ignore[return-value]
        case _:
            return None


def _membership(builder: ir.Builder, left: ir.Value, items: set[str | int | bool]) -> ir.Predicate:
    if len(items) == 1:
        return builder.test("=", left, next(iter(items)))
    return builder.test("in", left, frozenset(items))


# --- one scan for all words of a body --------------------------------------------------------------------------------


def ask_bodies_first(predicate: ir.Predicate, builder: ir.Builder, mentions: Mentions) -> ir.Predicate:
    """`x contains a or x contains b`, x being in a body, asks first whether the body mentions one of the words.

    Few bodies do, and all rules share one scan. See fields/mentions.py.
    """

    def combine(node: ir.Predicate, children: tuple[ir.Predicate, ...]) -> ir.Predicate:
        match node:
            case ir.Test():
                return asking_first([node])
            case ir.Any():
                tests: dict[ir.Value, list[ir.Test]] = {}
                rest: list[ir.Predicate] = []
                for child, result in zip(node.children, children, strict=True):
                    if isinstance(child, ir.Test) and result is not child:
                        tests.setdefault(child.left, []).append(child)
                    else:
                        rest.append(result)
                return builder.any_of([*map(asking_first, tests.values()), *rest])
            case _:
                return _rebuilt(node, children, builder)

    def asking_first(tests: Sequence[ir.Test]) -> ir.Predicate:
        """One of the tests; they are on one value."""
        asked = [_mention(test, mentions) for test in tests]
        words = {field: frozenset(word for _, word in filter(None, asked)) for field, _ in filter(None, asked)}
        first = (builder.test("intersects", builder.field(field), some) for field, some in words.items())
        return builder.all_of([*first, builder.any_of(tests)])

    return ir.fold(predicate, combine)


def _mention(test: ir.Test, mentions: Mentions) -> tuple[BoundField, str] | None:
    match test:
        case ir.Test(operator=operator, left=ir.FieldValue(field=field), right=str(word)):
            return mentions.of(field.getter, operator, word)
        case _:
            return None


# --- cheap tests first -----------------------------------------------------------------------------------------------

_GETTER_COST: dict[type, int] = {Attribute: 0, Annotation: 4, TextList: 8, BodyMentions: 20, Repositories: 60}
_OTHER_GETTER_COST = 30
_SELDOM_FALSE = 8
_OPERATOR_COST = {"=": 1, "in": 1, "exists": 1, "regex": 12, "glob": 12, "iglob": 12, "pmatch": 12, "icontains": 6}


def order_by_cost(predicate: ir.Predicate, builder: ir.Builder) -> ir.Predicate:
    """Children of a connective in the order of their cost, so that most events are decided by the cheap ones.

    Allowed because tests have no effects and cannot fail. Exceptions, `... and not x in (a, b)`, seldom hold, so what
    says that they do not seldom decides: it comes later.
    """
    costs: dict[ir.Predicate, int] = {}

    def rank(child: ir.Predicate) -> int:
        return costs[child] * _SELDOM_FALSE if isinstance(child, ir.Negation) else costs[child]

    def combine(node: ir.Predicate, children: tuple[ir.Predicate, ...]) -> ir.Predicate:
        match node:
            case ir.All():
                children = tuple(sorted(children, key=rank))
            case ir.Any():
                children = tuple(sorted(children, key=costs.__getitem__))
        result = _rebuilt(node, children, builder)
        costs[result] = _cost(result) if isinstance(result, ir.Test) else sum(costs[child] for child in children)
        return result

    return ir.fold(predicate, combine)


def _cost(test: ir.Test) -> int:
    """A rough measure of one test, in units of comparing two attributes of an event."""
    cost = _OPERATOR_COST.get(test.operator, 2)
    for value in ir.values_of(test):
        match value:
            case ir.FieldValue():
                cost += _GETTER_COST.get(type(value.field.getter), _OTHER_GETTER_COST)
            case ir.Transformed():
                cost += 4
    return cost


PASSES: tuple[Pass, ...] = (
    simplify_tests,  # first: it makes equalities out of globs and regexes, which the next pass merges
    merge_memberships,
)


def _rebuilt(node: ir.Predicate, children: tuple[ir.Predicate, ...], builder: ir.Builder) -> ir.Predicate:
    match node:
        case ir.All():
            return builder.all_of(children)
        case ir.Any():
            return builder.any_of(children)
        case ir.ExactlyOne():
            return builder.exactly_one_of(children)
        case ir.Negation():
            return builder.negation(children[0])
        case _:
            return node


# --- what is known of an event ---------------------------------------------------------------------------------------

AUDIT_ID = ir.AUDIT_ID

Facts: TypeAlias = Mapping[tuple[str, ...], "str | Missing"]
"""Attribute paths of an event with their values (as fields show them), as far as they are known beforehand."""


class _UnknownType:
    pass


_UNKNOWN = _UnknownType()


def specialise(
    predicate: ir.Predicate, facts: Facts, builder: ir.Builder, done: dict[ir.Predicate, ir.Predicate]
) -> ir.Predicate:
    """What is left of a predicate when some attributes of the event are known.

    `done` holds the results for these facts so far; rules share their parts, so give the same one for all rules.
    A connective is left as soon as one child decides it; children stand in the order of their cost. Parts that no fact
    tells anything of are not looked into.
    """
    if facts.keys().isdisjoint(builder.paths_of(predicate)):
        return predicate
    open_nodes: list[tuple[ir.Predicate, list[ir.Predicate], list[ir.Predicate]]] = []
    node, waiting, results = predicate, [predicate], list[ir.Predicate]()
    while True:
        if waiting:
            child = waiting[-1]
            result = done.get(child)
            if result is None:
                if facts.keys().isdisjoint(builder.paths_of(child)):
                    result = done[child] = child
                elif isinstance(child, ir.Test):
                    result = done[child] = _decided(child, facts)
            if result is None:
                open_nodes.append((node, waiting, results))
                node, waiting, results = child, list(reversed(ir.children_of(child))), []
                continue
            waiting.pop()
            results.append(result)
            if open_nodes and result is _ABSORBING.get(type(node)):
                waiting.clear()
        elif open_nodes:
            done[node] = _rebuilt(node, tuple(results), builder)
            node, waiting, results = open_nodes.pop()
        else:
            return results[0]


_ABSORBING: dict[type, ir.Truth] = {ir.All: ir.FALSE, ir.Any: ir.TRUE}


def _decided(test: ir.Test, facts: Facts) -> ir.Predicate:
    alone = all(_tells(facts, value) for value in ir.values_of(test) if isinstance(value, ir.FieldValue))
    left = _known(test.left, facts, alone)
    right = _known(test.right, facts, alone) if ir.is_value(test.right) else test.right  # type: ignore[arg-type]
    if left is MISSING or right is MISSING:
        return ir.FALSE
    if isinstance(left, _UnknownType) or isinstance(right, _UnknownType):
        return test
    if test.operator == "exists":
        return ir.TRUE
    if test.operator in LISTS and ir.is_value(test.right) and not isinstance(right, list):
        right = [right]
    compare = LISTS[test.operator] if test.left.is_list else SCALAR[test.operator]
    return ir.TRUE if compare(left, right) else ir.FALSE


def _tells(facts: Facts, value: ir.FieldValue) -> bool:
    getter = value.field.getter
    return isinstance(getter, Constant) or (isinstance(getter, Attribute) and getter.path in facts)


def _known(value: ir.Value, facts: Facts, alone: bool) -> object:
    """The value as far as the facts tell it: itself, MISSING, or _UNKNOWN.

    `alone`: the facts tell all that the test asks. If they do not, the value of an attribute may stand for others that
    tests on that attribute alone cannot tell from it, so nothing is made of it: a transformer might give a value for
    one and none for another.
    """
    match value:
        case ir.Constant():
            return value.value
        case ir.FieldValue():
            if value.field.definition.needs_audit_id and facts.get(AUDIT_ID) is MISSING:
                return MISSING
            match value.field.getter:
                case Attribute(path):
                    return facts.get(path, _UNKNOWN)
                case Constant(fixed):
                    return fixed
                case _:
                    return _UNKNOWN
        case ir.ListOf() | ir.Transformed():
            parts = value.items if isinstance(value, ir.ListOf) else value.arguments
            known = [_known(part, facts, alone) for part in parts]
            if MISSING in known:
                return MISSING
            if _UNKNOWN in known or not alone:
                return _UNKNOWN
            return known if isinstance(value, ir.ListOf) else transform(value, known)
