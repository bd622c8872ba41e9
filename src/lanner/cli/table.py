"""Plain text tables: aligned columns that are as good in a pipe as on a narrow terminal."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Collection, Iterator, Sequence

GAP = "  "
CUT = "…"
LEAST = 8
"""To how many characters a cell may be cut."""


def terminal_width() -> int | None:
    """The width of the terminal on standard output; None where there is no terminal, so lines may be of any length."""
    return shutil.get_terminal_size((80, 24)).columns if sys.stdout.isatty() else None


def table(headers: Sequence[str], rows: Sequence[Sequence[str]], width: int | None) -> list[str]:
    """The lines of a table. Columns on the right that do not fit into `width` are left out; the first one stays."""
    columns = [max(len(row[index]) for row in (headers, *rows)) for index in range(len(headers))]
    while width is not None and len(columns) > 1 and _total(columns) > width:
        columns.pop()
    return [
        GAP.join(cell.ljust(column) for cell, column in zip(row, columns, strict=False)).rstrip()
        for row in (headers, *rows)
    ]


def wrapped(headers: Sequence[str], rows: Sequence[Sequence[str]], width: int | None, keys: int) -> Iterator[str]:
    """The lines of a table of numbers. Columns that do not fit follow in further tables, each with the first `keys`
    columns, an empty line between them. Columns of numbers are aligned to the right."""
    columns = list(zip(headers, *rows, strict=True))
    widths = [max(map(len, column)) for column in columns]
    numbers = [not any(cell[:1].isalpha() for cell in column[1:]) for column in columns]
    left = list(range(keys, len(headers)))
    while left:
        shown = [*range(keys), left.pop(0)]
        while left and (width is None or _total([widths[index] for index in (*shown, left[0])]) <= width):
            shown.append(left.pop(0))
        for row in (headers, *rows):
            cells = [row[i].rjust(widths[i]) if numbers[i] else row[i].ljust(widths[i]) for i in shown]
            yield GAP.join(cells).rstrip()
        if left:
            yield ""


class Listing:
    """A table whose rows come bit by bit: columns never become narrower.

    Where there is not enough room, columns on the right are left out, but not the first `keep`; then the widest of the
    columns that are in `elastic` are cut.
    """

    def __init__(self, headers: Sequence[str], width: int | None, elastic: Collection[str], keep: int) -> None:
        self.headers = headers
        self._width = width
        self._elastic = [index for index, header in enumerate(headers) if header in elastic]
        self._keep = keep
        self._natural = [len(header) for header in headers]

    def lines(self, rows: Sequence[Sequence[str]], heading: bool) -> list[str]:
        """The lines of these rows, under the headers if `heading`."""
        for row in rows:
            self._natural = [max(pair) for pair in zip(self._natural, map(len, row), strict=True)]
        widths = self._fitted()
        return [
            GAP.join(_cut(cell, width).ljust(width) for cell, width in zip(row, widths, strict=False)).rstrip()
            for row in ([self.headers] if heading else []) + list(rows)
        ]

    def _fitted(self) -> list[int]:
        widths = list(self._natural)
        if self._width is None:
            return widths
        while len(widths) > self._keep and _total(widths) > self._width:
            widths.pop()
        while _total(widths) > self._width:
            widest = max((index for index in self._elastic if index < len(widths)), key=widths.__getitem__)
            if widths[widest] <= LEAST:
                break
            widths[widest] -= 1
        return widths


def _total(widths: Sequence[int]) -> int:
    return sum(widths) + len(GAP) * (len(widths) - 1)


def _cut(text: str, width: int) -> str:
    return text if len(text) <= width else text[: width - 1] + CUT


def plural(count: int, noun: str) -> str:
    """`1 event`, `2,000 events`."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"
