"""A rules file -> which fields its conditions read, and where a field can keep a rule from matching.

In: the YAML text, each condition parsed alone. Out: the fields that are read, and the pairs of definition (macro or
rule) and field in an excluding position: below an odd number of `not`, compared with `!=`, or required by `exists`, so
that leaving the field out is enough.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import yaml

from lanner.condition.ast import And, Compare, Exists, Expr, FieldRef, MacroRef, Not, Or
from lanner.condition.parser import parse
from lanner.diagnostics.source import Text
from lanner.rules.exceptions import fields_of


class Conditions:
    """The conditions of a rules file by the name of their macro or rule, as written."""

    def __init__(self, path: Path) -> None:
        items = yaml.safe_load(path.read_text(encoding="utf-8"))
        self.macros = {item["macro"]: _parsed(item) for item in items if "macro" in item}
        self.rules = {item["rule"]: _parsed(item) for item in items if "rule" in item}

    def read(self) -> set[str]:
        """Every field that the condition of a rule reads, itself or through macros."""
        return {field for rule in self.rules for _, field, _ in self._reads(rule)}

    def read_by(self, rule: str) -> set[str]:
        """The fields that the condition of that rule reads, itself or through macros."""
        return {field for _, field, _ in self._reads(rule)}

    def exclusions(self) -> set[tuple[str, str]]:
        """(macro or rule, field) for each field in an excluding position; the macro is the one in which it stands."""
        return {(name, field) for rule in self.rules for name, field, excluding in self._reads(rule) if excluding}

    def _reads(self, rule: str) -> Iterator[tuple[str, str, bool]]:
        """(definition, field, excluding) for each check of a field below a rule."""
        work: list[tuple[str, Expr, bool]] = [(rule, self.rules[rule], False)]
        while work:
            name, node, negated = work.pop()
            match node:
                case And() | Or():
                    work.extend((name, child, negated) for child in node.children)
                case Not():
                    work.append((name, node.child, not negated))
                case MacroRef():
                    work.append((node.name, self.macros[node.name], negated))
                case Exists():
                    yield from ((name, _spelled(field), True) for field in fields_of(node.left))
                case Compare():
                    excluding = negated != (node.operator == "!=")
                    for operand in (node.left, node.right):
                        yield from ((name, _spelled(field), excluding) for field in fields_of(operand))


def _parsed(item: dict[str, str]) -> Expr:
    return parse(Text.plain(item["condition"]))


def _spelled(field: FieldRef) -> str:
    return field.name if field.argument is None else f"{field.name}[{field.argument}]"
