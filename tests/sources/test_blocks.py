"""Inputs read in blocks."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from lanner.sources.files import Block, Input, expand

LINES = b"".join(b'{"a":%d}\n' % number for number in range(300)) + b"\n \nnot json\n" + b"{}" * 500 + b"\n[1]\n7"
SPANNING = b"\n[\n1,\n2\n]\n" + b'{\n"a": 1\n}\n' * 100
BROKEN = b'{"a":\n1,}\n{"b":1}\n{"b":2}\n\n{"b":3}'


def input_of(path: Path, content: bytes) -> Input:
    path.write_bytes(content)
    (found,) = expand([str(path)])
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
    blocks = list(source.blocks(size))
    assert [item for block in blocks for item in block.numbered()] == expected
    assert all(len(block.data) >= size for block in blocks[:-1] if block.texts is None and not block.waited)
    assert not blocks or blocks[-1].position == len(content)


def test_lines_make_blocks_of_the_size_asked_for(tmp_path: Path) -> None:
    """They are cut at line ends."""
    blocks = list(input_of(tmp_path / "events", b"[1, 2]\n" * 200_000).blocks(500_000))
    assert len(blocks) == 3
    assert all(block.data.endswith(b"\n") for block in blocks)
    assert [block.line for block in blocks] == [1, *(1 + sum(b.data.count(b"\n") for b in blocks[:n]) for n in (1, 2))]


@pytest.mark.parametrize("limit", [50, 1000])
def test_of_a_longer_line_the_beginning_is_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: int) -> None:
    """The lines around it stay as they are, and their numbers too."""
    monkeypatch.setattr("lanner.sources.files._READ", 32)
    source = input_of(tmp_path / "events", b"{}\n" + b"7" * 5000 + b"\n[]\n")
    assert [item for block in source.blocks(1_000_000, limit) for item in block.numbered()] == [
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
    assert (list(first.numbered()), first.waited) == (texts, True)
    os.write(piped, b"]\n")
    os.close(piped)
    assert [text for block in blocks for _, text in block.numbered()][-1][-1:] == b"]"


def test_a_pause_behind_a_full_block_is_told_by_an_empty_one(piped: int) -> None:
    """Whoever holds back the results of full blocks learns that it is time to show them; once for each pause."""
    os.write(piped, b"{}\n{}\n")
    (source,) = expand(["-"])
    blocks = source.blocks(6)
    assert next(blocks) == Block(1, b"{}\n{}\n", None, 6)
    assert next(blocks) == Block(3, b"", None, 6, waited=True)
    os.close(piped)
    assert list(blocks) == []
