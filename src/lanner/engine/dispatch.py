"""Finds the few tests that an event still needs, from the shape of its request and from who made it.

The shape of a request is the handful of attributes that nearly every rule asks first: stage, verb, resource,
subresource, response code. For each shape seen, all rules are told its values, and then the name of the user
(families.py); what is left of them, mostly nothing, is compiled into one function.

Values that no test of any rule can tell apart are of one class, and what is remembered goes by classes, not by values:
a thousand invented verbs are one shape, ten thousand users that no rule names are one. Clients choose the values, so
all caches are bounded, in number and in bytes. One that is full starts anew, which costs the events after it the
lookups of their values' classes; when there are too many functions, the one for all shapes answers for the rest.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import cached_property
from operator import attrgetter
from typing import Any, TypeAlias, TypeVar, cast

from lanner.compiler import ir
from lanner.compiler.build import Matcher, build
from lanner.compiler.codegen import generate
from lanner.compiler.evaluate import test_holds
from lanner.compiler.lookups import Lookups
from lanner.compiler.optimize import AUDIT_ID, Facts, specialise
from lanner.engine.families import Class, Families, Rest
from lanner.event import MISSING, AuditEvent, Path
from lanner.fields.paths import Attribute

SHAPE: tuple[tuple[str, ...], ...] = (
    ("stage",),
    ("verb",),
    ("object_ref", "resource"),
    ("object_ref", "subresource"),
    ("response_status", "code"),
)
"""Attribute paths: attributes of few values that most rules test."""

USER = ("user", "username")
"""Most rules except users or name them; clusters have many, so a value is looked up by itself."""

FACTS = (*SHAPE, USER)
"""What is known of an event when its function is chosen, in this order."""

MAX_VALUES = 4096
"""Values remembered for each of these attributes, and shapes remembered by their values."""

MAX_LENGTH = 256
"""Characters of a value that is remembered; resources and verbs are shorter."""

MAX_CHOICES = 65_536
"""Classes of shapes and users for which it is remembered which function answers. Most share one."""

MAX_FUNCTIONS = 4096
"""Functions compiled."""

Key = TypeVar("Key")
Kept = TypeVar("Kept")
RawShape: TypeAlias = tuple[object, ...]


class Dispatch:
    """The functions for all shapes of one set of rules. Not for several threads at once: the caches are its own."""

    def __init__(self, rules: Sequence[tuple[object, ir.Predicate]], builder: ir.Builder, first_only: bool) -> None:
        self._rules = tuple(rules)
        self._builder = builder
        self._first_only = first_only
        tests = list(ir.tests_of(*(predicate for _, predicate in self._rules)))
        self._lookups = Lookups(tests)
        self._classes = [_Classes(path, asked) for path, asked in _tests_on(FACTS, tests).items()]
        self._users = self._classes[-1].by_value
        self._by_shape: dict[RawShape, dict[Class, Matcher]] = {}
        self._by_classes: dict[tuple[Class, ...], dict[Class, Matcher]] = {}
        self._choices = 0
        self._by_rest: dict[Rest, Matcher] = {(): _nothing}
        self._families = Families(self._rules, FACTS, builder)

    def match(self, event: AuditEvent) -> Sequence[Any]:
        """The rules that match the event, in their order."""
        if event.audit_id is MISSING:
            return self._no_audit_id(event)
        ref = event.object_ref
        try:
            matcher = self._by_shape[
                event.stage, event.verb, ref.resource, ref.subresource, event.response_status.code
            ][self._users[event.user.username]]
        except KeyError:
            matcher = self._matcher(event)
        return matcher(event)

    def match_any_shape(self, event: AuditEvent) -> Sequence[Any]:
        """The same answer without looking at the shape."""
        return (self._no_audit_id if event.audit_id is MISSING else self._any_shape)(event)

    def source_for(self, event: AuditEvent) -> str:
        """The source of the function that answers for events of this shape."""
        if event.audit_id is MISSING:
            rest = self._without_audit_id()
        else:
            rest = self._families.rest(self._classes_of(_facts(event)))
        return generate(rest, self._first_only, self._lookups).listing()

    def _classes_of(self, facts: RawShape) -> tuple[Class, ...]:
        return tuple(classes.of(value) for classes, value in zip(self._classes, facts, strict=True))

    def _matcher(self, event: AuditEvent) -> Matcher:
        """The function for events like this one; remembered where the values are short."""
        *shape, _ = facts = _facts(event)
        *classes, user = self._classes_of(facts)
        by_user = self._by_classes.get(tuple(classes), {})
        matcher = by_user.get(user)
        if matcher is None:
            if self._choices >= MAX_CHOICES:
                self._start_anew()
                by_user = {}
            self._choices += 1
            matcher = by_user[user] = self._function(self._families.rest((*classes, user)))
            self._by_classes[tuple(classes)] = by_user
        if not any(isinstance(value, str) and len(value) > MAX_LENGTH for value in shape):
            _remember(self._by_shape, tuple(shape), by_user)
        return matcher

    @cached_property
    def _any_shape(self) -> Matcher:
        return self._built(self._rules)

    @cached_property
    def _no_audit_id(self) -> Matcher:
        return self._built(self._without_audit_id())

    def _without_audit_id(self) -> Rest:
        """What is left of the rules for events without an auditID."""
        done: dict[ir.Predicate, ir.Predicate] = {}
        facts: Facts = {AUDIT_ID: MISSING}
        rest = ((rule, specialise(predicate, facts, self._builder, done)) for rule, predicate in self._rules)
        return tuple((rule, predicate) for rule, predicate in rest if predicate is not ir.FALSE)

    def _function(self, rest: Rest) -> Matcher:
        """The function for what is left of the rules; equal rests share one."""
        matcher = self._by_rest.get(rest)
        if matcher is None:
            if len(self._by_rest) > MAX_FUNCTIONS:
                return self._any_shape
            matcher = self._by_rest[rest] = self._built(rest)
        return matcher

    def _built(self, rest: Rest) -> Matcher:
        return build(generate(rest, self._first_only, self._lookups))

    def _start_anew(self) -> None:
        """Forget what was chosen for whom; the functions stay."""
        self._choices = 0
        self._by_shape.clear()
        self._by_classes.clear()
        self._families.forget()


def _nothing(event: AuditEvent) -> Sequence[Any]:
    """The function for events that no rule can match any more."""
    return ()


def _tests_on(paths: Sequence[Path], tests: Iterable[ir.Test]) -> dict[Path, list[ir.Test]]:
    """For each of the attributes the tests that ask it and nothing else of an event."""
    found: dict[Path, list[ir.Test]] = {path: [] for path in paths}
    for test in tests:
        getters = {value.field.getter for value in ir.values_of(test) if isinstance(value, ir.FieldValue)}
        asked = {getter.path if isinstance(getter, Attribute) else None for getter in getters}
        path = asked.pop() if len(asked) == 1 else None
        if path in found:
            found[path].append(test)
    return found


_facts: Callable[[AuditEvent], RawShape] = attrgetter(*(".".join(path) for path in FACTS))


class _Classes:
    """Sorts the values of one attribute into classes that no test can tell apart, each named by its first value.

    Values that tests name are classes of their own; all others differ only in their answers to what remains.
    """

    def __init__(self, path: tuple[str, ...], tests: Sequence[ir.Test]) -> None:
        self._read = Attribute(path)
        self._path = path
        self._named: set[str] = set()
        self._others: list[ir.Test] = []
        for test in tests:
            names = _names(test)
            if names is None:
                self._others.append(test)
            else:
                self._named |= names
        self.by_value: dict[object, Class] = {}
        """Of the values seen lately the one that stands for their class: for looking up, not for changing."""
        self._by_answers: dict[tuple[bool, ...], str] = {}

    def of(self, value: object) -> Class:
        """A value, as fields show it, that every test answers like this one; MISSING for MISSING."""
        found = self.by_value.get(value)
        if found is not None:
            return found
        event = AuditEvent(audit_id="")
        _put(event, self._path, value)
        text = self._read(event)
        if text is MISSING or text in self._named:
            found = text
        else:
            answers = tuple(test_holds(test, event) for test in self._others)
            found = self._by_answers.get(answers)
            if found is None:
                found = self._by_answers[answers] = text
        if not isinstance(value, str) or len(value) <= MAX_LENGTH:
            _remember(self.by_value, value, found)
        return found


def _names(test: ir.Test) -> frozenset[str] | None:
    """The values that a test for equality or membership names; None for a test of another kind."""
    match test:
        case ir.Test(operator="=" | "!=", left=ir.FieldValue(), right=str(name)):
            return frozenset((name,))
        case ir.Test(operator="in", left=ir.FieldValue(), right=frozenset()):
            return cast("frozenset[str]", test.right)
        case ir.Test(operator="exists", left=ir.FieldValue()):
            return frozenset()
        case _:
            return None


def _remember(cache: dict[Key, Kept], key: Key, value: Kept) -> None:
    """Put a value into a bounded cache; a full one starts anew."""
    if len(cache) >= MAX_VALUES:
        cache.clear()
    cache[key] = value


def _put(event: AuditEvent, path: tuple[str, ...], value: object) -> None:
    """Set an attribute of an event by its path; the event's frozen parts are replaced."""
    if len(path) == 1:
        setattr(event, path[0], value)
    else:
        part = getattr(event, path[0])
        setattr(event, path[0], type(part)(**{path[1]: value}))
