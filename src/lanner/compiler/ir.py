"""The typed form of conditions: values read from an event, and predicates over them.

Nodes are made by a `Builder`, which returns the same object for the same node: equality is identity, and a part that
several rules share is one node. A predicate is true or false, never "missing": a test on a value that the event does
not have is false, whatever its operator, so the connectives are those of plain logic and may be rearranged.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator
from dataclasses import dataclass
from itertools import chain
from typing import TypeAlias, TypeVar, cast

from lanner.fields.catalog import BoundField, ValueType
from lanner.fields.paths import Attribute

Paths: TypeAlias = frozenset[tuple[str, ...]]
"""Attributes of an event by their paths."""

AUDIT_ID = ("audit_id",)
"""The attribute without which most fields have no value."""

# --- values ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, eq=False)
class FieldValue:
    """The value of a field."""

    field: BoundField

    @property
    def type(self) -> ValueType:
        return self.field.definition.type

    @property
    def is_list(self) -> bool:
        return self.field.definition.is_list


@dataclass(frozen=True, slots=True, eq=False)
class Constant:
    """A text written in the condition."""

    value: str
    type: ValueType = ValueType.STRING
    is_list: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class ListOf:
    """Values put into a list in the condition: `(ka.verb, "x")` as an argument of join."""

    items: tuple[Value, ...]
    type: ValueType = ValueType.STRING
    is_list: bool = True


@dataclass(frozen=True, slots=True, eq=False)
class Transformed:
    """The result of a transformer; `option` is what stands in brackets behind getopt()."""

    transformer: str
    arguments: tuple[Value, ...]
    option: str | None
    type: ValueType
    is_list: bool


Value: TypeAlias = FieldValue | Constant | ListOf | Transformed

# --- predicates ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, eq=False)
class Truth:
    """Always or never."""

    value: bool


TRUE = Truth(True)
FALSE = Truth(False)

Operand: TypeAlias = "str | int | bool | frozenset[str | int | bool] | tuple[str, ...] | Value | None"
"""The right side of a test: a constant, a set for in and intersects, paths for pmatch, a value, or nothing."""


@dataclass(frozen=True, slots=True, eq=False)
class Test:
    """One comparison; `operator` is a name of condition/operators.py. False if a value is missing on either side."""

    operator: str
    left: Value
    right: Operand


@dataclass(frozen=True, slots=True, eq=False)
class All:
    """Every child holds; at least two."""

    children: tuple[Predicate, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Any:
    """At least one child holds; at least two."""

    children: tuple[Predicate, ...]


@dataclass(frozen=True, slots=True, eq=False)
class ExactlyOne:
    """Exactly one child holds; at least two. Children may be the same node twice: both count."""

    children: tuple[Predicate, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Negation:
    """The child does not hold."""

    child: Predicate


Predicate: TypeAlias = Truth | Test | All | Any | ExactlyOne | Negation

Node = TypeVar("Node")


class Builder:
    """Makes nodes, each only once, and folds what can be decided on the spot."""

    def __init__(self) -> None:
        self._nodes: dict[tuple[Hashable, ...], object] = {}
        self._paths: dict[Predicate, Paths] = {}

    def _node(self, kind: type[Node], *parts: Hashable) -> Node:
        key = (kind, *parts)
        found = self._nodes.get(key)
        if found is None:
            found = self._nodes[key] = kind(*parts)
        return cast(Node, found)

    def field(self, field: BoundField) -> FieldValue:
        return self._node(FieldValue, field)

    def constant(self, value: str) -> Constant:
        return self._node(Constant, value)

    def list_of(self, items: Iterable[Value]) -> ListOf:
        return self._node(ListOf, tuple(items))

    def transformed(
        self, transformer: str, arguments: Iterable[Value], option: str | None, type: ValueType, is_list: bool
    ) -> Transformed:
        return self._node(Transformed, transformer, tuple(arguments), option, type, is_list)

    def test(self, operator: str, left: Value, right: Operand = None) -> Test:
        # 1 and True are equal in Python; no confusion, since the left side is either a number or a truth value.
        return self._node(Test, operator, left, right)

    def all_of(self, children: Iterable[Predicate]) -> Predicate:
        """The conjunction: flattened, without TRUE and repetitions, FALSE if one child is."""
        return self._connective(All, children, neutral=TRUE, absorbing=FALSE)

    def any_of(self, children: Iterable[Predicate]) -> Predicate:
        """The disjunction: flattened, without FALSE and repetitions, TRUE if one child is."""
        return self._connective(Any, children, neutral=FALSE, absorbing=TRUE)

    def _connective(
        self, kind: type[All] | type[Any], children: Iterable[Predicate], neutral: Truth, absorbing: Truth
    ) -> Predicate:
        kept: dict[Predicate, None] = {}
        for child in children:
            if child is absorbing:
                return absorbing
            if child is neutral:
                continue
            if isinstance(child, kind):
                kept.update(dict.fromkeys(child.children))
            else:
                kept[child] = None
        if not kept:
            return neutral
        if len(kept) == 1:
            return next(iter(kept))
        return self._node(kind, tuple(kept))

    def exactly_one_of(self, children: Iterable[Predicate]) -> Predicate:
        """Exactly one child holds; FALSE for no children."""
        kept = [child for child in children if child is not FALSE]
        certain = sum(child is TRUE for child in kept)
        if certain > 1 or not kept:
            return FALSE
        rest = [child for child in kept if child is not TRUE]
        if certain:
            return self.negation(self.any_of(rest))
        return rest[0] if len(rest) == 1 else self._node(ExactlyOne, tuple(rest))

    def paths_of(self, predicate: Predicate) -> Paths:
        """The attributes of an event, by their paths, that can tell something of a predicate when they are known."""
        found = self._paths.get(predicate)
        if found is None:
            found = fold(predicate, self._paths_of)
        return found

    def _paths_of(self, node: Predicate, children: tuple[Paths, ...]) -> Paths:
        found = self._paths.get(node)
        if found is None:
            paths = _paths(node) if isinstance(node, Test) else chain.from_iterable(children)
            found = self._paths[node] = frozenset(paths)
        return found

    def negation(self, child: Predicate) -> Predicate:
        """The opposite; a double one vanishes."""
        match child:
            case Truth():
                return FALSE if child.value else TRUE
            case Negation():
                return child.child
            case _:
                return self._node(Negation, child)


Result = TypeVar("Result")


def fold(predicate: Predicate, combine: Callable[[Predicate, tuple[Result, ...]], Result]) -> Result:
    """Work bottom up, without recursion: `combine(node, results of its children)`, each node once.

    Returns the result for the root.
    """
    results: dict[Predicate, Result] = {}
    work: list[Predicate] = [predicate]
    while work:
        node = work[-1]
        if node in results:
            work.pop()
            continue
        children = children_of(node)
        waiting = [child for child in children if child not in results]
        if waiting:
            work.extend(reversed(waiting))
            continue
        work.pop()
        results[node] = combine(node, tuple([results[child] for child in children]))
    return results[predicate]


def children_of(predicate: Predicate) -> tuple[Predicate, ...]:
    """The direct parts of a predicate."""
    match predicate:
        case Test() | Truth():
            return ()
        case Negation():
            return (predicate.child,)
        case _:
            return predicate.children


def tests_of(*predicates: Predicate) -> Iterator[Test]:
    """The distinct tests in predicates."""
    seen: set[Predicate] = set()
    work = list(reversed(predicates))
    while work:
        node = work.pop()
        if node in seen:
            continue
        seen.add(node)
        if isinstance(node, Test):
            yield node
        work.extend(reversed(children_of(node)))


def parts_of(value: Value) -> Iterator[Value]:
    """A value and all values it is made of."""
    work: list[Value] = [value]
    while work:
        part = work.pop()
        yield part
        match part:
            case ListOf():
                work.extend(reversed(part.items))
            case Transformed():
                work.extend(reversed(part.arguments))


def values_of(test: Test) -> Iterator[Value]:
    """The values on both sides of a test, with all they are made of."""
    for side in (test.left, test.right):
        match side:
            case FieldValue() | Constant():
                yield side
            case ListOf() | Transformed():
                yield from parts_of(side)


def _paths(test: Test) -> Iterator[tuple[str, ...]]:
    """The paths of the attributes that a test reads as they are."""
    for value in values_of(test):
        if isinstance(value, FieldValue):
            if value.field.definition.needs_audit_id:
                yield AUDIT_ID
            if isinstance(value.field.getter, Attribute):
                yield value.field.getter.path


def is_value(operand: Operand) -> bool:
    """Whether the right side of a test is read from the event."""
    return isinstance(operand, _VALUES)


_VALUES = (FieldValue, Constant, ListOf, Transformed)
