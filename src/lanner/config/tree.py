"""Settings as a tree that knows where everything stands, with environment variables filled in.

In: YAML nodes. Out: `Scalar`, `Items` and `Section` nodes, which overrides and included files may still change.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from lanner import yamltext
from lanner.diagnostics.source import Span, Text
from lanner.secrecy import is_secret_key

NULL_WORDS = frozenset(("", "~", "null", "Null", "NULL"))
"""What YAML reads as nothing. A text that says so comes of a template or a query that found nothing."""


@dataclass(slots=True)
class Scalar:
    """A single value. `quoted`: it is text, whatever it looks like; `empty`: it is the null of YAML.

    `unset`: the variables in it that are not set, or empty.
    """

    text: Text
    span: Span
    quoted: bool = False
    empty: bool = False
    unset: tuple[str, ...] = ()

    @property
    def blank(self) -> bool:
        """Whether it says nothing: null, also in quotes, no characters, or blanks alone."""
        return self.empty or self.text.value.strip() in NULL_WORDS


@dataclass(slots=True)
class Items:
    """A list."""

    items: list[Node]
    span: Span


@dataclass(slots=True)
class Entry:
    """A key of a section and its value."""

    key: Span
    value: Node


@dataclass(slots=True)
class Section:
    """A mapping, keys in the order of the file. `repeated`: keys that were there before, which do not count."""

    entries: dict[str, Entry] = field(default_factory=dict)
    span: Span | None = None
    repeated: list[tuple[str, Span]] = field(default_factory=list)


Node: TypeAlias = "Scalar | Items | Section"


class TreeError(Exception):
    """A tree that settings cannot have."""

    def __init__(self, message: str, span: Span, help: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.span = span
        self.help = help


def build(node: yamltext.Node, environ: Mapping[str, str] | None) -> Node:
    """The tree of a YAML node; the first of equal keys holds, as in Falco. Variables are filled into values, not keys;
    `environ` None leaves them as they are. Values of keys that name a secret are hidden in their file, and values with
    variables that are not set get a note there. Raises TreeError for a key that is no text.
    """
    return _Builder(environ).build(node)


class _Builder:
    """Nodes nest at most as deep as yamltext allows, so this may recurse; what an alias names is built once."""

    def __init__(self, environ: Mapping[str, str] | None) -> None:
        self._environ = environ
        self._built: dict[int, Node] = {}

    def build(self, node: yamltext.Node) -> Node:
        found = self._built.get(id(node))
        if found is None:
            found = self._built[id(node)] = self._build(node)
        return found

    def _build(self, node: yamltext.Node) -> Node:
        match node:
            case yamltext.SequenceNode():
                return Items([self.build(item) for item in node.items], node.span)
            case yamltext.MappingNode():
                section = Section(span=node.span)
                for key, value in node.pairs:
                    if not isinstance(key, yamltext.Scalar):
                        raise TreeError("a key must be a text", key.span, "write `name: value`.")
                    built = self.build(value)
                    if is_secret_key(key.value):
                        hide(built)
                    if key.value in section.entries:
                        section.repeated.append((key.value, key.span))
                        continue
                    section.entries[key.value] = Entry(key.span, built)
                return section
            case yamltext.Scalar():
                if self._environ is None:
                    return Scalar(node.text(), node.span, bool(node.style), node.is_null)
                text, unset = expand(node.text(), self._environ)
                for name in unset:
                    state = "is empty" if name in self._environ else "is not set"
                    node.span.source.note(node.span.start, node.span.end, f"the environment variable `{name}` {state}")
                return Scalar(text, node.span, bool(node.style), node.is_null, unset)


def hide(node: Node) -> None:
    """Never show what stands there. What holds nothing may be shown: the name of a variable that is not set helps."""
    for scalar in scalars(node):
        if scalar.blank:
            continue
        scalar.span.source.hide(scalar.span.start, scalar.span.end)


def scalars(node: Node) -> Iterator[Scalar]:
    """All single values in a tree."""
    match node:
        case Scalar():
            yield node
        case Items():
            for item in node.items:
                yield from scalars(item)
        case Section():
            for entry in node.entries.values():
                yield from scalars(entry.value)


def expand(text: Text, environ: Mapping[str, str]) -> tuple[Text, tuple[str, ...]]:
    """(the text with `${NAME}` replaced by the variable, by nothing if there is none; names of variables that gave
    nothing). `$${NAME}` stands for `${NAME}`.

    What a variable holds is not looked at again. The characters of a variable stand where its `${` stands.
    """
    value = text.value
    if "${" not in value:
        return text, ()
    unset: list[str] = []
    pieces: list[str] = []
    origins: list[int] = []
    position = 0
    while position < len(value):
        dollar = value.find("$", position)
        dollar = len(value) if dollar < 0 else dollar
        pieces.append(value[position:dollar])
        origins.extend(range(position, dollar))
        position = dollar
        closing = value.find("}", dollar)
        if closing >= 0 and value.startswith("$${", dollar):
            pieces.append(value[dollar + 1 : closing + 1])
            origins.extend(range(dollar + 1, closing + 1))
            position = closing + 1
        elif closing >= 0 and value.startswith("${", dollar):
            name = value[dollar + 2 : closing]
            replacement = valid_text(environ.get(name, ""))
            if not replacement:
                unset.append(name)
            pieces.append(replacement)
            origins.extend([dollar] * len(replacement))
            position = closing + 1
        elif dollar < len(value):
            pieces.append("$")
            origins.append(dollar)
            position += 1
    places = [text.span(origin, origin + 1).start for origin in (*origins, len(value))]
    return Text.at("".join(pieces), text.span(0, 1).source, places), tuple(dict.fromkeys(unset))


def valid_text(text: str) -> str:
    """The text of a variable or argument; bytes that are no UTF-8, which Python keeps as surrogates, become U+FFFD."""
    return text.encode(errors="surrogateescape").decode(errors="replace")


_INTEGER = re.compile(r"[-+]?[0-9]{1,18}")
_NUMBER = re.compile(r"[-+]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]+)?")
_TRUE = frozenset(("true", "yes", "on", "y"))
_FALSE = frozenset(("false", "no", "off", "n"))


def read_bool(text: str) -> bool:
    """A truth value as yaml-cpp reads it: true, yes, on, y and their opposites, lower, Capitalised or UPPER.

    Raises ValueError for anything else.
    """
    word = text.lower()
    if text in (word, word.capitalize(), word.upper()):
        if word in _TRUE:
            return True
        if word in _FALSE:
            return False
    raise ValueError(text)


def read_integer(text: str) -> int:
    """A whole number from 0, decimal or hexadecimal. Raises ValueError for anything else."""
    if not text.isascii():
        raise ValueError(text)
    number = int(text, 16) if text[:2].lower() == "0x" else int(text)
    if number < 0 or "_" in text:
        raise ValueError(text)
    return number


def plain(node: Node) -> object:
    """The tree as plain dicts, lists, texts, numbers, truth values and None."""
    match node:
        case Section():
            return {key: plain(entry.value) for key, entry in node.entries.items()}
        case Items():
            return [plain(item) for item in node.items]
        case Scalar():
            return _plain_scalar(node)


def _plain_scalar(node: Scalar) -> object:
    text = node.text.value
    if node.empty:
        return None
    if node.quoted:
        return text
    if text in ("true", "True", "TRUE"):
        return True
    if text in ("false", "False", "FALSE"):
        return False
    if _INTEGER.fullmatch(text):
        return int(text)
    return float(text) if _NUMBER.fullmatch(text) else text
