"""A progress bar over bytes on standard error, for commands that read long inputs."""

from __future__ import annotations

import time
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

REDRAW_S = 0.1


class ByteProgress:
    """The bar; use it as a context manager. `total` is None where it is not known."""

    def __init__(self, total: int | None) -> None:
        columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeRemainingColumn())
        self._progress = Progress(*columns, console=Console(stderr=True), auto_refresh=False, transient=True)
        self._task = self._progress.add_task("reading", total=total)
        self._drawn = 0.0

    def __enter__(self) -> ByteProgress:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    def pause(self) -> None:
        """Take the bar off the terminal until the next `advance`."""
        self._progress.stop()

    def advance(self, count: int) -> None:
        """`count` more bytes were read."""
        self._progress.advance(self._task, count)
        now = time.monotonic()
        if now - self._drawn >= REDRAW_S:
            self._drawn = now
            self._progress.start()
            self._progress.refresh()
