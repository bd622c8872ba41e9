"""Notices clusters that were heard and have gone silent, and that nothing has ever come.

A cluster that is quiet and one that is disconnected must not look alike. Nobody is missed before having been heard
once; what the store knows of earlier runs counts as heard, from the start of this one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from lanner.config.service import Silence
from lanner.service.accounts import Account

SECOND = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Silent:
    """A cluster that has gone silent. `seconds`: for how long."""

    source: str
    cluster: str
    last_ns: int
    seconds: float


@dataclass(frozen=True, slots=True)
class HeardAgain:
    """A cluster that had gone silent and sends again. `seconds`: for how long it was silent."""

    source: str
    cluster: str
    seconds: float


class SilenceWatch:
    """Compares the accounts with the limits; each silence is told once, and its end."""

    def __init__(self, limits: Silence) -> None:
        self._limits = limits
        self._since: dict[tuple[str, str], int] = {}
        self._told: set[tuple[str, str]] = set()

    def expect(self, heard_before: Iterable[tuple[str, str]], now_ns: int) -> None:
        """Miss these from now on, although they were not heard in this run."""
        self._since |= dict.fromkeys(heard_before, now_ns)

    def look(self, accounts: Mapping[tuple[str, str], Account], now_ns: int) -> Iterator[Silent | HeardAgain]:
        """Those that have gone silent since the last look, and those that have come back."""
        for key, account in accounts.items():
            before = self._since.get(key, 0)
            if account.last_received_ns > before:
                self._since[key] = account.last_received_ns
                if key in self._told:
                    self._told.discard(key)
                    yield HeardAgain(*key, (account.last_received_ns - before) / SECOND)
        for key, since in self._since.items():
            limit = self._limits.of(key[1])
            if limit and key not in self._told and now_ns - since >= limit * SECOND:
                self._told.add(key)
                yield Silent(*key, since, (now_ns - since) / SECOND)

    def seconds(self, now_ns: int) -> dict[tuple[str, str], float]:
        """How long each cluster that was heard has been silent."""
        return {key: (now_ns - since) / SECOND for key, since in self._since.items()}

    @property
    def silent(self) -> frozenset[tuple[str, str]]:
        """Those that are beyond their limits."""
        return frozenset(self._told)
