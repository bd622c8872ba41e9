"""One file that may grow, read by its descriptor: what tells it from others, and its next lines.

Everything here blocks (shortly) and holds at most one block, or one line, in memory.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from hashlib import blake2b
from pathlib import Path
from typing import NamedTuple

from lanner.sources.files import Input, InputError

BLOCK = 1024 * 1024
"""About how many bytes are delivered at once: some 400 events of the usual size."""

MAX_LINE = 64 * 1024 * 1024
"""The longest line. Of a longer one the beginning is delivered, as one line."""

MARK = 256
"""How many bytes before a position have to be the same for it to be a position in the same content."""

_FIRST = 64 * 1024  # bytes read at once to find the end of the first line
_MAGIC = (b"\x1f\x8b", b"\x28\xb5\x2f\xfd")  # gzip, zstd
_FOREIGN = {b"BZh": "bzip2", b"\xfd7zXZ": "xz", b"PK\x03\x04": "zip", b"\x04\x22\x4d\x18": "lz4"}
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_BLANKS = b" \t\r\n"
_BLANK_LINE_SIGNS = (b"\n\n", b"\n\r", b"\n ", b"\n\t")


class Lines(NamedTuple):
    """The next lines of a content: the bytes to deliver, and the position and mark behind them."""

    body: bytes
    end: int
    mark: bytes
    cut: bool = False
    """The body is the beginning of one line that is longer than MAX_LINE."""


def is_packed(fd: int, name: str) -> bool:
    """Whether the file is compressed. Raises InputError for a compression that cannot be read."""
    first = os.pread(fd, 8, 0)
    for magic, packing in _FOREIGN.items():
        if first.startswith(magic):
            raise InputError(f"cannot read `{name}`: {packing} files are not understood, use gzip or zstd")
    return first.startswith(_MAGIC)


def mark_digest(mark: bytes) -> str:
    """The identity of a position: a digest of the bytes before it."""
    return blake2b(mark, digest_size=16).hexdigest()


def mark_before(fd: int, offset: int) -> bytes:
    """The bytes before a position, at most MARK."""
    start = max(0, offset - MARK)
    return os.pread(fd, offset - start, start)


def head(blocks: Iterator[bytes], complete: bool) -> str | None:
    """A digest of the content up to the end of the first line that is not blank: what tells contents apart.

    All of the line counts, since its end holds the timestamps that no client chooses. None if there is no such line
    yet; with `complete`, a line that ends with the file counts.
    """
    digest = blake2b(digest_size=16)
    blank = True
    for block in blocks:
        start = 0
        while True:
            newline = block.find(b"\n", start)
            line = block[start:] if newline < 0 else block[start:newline]
            blank = blank and not line.strip(_BLANKS)
            digest.update(line)
            if newline < 0:
                break
            if not blank:
                return digest.hexdigest()
            digest.update(b"\n")
            start = newline + 1
    return digest.hexdigest() if complete and not blank else None


def blocks_of(fd: int) -> Iterator[bytes]:
    """The content of a plain file from its beginning, in small blocks: mostly its first line is all that is wanted."""
    position = 0
    while data := os.pread(fd, _FIRST, position):
        position += len(data)
        yield data


def unpacked_size_fits(path: Path, offset: int) -> bool:
    """Whether a gzip file says of itself that it holds `offset` bytes; saves unpacking what was read before.

    Its last four bytes are the size modulo 2^32 (of its last member, if there are several: then this is False).
    """
    with path.open("rb") as file:
        if file.read(2) != _MAGIC[0] or file.seek(0, os.SEEK_END) < 18:
            return False
        file.seek(-4, os.SEEK_END)
        return int.from_bytes(file.read(4), "little") == offset % 2**32


def end_of_lines(fd: int) -> int:
    """The position behind the last newline."""
    end = os.fstat(fd).st_size
    while end > 0:
        start = max(0, end - 64 * 1024)
        data = os.pread(fd, end - start, start)
        newline = data.rfind(b"\n")
        if newline >= 0:
            return start + newline + 1
        end = start
    return 0


def find_newline(fd: int, position: int) -> tuple[int, bool]:
    """The position behind the next newline and True; without one, the end of the file and False."""
    while data := os.pread(fd, BLOCK, position):
        newline = data.find(b"\n")
        if newline >= 0:
            return position + newline + 1, True
        position += len(data)
    return position, False


def next_lines(fd: int, start: int, scanned: int, complete: bool, max_line: int = MAX_LINE) -> Lines | int:
    """The complete lines behind `start`, about BLOCK bytes; or, if there is none yet, up to where there is no newline.

    `scanned`: there is no newline between `start` and here, as found out before. With `complete`, a line that ends
    with the file counts.
    """
    position = max(start, scanned)
    if position == start:
        data = os.pread(fd, BLOCK, start)
        size = data.rfind(b"\n") + 1
        if size:
            return _lines(data[:size], start)
        position += len(data)
    end, found = find_newline(fd, position)
    if end == start or not (found or complete):
        return end
    body = _read(fd, start, min(end - start, max_line))
    lines = _lines(body, start)
    if end - start > max_line:
        return lines._replace(end=end, mark=mark_before(fd, end), cut=True)
    return lines


def _read(fd: int, start: int, size: int) -> bytes:
    parts: list[bytes] = []
    while size > 0 and (data := os.pread(fd, size, start)):
        parts.append(data)
        start += len(data)
        size -= len(data)
    return b"".join(parts)


def _lines(body: bytes, start: int) -> Lines:
    return Lines(cleaned(body, start), start + len(body), body[-MARK:])


def cleaned(body: bytes, start: int) -> bytes:
    """Lines as they are delivered: without blank ones, and without a byte order mark at the beginning of the file."""
    if start == 0:
        body = body.removeprefix(_BYTE_ORDER_MARK)
    if body[:1] in (b"\n", b"\r", b" ", b"\t") or any(sign in body for sign in _BLANK_LINE_SIGNS):
        body = b"".join(line for line in body.splitlines(keepends=True) if line.strip(_BLANKS))
    return body


class Packed:
    """The lines of a compressed file, from its beginning."""

    def __init__(self, path: Path, max_line: int = MAX_LINE) -> None:
        self._blocks = Input(str(path), path, None).content()
        self._rest = b""
        self._position = 0
        self._max_line = max_line

    def skip(self, offset: int) -> bytes | None:
        """Go to a position. The bytes before it, at most MARK; None if the content ends earlier. Raises InputError."""
        mark = b""
        while self._position < offset:
            block = next(self._blocks, None)
            if block is None:
                return None
            taken = block[: offset - self._position]
            self._rest = block[len(taken) :]
            self._position += len(taken)
            mark = (mark + taken[-MARK:])[-MARK:]
        return mark

    def next_lines(self) -> Lines | None:
        """The next lines; None at the end. Where the file breaks, raises InputError after the last complete line."""
        start = self._position
        parts = [self._rest]
        size = len(self._rest)
        broken = b"\n" in self._rest
        failure = None
        while size < BLOCK or not broken:
            try:
                block = next(self._blocks, None)
            except InputError as error:
                failure = error
                break
            if block is None:
                break
            if not broken and b"\n" not in block and size + len(block) > self._max_line:
                return self._long_line(b"".join([*parts, block]), start)
            broken = broken or b"\n" in block
            parts.append(block)
            size += len(block)
        else:
            return self._up_to_newline(b"".join(parts), start)
        body = b"".join(parts)
        if failure is None:
            self._rest = b""
            self._position += len(body)
            return _lines(body, start) if body else None
        if not broken:
            raise failure
        self._blocks = _failing(failure)
        return self._up_to_newline(body, start)

    def _up_to_newline(self, body: bytes, start: int) -> Lines:
        size = body.rfind(b"\n") + 1
        self._rest = body[size:]
        self._position = start + size
        return _lines(body[:size], start)

    def _long_line(self, beginning: bytes, start: int) -> Lines:
        """The beginning of a line; the rest of it is read and dropped."""
        self._position += len(beginning)
        self._rest = b""
        mark = beginning[-MARK:]
        for block in self._blocks:
            taken = block[: block.find(b"\n") + 1] or block
            self._position += len(taken)
            mark = (mark + taken)[-MARK:]
            if taken.endswith(b"\n"):
                self._rest = block[len(taken) :]
                break
        return Lines(cleaned(beginning[: self._max_line], start), self._position, mark, cut=True)


def _failing(failure: InputError) -> Iterator[bytes]:
    raise failure
    yield b""
