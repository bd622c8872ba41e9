"""Follows files that grow and are rotated: every line is delivered once, over restarts too.

A position belongs to a *content*, not to a path or an inode: a content is known by the digest of its first line that
is not blank (an audit event ends in timestamps, so no two files begin alike). Renaming, copying and truncating,
compressing, or swapping a link therefore lead to the right position by themselves: wherever the content shows up, it
is read on from where it was left. Each position is committed by the sink together with what it stands behind, along
with a digest of the bytes before it; bytes that do not fit make it another content that begins alike.

What is delivered: complete lines, in blocks of about 1 MiB. An unfinished last line waits until it is finished. In a
file that is no longer written (it was rotated or deleted, and nothing came for `settle` seconds) it counts as it is.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

from lanner.sources import tail
from lanner.sources.base import Delivery, Position, Sink, Unavailable
from lanner.sources.delivering import Sleep, hand_over, in_thread, last_position
from lanner.sources.files import Input, InputError
from lanner.sources.target import Found, Target, name_before
from lanner.sources.watching import POLL, watch

SETTLE = 5.0
"""Seconds without a change after which a rotated file counts as finished."""

MAX_OPEN = 128
"""Files kept open. An open one is read to its end even when it is deleted in between."""

TELL = 3600.0
"""Seconds between two times of telling which files are there."""

_SKIPPED = 2**62  # the offset of a compressed file that was there before following began
_log = logging.getLogger(__name__)

Inode = tuple[int, int]


@dataclass(slots=True, eq=False)
class _Content:
    """A stream of lines, wherever it is kept. `key` names its position; `mark`: the bytes before `offset`."""

    key: str
    head: str
    offset: int = 0
    mark: bytes = b""
    digest: str = ""


@dataclass(slots=True, eq=False)
class _File:
    """A file on disk and what is known of it. `fd` None: it is compressed, or there are too many to keep them open."""

    inode: Inode
    path: Path
    fd: int | None = None
    packed: bool = False
    named: bool = True
    linked: bool = True
    size: int = -1
    changed_ns: int = -1
    changed_at: float = 0.0
    content: _Content | None = None
    keys: frozenset[str] = frozenset()
    """Of the positions that tell what of it was delivered: its own, and those of contents that begin alike."""
    scanned: int = 0
    pending: bool = True
    """There may be something to read."""
    finished: bool = False
    """What has no newline at its end was delivered, too; or it is compressed and was read to its end."""


class Follow:
    """Follows a file, a folder or a pattern.

    On the very first start it begins at the end of what is there, or with `from_start` at the beginning (of files that
    are named; rotated ones of earlier times are left out). That it has started is committed, so what comes afterwards
    is never left out.
    """

    def __init__(
        self,
        target: str,
        *,
        name: str,
        cluster: str = "",
        from_start: bool = False,
        poll: float = POLL,
        settle: float = SETTLE,
        max_line: int = tail.MAX_LINE,
        max_open: int = MAX_OPEN,
        clock: Callable[[], float] = time.monotonic,
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        self._name = name
        self._target = Target(target)
        self._cluster = cluster
        self._from_start = from_start
        self._poll = poll
        self._settle = settle
        self._max_line = max_line
        self._max_open = max_open
        self._clock = clock
        self._sleep = sleep
        self._files: dict[Inode, _File] = {}
        self._contents: dict[str, _Content] = {}
        self._reported: dict[str, str] = {}
        self._told_at: float | None = None

    @property
    def name(self) -> str:
        return self._name

    async def run(self, sink: Sink) -> None:
        """Follows until cancelled."""
        wake = asyncio.Event()
        watcher = asyncio.create_task(watch(self._target, wake, self._name, self._poll))
        watcher.add_done_callback(lambda _: wake.set())
        try:
            await self.start(sink)
            while True:
                await self.catch_up(sink)
                await wake.wait()
                wake.clear()
                if watcher.done():
                    watcher.result()
        finally:
            watcher.cancel()
            await asyncio.gather(watcher, return_exceptions=True)
            self.close()

    async def start(self, sink: Sink) -> None:
        """Commits where following begins, if this is the first start."""
        self.close()
        key = self._started_key
        if await last_position(sink, key, self._name, self._sleep) is not None:
            return
        await in_thread(self._look)
        if not self._files:
            _log.info("%s: there is nothing to read at `%s` yet", self._name, self._target.text)
        for file in sorted(self._files.values(), key=lambda file: file.packed):
            if not (self._from_start and file.named):
                await self._reporting(file, self._skip_to_end(file, sink))
        await self._commit(sink, b"", Position(key, "started", 0))

    async def catch_up(self, sink: Sink) -> None:
        """Delivers what is there now. Files that grow meanwhile are for the next time, so that none starves."""
        await in_thread(self._look)
        unknown = [file for file in self._files.values() if file.content is None and not file.packed]
        for file in sorted(unknown, key=lambda file: -file.size):  # a copy is shorter than its original
            if file.pending or self._is_over(file):
                await self._reporting(file, self._identify(file, sink))
        for file in sorted(self._files.values(), key=lambda file: (file.linked, file.changed_ns)):
            if file.packed:
                if file.pending and self._is_quiet(file):  # before, it may be just being written
                    await self._reporting(file, self._read_packed(file, sink))
            elif file.content is not None and (file.pending or self._is_over(file)):
                await self._reporting(file, self._read(file, sink))
        self._forget()
        if self._told_at is None or self._clock() - self._told_at >= TELL:
            await self._tell(sink)

    @property
    def _started_key(self) -> str:
        return f"{self._target.text}#started"

    async def _tell(self, sink: Sink) -> None:
        """Tells which positions are still of use. Not insisting, since the files go on meanwhile."""
        there = {self._started_key}.union(*(file.keys for file in self._files.values()))
        try:
            await sink.present(there)
        except Unavailable:
            return
        self._told_at = self._clock()

    def close(self) -> None:
        """Closes the files and forgets them. What is committed stays."""
        for file in self._files.values():
            _close(file)
        self._files.clear()
        self._contents.clear()
        self._told_at = None

    # what is on disk

    def _look(self) -> None:
        found = self._target.find()
        now = self._clock()
        for file in self._files.values():
            file.linked = False
        for age, entry in enumerate(reversed(found)):
            known = self._files.get(entry.inode)
            if known is not None and known.fd is None and (known.size, known.changed_ns) != entry.version:
                known = None  # it was closed, so the inode may have been given to another file
            if known is None:
                known = self._opened(entry)
                if known is None:
                    continue
                self._files[known.inode] = known
            known.path, known.named, known.linked = entry.path, entry.named, True
            self._look_at(known, now)
            if age >= self._max_open:
                _close(known)
        for file in self._files.values():
            if not file.linked:
                self._look_at(file, now)
        paths = {str(entry.path) for entry in found}
        self._reported = {path: problem for path, problem in self._reported.items() if path in paths}

    def _opened(self, entry: Found) -> _File | None:
        file = _File(entry.inode, entry.path)
        try:
            _open(file)
        except FileNotFoundError:  # gone or swapped just now: the next look finds out
            return None
        except OSError as error:
            self._report(file, error)
            return None
        return file

    def _look_at(self, file: _File, now: float) -> None:
        """Takes notice of an open file's size and time."""
        if file.fd is None:
            return
        try:
            status = os.fstat(file.fd)
            if (status.st_size, status.st_mtime_ns) == (file.size, file.changed_ns):
                return
            if status.st_size < file.size:
                file.content = None  # truncated: whatever is there now has to be identified
                file.scanned = 0
            file.size, file.changed_ns, file.changed_at = status.st_size, status.st_mtime_ns, now
            file.pending, file.finished = True, False
            if file.content is None:
                file.packed = tail.is_packed(file.fd, str(file.path))
                if file.packed:
                    _close(file)
        except (OSError, InputError) as error:
            file.pending, file.finished = False, True  # until it changes
            self._report(file, error)

    def _forget(self) -> None:
        """Drops files that are gone, and closes those that were quiet the longest if too many are open."""
        for inode, file in list(self._files.items()):
            done = file.finished or (not file.pending and self._is_doubled(file))
            if not file.linked and (file.fd is None or done):
                _close(file)
                del self._files[inode]
        opened = [file for file in self._files.values() if file.fd is not None]
        for file in sorted(opened, key=lambda file: file.changed_ns)[: max(0, len(opened) - self._max_open)]:
            if file.linked:
                _close(file)
        used = {file.content.key for file in self._files.values() if file.content is not None}
        self._contents = {key: content for key, content in self._contents.items() if key in used}

    def _is_quiet(self, file: _File) -> bool:
        return self._clock() - file.changed_at >= self._settle

    def _is_over(self, file: _File) -> bool:
        """Whether nothing will be added to a file, so that its last line counts even if it is unfinished."""
        if file.finished or not self._is_quiet(file) or self._is_doubled(file):
            return False
        if not file.linked or not file.named:
            return True
        if not self._target.is_folder or name_before(file.path.name) == file.path.name:
            return False
        return any(other.changed_ns > file.changed_ns for other in self._files.values())

    def _is_doubled(self, file: _File) -> bool:
        """Whether another file holds the same and may go on with it, be it the original or what replaced this one."""
        return file.content is not None and any(
            other.content is file.content and other.linked and other.named and other.size >= file.size
            for other in self._files.values()
            if other is not file
        )

    # whose content it is

    async def _identify(self, file: _File, sink: Sink) -> None:
        """Finds the content of a plain file, and with it the position; none while its first line is unfinished."""
        over = self._is_over(file)
        head = await in_thread(_head, file, over)
        if head is None:
            file.pending, file.finished = False, over
            return
        content = await self._content_of(file, head, sink)
        if await in_thread(_head, file, over) == head:  # else it was truncated meanwhile: next time
            file.content = self._contents.setdefault(content.key, content)
            file.scanned = 0

    async def _content_of(self, file: _File, head: str, sink: Sink) -> _Content:
        shorter = False
        async for content in self._alike(file, head, sink):
            if content.offset == 0:
                if shorter and await in_thread(_head, file, False) == head:
                    # Its end was lost: go on behind what is left, all of which was delivered.
                    await self._begin_at_end(file, content, sink)
                return content
            if content.offset > file.size:
                if content.offset == _SKIPPED or not file.named or self._is_held(content):
                    return content  # a copy
                shorter = True
            else:
                mark = await in_thread(_mark_before, file, content.offset)
                if tail.mark_digest(mark) == content.digest:
                    content.mark = mark
                    return content
        raise AssertionError  # the last one is new

    async def _alike(self, file: _File, head: str, sink: Sink) -> AsyncIterator[_Content]:
        """The contents that begin as a file does, at their positions; the last one is new."""
        file.keys = frozenset()
        for generation in count():
            key = f"{self._target.text}#{head}" + (f"+{generation}" if generation else "")
            file.keys |= {key}
            known = self._contents.get(key)
            if known is None:
                position = await last_position(sink, key, self._name, self._sleep)
                known = _Content(key, head)
                if position is not None:
                    known.offset, known.digest = position.offset, position.identity
            yield known

    def _is_held(self, content: _Content) -> bool:
        return any(file.content is content for file in self._files.values())

    async def _begin_at_end(self, file: _File, content: _Content, sink: Sink) -> None:
        end = await in_thread(_end_of_lines, file)
        if end:
            await self._advance(sink, content, b"", end, await in_thread(_mark_before, file, end))

    async def _skip_to_end(self, file: _File, sink: Sink) -> None:
        """Leaves out what was there before following began; a line that is being written is read from its beginning."""
        if not file.packed:
            await self._identify(file, sink)
            if file.content is not None and file.content.offset == 0:
                await self._begin_at_end(file, file.content, sink)
            return
        head = await in_thread(_packed_head, file)
        if head is not None:
            async for content in self._alike(file, head, sink):
                if content.offset == 0:
                    await self._advance(sink, content, b"", _SKIPPED, b"")
                file.content = self._contents.setdefault(content.key, content)
                return

    # reading

    async def _read(self, file: _File, sink: Sink) -> None:
        over = self._is_over(file)
        content = await self._confirmed(file, sink)
        while content is not None and content.offset < file.size:
            lines = await in_thread(self._next_lines, file, content, over)
            if lines is None:
                file.content = None  # and still pending
                file.scanned = 0
                return
            if isinstance(lines, int):
                file.scanned = lines
                break
            await self._deliver(sink, file, content, lines)
        file.pending, file.finished = False, over

    def _next_lines(self, file: _File, content: _Content, over: bool) -> tail.Lines | int | None:
        """As tail.next_lines; None if the file was truncated before they were read."""
        fd = _open(file)
        lines = tail.next_lines(fd, content.offset, file.scanned, over, self._max_line)
        return lines if _is_intact(file, content) else None

    async def _confirmed(self, file: _File, sink: Sink) -> _Content | None:
        """The content of a file, identified anew if what stands before the position is not what was delivered."""
        content = file.content
        if content is None or not file.pending:
            return content
        # Shorter than its content: another file holds more of it, or this one was truncated and has grown again.
        if content.offset > file.size or not await in_thread(_is_intact, file, content):
            file.content = None
            file.scanned = 0
            await self._identify(file, sink)
        return file.content

    async def _read_packed(self, file: _File, sink: Sink) -> None:
        head = await in_thread(_packed_head, file)
        if head is not None:
            async for content in self._alike(file, head, sink):
                offset = content.offset
                if offset == _SKIPPED:
                    break
                if offset and await in_thread(tail.unpacked_size_fits, file.path, offset):
                    break
                packed = tail.Packed(file.path, self._max_line)
                mark = await in_thread(packed.skip, offset)
                if mark is None:
                    break  # it ends before the position: a copy from earlier
                if offset and tail.mark_digest(mark) != content.digest:
                    continue
                content.mark = mark
                file.content = self._contents.setdefault(content.key, content)
                while (lines := await in_thread(packed.next_lines)) is not None:
                    await self._deliver(sink, file, content, lines)
                break
        file.pending, file.finished = False, True

    async def _deliver(self, sink: Sink, file: _File, content: _Content, lines: tail.Lines) -> None:
        if lines.cut:
            text = "%s: `%s`: of the line at byte %d only the first %d bytes are taken"
            _log.warning(text, self._name, file.path, content.offset, self._max_line)
        await self._advance(sink, content, lines.body, lines.end, lines.mark)

    async def _advance(self, sink: Sink, content: _Content, body: bytes, offset: int, mark: bytes) -> None:
        """Delivers, and with it commits the position behind; only then the content counts as read up to there."""
        mark = (content.mark + mark)[-tail.MARK :]
        digest = tail.mark_digest(mark)
        await self._commit(sink, body, Position(content.key, digest, offset))
        content.offset, content.mark, content.digest = offset, mark, digest

    async def _commit(self, sink: Sink, body: bytes, position: Position) -> None:
        delivery = Delivery(body, self._cluster, time.time_ns(), position, lines=True)
        await hand_over(sink, delivery, self._name, self._sleep)

    # problems

    async def _reporting(self, file: _File, work: Coroutine[Any, Any, None]) -> None:
        """Does something with a file; a problem with it is reported and costs the other files nothing."""
        was_open = file.fd is not None
        try:
            await work
            self._reported.pop(str(file.path), None)
        except (OSError, InputError) as error:
            file.pending = isinstance(error, OSError) and file.linked  # a damaged file is tried again when it changes
            file.finished = not file.pending
            if not isinstance(error.__cause__ or error, FileNotFoundError):
                self._report(file, error)
        finally:
            if not was_open:
                _close(file)

    def _report(self, file: _File, error: OSError | InputError) -> None:
        """Tells of a problem once."""
        problem = f"cannot read `{file.path}`: {error.strerror}" if isinstance(error, OSError) else str(error)
        if self._reported.get(str(file.path)) != problem:
            self._reported[str(file.path)] = problem
            _log.error("%s: %s", self._name, problem)


def _open(file: _File) -> int:
    """The descriptor of a file. Raises OSError; FileNotFoundError if its path leads to another file by now."""
    if file.fd is None:
        fd = os.open(file.path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        status = os.fstat(fd)
        if (status.st_dev, status.st_ino) != file.inode:
            os.close(fd)
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(file.path))
        file.fd = fd
    return file.fd


def _close(file: _File) -> None:
    if file.fd is not None:
        os.close(file.fd)
        file.fd = None


def _mark_before(file: _File, offset: int) -> bytes:
    return tail.mark_before(_open(file), offset)


def _is_intact(file: _File, content: _Content) -> bool:
    """Whether a file still holds what was delivered of its content, as far as its first line and the mark tell.

    The mark alone does not: lines may end alike, and then a truncated file that has grown again has the mark, too.
    """
    fd = _open(file)
    if tail.mark_before(fd, content.offset) != content.mark:
        return False
    return tail.head(tail.blocks_of(fd), True) == content.head


def _end_of_lines(file: _File) -> int:
    return tail.end_of_lines(_open(file))


def _packed_head(file: _File) -> str | None:
    return tail.head(Input(str(file.path), file.path, None).content(), True)


def _head(file: _File, over: bool) -> str | None:
    """The head of a plain file; None while its first line is unfinished."""
    fd = _open(file)
    if not over:
        scanned, found = tail.find_newline(fd, file.scanned)
        if not found:
            file.scanned = scanned
            return None
    return tail.head(tail.blocks_of(fd), over)
