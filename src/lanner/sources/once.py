"""Files, folders and patterns that are read once, and standard input.

Both deliver JSON lines, about 1 MiB at once. A text that spans lines (a pretty-printed list) is put on one line, so
files may hold whatever `lanner replay` reads.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Iterator
from hashlib import blake2b
from itertools import chain
from typing import NamedTuple

from lanner.sources.base import Delivery, Position, Sink
from lanner.sources.delivering import Sleep, hand_over, in_thread, last_position, tell_present
from lanner.sources.files import Input, InputError, expand
from lanner.sources.tail import BLOCK, MAX_LINE

_log = logging.getLogger(__name__)


class _Block(NamedTuple):
    """Lines, and how many bytes of lines there were up to their end."""

    body: bytes
    end: int


class ReadOnce:
    """Reads a file, a folder or a pattern once, by modification time, and ends.

    The position of a file (its path, with a digest of its first text) counts the bytes of the texts that were
    delivered, a newline behind each. Started again, it goes on behind what is committed; a file that begins otherwise
    than the one of that path before is another one and is read from its beginning.

    Of a text longer than `max_text` bytes the beginning is delivered, as one line.
    """

    def __init__(
        self, target: str, *, name: str, cluster: str = "", max_text: int = MAX_LINE, sleep: Sleep = asyncio.sleep
    ) -> None:
        self._target = target
        self._name = name
        self._cluster = cluster
        self._max_text = max_text
        self._sleep = sleep

    @property
    def name(self) -> str:
        return self._name

    async def run(self, sink: Sink) -> None:
        """Delivers all files; raises InputError if there is none, or behind the last one if one cannot be read."""
        failure: InputError | None = None
        files = await in_thread(expand, [self._target])
        await tell_present(sink, [file.name for file in files], self._name, self._sleep)
        for file in files:
            try:
                await self._read(file, sink)
            except InputError as error:
                _log.error("%s: %s", self._name, error)
                failure = failure or error
        if failure is not None:
            raise failure

    async def _read(self, file: Input, sink: Sink) -> None:
        texts = _texts(file, self._max_text)
        first = await in_thread(next, texts, None)
        if first is None:
            return
        identity = blake2b(first, digest_size=16).hexdigest()
        committed = await last_position(sink, file.name, self._name, self._sleep)
        start = committed.offset if committed is not None and committed.identity == identity else 0
        blocks = _blocks(chain([first], texts), start)
        while (block := await in_thread(next, blocks, None)) is not None:
            position = Position(file.name, identity, block.end)
            delivery = Delivery(block.body, self._cluster, time.time_ns(), position, lines=True)
            await hand_over(sink, delivery, self._name, self._sleep)


def _texts(file: Input, limit: int) -> Iterator[bytes]:
    """The texts of a file, each on one line and with its newline."""
    for _, text, _ in file.chunks(limit):
        yield text.replace(b"\n", b" ") + b"\n"  # between values a newline is a blank, inside strings it is not JSON


def _blocks(texts: Iterator[bytes], start: int) -> Iterator[_Block]:
    """The texts behind `start`, about BLOCK bytes at once. Raises InputError when what came before it was given."""
    end = size = 0
    lines: list[bytes] = []
    failure: InputError | None = None
    try:
        for text in texts:
            end += len(text)
            if end <= start:
                continue
            lines.append(text)
            size += len(text)
            if size >= BLOCK:
                yield _Block(b"".join(lines), end)
                lines = []
                size = 0
    except InputError as error:
        failure = error
    if lines:
        yield _Block(b"".join(lines), end)
    if failure is not None:
        raise failure


class StandardInput:
    """Reads standard input to its end. What has come is delivered at once, so a pipe may be slow.

    There is no position: what was read but not committed when the process is killed is lost.
    """

    def __init__(
        self,
        *,
        name: str,
        cluster: str = "",
        max_text: int = MAX_LINE,
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        self._name = name
        self._cluster = cluster
        self._max_text = max_text
        self._sleep = sleep

    @property
    def name(self) -> str:
        return self._name

    async def run(self, sink: Sink) -> None:
        """Delivers until the input ends; raises InputError if it cannot be read, or is compressed and cut short."""
        feed = _Feed(Input("standard input", None, None), self._max_text)
        while body := await feed.take():
            await hand_over(
                sink, Delivery(body, self._cluster, time.time_ns(), None, lines=True), self._name, self._sleep
            )


class _Feed:
    """A thread that reads ahead, about a block. Nothing can stop it while it waits for input: it is a daemon."""

    def __init__(self, source: Input, limit: int) -> None:
        self._source = source
        self._limit = limit
        self._lines: list[bytes] = []
        self._size = 0
        self._ended = False
        self._failure: InputError | None = None
        self._room = threading.Condition()
        self._arrived = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        threading.Thread(target=self._read, name="standard input", daemon=True).start()

    async def take(self) -> bytes:
        """What has come, at least one line; empty at the end. Raises InputError if it ended for a reason."""
        while True:
            await self._arrived.wait()
            self._arrived.clear()
            with self._room:
                body = b"".join(self._lines)
                self._lines = []
                self._size = 0
                ended = self._ended
                self._room.notify()
            if body:
                if ended:
                    self._arrived.set()
                return body
            if ended:
                if self._failure is not None:
                    raise self._failure
                return b""

    def _read(self) -> None:
        try:
            for text in _texts(self._source, self._limit):
                with self._room:
                    self._room.wait_for(lambda: self._size < BLOCK)
                    self._lines.append(text)
                    self._size += len(text)
                self._tell()
        except InputError as error:
            self._failure = error
        with self._room:
            self._ended = True
        self._tell()

    def _tell(self) -> None:
        try:
            self._loop.call_soon_threadsafe(self._arrived.set)
        except RuntimeError:  # the loop is closed: the source was stopped while its thread waited for input
            return
