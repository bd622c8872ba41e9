"""Blocks evaluated by several processes, with the results in the order of the blocks.

The processes are forked: they inherit the rules, compiled and with what dispatch has learnt so far, where loading
thousands of rules anew would take seconds. Nothing may have started a thread before; the executor starts its own
behind the last fork.

The bytes of a block go through memory that all processes share. Through the pipe of an executor they would cost a
fourth of what their evaluation costs. A block that is larger than its slot, which only a very long text makes, does go
through the pipe.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections import deque
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from mmap import mmap
from types import TracebackType
from typing import Generic, NamedTuple, TypeVar

from lanner.engine.engine import Engine
from lanner.replay.evaluation import Counts, evaluate
from lanner.sources.files import Block

BLOCK = 1024 * 1024
"""Bytes of a block: a few milliseconds of work."""

_SLOT = 2 * BLOCK
_AHEAD = 2  # blocks for each process to go on with while the oldest one is waited for
_MOST_AHEAD = 16  # of all processes: one that reads cannot keep more busy

Tag = TypeVar("Tag")


class WorkerError(Exception):
    """A process ended before its work was done."""


class Evaluated(NamedTuple):
    """What came of a block: the lines of its alerts, and the counts."""

    output: bytes
    counts: Counts


class _Pending(NamedTuple, Generic[Tag]):
    future: Future[Evaluated]
    size: int
    slot: int | None
    tag: Tag


class Workers(Generic[Tag]):
    """The processes, as a context manager. They start with the first block, and end with the context: at once if an
    exception leaves it.

    `tag`: what the caller wants to know about a block when its result comes.
    """

    def __init__(self, engine: Engine, jobs: int) -> None:
        self._engine = engine
        self._jobs = jobs
        self._executor: ProcessPoolExecutor | None = None
        self._pending: deque[_Pending[Tag]] = deque()
        self._in_flight = 0
        self._room = jobs + min(_AHEAD * jobs, _MOST_AHEAD)
        self._free = list(range(self._room))

    def __enter__(self) -> Workers[Tag]:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._executor is None:
            return
        if kind is not None:
            for process in self._processes:
                process.terminate()
        self._executor.shutdown(cancel_futures=True)

    @property
    def busy(self) -> bool:
        """Whether there are results to take."""
        return bool(self._pending)

    @property
    def finished(self) -> bool:
        """Whether the next result is there."""
        return bool(self._pending) and self._pending[0].future.done()

    def has_room(self, block: Block) -> bool:
        """Whether the block may be given now: what is in flight is bounded, in number and in bytes."""
        fits = self._in_flight + len(block.data) <= self._room * _SLOT
        return not self._pending or (len(self._pending) < self._room and fits)

    def give(self, block: Block, tag: Tag) -> None:
        """Have a block evaluated. There must be room for it. Raises WorkerError."""
        executor = self._executor or self._start()
        size = len(block.data)
        slot = None
        try:
            if size <= _SLOT:
                slot = self._free.pop()
                self._memory[slot * _SLOT : slot * _SLOT + size] = block.data
                future = executor.submit(_evaluate_slot, slot, size, block._replace(data=b""))
            else:
                future = executor.submit(_evaluate_block, block)
        except BrokenProcessPool:
            raise _died() from None
        self._pending.append(_Pending(future, size, slot, tag))
        self._in_flight += size

    def take(self) -> tuple[Tag, Evaluated]:
        """The result of the oldest block; waits for it. Raises WorkerError."""
        future, size, slot, tag = self._pending.popleft()
        try:
            result = future.result()
        except BrokenProcessPool:
            raise _died() from None
        self._in_flight -= size
        if slot is not None:
            self._free.append(slot)
        return tag, result

    def _start(self) -> ProcessPoolExecutor:
        """Fork the processes. They never see an interrupt of the terminal: it is this process that ends them."""
        self._memory = mmap(-1, self._room * _SLOT)
        executor = ProcessPoolExecutor(
            self._jobs,
            multiprocessing.get_context("fork"),
            initializer=_begin,
            initargs=(self._engine, self._memory),
        )
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            executor.submit(os.getpid)
            self._processes = multiprocessing.active_children()
            self._executor = executor
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        return executor


def _died() -> WorkerError:
    return WorkerError(
        "a worker process was ended from outside, perhaps for want of memory; only what comes before the events that "
        "it had was evaluated. `--jobs 1` works without worker processes."
    )


# What follows runs in the worker processes.


class _Here:
    """What a process evaluates with; empty in the process that reads."""

    engine: Engine
    memory: mmap


def _begin(engine: Engine, memory: mmap) -> None:
    _Here.engine = engine
    _Here.memory = memory
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


def _evaluate_slot(slot: int, size: int, block: Block) -> Evaluated:
    start = slot * _SLOT
    return _evaluate_block(block._replace(data=_Here.memory[start : start + size]))


def _evaluate_block(block: Block) -> Evaluated:
    lines: list[bytes] = []
    counts = Counts()
    evaluate(_Here.engine, block, counts, lines.append)
    return Evaluated(b"".join(lines), counts)
