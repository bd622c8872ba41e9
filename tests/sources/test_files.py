"""Reading files: lines and documents, compressed or not, whole or damaged, in the right order."""

from __future__ import annotations

import gzip
import io
import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import zstandard

from lanner.sources.files import Input, InputError, expand

LINES = b'{"a":1}\n{"a":2}\n\n \r\n{"a":3}\r\n[1]'
TEXTS = [(1, b'{"a":1}'), (2, b'{"a":2}'), (5, b'{"a":3}\r'), (6, b"[1]")]


def _zstd(data: bytes) -> bytes:
    return zstandard.ZstdCompressor().compress(data)


def _read(path: Path, limit: int | None = None) -> list[tuple[int, bytes]]:
    [found] = expand([str(path)])
    chunks = found.chunks() if limit is None else found.chunks(limit)
    return [(number, text) for number, text, _ in chunks]


def _write(folder: Path, data: bytes) -> Path:
    path = folder / "events"
    path.write_bytes(data)
    return path


@pytest.mark.parametrize(
    "pack",
    [
        bytes,
        gzip.compress,
        _zstd,
        lambda data: gzip.compress(data[:9]) + gzip.compress(data[9:]) + b"\0" * 512,
        lambda data: _zstd(data[:9]) + b"\x50\x2a\x4d\x18\x01\0\0\0x" + _zstd(data[9:]),
        lambda data: b"\xef\xbb\xbf" + data,
    ],
    ids=["plain", "gzip", "zstd", "gzip members", "zstd frames", "byte order mark"],
)
def test_lines(tmp_path: Path, pack: Callable[[bytes], bytes]) -> None:
    """The lines that are not blank, with their numbers, whatever the packing; the name does not matter."""
    assert _read(_write(tmp_path, pack(LINES))) == TEXTS


def test_position_ends_at_the_size(tmp_path: Path) -> None:
    """Progress counts bytes on disk, also of compressed files."""
    for pack in (bytes, gzip.compress, _zstd):
        [found] = expand([str(_write(tmp_path, pack(LINES)))])
        assert [position for _, _, position in found.chunks()][-1] == found.size


DOCUMENTS = [
    (b'[\n{"a":1},\n{"a":2}\n]\n', [(1, b'[\n{"a":1},\n{"a":2}\n]')]),
    (b'\n{\n  "a": [\n 1 ]\n}', [(2, b'{\n  "a": [\n 1 ]\n}')]),
    (b'{\n"a": 1\n}\n{\n"a": 2\n}\n{"a": 3}\n', [(1, b'{\n"a": 1\n}'), (4, b'{\n"a": 2\n}'), (7, b'{"a": 3}')]),
    (b'[{"a":1},\n{"a":2}]\n', [(1, b'[{"a":1},\n{"a":2}]')]),
    # not JSON: up to the next line that opens something
    (b'{"a":1,\n{"a":2}\n{"a":3}\n', [(1, b'{"a":1,'), (2, b'{"a":2}'), (3, b'{"a":3}')]),
    (b'{\n"a": nope\n}\n{\n"a": 2\n}\n', [(1, b'{\n"a": nope\n}'), (4, b'{\n"a": 2\n}')]),
    (b'[\n{"a":1},\n{"a', [(1, b'[\n{"a":1},\n{"a')]),
    # lines, although the first is none
    (b'ge":1}\n{"a":2}\n', [(1, b'ge":1}'), (2, b'{"a":2}')]),
    (b'{"a":"x\n{"a":2}\n', [(1, b'{"a":"x'), (2, b'{"a":2}')]),
    (b"", []),
    (b" \n\n", []),
]


@pytest.mark.parametrize(("data", "wanted"), DOCUMENTS, ids=lambda part: str(part)[:30])
def test_documents(tmp_path: Path, data: bytes, wanted: list[tuple[int, bytes]]) -> None:
    """Texts that span lines are put together, one by one; broken ones do not take the rest with them."""
    assert _read(_write(tmp_path, data)) == wanted


def test_texts_larger_than_a_block(tmp_path: Path) -> None:
    """Lines and documents of several megabytes come whole."""
    big = b'{"a":"' + b"x" * 3_000_000 + b'"}'
    assert _read(_write(tmp_path, big + b"\n" + LINES))[:2] == [(1, big), (2, b'{"a":1}')]
    document = b"[\n" + b",\n".join([b'{"a":"' + b"y" * 50_000 + b'"}'] * 40) + b"\n]"
    assert _read(_write(tmp_path, document + b"\n" + document)) == [(1, document), (43, document)]


def test_a_text_over_the_limit_is_cut(tmp_path: Path) -> None:
    """Of an endless line the beginning is given; the lines behind it are intact."""
    long = b'{"a":"' + b"x" * 2_000_000 + b'"}'
    assert _read(_write(tmp_path, b"1\n" + long + b"\n2\n"), limit=1_000_000) == [
        (1, b"1"),
        (2, long[:1_000_000]),
        (3, b"2"),
    ]


@pytest.mark.parametrize("pack", [gzip.compress, _zstd])
def test_cut_short(tmp_path: Path, pack: Callable[[bytes], bytes]) -> None:
    """A compressed file that ends too early is an error with its name, after what could be read."""
    lines = [b'{"a":%d,"b":"%s"}' % (number, os.urandom(200).hex().encode()) for number in range(5000)]
    path = _write(tmp_path, pack(b"\n".join(lines))[:-40_000])
    [found] = expand([str(path)])
    texts = []
    with pytest.raises(InputError, match=r"events` is cut short"):  # noqa: PT012 - raised behind the texts
        for _, text, _ in found.chunks():
            texts.append(text)
    assert len(texts) > 3000
    assert texts[:-1] == lines[: len(texts) - 1]


@pytest.mark.parametrize("pack", [gzip.compress, _zstd])
def test_damaged(tmp_path: Path, pack: Callable[[bytes], bytes]) -> None:
    """Rubbish behind compressed data is an error, after what could be read."""
    [found] = expand([str(_write(tmp_path, pack(LINES) + b"rubbish"))])
    texts = []
    with pytest.raises(InputError, match="is damaged"):  # noqa: PT012 - raised behind the texts
        for number, text, _ in found.chunks():
            texts.append((number, text))
    assert texts == TEXTS


def test_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    """`-` reads standard input, compressed or not, of no known size."""
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BufferedReader(io.BytesIO(_zstd(LINES)))))
    [found] = expand(["-"])
    assert (found.name, found.size) == ("standard input", None)
    assert [(number, text) for number, text, _ in found.chunks()] == TEXTS


def test_folders_and_patterns(tmp_path: Path) -> None:
    """The files of a folder come by modification time, then by name; hidden ones are left out."""
    (tmp_path / "sub").mkdir()
    (tmp_path / ".hidden").mkdir()
    for age, name in [(30, "a"), (10, "sub/c"), (20, "b"), (20, "d"), (5, ".x"), (5, ".hidden/y")]:
        path = tmp_path / name
        path.write_bytes(name.encode())
        os.utime(path, (age, age))
    names = [Path(found.name).relative_to(tmp_path).as_posix() for found in expand([str(tmp_path)])]
    assert names == ["sub/c", "b", "d", "a"]
    names = [Path(found.name).relative_to(tmp_path).as_posix() for found in expand([f"{tmp_path}/[ab]*"])]
    assert names == ["b", "a"]
    assert [found.name for found in expand([f"{tmp_path}/a", f"{tmp_path}/b"])] == [f"{tmp_path}/a", f"{tmp_path}/b"]


def test_nothing_there(tmp_path: Path) -> None:
    """What names nothing is an error that says what was looked for."""
    (tmp_path / "empty").mkdir()
    for argument, message in [
        ("missing", "there is no file or folder `missing`"),
        (f"{tmp_path}/*.json", "no file matches"),
        (f"{tmp_path}/empty", "holds no files"),
    ]:
        with pytest.raises(InputError, match=message.replace("*", ".")):
            expand([argument])


def test_a_file_that_goes_away(tmp_path: Path) -> None:
    """A file that cannot be opened is an error with its name."""
    with pytest.raises(InputError, match="cannot read `gone`: No such file or directory"):
        list(Input("gone", tmp_path / "gone", 0).chunks())


def test_many_short_documents_behind_a_long_one(tmp_path: Path) -> None:
    """What was read for a long document may hold many short ones; each has its own line."""
    long = b"[\n" + b"1,\n" * 200_000 + b"1]"
    texts = _read(_write(tmp_path, long + b"\n{\n}\n" * 1000))
    assert texts[0] == (1, long)
    assert texts[1:] == [(200_003 + 3 * number, b"{\n}") for number in range(1000)]


def test_a_file_that_cannot_be_looked_at_does_not_cost_its_neighbours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Such a file is kept, so that reading it tells why it cannot be read."""
    stat = Path.stat

    def refuse(path: Path, **options: bool) -> os.stat_result:
        if path.name == "refused":
            raise PermissionError(13, "Permission denied", str(path))
        return stat(path, **options)

    (tmp_path / "good").write_bytes(b"1\n")
    (tmp_path / "refused").write_bytes(b"2\n")
    monkeypatch.setattr(Path, "stat", refuse)
    found = expand([str(tmp_path)])
    assert {(Path(source.name).name, source.size) for source in found} == {("good", 2), ("refused", None)}


def test_standard_input_that_is_closed_is_an_input_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever closes it while it is read gets a message, not a traceback out of a thread."""
    closed = io.TextIOWrapper(io.BufferedReader(io.BytesIO(b"{}")))
    closed.buffer.raw.close()
    monkeypatch.setattr(sys, "stdin", closed)
    (source,) = expand(["-"])
    with pytest.raises(InputError, match="it was closed"):
        list(source.chunks())
