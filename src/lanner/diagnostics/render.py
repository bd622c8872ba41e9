"""Diagnostics -> text for people, and JSON in the shape of Falco's `falco_load_results`.

In: diagnostics and the names of files. Nothing here opens a file: the lines shown come with the spans.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Sequence
from typing import TypeAlias

from lanner.diagnostics.codes import Severity
from lanner.diagnostics.diagnostic import Context, Diagnostic
from lanner.diagnostics.source import Location, Span
from lanner.escaping import one_line

FileResult: TypeAlias = tuple[str, Sequence[Diagnostic]]
"""The name of a file and what was found in it."""

Json: TypeAlias = "dict[str, Json] | list[Json] | str | int | bool"

MAX_COLUMNS = 120
"""A longer line is cropped around the place that is shown."""

TAB = 4

_COLORS = {Severity.ERROR: "\x1b[1;31m", Severity.WARNING: "\x1b[1;33m"}
_GUTTER = "\x1b[1;34m"
_BOLD = "\x1b[1m"
_RESET = "\x1b[0m"
_MORE = "..."


def render_text(diagnostics: Iterable[Diagnostic], color: bool = False) -> str:
    """All diagnostics, one block each, with a blank line between; empty if there are none.

        error[LOAD_ERR_VALIDATE]: there is no macro `modify`
         --> rules.yaml:7:5
          |
        7 |     modify and ka.target.resource=pods
          |     ^^^^^^
          = in rule "Pod changed"
          = help: did you mean `kmodify`?

    Lines and columns count from 1, columns in characters. Control characters of the files never reach the terminal.
    """
    return "\n".join(_block(diagnostic, color) for diagnostic in diagnostics)


def render_summary(results: Sequence[FileResult]) -> str:
    """One line: how many files, errors and warnings."""
    errors = sum(diagnostic.is_error for _, diagnostics in results for diagnostic in diagnostics)
    warnings = sum(len(diagnostics) for _, diagnostics in results) - errors
    counts = [_count(errors, "error"), _count(warnings, "warning")]
    return f"{_count(len(results), 'file')}: {', '.join(counts)}"


def falco_json(results: Sequence[FileResult]) -> dict[str, Json]:
    """What `falco -V FILE` prints with `json_output`: `{"falco_load_results": [...]}`.

    As in Falco, `line` and `column` of a position count from 0 here, and so does `offset`. Unlike Falco, a place in
    a condition is given as a place in its file. The rules are not held against a JSON schema: `schema_valid` is true
    for all that is a YAML file of rules.
    """
    return {"falco_load_results": [_file_json(name, diagnostics) for name, diagnostics in results]}


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


# Text


def _block(diagnostic: Diagnostic, color: bool) -> str:
    def paint(text: str, code: str) -> str:
        return f"{code}{text}{_RESET}" if color else text

    head = paint(f"{diagnostic.severity.value}[{diagnostic.code.value}]", _COLORS[diagnostic.severity])
    lines = [f"{head}{paint(': ' + one_line(diagnostic.message), _BOLD)}"]
    margin = " "
    if diagnostic.span is not None:
        location = diagnostic.span.location
        number = str(location.line)
        margin = " " * len(number)
        lines.append(f"{margin}{paint('-->', _GUTTER)} {one_line(location.file)}:{location.line}:{location.column}")
        if diagnostic.span.source.text:
            shown, carets = _excerpt(diagnostic.span, location)
            bar = paint("|", _GUTTER)
            lines.append(f"{margin} {bar}")
            lines.append(f"{paint(number, _GUTTER)} {bar} {shown}".rstrip())
            lines.append(f"{margin} {bar} {paint(carets, _COLORS[diagnostic.severity])}")
    place = ", ".join(_context_text(context) for context in diagnostic.context)
    equals = paint("=", _GUTTER)
    if place:
        lines.append(f"{margin} {equals} in {place}")
    if diagnostic.help:
        lines.append(f"{margin} {equals} help: {one_line(diagnostic.help)}")
    return "\n".join(lines) + "\n"


def _context_text(context: Context) -> str:
    return f'{context.kind} "{one_line(context.name)}"' if context.name else context.kind


def _excerpt(span: Span, location: Location) -> tuple[str, str]:
    """The line of a span as it is printed, and the carets below it; of a span of several lines, the first one."""
    line = span.source.line(location.line)
    start = min(location.column - 1, len(line))
    end = max(start + 1, min(start + span.end - span.start, len(line)))
    cells = [_cell(char) for char in line]
    first, last = _window(cells, start, min(end, len(line)))
    before, after = _MORE if first > 0 else "", _MORE if last < len(cells) else ""
    shown = before + "".join(cells[first:last]) + after
    indent = len(before) + sum(_width(cell) for cell in cells[first:start])
    carets = sum(_width(cell) for cell in cells[start : min(end, last)])
    return shown, " " * indent + "^" * max(1, carets)


def _window(cells: Sequence[str], start: int, end: int) -> tuple[int, int]:
    """The stretch of a line to print: all of it, or as much around its span as fits."""
    widths = [_width(cell) for cell in cells]
    if sum(widths) <= MAX_COLUMNS:
        return 0, len(cells)
    room = MAX_COLUMNS - 2 * len(_MORE)
    first = last = start
    while last < end and room >= widths[last]:
        room -= widths[last]
        last += 1
    while room > 0 and (first > 0 or last < len(cells)):
        if first > 0:
            first -= 1
            room -= widths[first]
        if last < len(cells) and room > 0:
            room -= widths[last]
            last += 1
    return first, last


def _cell(char: str) -> str:
    """How one character of a line is printed."""
    if char == "\t":
        return " " * TAB
    return one_line(char)


def _width(cell: str) -> int:
    """The columns a cell takes on a terminal."""
    if cell.isascii():
        return len(cell)
    if unicodedata.combining(cell):
        return 0
    return 2 if unicodedata.east_asian_width(cell) in ("W", "F") else 1


# JSON


def _file_json(name: str, diagnostics: Sequence[Diagnostic]) -> dict[str, Json]:
    errors: list[Json] = [_problem_json(name, problem) for problem in diagnostics if problem.is_error]
    warnings: list[Json] = [_problem_json(name, problem) for problem in diagnostics if not problem.is_error]
    return {
        "name": name,
        "successful": not errors,
        "schema_valid": not any(problem.code.value == "LOAD_ERR_YAML_PARSE" for problem in diagnostics),
        "schema_warnings": [],
        "errors": errors,
        "warnings": warnings,
    }


def _problem_json(name: str, diagnostic: Diagnostic) -> dict[str, Json]:
    locations: list[Json] = [_location_json("rules content", "", name, None)]
    spans: set[tuple[int, int]] = set()
    for context in diagnostic.context:
        locations.append(_location_json(context.kind, context.name, name, context.span))
        if context.span is not None:
            spans.add((context.span.start, context.span.end))
    span = diagnostic.span
    if span is not None and (span.start, span.end) not in spans:
        kinds = {context.kind for context in diagnostic.context}
        in_condition = any(kind.endswith("condition") for kind in kinds)
        locations.append(_location_json("condition expression" if in_condition else "value for", "", name, span))
    return {
        "code": diagnostic.code.value,
        "codedesc": diagnostic.code.title,
        "message": diagnostic.message,
        "context": {"locations": locations, "snippet": _snippet(span)},
    }


def _location_json(kind: str, item: str, name: str, span: Span | None) -> dict[str, Json]:
    place = span.location if span is not None else Location(name, 1, 1, 0)
    position: dict[str, Json] = {
        "name": place.file,
        "line": place.line - 1,
        "column": place.column - 1,
        "offset": place.offset,
    }
    return {"item_type": kind, "item_name": item, "position": position}


def _snippet(span: Span | None) -> str:
    if span is None or not span.source.text:
        return "(no text)\n"
    shown, carets = _excerpt(span, span.location)
    return f"{shown}\n{carets}\n"
