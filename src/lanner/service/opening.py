"""A store that may come later than the service: until it is open nothing is committed, and whoever sends comes again.

The order matters: what is in the store at the start has to be read before the first commit, or standard output could
not tell what an earlier run left from what is new.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from lanner.store.errors import StoreError
from lanner.store.records import Batch, CommitResult
from lanner.store.store import Store


class LateStore:
    """What the committer takes for the store. `failure`: why it is not open yet."""

    def __init__(self, store: Store, failure: str) -> None:
        self._store = store
        self._opened = asyncio.Event()
        self.failure = failure

    @property
    def is_open(self) -> bool:
        """Whether it takes commits."""
        return self._opened.is_set()

    def open(self) -> None:
        """Take commits from now on."""
        self._opened.set()

    async def opened(self) -> None:
        """Returns as soon as it takes commits."""
        await self._opened.wait()

    def apply(self, batches: Sequence[Batch]) -> CommitResult:
        """See Store. Raises StoreError."""
        if not self._opened.is_set():
            raise StoreError(self.failure, retryable=True)
        return self._store.apply(batches)
