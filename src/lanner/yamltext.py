"""YAML text -> nodes that keep their text and their place in the file.

In: a SourceFile. Out: one node per document. Nodes are built here from libyaml's event stream, without recursion and
without ever constructing Python values, so that `1.10`, `yes` and `0404` stay what was written.

Limits: collections nest up to MAX_DEPTH levels, and aliases may add up to MAX_ALIASED nodes, so that a small file
cannot grow into a huge one. libyaml's own limit on nesting differs between its releases and never decides. Null is
only an untagged, unquoted `~`, `null`, `Null`, `NULL` or nothing (as yaml-cpp).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

import yaml

from lanner.diagnostics.codes import Code
from lanner.diagnostics.report import Report
from lanner.diagnostics.source import SourceFile, Span, Text
from lanner.regular_file import MAX_TEXT_BYTES, read_regular_file, reason

MAX_DEPTH = 100
MAX_ALIASED = 250_000

_NULL_WORDS = frozenset(("", "~", "null", "Null", "NULL"))
_BLANKS = re.compile(r"[ \t\r\n]*")
_RUNS = re.compile(r"[ \t\r\n]+|[^ \t\r\n]+")
_BREAK = re.compile(r"\r\n|\r|\n")
_PROPERTIES = re.compile(r"(?:[&!]\S*(?:[ \t\r\n]|#[^\r\n]*)*)+")
# libyaml ends lines at these three, yaml-cpp does not: they are text.
_TEXT_BREAKS = "\x85\u2028\u2029"
_ESCAPE_WIDTHS = {"x": 4, "u": 6, "U": 10}


@dataclass(frozen=True, slots=True, eq=False)
class Scalar:
    """A scalar: `value` is its text after YAML's unquoting and folding, `span` what stands in the file."""

    value: str
    span: Span
    style: str
    is_null: bool

    def text(self) -> Text:
        """The value with the file position of each of its characters."""
        source, start, end = self.span.source, self.span.start, self.span.end
        if self.style in ("'", '"'):
            start += 1
        block = self.style in ("|", ">")
        if not block and source.text.startswith(self.value, start) and start + len(self.value) <= end:
            return Text.at(self.value, source, range(start, start + len(self.value) + 1))
        match self.style:
            case "'" | '"':
                places = _quoted_places(source.text, start, end - 1, self.style)
            case "|" | ">":
                header = _BREAK.search(source.text, start, end)
                places = _folded_places(source.text, header.end() if header else end, end, self.value)
            case _:
                places = _folded_places(source.text, start, end, self.value)
        if len(places) != len(self.value) + 1:
            places = [start] * (len(self.value) + 1)
        return Text.at(self.value, source, places)


@dataclass(frozen=True, slots=True, eq=False)
class SequenceNode:
    """A sequence."""

    span: Span
    items: list[Node] = field(default_factory=list)


@dataclass(frozen=True, slots=True, eq=False)
class MappingNode:
    """A mapping: `pairs` as written; `entries` by the text of scalar keys, where the first of equal keys counts.

    `<<` is a key like any other.
    """

    span: Span
    pairs: list[tuple[Node, Node]] = field(default_factory=list)
    entries: dict[str, Node] = field(default_factory=dict)

    def get(self, key: str) -> Node | None:
        return self.entries.get(key)

    def key_span(self, key: str) -> Span:
        """Where the key stands; the mapping itself if it is not there."""
        return next((node.span for node, _ in self.pairs if isinstance(node, Scalar) and node.value == key), self.span)


Node: TypeAlias = "Scalar | SequenceNode | MappingNode"


class _Problem(Exception):  # noqa: N818
    """The text is not YAML, at `offset`."""

    def __init__(self, message: str, offset: int, help: str = "") -> None:
        super().__init__(message)
        self.offset = offset
        self.help = help


def read_source(path: str | Path, report: Report) -> SourceFile | None:
    """The text of a file; None, and an error in the report, if it cannot be read or is not UTF-8."""
    try:
        data = read_regular_file(path, MAX_TEXT_BYTES)
    except OSError as error:
        nowhere = SourceFile(str(path), "").span(0, 0)
        report.add(Code.ERR_FILE_READ, f"cannot read `{path}`: {reason(error)}", nowhere)
        return None
    return decode_source(str(path), data, report)


def decode_source(name: str, data: bytes, report: Report) -> SourceFile | None:
    """A file from its bytes, without byte order mark; None, and an error at the first bad byte, if not UTF-8."""
    try:
        return SourceFile(name, data.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        before = error.object[: error.start].decode("utf-8-sig", "replace")
        source = SourceFile(name, error.object.decode("utf-8-sig", "replace"))
        report.add(
            Code.ERR_FILE_READ,
            f"byte 0x{error.object[error.start]:02x} is not UTF-8 text",
            source.span(len(before), len(before) + 1),
            "save the file as UTF-8.",
        )
        return None


def documents(source: SourceFile, report: Report) -> list[Node]:
    """The documents of a file that are not empty. If the file is not YAML: an error in the report, and none."""
    try:
        return [node for node in _compose(source) if not (isinstance(node, Scalar) and node.is_null)]
    except _Problem as problem:
        report.add(
            Code.ERR_YAML_PARSE, str(problem), source.span(problem.offset, problem.offset + 1), help=problem.help
        )
        return []


def opening_key(source: SourceFile) -> str | None:
    """The first key, if the first document is a mapping; empty if that key is no scalar or there is none.

    Reads no further, so the rest may be anything. None if the first document is no mapping, or the text is not YAML
    before its first key ends.
    """
    source, _ = _without_text_breaks(source)
    nodes = (event for event, _, _ in _events(source) if isinstance(event, yaml.NodeEvent | yaml.MappingEndEvent))
    try:
        if not isinstance(next(nodes, None), yaml.MappingStartEvent):
            return None
        key = next(nodes, None)
    except _Problem:
        return None
    return key.value if isinstance(key, yaml.ScalarEvent) else ""


def _events(source: SourceFile) -> Iterator[tuple[yaml.Event, int, int]]:
    """libyaml's events with the character offsets of their marks. Raises _Problem where the text is not YAML, after
    all events before that place.

    libyaml reads ahead, and drops the events of what it has read when it meets an error there. The text before the
    error is therefore parsed once more, which makes the first problem of a file the same with every libyaml.
    """
    text = source.text
    start, end = 1 if text.startswith("\ufeff") else 0, len(text)
    delivered = 0
    problem: _Problem | None = None
    while True:
        count, ended = 0, False
        try:
            for event in yaml.parse(text[start:end], Loader=yaml.CSafeLoader):
                count += 1
                if count > delivered:
                    first, last = event.start_mark, event.end_mark
                    yield event, (first.index if first else 0) + start, (last.index if last else 0) + start
                ended = isinstance(event, yaml.DocumentEndEvent) and bool(event.explicit)
        except (yaml.YAMLError, UnicodeEncodeError) as error:
            anew = _next_document(error) if ended else 0
            if anew:
                start, delivered = start + anew, 0
                continue
            found = _problem(error, source, start, end)
            if problem is None or found.offset < end:
                problem, end, delivered = problem or found, found.offset, count
                continue
        if problem is not None:
            raise problem
        return


def _next_document(error: Exception) -> int:
    """Where the next document begins, if libyaml only misses a `---` after `...`, which the language does not ask for;
    0 for other errors."""
    if not isinstance(error, yaml.MarkedYAMLError) or "<document start>" not in (error.problem or ""):
        return 0
    mark = error.problem_mark or error.context_mark
    return (mark.index or 0) if mark else 0


def _problem(error: Exception, source: SourceFile, start: int, end: int) -> _Problem:
    """What an error of libyaml says of the text between two offsets."""
    text = source.text
    match error:
        case UnicodeEncodeError():
            return _Problem("a lone surrogate is not text", error.start + start)
        case yaml.reader.ReaderError():
            # libyaml counts bytes here.
            offset = len(text[start:end].encode()[: error.position].decode(errors="ignore")) + start
            return _Problem(f"character U+{ord(text[offset]):04X} is not allowed in YAML", offset)
        case yaml.MarkedYAMLError():
            begun, mark = error.context_mark, error.problem_mark or error.context_mark
            offset = min((mark.index or 0) + start if mark else 0, end)
            message = error.problem or "this is not YAML"
            if error.context:
                message = f"{message}, {error.context}"
            if begun and mark and begun.line != mark.line:
                line = source.span(begun.index + start, begun.index + start).location.line
                message = f"{message} (begun on line {line})"
            return _Problem(message, offset, _advice(text, offset))
    return _Problem("this is not YAML", start)


def _advice(text: str, offset: int) -> str:
    if text[offset : offset + 1] == "\t":
        return "indent with blanks: YAML takes no tabs there."
    if text[offset : offset + 1] == "\\":
        return "in double quotes a backslash begins an escape: double it, or use single quotes."
    if text[offset : offset + 1] in ("%", "@", "`"):
        return "put the value in quotes: a plain one cannot begin with this character."
    return "check quotes, brackets and the indentation around this place."


class _Frame:
    """A collection being built; `key` is the key of a mapping that waits for its value."""

    __slots__ = ("key", "node", "weight")

    def __init__(self, node: SequenceNode | MappingNode) -> None:
        self.node = node
        self.key: Node | None = None
        self.weight = 1

    def put(self, child: Node) -> None:
        node = self.node
        if isinstance(node, SequenceNode):
            node.items.append(child)
        elif self.key is None:
            self.key = child
        else:
            node.pairs.append((self.key, child))
            if isinstance(self.key, Scalar):
                node.entries.setdefault(self.key.value, child)
            self.key = None


def _compose(source: SourceFile) -> list[Node]:
    source, restore = _without_text_breaks(source)
    roots: list[Node] = []
    frames: list[_Frame] = []
    anchors: dict[str, Node] = {}
    weights: dict[int, int] = {}
    aliased = 0
    for event, start, end in _events(source):
        node: Node
        match event:
            case yaml.ScalarEvent():
                node, weight = _scalar(event, source, start, end, restore), 1 + len(event.value) // 64
                if event.anchor:
                    anchors[event.anchor], weights[id(node)] = node, weight
            case yaml.SequenceStartEvent() | yaml.MappingStartEvent():
                if len(frames) >= MAX_DEPTH:
                    raise _Problem(f"nested deeper than {MAX_DEPTH} levels", start)
                span = Span(restore.source, start, max(end, start + 1))
                node = SequenceNode(span) if isinstance(event, yaml.SequenceStartEvent) else MappingNode(span)
                if event.anchor:
                    anchors[event.anchor] = node
                frames.append(_Frame(node))
                continue
            case yaml.SequenceEndEvent() | yaml.MappingEndEvent():
                frame = frames.pop()
                node, weight = frame.node, frame.weight
                weights[id(node)] = weight
            case yaml.AliasEvent():
                node, weight = _aliased(event, start, anchors, weights)
                aliased += weight
                if aliased > MAX_ALIASED:
                    raise _Problem(f"aliases add more than {MAX_ALIASED:,} nodes", start)
            case yaml.DocumentStartEvent():
                anchors.clear()
                continue
            case _:
                continue
        if frames:
            frames[-1].put(node)
            frames[-1].weight += weight
        else:
            roots.append(node)
    return roots


def _aliased(event: yaml.AliasEvent, start: int, anchors: dict[str, Node], weights: dict[int, int]) -> tuple[Node, int]:
    node = anchors.get(event.anchor or "")
    if node is None:
        raise _Problem(f"there is no anchor `&{event.anchor}`", start, "an anchor stands before its alias.")
    weight = weights.get(id(node))
    if weight is None:
        raise _Problem(f"alias `*{event.anchor}` stands inside what it refers to", start)
    return node, weight


@dataclass(frozen=True, slots=True)
class _Restore:
    """The file as it is, and how to put back the characters that were hidden from libyaml."""

    source: SourceFile
    table: dict[int, str]


def _without_text_breaks(source: SourceFile) -> tuple[SourceFile, _Restore]:
    if source.text.isascii() or not any(char in source.text for char in _TEXT_BREAKS):
        return source, _Restore(source, {})
    spare = (chr(code) for code in range(0xE000, 0xF8FF) if chr(code) not in source.text)
    hide = dict(zip(_TEXT_BREAKS, spare, strict=False))
    hidden = source.text.translate({ord(char): other for char, other in hide.items()})
    return SourceFile(source.name, hidden), _Restore(source, {ord(other): char for char, other in hide.items()})


def _scalar(event: yaml.ScalarEvent, source: SourceFile, start: int, end: int, restore: _Restore) -> Scalar:
    style = event.style or ""
    if event.anchor or event.tag:
        found = _PROPERTIES.match(source.text, start, end)
        start = found.end() if found else start
    if style in ("|", ">", ""):
        end = max(start, start + len(source.text[start:end].rstrip()))
    value = event.value.translate(restore.table) if restore.table else event.value
    is_null = not style and not event.tag and value in _NULL_WORDS
    return Scalar(value, Span(restore.source, start, end), style, is_null)


def _folded_places(text: str, start: int, end: int, value: str) -> Sequence[int]:
    """Where the characters of a block or of a plain scalar of several lines stand.

    Folding and indentation change only blanks and line ends, so the words stand in the file in their order.
    """
    places: list[int] = []
    position = start
    for run in _RUNS.findall(value):
        gap_end = _BLANKS.match(text, position, end).end()  # type: ignore[union-attr]
        if run[0] in " \t\r\n":
            last = max(position, gap_end - 1)
            places.extend(min(position + index, last) for index in range(len(run)))
            continue
        if not text.startswith(run, gap_end):
            return []
        position = gap_end + len(run)
        places.extend(range(gap_end, position))
    places.append(position if value else start)
    return places


def _quoted_places(text: str, start: int, end: int, quote: str) -> Sequence[int]:
    """Where the characters between two quotes stand; an escape stands where it begins."""
    places: list[int] = []
    position = start
    while position < end:
        char = text[position]
        if char == "\\" and quote == '"':
            after = _BREAK.match(text, position + 1)
            if after:
                position = _BLANKS.match(text, after.end(), end).end()  # type: ignore[union-attr]
                continue
            places.append(position)
            position += _ESCAPE_WIDTHS.get(text[position + 1], 2)
        elif char in " \t\r\n":
            gap_end = _BLANKS.match(text, position, end).end()  # type: ignore[union-attr]
            breaks = len(_BREAK.findall(text, position, gap_end))
            if breaks:
                count = max(1, breaks - 1)
                places.extend(min(position + index, gap_end - 1) for index in range(count))
            else:
                places.extend(range(position, gap_end))
            position = gap_end
        else:
            places.append(position)
            position += 2 if char == "'" == quote else 1
    places.append(end)
    return places
