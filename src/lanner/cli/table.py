"""Plain text tables: aligned columns that are as good in a pipe as on a narrow terminal."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Sequence

GAP = "  "


def terminal_width() -> int | None:
    """The width of the terminal on standard output; None where there is no terminal, so lines may be of any length."""
    return shutil.get_terminal_size((80, 24)).columns if sys.stdout.isatty() else None


def table(headers: Sequence[str], rows: Sequence[Sequence[str]], width: int | None) -> list[str]:
    """The lines of a table. Columns on the right that do not fit into `width` are left out; the first one stays."""
    columns = [max(len(row[index]) for row in (headers, *rows)) for index in range(len(headers))]
    while width is not None and len(columns) > 1 and sum(columns) + len(GAP) * (len(columns) - 1) > width:
        columns.pop()
    return [
        GAP.join(cell.ljust(column) for cell, column in zip(row, columns, strict=False)).rstrip()
        for row in (headers, *rows)
    ]


def printable(text: str) -> str:
    """The text without anything a terminal would obey: control characters other than newline become their escapes."""
    if text.isprintable():
        return text
    return "".join(c if c == "\n" or c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)


def plural(count: int, noun: str) -> str:
    """`1 event`, `2,000 events`."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"
