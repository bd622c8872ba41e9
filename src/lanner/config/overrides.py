"""`-o KEY=VALUE`: one setting given on the command line.

    option := path '=' value
    path   := name ('[' index? ']')* ('.' name ('[' index? ']')*)*

A backslash in a name makes the next character part of it (`my\\.key`). `[]` appends an item. A value in `{}` or `[]` is
YAML, anything else is text as it stands (falco `configuration.cpp` set_cmdline_option, `yaml_helper.h` get_node).
"""

from __future__ import annotations

from dataclasses import dataclass

from lanner.config.tree import Entry, Items, Node, Scalar, Section, TreeError, build, hide, valid_text
from lanner.diagnostics.report import Report
from lanner.diagnostics.source import SourceFile, Span, Text
from lanner.secrecy import is_secret_key, masked, secret_stretches
from lanner.yamltext import documents

APPEND = -1
_EXAMPLE = "write `-o key=value`, `-o section.key=value`, `-o list[]=value` or `-o list[0].key=value`."


@dataclass(frozen=True, slots=True)
class Override:
    """Steps from the top to the place of a value: keys, indexes, and APPEND for a new item."""

    path: tuple[str | int, ...]
    value: Node
    span: Span


def parse_override(option: str) -> Override:
    """Read one `-o`. Raises TreeError with a span within the option, which is its own file."""
    option = valid_text(option)
    source = _source(option)
    path, behind = _path(source)
    value = option[behind:]
    if value[:1] + value[-1:] in ("{}", "[]"):
        report = Report()
        # Blanks in the place of the path keep the columns.
        found = documents(_source(" " * behind + value), report)
        if report.has_errors:
            problem = report.diagnostics[0]
            raise TreeError(problem.message, problem.span or source.span(behind, len(option)), problem.help)
        node = build(found[0], None)
    else:
        text = Text.at(value, source, range(behind, len(option) + 1))
        node = Scalar(text, source.span(behind, len(option)))
    if any(isinstance(step, str) and is_secret_key(step) for step in path):
        hide(node)
    return Override(path, node, source.span(0, behind - 1))


def _source(text: str) -> SourceFile:
    """An option as its own file. It is one short text, so all in it that looks like a secret is hidden at once."""
    source = SourceFile("-o", text)
    for start, end in secret_stretches(text):
        source.hide(start, end)
    return source


def _path(source: SourceFile) -> tuple[tuple[str | int, ...], int]:
    """(the steps, the offset behind the `=`)."""
    text = source.text
    steps: list[str | int] = []
    name = ""
    named = False
    position = 0

    def refuse(message: str, start: int, end: int) -> TreeError:
        return TreeError(message, source.span(start, end), _EXAMPLE)

    while position < len(text):
        character = text[position]
        behind = text[position - 1] if position else ""
        if character in ".[=":
            if named:
                steps.append(name)
            elif behind != "]" or not steps:
                raise refuse("a key is missing", position, position + 1)
            name, named = "", False
            if character == "=":
                return tuple(steps), position + 1
            if character == "[":
                closing = text.find("]", position)
                index = text[position + 1 : closing]
                if closing < 0 or (index and not (index.isascii() and index.isdigit() and len(index) < 7)):
                    end = closing + 1 if closing >= 0 else len(text)
                    raise refuse(f"`{text[position:end]}` is no index", position, end)
                steps.append(int(index) if index else APPEND)
                position = closing
        else:
            if not named and behind == "]":
                raise refuse("a `.` is missing behind `]`", position, position + 1)
            if character == "\\" and position + 1 < len(text):
                position += 1
            name += text[position]
            named = True
        position += 1
    raise refuse(f"`{masked(text)}` has no `=`", 0, len(text))


def apply(root: Section, override: Override) -> None:
    """Put the value into the tree; sections and lists on the way are made. Raises TreeError where one of another kind
    is in the way, or an index is beyond the end of its list."""
    container: Node = root
    path = override.path
    for number, step in enumerate(path):
        last = number + 1 == len(path)
        present = _child(container, step, override)
        if last:
            node = override.value
        else:
            wanted = Section if isinstance(path[number + 1], str) else Items
            if present is not None and isinstance(present, wanted):
                container = present
                continue
            if present is not None and not (isinstance(present, Scalar) and present.empty):
                kind = "a section" if wanted is Section else "a list"
                raise TreeError(f"`{_written(path[: number + 1])}` is not {kind}", override.span, _EXAMPLE)
            node = Section(span=override.span) if wanted is Section else Items([], override.span)
        _put(container, step, node, override)
        container = node


def _child(container: Node, step: str | int, override: Override) -> Node | None:
    if isinstance(container, Section):
        entry = container.entries.get(str(step))
        return entry.value if entry is not None else None
    assert isinstance(container, Items)
    assert isinstance(step, int)
    if step == APPEND or step == len(container.items):
        return None
    if step > len(container.items):
        raise TreeError(
            f"there is no item {step}: the list has {len(container.items)}", override.span, "`[]` appends an item."
        )
    return container.items[step]


def _put(container: Node, step: str | int, node: Node, override: Override) -> None:
    if isinstance(container, Section):
        old = container.entries.get(str(step))
        container.entries[str(step)] = Entry(old.key if old is not None else override.span, node)
        return
    assert isinstance(container, Items)
    assert isinstance(step, int)
    if step == APPEND or step == len(container.items):
        container.items.append(node)
    else:
        container.items[step] = node


def _written(path: tuple[str | int, ...]) -> str:
    text = ""
    for step in path:
        text += f".{step}" if isinstance(step, str) else "[]" if step == APPEND else f"[{step}]"
    return text.removeprefix(".")
