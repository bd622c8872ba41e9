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
from lanner.event import MISSING, RECENT, AuditEvent, Path
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

USUAL: Facts = {("recent",): RECENT}
NO_AUDIT_ID: Facts = {AUDIT_ID: MISSING}
"""What is known of events that have a function by their shape, and of those that have no auditID. Events from before
the year 2000 are matched by the function for all shapes."""

MAX_VALUES = 4096
"""Values remembered for each of these attributes."""

MAX_STEPS = 16_384
"""Values of attributes remembered within shapes."""

MAX_LENGTH = 256
"""Characters of a value that is remembered; resources and verbs are shorter."""

MAX_CHOICES = 65_536
"""Classes of shapes and users for which it is remembered which function answers. Most share one."""

MAX_FUNCTIONS = 4096
"""Functions compiled."""

Key = TypeVar("Key")
Kept = TypeVar("Kept")
RawShape: TypeAlias = tuple[object, ...]
Step: TypeAlias = "dict[object, Any]"
"""The steps, functions by class of user, or None that a value leads to."""


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
        self._by_values: Step = {}
        """The values of the shapes seen lately, attribute by attribute: they lead to the functions by class of user, or
        to nothing as soon as no rule is left."""
        self._steps = 0
        self._by_classes: dict[tuple[Class, ...], dict[Class, Matcher]] = {}
        self._choices = 0
        self._by_rest: dict[Rest, Matcher] = {(): _nothing}
        self._families = Families(self._left(USUAL), FACTS, builder)

    def match(self, event: AuditEvent) -> Sequence[Any]:
        """The rules that match the event, in their order."""
        if event.audit_id is MISSING or event.recent is MISSING:
            return self.match_any_shape(event)
        try:
            # As a loop over SHAPE this would cost twice as much.
            step = self._by_values[event.stage]
            if step is None:
                return ()
            step = step[event.verb]
            if step is None:
                return ()
            ref = event.object_ref
            step = step[ref.resource]
            if step is None:
                return ()
            step = step[ref.subresource]
            if step is None:
                return ()
            step = step[event.response_status.code]
            if step is None:
                return ()
            matcher: Matcher = step[self._users[event.user.username]]
        except KeyError:
            matcher = self._matcher(event)
        return matcher(event)

    def match_any_shape(self, event: AuditEvent) -> Sequence[Any]:
        """The same answer without looking at the shape."""
        return (self._no_audit_id if event.audit_id is MISSING else self._any_shape)(event)

    def source_for(self, event: AuditEvent) -> str:
        """The source of the function that answers for events of this shape."""
        if event.audit_id is MISSING:
            rest = self._left(NO_AUDIT_ID)
        elif event.recent is MISSING:
            rest = self._rules
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
            self._keep(shape, classes, by_user)
        return matcher

    def _keep(self, shape: Sequence[object], classes: Sequence[Class], by_user: dict[Class, Matcher]) -> None:
        """Remember where the values of a shape lead."""
        if self._steps + len(SHAPE) > MAX_STEPS:
            self._by_values, self._steps = {}, 0
        step = self._by_values
        for place, value in enumerate(shape, 1):
            self._steps += value not in step
            if not self._families.any_for(classes[:place]):
                step[value] = None
                return
            if place == len(shape):
                step[value] = by_user
            else:
                step = step.setdefault(value, {})

    @cached_property
    def _any_shape(self) -> Matcher:
        return self._built(self._rules)

    @cached_property
    def _no_audit_id(self) -> Matcher:
        return self._built(self._left(NO_AUDIT_ID))

    def _left(self, facts: Facts) -> Rest:
        """What is left of the rules for events of which this is known."""
        done: dict[ir.Predicate, ir.Predicate] = {}
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
        self._by_values, self._steps = {}, 0
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
