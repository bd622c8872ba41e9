"""Files, folders, patterns and standard input, read as JSON texts in constant memory.

Plain, gzip and zstd (also several members or frames in a row), told apart by their first bytes. A file holds JSON
lines, or texts that span lines: a pretty-printed list, or pretty-printed events one behind the other. Which of the two
shows in the first line that is not blank: if more text could make it JSON, texts span lines.

A text (a line, or one document) may have MAX_TEXT bytes. Of a longer one the beginning is given, which decode then
reports as malformed; the events of a list up to there still count.
"""

from __future__ import annotations

import glob
import os
import re
import select
import stat
import sys
import time
import zlib
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import contextmanager
from io import BufferedReader, BytesIO
from itertools import chain
from pathlib import Path
from typing import NamedTuple, TypeAlias, cast

import zstandard

from lanner.jsontext.scanner import ScanError, expect_end, skip_blanks, skip_value

MAX_TEXT = 64 * 1024 * 1024
"""The most bytes of one JSON text."""

STDIN = "-"

Chunk: TypeAlias = tuple[int, bytes, int]
"""The line a JSON text begins in (from 1), the text, and how many bytes of the file (on disk) were read so far.

A plain tuple, since there is one for every event.
"""

_Read: TypeAlias = tuple[bytes, int]
_Unpack: TypeAlias = Callable[[Iterator[_Read], str], Iterator[_Read]]
_READ = 256 * 1024
_LOOK = 64 * 1024  # bytes read at once to find where a line ends
_MOST_TEXTS = 1000  # of a block whose texts span lines: with their places it stays small beside its bytes
_PATIENCE = 0.05  # seconds that standard input may pause before it is given up to there
_SLOW = 0.2  # seconds that a block may take to fill
_ZSTD_STEP = 4096  # bytes fed at once: what comes out of them is at most some 130 MB, whatever the ratio
_GZIP_MAGIC = b"\x1f\x8b"
_ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"
_ZSTD_SKIPPABLE = re.compile(rb"[\x50-\x5f]\x2a\x4d\x18").match
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_NEAR_END = 16  # a token that is cut off by the end of what was read breaks no further than this from the end
_line_opens_container = re.compile(rb"^[\[{]", re.MULTILINE).search


class InputError(Exception):
    """There is nothing to read, or reading fails. The message names the file."""


class Span(NamedTuple):
    """A part of a regular file that holds a text a line, which is yet to be read: bytes `start` to `end` of the open
    file `fd`.

    Its lines are those that begin behind a line end within it, up to their own ends, wherever these are; of the `first`
    span also the one that begins with it. So spans that touch have each line once, and nobody need know where lines
    begin. No line that ends within may be longer than `limit`.
    """

    name: str
    fd: int
    start: int
    end: int
    limit: int
    first: bool

    def pieces(self) -> tuple[list[bytes], InputError | None]:
        """As many as there are line ends, and one more. Each but the first is the line behind such an end, without its
        own. Where reading fails they end. A file that has become shorter ends where it ends now.
        """
        data, failure = self._read(self.start, self.end)
        pieces = data.split(b"\n")
        if not self.first:
            pieces[0] = b""
        if failure is None and (self.first or len(pieces) > 1):
            began = self.start + len(data) - len(pieces[-1])
            pieces[-1], failure = self._read(began, self._line_end(began))
        return pieces, failure

    def _line_end(self, began: int) -> int:
        """Where the line ends that goes on behind the span; at most the limit from its beginning."""
        place, most = self.end, began + self.limit
        while place < most:
            data, _ = self._read(place, min(place + _LOOK, most))
            found = data.find(b"\n")
            if found >= 0:
                return place + found
            if not data:
                return place
            place += len(data)
        return most

    def _read(self, start: int, end: int) -> tuple[bytes, InputError | None]:
        data = b""
        try:
            while start < end and (more := os.pread(self.fd, end - start, start)):
                data += more
                start += len(more)
        except OSError as error:
            return data, InputError(f"cannot read `{self.name}`: {error.strerror}")
        return data, None


class Block(NamedTuple):
    """JSON texts of a file that stand one behind the other: whole lines, or texts that span lines.

    `line`: the one that the block begins in (from 1); None if that is where the block before ended. A span is to be
    read before the next block is asked for, or else through a duplicate of its descriptor. `texts`: how many lines
    behind `line` each text begins, and its length; None if every line of `data` that is not blank is a text.
    `position`: how many bytes of the file (on disk) were read so far, or lie before the end of the span. `waited`: more
    did not come soon, so whoever looks on should be shown what there is. Only such a block can be empty.
    """

    line: int | None
    data: bytes | Span
    texts: tuple[tuple[int, int], ...] | None
    position: int
    waited: bool = False

    @property
    def size(self) -> int:
        """Bytes of the block, but for the end of its last line if it is a span."""
        return self.data.end - self.data.start if isinstance(self.data, Span) else len(self.data)

    def read(self) -> tuple[int, Iterator[tuple[int, bytes]]]:
        """How many lines behind `line` the block ends, where the next one does not tell its own; and the texts, each
        with how many lines behind `line` it begins.

        The texts raise InputError where the file cannot be read any further.
        """
        failure = None
        if isinstance(self.data, Span):
            pieces, failure = self.data.pieces()
        elif self.texts is None:
            pieces = self.data.split(b"\n")
        else:
            return 0, _parts(self.data, self.texts)
        return len(pieces) - 1, _numbered(pieces, failure)


def _numbered(pieces: Iterable[bytes], failure: InputError | None) -> Iterator[tuple[int, bytes]]:
    for number, text in enumerate(pieces):
        if text and not text.isspace():
            yield number, text
    if failure is not None:
        raise failure


def _parts(data: bytes, texts: Iterable[tuple[int, int]]) -> Iterator[tuple[int, bytes]]:
    start = 0
    for number, length in texts:
        yield number, data[start : start + length]
        start += length


class Input(NamedTuple):
    """One file, or standard input (path None). `size`: bytes on disk, None where that is not known."""

    name: str
    path: Path | None
    size: int | None

    def chunks(self, limit: int = MAX_TEXT) -> Iterator[Chunk]:
        """The JSON texts in order; blank lines are left out.

        Raises InputError if the file cannot be opened or read, or is compressed and damaged or cut short; it has given
        everything before that place by then.
        """
        line = 1
        for block in self._blocks(1, limit, _always):
            line = block.line or line
            lines, texts = block.read()
            for number, text in texts:
                yield line + number, text, block.position
            line += lines

    def blocks(self, size: int, limit: int = MAX_TEXT) -> Iterator[Block]:
        """The same texts in blocks of at least `size` bytes, but for the last one and for texts that are very many;
        they are little more where texts are short. What comes slowly is given before, so that nobody has to wait for
        it.

        Lines of regular files that are not compressed come as spans, of what a file holds when it is opened: a line
        that begins later is not among them. Raises InputError as above, but for what the spans raise.
        """
        return self._blocks(size, limit, _always if self.path is not None else _more_is_there)

    def _blocks(self, size: int, limit: int, ready: Callable[[], bool]) -> Iterator[Block]:
        with self._open() as file:
            blocks, unpack = _packing(self._read(file))
            if unpack is None:
                content = _Content(blocks, self._regular(file, limit))
            else:
                content = _Content(unpack(blocks, self.name))
            yield from _blocks(content, size, limit, ready)
            if content.failure is not None:
                raise content.failure

    def content(self) -> Iterator[bytes]:
        """The bytes of the content, decompressed, in blocks of any size but none empty. Raises InputError as above."""
        with self._open() as file:
            blocks, unpack = _packing(self._read(file))
            for data, _ in unpack(blocks, self.name) if unpack is not None else blocks:
                if data:
                    yield data

    @contextmanager
    def _open(self) -> Iterator[BufferedReader]:
        if self.path is None:
            yield cast(BufferedReader, sys.stdin.buffer)
            return
        try:
            file = self.path.open("rb")
        except OSError as error:
            raise InputError(f"cannot read `{self.name}`: {error.strerror}") from error
        with file:
            yield file

    def _regular(self, file: BufferedReader, limit: int) -> Span | None:
        """All of a file that can be read from anywhere."""
        if self.path is None:
            return None
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode):
            return None
        return Span(self.name, file.fileno(), 0, status.st_size, limit, first=True)

    def _read(self, file: BufferedReader) -> Iterator[_Read]:
        """The bytes as they are on disk."""
        position = 0
        try:
            while data := file.read1(_READ):
                position += len(data)
                yield data, position
        except OSError as error:
            raise InputError(f"cannot read `{self.name}`: {error.strerror}") from error
        except ValueError as error:  # what Python says of a closed file
            raise InputError(f"cannot read `{self.name}`: it was closed") from error


def expand(arguments: Sequence[str]) -> list[Input]:
    """What the arguments name: `-` is standard input, a folder all files below it, anything not there a pattern.

    The files of a folder or pattern come by modification time, then by name. Names that begin with a dot are left out
    of folders. Raises InputError for an argument that names nothing.
    """
    inputs: list[Input] = []
    for argument in arguments:
        if argument == STDIN:
            inputs.append(Input("standard input", None, None))
            continue
        try:
            inputs.extend(_input(path) for path in _paths(argument))
        except OSError as error:
            raise InputError(f"cannot read `{error.filename or argument}`: {error.strerror}") from error
    return inputs


def _paths(argument: str) -> list[Path]:
    path = Path(argument)
    if path.is_dir():
        files = _files_below(path)
        if not files:
            raise InputError(f"the folder `{argument}` holds no files")
        return files
    if path.exists():
        return [path]
    if not glob.has_magic(argument):
        raise InputError(f"there is no file or folder `{argument}`")
    found: set[Path] = set()
    for match in map(Path, glob.glob(argument, recursive=True)):  # noqa: PTH207 - Path.glob knows no absolute patterns
        found.update(_files_below(match) if match.is_dir() else (match,))
    if not found:
        raise InputError(f"no file matches `{argument}`")
    return sorted(found, key=_age)


def _files_below(folder: Path) -> list[Path]:
    """The files; also what cannot be looked at, a folder or a file: reading it will tell why, and not cost the rest."""
    files: list[Path] = []
    for parent, folders, names in os.walk(folder, onerror=lambda error: files.append(Path(error.filename))):
        folders[:] = [name for name in folders if not name.startswith(".")]
        files.extend(file for name in names if not name.startswith(".") and _may_be_file(file := Path(parent, name)))
    return sorted(files, key=_age)


def _may_be_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:
        return True


def _age(path: Path) -> tuple[int, Path]:
    try:
        return path.stat().st_mtime_ns, path
    except OSError:
        return 0, path


def _input(path: Path) -> Input:
    try:
        return Input(str(path), path, path.stat().st_size if path.is_file() else None)
    except OSError:
        return Input(str(path), path, None)


def _packing(blocks: Iterator[_Read]) -> tuple[Iterator[_Read], _Unpack | None]:
    """The same bytes after a look at the first ones; and what makes the content of them, if they are compressed."""
    first = b""
    position = 0
    for data, position in blocks:  # noqa: B007 - used behind the loop
        first += data
        if len(first) >= len(_ZSTD_MAGIC):
            break
    unpack: _Unpack | None = None
    if first.startswith(_GZIP_MAGIC):
        unpack = _gunzipped
    elif first.startswith(_ZSTD_MAGIC) or _ZSTD_SKIPPABLE(first):
        unpack = _unzstded
    return chain([(first, position)], blocks), unpack


def _gunzipped(blocks: Iterator[_Read], name: str) -> Iterator[_Read]:
    member = None
    try:
        for data, position in blocks:
            while data:
                if member is None:
                    data = data.lstrip(b"\0")  # padding between and behind members
                    if not data:
                        break
                    member = zlib.decompressobj(wbits=31)
                yield member.decompress(data, _READ * 4), position
                data = member.unconsumed_tail
                if member.eof:
                    data = member.unused_data
                    member = None
    except zlib.error as error:
        raise InputError(f"`{name}` is damaged: {error}") from error
    if member is not None:
        raise InputError(f"`{name}` is cut short: its compressed data ends too early")


def _unzstded(blocks: Iterator[_Read], name: str) -> Iterator[_Read]:
    decompressor = zstandard.ZstdDecompressor()
    frame = None
    try:
        for block, position in blocks:
            for start in range(0, len(block), _ZSTD_STEP):
                data = block[start : start + _ZSTD_STEP]
                while data:
                    frame = frame or decompressor.decompressobj()
                    yield frame.decompress(data), position
                    data = b""
                    if frame.eof:
                        data = frame.unused_data
                        frame = None
    except zstandard.ZstdError as error:
        raise InputError(f"`{name}` is damaged: {error}") from error
    if frame is not None:
        raise InputError(f"`{name}` is cut short: its compressed data ends too early")


class _Content:
    """A file's content, block by block. Where reading fails the content ends; `failure` then says why.

    `regular`: the whole file, where what it holds is the content and can be read from anywhere.
    """

    def __init__(self, blocks: Iterator[_Read], regular: Span | None = None) -> None:
        self._blocks = blocks
        self._regular = regular
        self._returned = b""
        self.position = 0
        self.failure: InputError | None = None

    def read(self) -> bytes:
        """The next block; empty at the end."""
        if self._returned:
            data, self._returned = self._returned, b""
            return data
        try:
            for data, position in self._blocks:
                self.position = position
                if data:
                    return data
        except InputError as error:
            self.failure = error
        return b""

    def put_back(self, data: bytes) -> None:
        """Let `read` give this first. Nothing else may be put back at the time."""
        self._returned = data

    def rest(self) -> Span | None:
        """What `read` would give, if it is part of a regular file and more than what was put back. That is let go."""
        whole = self._regular
        if whole is None or self.position >= whole.end:
            return None
        start = self.position - len(self._returned)
        self._returned = b""
        return whole._replace(start=start)


def _always() -> bool:
    return True


def _more_is_there() -> bool:
    """Whether reading standard input would not have to wait long."""
    try:
        return bool(select.select([sys.stdin], [], [], _PATIENCE)[0])
    except (OSError, ValueError):  # not a file that could be asked: reading it tells what it is
        return True


def _blocks(content: _Content, size: int, limit: int, ready: Callable[[], bool]) -> Iterator[Block]:
    """The blocks of a file's content, after a look at the first line."""
    number, spanning = _first_text(content, limit)
    if spanning:
        resumed = yield from _grouped(_spanning(content, limit, number), size, at_once=ready is not _always)
        if resumed is None:
            return
        number = resumed
    rest = content.rest()
    if rest is None:
        yield from _lines(content, size, limit, number, ready)
    else:
        yield from _spans(rest, min(max(size, _READ), limit), number)


def _first_text(content: _Content, limit: int) -> tuple[int, bool]:
    """The line that it begins in, and whether it goes on behind that. The content then begins with it."""
    number = 1
    data = content.read().removeprefix(_BYTE_ORDER_MARK)
    while data and data.isspace():
        number += data.count(b"\n")
        data = content.read()
    start = skip_blanks(data)
    number += data.count(b"\n", 0, start)
    data = data[start:]
    held = BytesIO()  # it gives what was written without a copy, which counts for a line as long as the limit
    held.write(data)
    while b"\n" not in data and held.tell() <= limit and (data := content.read()):
        held.write(data)
    beginning = held.getvalue()
    content.put_back(beginning)
    return number, _goes_on(beginning.partition(b"\n")[0])


def _goes_on(line: bytes) -> bool:
    """Whether the line is the beginning of a JSON text that ends in a later line."""
    if line[:1] not in (b"{", b"["):
        return False
    try:
        expect_end(line, skip_value(line, 0))
    except ScanError as error:
        return error.incomplete
    return False


def _spans(rest: Span, size: int, number: int) -> Iterator[Block]:
    """One text a line of a file that is read by others; `number` is that of the first line.

    The last byte is in no span: behind it nothing begins that was there when the file was opened.
    """
    line: int | None = number
    start = rest.start
    while start < rest.end:
        end = start + size
        position = end
        if end >= rest.end - 1:
            end, position = rest.end - 1, rest.end
        yield Block(line, rest._replace(start=start, end=end, first=line is not None), None, position)
        line = None
        start = position


def _lines(content: _Content, size: int, limit: int, number: int, ready: Callable[[], bool]) -> Iterator[Block]:
    """One text a line; `number` is that of the first."""
    line: int | None = number
    whole: list[bytes] = []  # what ends with a line
    parts: list[bytes] = []  # of a line that goes on
    held = part = 0  # their bytes
    began = 0.0
    told = True  # that there is no more for now
    while True:
        waited = False
        if held < size and (held or not told):
            waited = not ready() or (held > 0 and time.monotonic() - began > _SLOW)
        if waited or held >= size:
            data = b"".join(whole)
            yield Block(line, data, None, content.position, waited)
            line = None
            whole = []
            held = 0
            told = waited
            continue
        read = content.read()
        if not read:
            break
        end = read.rfind(b"\n") + 1
        if end:
            if not held:
                began = time.monotonic()
            if parts:
                first = read.index(b"\n")
                parts.append(read[: min(first, limit - part)])
                whole += parts
                held += part + len(parts[-1])
                parts = []
                part = 0
                read = read[first:]
                end -= first
            whole.append(read[:end])
            held += end
        if part < limit and end < len(read):
            parts.append(read[end : end + limit - part])
            part += len(parts[-1])
    if held or part:
        yield Block(line, b"".join((*whole, *parts)), None, content.position)


def _grouped(texts: Generator[Chunk, None, int | None], size: int, at_once: bool) -> Generator[Block, None, int | None]:
    """Texts that span lines as blocks; what `texts` returns. `at_once`: each as soon as it was read."""
    group: list[tuple[int, bytes]] = []
    held = position = 0
    while True:
        try:
            number, text, position = next(texts)
        except StopIteration as ended:
            if group:
                yield _group(group, position, at_once)
            resumed: int | None = ended.value
            return resumed
        group.append((number, text))
        held += len(text)
        if at_once or held >= size or len(group) == _MOST_TEXTS:
            yield _group(group, position, at_once)
            group = []
            held = 0


def _group(texts: Sequence[tuple[int, bytes]], position: int, waited: bool) -> Block:
    data = b"".join(text for _, text in texts)
    line = texts[0][0]
    return Block(line, data, tuple((number - line, len(text)) for number, text in texts), position, waited)


def _spanning(content: _Content, limit: int, number: int) -> Generator[Chunk, None, int | None]:
    """Texts that span lines, one behind the other; `number` is the first line's.

    A text that is not JSON ends before the next line that opens an object or array, behind the place where it breaks;
    from there on it may be JSON lines again (a file whose first line was cut off): then their first number is
    returned.
    """
    block = b""
    start = 0  # where what is not given yet begins; the block is not cut there, since it may hold many short texts
    more = True
    while True:
        blanks = start
        start = skip_blanks(block, blanks)
        number += block.count(b"\n", blanks, start)
        if start == len(block):
            block, start = content.read(), 0
            if not block:
                return None
            continue
        resume = None
        try:
            end = behind = skip_value(block, start)
        except ScanError as error:
            unfinished = error.incomplete or error.position > len(block) - _NEAR_END
            if more and unfinished and len(block) - start <= limit:
                block, more = _longer(block[start:], content)
                start = 0
                continue
            if error.position < len(block):
                resume = _line_opens_container(block, max(start + 1, block.rfind(b"\n", start, error.position) + 1))
            behind = len(block) if resume is None else resume.start()
            end = min(behind, start + limit)
        yield number, block[start:end].rstrip(), content.position
        number += block.count(b"\n", start, behind)
        start = behind
        if resume is not None and not _goes_on(_first_line(block, start)):
            content.put_back(block[start:])
            return number


def _first_line(block: bytes, start: int) -> bytes:
    end = block.find(b"\n", start)
    return block[start:] if end < 0 else block[start:end]


def _longer(text: bytes, content: _Content) -> tuple[bytes, bool]:
    """The text with as much again behind it (all trials then take linear time in sum); and whether there was more."""
    parts = [text]
    wanted = max(len(text), _READ)
    while wanted > 0 and (data := content.read()):
        parts.append(data)
        wanted -= len(data)
    return b"".join(parts), len(parts) > 1
