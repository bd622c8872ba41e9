"""From predicates to the source of one Python function.

The function takes an event and returns the rules that match it. Constants, getters and rules go in as globals, never
as text. Each value is read at most once a call: attributes at the top, everything else when first asked for. Tests
that cost more and occur several times are remembered. A part that several predicates share, or that would nest too
deep for Python's parser, becomes a function of its own, whose answer is kept in `m` for the event at hand.

Where a value has many tests, they are answered by one lookup (lookups.py), a function as well: a test is then whether
its number was found. Where many rules need such a test (guards.py), only the rules that the lookup leads to are asked.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import islice
from typing import TypeAlias

from lanner.compiler import ir
from lanner.compiler.comparisons import LISTS, SCALAR, ascii_lower, compile_regex
from lanner.compiler.evaluate import value as evaluate_value
from lanner.compiler.globs import compile_glob
from lanner.compiler.guards import Block, Guarded, blocks
from lanner.compiler.lookups import Kind, Lookup, Lookups, weight
from lanner.compiler.path_trie import PathTrie
from lanner.event import MISSING
from lanner.fields.paths import Attribute, cut

_MAX_NESTING = 25
"""Levels of parentheses in one expression; CPython 3.11 refuses about 200, and its compiler recurses."""

MANY = 16
"""Comparisons of short texts on one value that cost more than a lookup, and rules that are worth one."""

_CLEAN = frozenset((("recent",), ("stage_timestamp",)))
"""Attributes without NUL characters."""

RESPONSE_CODE = ("response_status", "code")
"""The one attribute that may hold a number; values are its text."""

_CHEAP = frozenset(("=", "!=", "in", "exists", "<", "<=", ">", ">="))


Entry: TypeAlias = "tuple[int, str, str | None]"
"""The place of a rule in a block, the names of the rule and of the function for what else it needs, if anything."""


@dataclass(frozen=True, slots=True)
class Source:
    """The source of a function and the globals it needs.

    `tables`: those of blocks, from numbers to the rules they lead to. They may be long, so they are no text for Python
    to compile.
    """

    text: str
    namespace: dict[str, object]
    tables: dict[str, dict[int, list[Entry]]] = field(default_factory=dict)

    def listing(self) -> str:
        """The source for people: behind it the tables, and comments that tell what the global names stand for."""
        tables = [f"\n{name} = {{\n{''.join(map(_row, table.items()))}}}\n" for name, table in self.tables.items()]
        legend = [f"# {name} = {_shown(thing)}\n" for name, thing in self.namespace.items() if name[-1].isdigit()]
        return "".join([self.text, *tables, *legend])


def _row(row: tuple[int, list[Entry]]) -> str:
    number, entries = row
    return f"    {number}: ({', '.join(f'({place}, {rule}, {rest})' for place, rule, rest in entries)},),\n"


def _shown(thing: object) -> str:
    """A constant, or what else a name stands for, on one line of ASCII."""
    if isinstance(thing, frozenset):
        first = sorted(map(ascii, islice(thing, 8)))
        more = f", and {len(thing) - 8} more" if len(thing) > 8 else ""
        return f"{{{', '.join(first)}{more}}}"
    return ascii(thing if not isinstance(thing, str) else thing[:100])


@dataclass(slots=True)
class _Globals:
    """Names for objects that generated code refers to; the same object gets the same name."""

    namespace: dict[str, object] = field(default_factory=lambda: {"M": MISSING, "U": object(), "cut": cut})
    _names: dict[int | tuple[type, object], str] = field(default_factory=dict)

    def name(self, prefix: str, thing: object) -> str:
        """The name of an object; texts and sets by value, everything else by identity."""
        key = (type(thing), thing) if isinstance(thing, str | int | frozenset | tuple) else id(thing)
        found = self._names.get(key)
        if found is None:
            found = self._names[key] = f"{prefix}{len(self._names)}"
            self.namespace[found] = thing
        return found


@dataclass(slots=True)
class _Scope:
    """One generated function: its lines, the variables of values and tests it uses."""

    shared: frozenset[ir.Test]
    values: dict[ir.Value, str] = field(default_factory=dict)
    attributes: list[ir.Value] = field(default_factory=list)
    lazy: list[str] = field(default_factory=list)
    tests: dict[ir.Test, str] = field(default_factory=dict)
    found: dict[Lookup, str] = field(default_factory=dict)


def generate(
    rules: Sequence[tuple[object, ir.Predicate]],
    first_only: bool = False,
    lookups: Lookups | None = None,
    many: int = MANY,
) -> Source:
    """The source for (rule, predicate) pairs; `first_only` returns but the first rule that matches.

    `lookups`: those of a larger set of rules, so that several functions share their automata. `many`: see MANY.
    """
    return _Generator(rules, first_only, lookups or Lookups(predicate for _, predicate in rules), many).generate()


class _Generator:
    def __init__(
        self, rules: Sequence[tuple[object, ir.Predicate]], first_only: bool, lookups: Lookups, many: int
    ) -> None:
        self._rules = [(rule, predicate) for rule, predicate in rules if predicate is not ir.FALSE]
        self._first_only = first_only
        self._many = many
        self._globals = _Globals()
        self._functions: dict[ir.Predicate | Lookup, int] = {}
        self._function_texts: list[str] = []
        self._tables: dict[str, dict[int, list[Entry]]] = {}
        self._lookups: dict[ir.Test, Lookup] = {}
        self._find_lookups(lookups)

    def generate(self) -> Source:
        """The function; rules whose predicate is FALSE are left out."""
        predicates = [predicate for _, predicate in self._rules]
        found, in_blocks = blocks(predicates, self._lookups.get, ir.Builder(), self._many)
        scope = self._scope(predicate for place, predicate in enumerate(predicates) if place not in in_blocks)
        body: list[str] = []
        for place, (rule, predicate) in enumerate(self._rules):
            if place in in_blocks:
                continue
            name = self._globals.name("rule", rule)
            if found:
                then = f"hits[{place}] = {name}"
            else:
                then = f"return [{name}]" if self._first_only else f"hits.append({name})"
            if predicate is ir.TRUE:
                body.append(f"    {then}")
            else:
                body.append(f"    if {self._expression(predicate, scope)}:")
                body.append(f"        {then}")
        for number, block in enumerate(found):
            body += self._block(number, block, scope)
        lines = ["def match(e):"]
        if self._functions:
            lines.append(f"    m = [None] * {len(self._functions)}")
        lines += self._prologue(scope)
        if found:
            first = "[:1]" if self._first_only else ""
            lines += ["    hits = {}", *body, "    if not hits: return []"]
            lines += [f"    return [hits[place] for place in sorted(hits){first}]"]
        else:
            lines += ["    hits = []", *body, "    return hits"]
        text = "\n".join([*self._function_texts, "\n".join(lines), ""])
        return Source(text, self._globals.namespace, self._tables)

    # --- lookups -----------------------------------------------------------------------------------------------------

    def _find_lookups(self, lookups: Lookups) -> None:
        """Note for the tests of these rules which lookup answers them, if it has enough to do."""
        tests: dict[Lookup, list[ir.Test]] = {}
        for test in ir.tests_of(*(predicate for _, predicate in self._rules)):
            lookup = lookups.of(test)
            if lookup is not None:
                tests.setdefault(lookup, []).append(test)
        for lookup, asked in tests.items():
            if sum(map(weight, asked)) >= self._many:
                self._lookups.update(dict.fromkeys(asked, lookup))

    def _block(self, number: int, block: Block, scope: _Scope) -> list[str]:
        """The lines that ask the rules of a block; its table goes to the others."""
        table = self._tables[f"block{number}"] = {}
        for rule in block.rules:
            entry = self._entry(rule)
            for test in rule.tests:
                table.setdefault(block.lookup.numbers[test], []).append(entry)
        indent = "    "
        body = []
        if block.first is not ir.TRUE:
            body.append(f"    if {self._expression(block.first, scope)}:")
            indent += "    "
        return [
            *body,
            f"{indent}for number in {self._found(block.lookup, scope)}:",
            f"{indent}    for place, rule, rest in block{number}.get(number, ()):",
            f"{indent}        if rest is None or rest(e, m): hits[place] = rule",
        ]

    def _entry(self, rule: Guarded) -> Entry:
        name = self._globals.name("rule", self._rules[rule.place][0])
        return rule.place, name, None if rule.rest is ir.TRUE else f"part{self._part(rule.rest)}"

    def _found(self, lookup: Lookup, scope: _Scope) -> str:
        """The expression for the numbers of the tests that hold."""
        number = self._functions.get(lookup)
        if number is None:
            number = self._functions[lookup] = len(self._functions)
            inner = self._scope(())
            read, name = self._value(lookup.value, inner)
            find = self._globals.name("lookup", lookup)
            lines = [
                f"def find{number}(e, m):",
                f"    known = m[{number}]",
                "    if known is not None: return known",
                *self._prologue(inner),
                f"    m[{number}] = known = {find}.find({name}) if {read} is not M else ()",
                "    return known",
                "",
            ]
            self._function_texts.append("\n".join(lines))
        found = scope.found.get(lookup)
        if found is None:
            found = scope.found[lookup] = f"f{number}"
            scope.lazy.append(found)
        return f"({found} if {found} is not U else ({found} := find{number}(e, m)))"

    # --- functions ---------------------------------------------------------------------------------------------------

    def _scope(self, predicates: Iterable[ir.Predicate]) -> _Scope:
        """A scope, with the tests that are worth remembering: dear ones that occur more than once."""
        uses: Counter[ir.Predicate] = Counter()
        for predicate in predicates:
            uses.update(ir.tests_of(predicate))
        return _Scope(
            frozenset(
                test
                for test, count in uses.items()
                if count > 1 and isinstance(test, ir.Test) and test.operator not in _CHEAP
            )
        )

    def _prologue(self, scope: _Scope) -> list[str]:
        """Lines that read the attributes and clear the lazy variables."""
        lines = []
        for value in scope.attributes:
            name = scope.values[value]
            assert isinstance(value, ir.FieldValue)
            assert isinstance(value.field.getter, Attribute)
            lines.append(f"    {name} = e.{'.'.join(value.field.getter.path)}")
            if value.field.getter.path == RESPONSE_CODE:
                lines.append(f"    if {name} is not M: {name} = str({name})")
            if value.field.getter.path not in _CLEAN:
                lines.append(f'    if {name} and "\\0" in {name}: {name} = cut({name})')
        if scope.lazy:
            lines.append(f"    {' = '.join(scope.lazy)} = U")
        if scope.tests:
            lines.append(f"    {' = '.join(scope.tests.values())} = None")
        return lines

    def _function(self, predicate: ir.Predicate) -> str:
        """A call of the function that answers for a part."""
        return f"part{self._part(predicate)}(e, m)"

    def _part(self, predicate: ir.Predicate) -> int:
        """The number of the function that answers for a part; made when first asked for."""
        number = self._functions.get(predicate)
        if number is None:
            number = self._functions[predicate] = len(self._functions)
            scope = self._scope([predicate])
            expression = self._expression(predicate, scope, top=True)
            lines = [
                f"def part{number}(e, m):",
                f"    known = m[{number}]",
                "    if known is not None: return known",
                *self._prologue(scope),
                f"    m[{number}] = known = {expression}",
                "    return known",
                "",
            ]
            self._function_texts.append("\n".join(lines))
        return number

    # --- expressions -------------------------------------------------------------------------------------------------

    def _expression(self, predicate: ir.Predicate, scope: _Scope, top: bool = False) -> str:
        """The expression of a predicate. Parts that are deep or used twice are calls of their own functions."""
        uses = _uses(predicate)
        depths: dict[ir.Predicate, int] = {}
        texts: dict[ir.Predicate, str] = {}

        def combine(node: ir.Predicate, children: tuple[str, ...]) -> str:
            parts = ir.children_of(node)
            depth = 1 + max((depths[part] for part in parts), default=0)
            match node:
                case ir.Truth():
                    text = str(node.value)
                case ir.Test():
                    text = self._test(node, scope)
                case ir.All():
                    text = f"({' and '.join(children)})"
                case ir.Any():
                    text = f"({' or '.join(self._merged(parts, children, scope))})"
                case ir.Negation():
                    text = f"(not {children[0]})"
                case ir.ExactlyOne():
                    text = f"(sum(({', '.join(f'bool({child})' for child in children)})) == 1)"
            outer = top and node is predicate
            if not outer and parts and (depth >= _MAX_NESTING or uses[node] > 1):
                text, depth = self._function(node), 1
            depths[node], texts[node] = depth, text
            return text

        return ir.fold(predicate, combine)

    def _merged(self, parts: Sequence[ir.Predicate], texts: Sequence[str], scope: _Scope) -> list[str]:
        """Alternatives; those that one lookup answers are one question."""
        numbers: dict[Lookup, list[int]] = {}
        lookups = [self._lookup(part) if isinstance(part, ir.Test) else None for part in parts]
        for part, lookup in zip(parts, lookups, strict=True):
            if lookup is not None and isinstance(part, ir.Test):
                numbers.setdefault(lookup, []).append(lookup.numbers[part])
        merged: dict[str, None] = {}
        for lookup, text in zip(lookups, texts, strict=True):
            if lookup is not None and len(numbers[lookup]) > 1:
                wanted = self._globals.name("numbers", frozenset(numbers[lookup]))
                text = f"(not {wanted}.isdisjoint({self._found(lookup, scope)}))"
            merged[text] = None
        return list(merged)

    def _lookup(self, test: ir.Test) -> Lookup | None:
        """What answers a test within a condition; to compare two values once is cheaper than any lookup."""
        lookup = self._lookups.get(test)
        return None if lookup is None or lookup.kind is Kind.EQUAL else lookup

    def _test(self, test: ir.Test, scope: _Scope) -> str:
        lookup = self._lookup(test)
        if lookup is not None:
            return f"({lookup.numbers[test]} in {self._found(lookup, scope)})"
        text = self._plain_test(test, scope)
        if test not in scope.shared:
            return text
        name = scope.tests.setdefault(test, f"t{len(scope.tests)}")
        return f"({name} if {name} is not None else ({name} := {text}))"

    def _plain_test(self, test: ir.Test, scope: _Scope) -> str:
        read, name = self._value(test.left, scope)
        if test.operator == "exists":
            return f"({read} is not M)"
        if ir.is_value(test.right):
            other_read, other = self._value(test.right, scope)  # type: ignore[arg-type]
            table = LISTS if test.left.is_list else SCALAR
            if not test.left.is_list and test.operator in LISTS:
                table, other = SCALAR, f"[{other}]"
            compare = self._globals.name("compare", table[test.operator])
            return f"({read} is not M and {other_read} is not M and {compare}({name}, {other}))"
        match test.operator, test.left.is_list:
            case "=", _:
                return f"({read} == {self._globals.name('c', test.right)})"
            case "in", False:
                return f"({read} in {self._globals.name('items', test.right)})"
            case "in", True:
                return f"({read} is not M and {self._globals.name('items', test.right)}.issuperset({name}))"
            case "intersects", True:
                return f"({read} is not M and not {self._globals.name('items', test.right)}.isdisjoint({name}))"
            case ("!=" | "<" | "<=" | ">" | ">=") as operator, _:
                return f"({read} is not M and {name} {operator} {self._globals.name('c', test.right)})"
            case "contains", _:
                return f"({read} is not M and {self._globals.name('c', test.right)} in {name})"
            case "icontains", _:
                part = self._globals.name("c", ascii_lower(str(test.right)))
                lower = self._globals.name("lower", ascii_lower)
                return f"({read} is not M and {part} in {lower}({name}))"
            case ("startswith" | "endswith") as operator, _:
                return f"({read} is not M and {name}.{operator}({self._globals.name('c', test.right)}))"
            case ("glob" | "iglob") as operator, _:
                matches: object = compile_glob(str(test.right), operator == "iglob")
                return f"({read} is not M and {self._globals.name('glob', matches)}({name}))"
            case "regex", _:
                matches = compile_regex(str(test.right))
                return f"({read} is not M and {self._globals.name('regex', matches)}({name}))"
            case "pmatch", _:
                return f"({read} is not M and {self._globals.name('paths', _paths(test.right))}.find({name}))"
            case operator, _:
                compare = self._globals.name("compare", SCALAR[operator])
                return f"({read} is not M and {compare}({name}, {self._globals.name('c', test.right)}))"

    def _value(self, value: ir.Value, scope: _Scope) -> tuple[str, str]:
        """(expression that reads the value, name that holds it once that was evaluated)."""
        name = scope.values.get(value)
        if name is None:
            name = scope.values[value] = f"v{len(scope.values)}"
            if isinstance(value, ir.FieldValue) and isinstance(value.field.getter, Attribute):
                scope.attributes.append(value)
            else:
                scope.lazy.append(name)
        if isinstance(value, ir.FieldValue):
            if isinstance(value.field.getter, Attribute):
                return name, name
            read = f"{self._globals.name('get', value.field.getter)}(e)"
        else:
            read = f"{self._globals.name('read', _Reader(value))}(e)"
        return f"({name} if {name} is not U else ({name} := {read}))", name


@lru_cache(maxsize=4096)
def _paths(paths: tuple[str, ...]) -> PathTrie:
    return PathTrie(enumerate(paths))


class _Reader:
    """Reads a transformed value. One object for each value, so that it gets one name."""

    __slots__ = ("value",)

    def __init__(self, value: ir.Value) -> None:
        self.value = value

    def __call__(self, event: object) -> object:
        return evaluate_value(self.value, event)  # type: ignore[arg-type]


def _uses(predicate: ir.Predicate) -> Counter[ir.Predicate]:
    """How often each part stands in another part."""
    uses: Counter[ir.Predicate] = Counter()
    seen: set[ir.Predicate] = {predicate}
    work = [predicate]
    while work:
        for child in ir.children_of(work.pop()):
            uses[child] += 1
            if child not in seen:
                seen.add(child)
                work.append(child)
    return uses
