"""Where text comes from: files, places in them, and values read out of them.

In: the text of a file. Out: `Span`s that tell file, line and column, also for a piece of a YAML scalar whose
characters stand elsewhere in the file (folded and literal blocks, quoted scalars, appended conditions).
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from msgspec import Struct


class Location(NamedTuple):
    """A place in a file; `line` and `column` count from 1, `offset` in characters from 0."""

    file: str
    line: int
    column: int
    offset: int


@dataclass(frozen=True, slots=True, eq=False)
class SourceFile:
    """A named text. Two files are the same only if they are the same object."""

    name: str
    text: str = field(repr=False)
    _line_starts: list[int] = field(default_factory=list, repr=False)
    _hidden: list[tuple[int, int]] = field(default_factory=list, repr=False)
    _notes: list[tuple[int, int, str]] = field(default_factory=list, repr=False)

    def _starts(self) -> list[int]:
        if not self._line_starts:
            self._line_starts.append(0)
            position = self.text.find("\n")
            while position >= 0:
                self._line_starts.append(position + 1)
                position = self.text.find("\n", position + 1)
        return self._line_starts

    def location(self, offset: int) -> Location:
        """The line and column of a character offset; an offset past the end is the place after the last character."""
        offset = max(0, min(offset, len(self.text)))
        line = bisect_right(self._starts(), offset)
        return Location(self.name, line, offset - self._starts()[line - 1] + 1, offset)

    def line(self, number: int) -> str:
        """The text of a line (from 1) as it may be shown: without its line end, `*` for each hidden character."""
        starts = self._starts()
        start = starts[number - 1]
        end = starts[number] - 1 if number < len(starts) else len(self.text)
        line = self.text[start:end].rstrip("\r")
        for first, last in self._hidden:
            first, last = max(first - start, 0), min(last - start, len(line))
            if first < last:
                line = line[:first] + "*" * (last - first) + line[last:]
        return line

    def hide(self, start: int, end: int) -> None:
        """Never show these characters: they are a secret."""
        if start < end:
            self._hidden.append((start, end))

    @property
    def hidden(self) -> tuple[tuple[int, int], ...]:
        """(start, end) of all that is hidden."""
        return tuple(self._hidden)

    def note(self, start: int, end: int, text: str) -> None:
        """Explain these characters wherever a problem in them is reported: they are not what they seem to be."""
        self._notes.append((start, end, text))

    def notes_at(self, offset: int) -> tuple[str, ...]:
        """What is noted of a place."""
        return tuple(text for start, end, text in self._notes if start <= offset <= max(start, end - 1))

    def span(self, start: int, end: int) -> Span:
        """The span of the characters from `start` up to, not including, `end`."""
        return Span(self, start, end)


class Span(Struct, frozen=True, gc=False):
    """A stretch of a file: character offsets `start` up to, not including, `end`.

    Every part of every condition has one, so they are cheap to make and no work for the garbage collector.
    """

    source: SourceFile
    start: int
    end: int

    @property
    def location(self) -> Location:
        """Where the span begins."""
        return self.source.location(self.start)

    def to(self, other: Span) -> Span:
        """From the start of this span to the end of `other`; just this span if `other` is of another file."""
        if other.source is not self.source or other.end < self.start:
            return self
        return Span(self.source, self.start, other.end)


@dataclass(frozen=True, slots=True)
class _Segment:
    """A run of a value's characters: `places[i]` is the file offset of the i-th, and one more for the end."""

    start: int
    source: SourceFile
    places: Sequence[int]


@dataclass(frozen=True, slots=True)
class Text:
    """A string value that knows where in a file each of its characters stands."""

    value: str
    _segments: tuple[_Segment, ...] = field(repr=False)

    @classmethod
    def at(cls, value: str, source: SourceFile, places: Sequence[int]) -> Text:
        """A value whose character i stands at file offset `places[i]`; `places` has one more entry, for the end."""
        if len(places) != len(value) + 1:
            raise ValueError("places must have one entry for each character and one for the end")
        return cls(value, (_Segment(0, source, places),))

    @classmethod
    def whole(cls, source: SourceFile) -> Text:
        """All of a file as one value."""
        return cls.at(source.text, source, range(len(source.text) + 1))

    @classmethod
    def plain(cls, value: str, name: str = "<condition>") -> Text:
        """A value that stands in no file: it is its own file, under `name`."""
        return cls.whole(SourceFile(name, value))

    def joined(self, other: Text, separator: str = " ") -> Text:
        """This value, the separator, the other value; the separator's characters stand at the end of this one."""
        shift = len(self.value) + len(separator)
        last = self._segments[-1]
        places = [*last.places, *([last.places[-1]] * len(separator))]
        segments = (*self._segments[:-1], _Segment(last.start, last.source, places))
        moved = tuple(_Segment(s.start + shift, s.source, s.places) for s in other._segments)
        return Text(self.value + separator + other.value, segments + moved)

    def with_value(self, value: str) -> Text:
        """Another value of the same length in the same places."""
        if len(value) != len(self.value):
            raise ValueError("the value must keep its length")
        return Text(value, self._segments)

    def stripped(self, blanks: str) -> Text:
        """The value without these characters at its two ends."""
        start = len(self.value) - len(self.value.lstrip(blanks))
        value = self.value.strip(blanks)
        if len(value) == len(self.value):
            return self
        # What lies before the start loses its characters but keeps the place behind the last one.
        segments = tuple(
            _Segment(max(0, s.start - start), s.source, s.places[min(max(0, start - s.start), len(s.places) - 1) :])
            for s in self._segments
        )
        return Text(value, segments)

    def span(self, start: int, end: int) -> Span:
        """The file span of the characters `start` up to `end` of the value."""
        segment = self._segments[0] if len(self._segments) == 1 else self._segment(start)
        places, start, end = segment.places, start - segment.start, end - segment.start
        last = len(places) - 1
        first = places[start if start < last else last]
        if end <= start:
            return Span(segment.source, first, first)
        # The place after the last character of the span, which need not be the place of the character after it:
        # in a folded block the two can be lines apart.
        final = places[end - 1 if end <= last else last] + 1
        return Span(segment.source, first, final if final > first else first)

    def _segment(self, offset: int) -> _Segment:
        index = bisect_right(self._segments, offset, key=lambda segment: segment.start) - 1
        return self._segments[max(index, 0)]
