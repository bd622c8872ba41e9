"""Blocks evaluated by several processes, with the results in the order of the blocks.

The processes are forked: they inherit the rules, compiled and with what dispatch has learnt so far, where loading
thousands of rules anew would take seconds. Nothing may have started a thread before.

A block reaches a process as an open file: the one that a span is part of, which the process then reads by itself, or
one in memory with the bytes of the block. What goes through the pipe beside the descriptor is small, so that to give a
block never waits for a process that itself waits for its result to be taken.
"""

from __future__ import annotations

import multiprocessing
import os
import selectors
import signal
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from multiprocessing.reduction import recv_handle, send_handle
from tempfile import TemporaryFile
from traceback import format_exc
from types import TracebackType
from typing import Generic, NamedTuple, TypeVar

from lanner.engine.engine import Engine
from lanner.replay.evaluation import Counts, evaluate
from lanner.sources.files import Block, InputError, Span

BLOCK = 1024 * 1024
"""Bytes of a block: a few milliseconds of work."""

_LARGE = 2 * BLOCK  # a file in memory that held more is not used again
_AHEAD = 2  # blocks for each process to go on with while the oldest one is waited for
_MOST_AHEAD = 16  # of all processes: one that reads cannot keep more busy

Tag = TypeVar("Tag")


class WorkerError(Exception):
    """A process ended before its work was done."""


class Evaluated(NamedTuple):
    """What came of a block: the lines of its alerts, the counts, and why it could not be read to its end."""

    output: bytes
    counts: Counts
    failure: InputError | None


@dataclass(eq=False)
class _Pending(Generic[Tag]):
    """A block that was given. `memory`: the file in memory that holds its bytes."""

    tag: Tag
    size: int
    memory: int | None
    result: Evaluated | None = None


@dataclass(eq=False)
class _Worker(Generic[Tag]):
    """A process, and what it has yet to answer, oldest first."""

    process: BaseProcess
    connection: Connection
    given: deque[_Pending[Tag]] = field(default_factory=deque)


class Workers(Generic[Tag]):
    """The processes, as a context manager. They start with the first block, and end with the context: at once if an
    exception leaves it. What is raised in one of them is raised here.

    `tag`: what the caller wants to know about a block when its result comes.
    """

    def __init__(self, engine: Engine, jobs: int) -> None:
        self._engine = engine
        self._jobs = jobs
        self._workers: list[_Worker[Tag]] = []
        self._selector = selectors.DefaultSelector()
        self._pending: deque[_Pending[Tag]] = deque()
        self._in_flight = 0
        self._room = jobs + min(_AHEAD * jobs, _MOST_AHEAD)
        self._free: list[int] = []

    def __enter__(self) -> Workers[Tag]:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for worker in self._workers:
            if kind is not None:
                worker.process.terminate()
            worker.connection.close()
        for worker in self._workers:
            worker.process.join()
        self._selector.close()
        for memory in (*self._free, *(block.memory for block in self._pending if block.memory is not None)):
            os.close(memory)

    @property
    def busy(self) -> bool:
        """Whether there are results to take."""
        return bool(self._pending)

    @property
    def finished(self) -> bool:
        """Whether the next result is there. Raises WorkerError."""
        self._receive(0)
        return bool(self._pending) and self._pending[0].result is not None

    def has_room(self, block: Block) -> bool:
        """Whether the block may be given now: what is in flight is bounded, in number and in bytes."""
        fits = self._in_flight + block.size <= self._room * _LARGE
        return not self._pending or (len(self._pending) < self._room and fits)

    def give(self, block: Block, tag: Tag) -> None:
        """Have a block evaluated. There must be room for it. Raises WorkerError."""
        if not self._workers:
            self._start()
        worker = min(self._workers, key=lambda worker: len(worker.given))
        pending = _Pending(tag, block.size, None)
        if isinstance(block.data, Span):
            file = block.data.fd
        else:
            file = pending.memory = self._stored(block.data)
            block = block._replace(data=b"")
        try:
            worker.connection.send((pending.size, block))
            send_handle(worker.connection, file, worker.process.pid)
        except ConnectionError:
            raise _died() from None
        worker.given.append(pending)
        self._pending.append(pending)
        self._in_flight += pending.size

    def take(self) -> tuple[Tag, Evaluated]:
        """The result of the oldest block; waits for it. Raises WorkerError."""
        oldest = self._pending[0]
        while oldest.result is None:
            self._receive(None)
        self._pending.popleft()
        self._in_flight -= oldest.size
        if oldest.memory is not None:
            self._let_go(oldest.memory, oldest.size)
        return oldest.tag, oldest.result

    def _receive(self, timeout: float | None) -> None:
        """Take what the processes have sent, if need be wait for it that long."""
        for key, _ in self._selector.select(timeout):
            worker: _Worker[Tag] = key.data
            try:
                answer: Evaluated | Exception = worker.connection.recv()
            except (EOFError, ConnectionError):
                raise _died() from None
            if isinstance(answer, Exception):
                raise answer
            worker.given.popleft().result = answer

    def _stored(self, data: bytes) -> int:
        """A file in memory that begins with the data."""
        memory = self._free.pop() if self._free else _new_file()
        done = 0
        while done < len(data):
            done += os.pwrite(memory, data[done:], done)
        return memory

    def _let_go(self, memory: int, size: int) -> None:
        if size > _LARGE:
            os.close(memory)
        else:
            self._free.append(memory)

    def _start(self) -> None:
        """Fork the processes. They never see an interrupt of the terminal: it is this process that ends them."""
        context = multiprocessing.get_context("fork")
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            for _ in range(self._jobs):
                ours, theirs = context.Pipe()
                not_theirs = [*(worker.connection for worker in self._workers), ours]
                process = context.Process(target=_work, args=(self._engine, theirs, not_theirs))
                process.start()
                theirs.close()
                worker: _Worker[Tag] = _Worker(process, ours)
                self._workers.append(worker)
                self._selector.register(ours, selectors.EVENT_READ, worker)
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _new_file() -> int:
    """The descriptor of a file without a name: in memory where the system has such, as Linux does."""
    if hasattr(os, "memfd_create"):
        return os.memfd_create("block")
    with TemporaryFile() as file:
        return os.dup(file.fileno())


def _died() -> WorkerError:
    return WorkerError(
        "a worker process was ended from outside, perhaps for want of memory; only what comes before the events that "
        "it had was evaluated. `--jobs 1` works without worker processes."
    )


# What follows runs in the worker processes.


def _work(engine: Engine, connection: Connection, not_ours: Sequence[Connection]) -> None:
    """Evaluate what comes until the other process closes its end, or ends.

    `not_ours`: its ends, which were inherited; as long as one is open here, that end is not closed.
    """
    for end in not_ours:
        end.close()
    with suppress(EOFError, ConnectionError):
        while True:
            size, block = connection.recv()
            file = recv_handle(connection)
            connection.send(_answer(engine, file, size, block))
            os.close(file)


def _answer(engine: Engine, file: int, size: int, block: Block) -> Evaluated | Exception:
    try:
        return _evaluated(engine, file, size, block)
    except Exception as error:
        error.add_note(f"In a worker process:\n{format_exc()}")
        return error


def _evaluated(engine: Engine, file: int, size: int, block: Block) -> Evaluated:
    if isinstance(block.data, Span):
        block = block._replace(data=block.data._replace(fd=file))
    else:
        block = block._replace(data=os.pread(file, size, 0))
    lines: list[bytes] = []
    counts = Counts()
    failure = None
    try:
        evaluate(engine, block, counts, lines.append)
    except InputError as error:
        failure = error
    return Evaluated(b"".join(lines), counts, failure)
