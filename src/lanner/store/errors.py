"""What goes wrong with a store, in words for its operator."""

from __future__ import annotations


class StoreError(Exception):
    """The store cannot do it now. Nothing of what was asked for has happened, or all of it and nobody can tell: then a
    repetition is found to be a duplicate.

    The message names the store (never its password), says what is wrong, and behind a colon or semicolon what to do.
    `retryable`: the same call may succeed later without a restart (full disk, locked or unreachable database).
    """

    def __init__(self, message: str, retryable: bool) -> None:
        super().__init__(message)
        self.retryable = retryable


class BatchError(StoreError):
    """A batch holds something that no store takes, so it can never be committed; batches beside it can."""

    def __init__(self, message: str) -> None:
        super().__init__(message, retryable=False)
