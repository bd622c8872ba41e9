"""Inputs read in blocks."""

from __future__ import annotations

import gzip
import io
import os
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lanner.sources.files import Block, Input, InputError, Span, expand

LINES = b"".join(b'{"a":%d}\n' % number for number in range(300)) + b"\n \nnot json\n" + b"{}" * 500 + b"\n[1]\n7"
SPANNING = b"\n[\n1,\n2\n]\n" + b'{\n"a": 1\n}\n' * 100
BROKEN = b'{"a":\n1,}\n{"b":1}\n{"b":2}\n\n{"b":3}'


def input_of(path: Path, content: bytes) -> Input:
    path.write_bytes(content)
    (found,) = expand([str(path)])
    return found


def numbered(blocks: Iterable[Block]) -> list[tuple[int, bytes]]:
    """The texts of the blocks, each with the line of the input that it begins in."""
    found = []
    line = 1
    for block in blocks:
        line = block.line or line
        lines, texts = block.read()
        found += [(line + number, text) for number, text in texts]
        line += lines
    return found


@pytest.fixture
def piped(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """Standard input is a pipe; where to write into it, which the test closes."""
    reading, writing = os.pipe()
    with io.TextIOWrapper(io.BufferedReader(io.FileIO(reading))) as stdin:
        monkeypatch.setattr(sys, "stdin", stdin)
        yield writing


@pytest.mark.parametrize("content", [LINES, SPANNING, BROKEN, b"", b"\n\n", b"{}"])
@pytest.mark.parametrize("size", [1, 40, 1000, 1_000_000])
@pytest.mark.parametrize("read", [7, 100, 256 * 1024])
def test_blocks_hold_the_texts_of_the_input(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes, size: int, read: int
) -> None:
    """Whatever is read at once and asked for, the texts and their lines are the same."""
    source = input_of(tmp_path / "events", content)
    expected = [(number, text) for number, text, _ in source.chunks()]
    monkeypatch.setattr("lanner.sources.files._READ", read)
    assert numbered(source.blocks(size)) == expected
    blocks = list(source.blocks(size))
    assert all(block.size >= size for block in blocks[:-1] if block.texts is None and not block.waited)
    assert not blocks or blocks[-1].position == len(content)


line_starts = st.sampled_from([b"", b" ", b"{}", b"[", b"7", b"x"])
many_lines = st.lists(
    st.tuples(line_starts, st.integers(0, 90)).map(lambda line: line[0] + b"7" * line[1]), max_size=30
)


@pytest.mark.property
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    lines=many_lines,
    end=st.sampled_from([b"\n", b"\r\n"]),
    size=st.integers(1, 100),
    read=st.integers(4, 15),
    limit=st.integers(60, 80),
)
def test_lines_are_the_same_however_they_are_cut(
    tmp_path_factory: pytest.TempPathFactory, lines: list[bytes], end: bytes, size: int, read: int, limit: int
) -> None:
    """Spans of a file, and blocks of a compressed one, hold what the text as a whole does: every line that is not
    blank, up to the limit, with its number.
    """
    content = b"0" + end + end.join(lines)
    expected = [
        (number, line[:limit]) for number, line in enumerate(content.split(b"\n"), 1) if line and not line.isspace()
    ]
    folder = tmp_path_factory.mktemp("cut")
    plain, packed = input_of(folder / "events", content), input_of(folder / "events.gz", gzip.compress(content))
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr("lanner.sources.files._READ", read)
        monkeypatch.setattr("lanner.sources.files._LOOK", 5)
        for source in (plain, packed):
            assert numbered(source.blocks(size, limit)) == expected
            assert [(number, text) for number, text, _ in source.chunks(limit)] == expected


@pytest.mark.parametrize(
    ("held", "later", "read"),
    [
        (b"1\n2\n3\n4\n", b"5\n6\n", [b"1", b"2", b"3", b"4"]),
        (b"1\n2\n3\n4", b"4\n5\n", [b"1", b"2", b"3", b"44"]),
        (b"1\n2\n3\n4\n\n", b"5", [b"1", b"2", b"3", b"4"]),
    ],
)
def test_a_file_that_grows_is_read_up_to_where_it_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, held: bytes, later: bytes, read: list[bytes]
) -> None:
    """Lines that begin later are not read; the last one that was begun is read to its end."""
    monkeypatch.setattr("lanner.sources.files._READ", 4)
    source = input_of(tmp_path / "events", held)
    blocks = source.blocks(4)
    first = next(blocks)
    with (tmp_path / "events").open("ab") as file:
        file.write(later)
    assert [text for _, text in [*numbered([first]), *numbered(blocks)]] == read


def test_a_file_that_shrinks_ends_where_it_ends_now(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is no longer there is not missed."""
    monkeypatch.setattr("lanner.sources.files._READ", 4)
    blocks = input_of(tmp_path / "events", b"1\n2\n3\n4\n5\n6\n").blocks(4)
    texts = numbered([next(blocks)])
    os.truncate(tmp_path / "events", 7)
    assert texts + [(number + 2, text) for number, text in numbered(blocks)] == [
        (1, b"1"),
        (2, b"2"),
        (3, b"3"),
        (4, b"4"),
    ]


@pytest.mark.parametrize("broken", range(9, 20))
def test_a_place_that_cannot_be_read_ends_the_texts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, broken: int
) -> None:
    """With an error that names the file, after everything before that place."""
    pread = os.pread

    def refuse(fd: int, size: int, start: int) -> bytes:
        if start >= broken:
            raise OSError(5, "Input/output error")
        return pread(fd, min(size, broken - start), start)

    content = b"100\n200\n300\n400\n500\n600\n"
    source = input_of(tmp_path / "events", content)
    monkeypatch.setattr("lanner.sources.files._READ", 8)
    monkeypatch.setattr(os, "pread", refuse)
    texts = []
    with pytest.raises(InputError, match=r"cannot read `.*events`: Input/output error"):  # noqa: PT012 - behind them
        for _, text, _ in source.chunks():
            texts.append(text)
    assert texts == content[:broken].split()


def test_lines_make_blocks_of_the_size_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of a regular file are spans, read by whoever wants them; others are cut at line ends."""
    content = b"[1, 2]\n" * 200_000
    spans = [block.data for block in input_of(tmp_path / "events", content).blocks(500_000)]
    assert [(data.start, data.end) for data in spans if isinstance(data, Span)] == [
        (0, 500_000),
        (500_000, 1_000_000),
        (1_000_000, 1_399_999),
    ]
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BufferedReader(io.BytesIO(content))))
    (source,) = expand(["-"])
    blocks = [block.data for block in source.blocks(500_000)]
    assert len(blocks) == 3
    assert all(isinstance(data, bytes) and data.endswith(b"\n") for data in blocks)


@pytest.mark.parametrize("limit", [50, 1000])
def test_of_a_longer_line_the_beginning_is_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: int) -> None:
    """The lines around it stay as they are, and their numbers too."""
    monkeypatch.setattr("lanner.sources.files._READ", 32)
    source = input_of(tmp_path / "events", b"{}\n" + b"7" * 5000 + b"\n[]\n")
    assert numbered(source.blocks(1_000_000, limit)) == [
        (1, b"{}"),
        (2, b"7" * limit),
        (3, b"[]"),
    ]


@pytest.mark.parametrize(("written", "texts"), [(b"{}\n[", [(1, b"{}")]), (b"{\n}\n", [(1, b"{\n}")])])
def test_standard_input_that_pauses_is_given_up_to_there(
    piped: int, written: bytes, texts: list[tuple[int, bytes]]
) -> None:
    """What came is given before the rest of a block is there, and marked."""
    os.write(piped, written)
    (source,) = expand(["-"])
    blocks = source.blocks(1_000_000)
    first = next(blocks)
    assert (numbered([first]), first.waited) == (texts, True)
    os.write(piped, b"]\n")
    os.close(piped)
    assert [text for _, text in numbered(blocks)][-1][-1:] == b"]"


def test_a_pause_behind_a_full_block_is_told_by_an_empty_one(piped: int) -> None:
    """Whoever holds back the results of full blocks learns that it is time to show them; once for each pause."""
    os.write(piped, b"{}\n{}\n")
    (source,) = expand(["-"])
    blocks = source.blocks(6)
    assert next(blocks) == Block(1, b"{}\n{}\n", None, 6)
    assert next(blocks) == Block(None, b"", None, 6, waited=True)
    os.close(piped)
    assert list(blocks) == []
