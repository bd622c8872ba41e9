"""Rule sets to measure with: texts, their copies with other constants, and rules with very many constants.

All of it is made from fixed seeds: the same every time.
"""

from __future__ import annotations

import json
import re
import string
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from random import Random

from lanner.condition.ast import And, Compare, Expr, FieldRef, ListLiteral, Literal, Not, Or
from lanner.condition.printer import print_condition, quote
from lanner.diagnostics.source import SourceFile
from lanner.engine.loader import LoadResult, load_sources
from lanner.engine.ruleset import CompiledRule

_CLOSED = frozenset(
    (
        "ka.verb",
        "ka.stage",
        "ka.target.resource",
        "ka.target.subresource",
        "ka.response.code",
        "ka.auth.decision",
        "ka.req.service.type",
        "jevt.value",
        "jevt.rawtime",
    )
)
"""Fields whose values come from a short list that Kubernetes knows: a copy asks for the same ones, else it could never
match and would cost nothing."""

_LETTERS = re.compile("[A-Za-z]+")
_PATTERNS = ("regex", "glob", "iglob")
_BOOLEANS = frozenset(("true", "false"))


@dataclass(frozen=True)
class Rules:
    """A named rules text."""

    name: str
    text: str

    def load(self) -> LoadResult:
        """Raises ValueError for rules with errors: a benchmark of half a ruleset says nothing."""
        result = load_sources([SourceFile(self.name, self.text)])
        if not result.ok:
            raise ValueError(f"the rules `{self.name}` do not load")
        return result

    def copies(self, count: int) -> Rules:
        """The same rules `count` times. See `other_condition` for how a copy differs from the rule."""
        rules = self.load().rules
        copies = (_copy(rule, index, number) for number in range(1, count) for index, rule in enumerate(rules))
        return Rules(f"{self.name} x{count}", self.text.rstrip("\n") + "\n" + "".join(copies))

    def with_rules(self, name: str, conditions: Iterable[str], many: Sequence[str] = ()) -> Rules:
        """The same and a rule for each of the conditions, which may use a list `many`."""
        added = [f"- list: many\n  items: {json.dumps(many)}\n"] if many else []
        added += [
            _rule(f"{name} {number}", condition, "%ka.user.name %ka.verb %ka.uri", "NOTICE")
            for number, condition in enumerate(conditions)
        ]
        return Rules(name, self.text.rstrip("\n") + "\n" + "".join(added))


def _rule(name: str, condition: str, output: str, priority: str, enabled: bool = True) -> str:
    keys = {"condition": condition, "output": output, "priority": priority, "source": "k8s_audit", "desc": name}
    lines = [f"- rule: {json.dumps(name)}", *(f"  {key}: {json.dumps(text)}" for key, text in keys.items())]
    return "\n".join([*lines, f"  enabled: {json.dumps(enabled)}"]) + "\n"


def _copy(rule: CompiledRule, index: int, number: int) -> str:
    condition = print_condition(other_condition(rule.resolved.condition, index, number))
    output = rule.resolved.output.value
    return _rule(f"{rule.name} copy {number}", condition, output, rule.priority.name, rule.enabled)


def other_condition(condition: Expr, index: int, number: int) -> Expr:
    """The condition of copy `number` of rule `index`: another team's rule of the same kind.

    Where it names users, namespaces, objects, images, paths or words, the copy names others. Where it names exceptions
    (`not ... in`), the copy has one more of its own. If that leaves nothing that only the copy asks for, it is
    narrowed to users, groups, namespaces or names of its own. Verbs, resources, stages and codes stay, so that
    copies ask about the same requests as the rule.
    """
    changed, own = _other(condition, number, positive=True)
    if own:
        return changed
    scope = _SCOPES[(index + number) % len(_SCOPES)](f"{index} {number}")
    return And((changed, scope), condition.span)


def _other(expr: Expr, number: int, *, positive: bool) -> tuple[Expr, bool]:
    """The expression with other constants, and whether it asks for one of them. Rules nest a few levels."""
    match expr:
        case And() | Or():
            pairs = [_other(child, number, positive=positive) for child in expr.children]
            return replace(expr, children=tuple(child for child, _ in pairs)), any(own for _, own in pairs)
        case Not():
            child, own = _other(expr.child, number, positive=not positive)
            return replace(expr, child=child), own
        case Compare(left=FieldRef(name=name)) if name not in _CLOSED:
            wanted = positive != expr.operator.startswith("!")
            match expr.right:
                case Literal() if wanted and _is_word(expr.right):
                    other = _other_pattern if expr.operator in _PATTERNS else _other_word
                    return replace(expr, right=other(expr.right, number)), True
                case ListLiteral(items=items) if wanted and all(map(_is_word, items)):
                    others = tuple(_other_word(item, number) for item in items)
                    return replace(expr, right=replace(expr.right, items=others)), bool(items)
                case ListLiteral(items=items) if not wanted:
                    added = Literal(word(f"exception {number} {name}"), expr.span)
                    return replace(expr, right=replace(expr.right, items=(*items, added), bare=False)), False
    return expr, False


def _is_word(literal: Literal) -> bool:
    return literal.value not in _BOOLEANS and not literal.value.isdigit()


def _other_word(literal: Literal, number: int) -> Literal:
    """A constant of the same length and punctuation with other letters."""
    value = literal.value
    draw = Random(f"{number} {value}")
    changed = _LETTERS.sub(lambda letters: "".join(draw.choices(string.ascii_lowercase, k=len(letters[0]))), value)
    return replace(literal, value=changed if changed != value else f"{value}{number}")


def _other_pattern(literal: Literal, number: int) -> Literal:
    """A pattern that asks for a word more: letters in it may mean something."""
    return replace(literal, value=f"({literal.value}){word(f'{number} {literal.value}')}")


def word(seed: str) -> str:
    """A made-up name that no recorded event holds."""
    draw = Random(seed)
    return "".join(draw.choices(string.ascii_lowercase, k=draw.randint(8, 14)))


def words(count: int, kind: str = "word") -> list[str]:
    """That many different ones."""
    return [f"{word(f'{kind} {number}')}-{number}" for number in range(count)]


def _compare(field: str, operator: str, *values: str, bare: bool = False) -> Compare:
    span = SourceFile("<benchmark>", "").span(0, 0)
    items = tuple(Literal(value, span) for value in values)
    return Compare(FieldRef(field, None, span), operator, items[0] if bare else ListLiteral(items, span), span)


_SCOPES: tuple[Callable[[str], Compare], ...] = (
    lambda seed: _compare("ka.target.namespace", "=", f"team-{word(seed)}", bare=True),
    lambda seed: _compare("ka.user.name", "=", f"{word(seed)}@example.com", bare=True),
    lambda seed: _compare("ka.target.name", "startswith", f"{word(seed)}-", bare=True),
    lambda seed: _compare("ka.target.namespace", "in", *(f"{word(seed)}-{end}" for end in ("dev", "test", "prod"))),
    lambda seed: _compare("ka.user.groups", "intersects", f"{word(seed)}-admins", f"{word(seed)}-owners"),
)


# --- very many constants ---------------------------------------------------------------------------------------------

CONFIGMAP = "kevt and configmap and kmodify"
"""Where Falco's rules look for words in config maps."""


def in_list(rules: Rules, field: str, count: int) -> Rules:
    """`field in (...)` with that many items."""
    return rules.with_rules(f"{count:,} items, {field} in", [f"{field} in (many)"], words(count))


def contains(rules: Rules, field: str, count: int, *, spread: bool = False, among: str = "") -> Rules:
    """That many words that a field may contain, in one condition or each in a rule. `among`: asked first."""
    return _many(rules, f"{count:,} words, {field} contains", field, "contains", words(count), spread, among)


def ending(end: str, count: int) -> Rules:
    """One rule that looks in config maps for that many short names with the same end."""
    names = {f"{name[:6]}{end}": None for name in words(count)}
    condition = " or ".join(f"ka.req.configmap.obj contains {quote(name)}" for name in names)
    rule = _rule("names", f"ka.target.resource = configmaps and ({condition})", "o", "NOTICE")
    return Rules(f"{count:,} names", rule)


def regexes(rules: Rules, field: str, count: int, *, spread: bool = False) -> Rules:
    """That many regular expressions of several kinds."""
    forms = (".*/{}/[a-z0-9-]+", "/api/v1/namespaces/{}/.*", ".*[?&]{}=[0-9]+.*", "/(api|apis)/.*/{}(/.*)?")
    patterns = [forms[number % len(forms)].format(name) for number, name in enumerate(words(count, "regex"))]
    return _many(rules, f"{count:,} regexes, {field}", field, "regex", patterns, spread)


def globs(rules: Rules, field: str, count: int, *, spread: bool = False) -> Rules:
    """That many shell patterns of several kinds."""
    forms = ("*/{}/*", "/api/*/namespaces/{}-*", "*{}", "/apis/{}.?.example.com/*")
    patterns = [forms[number % len(forms)].format(name) for number, name in enumerate(words(count, "glob"))]
    return _many(rules, f"{count:,} globs, {field}", field, "glob", patterns, spread)


def prefixes(rules: Rules, field: str, count: int, *, spread: bool = False) -> Rules:
    """That many beginnings of paths, `startswith`."""
    forms = ("/api/v1/namespaces/{}/", "/apis/{}.example.com/", "/api/v1/{}", "/{}")
    paths = [forms[number % len(forms)].format(name) for number, name in enumerate(words(count, "prefix"))]
    return _many(rules, f"{count:,} prefixes, {field}", field, "startswith", paths, spread)


def path_prefixes(rules: Rules, field: str, count: int) -> Rules:
    """That many paths that a path may lie below, `pmatch`."""
    forms = ("/api/v1/namespaces/{}", "/apis/{}.example.com", "/api/v1/{}/status", "/{}")
    paths = [forms[number % len(forms)].format(name) for number, name in enumerate(words(count, "path"))]
    return rules.with_rules(f"{count:,} paths, {field} pmatch", [f"{field} pmatch (many)"], paths)


def _many(
    rules: Rules, name: str, field: str, operator: str, values: Iterable[str], spread: bool, among: str = ""
) -> Rules:
    tests = [f"{field} {operator} {quote(value)}" for value in values]
    conditions = tests if spread else [" or ".join(tests)]
    title = f"{name}{', a rule each' if spread else ''}"
    return rules.with_rules(title, [f"{among} and ({test})" if among else test for test in conditions])
