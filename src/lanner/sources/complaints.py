"""Which of many equal complaints are told, so that neither a scanner nor a wrong setting floods the log."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

FORGET = 3600.0
"""Seconds without a complaint of a kind after which the next one counts as the first."""


class Complaints:
    """Counts complaints by kind. Kinds are kept for good, so clients must not be able to make up new ones."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._seen: dict[tuple[str, ...], tuple[int, float]] = {}

    def count(self, *kind: str) -> int:
        """How many there are of this kind, if it is one to tell: the 1st, 2nd, 4th, 8th, ...; 0 if it is not."""
        now = self._clock()
        number, last = self._seen.get(kind, (0, now))
        number = 1 if now - last >= FORGET else number + 1
        self._seen[kind] = number, now
        return number if number & (number - 1) == 0 else 0


def so_far(number: int) -> str:
    """What is put behind the text of a complaint: nothing for the first one."""
    return "" if number == 1 else f" ({number} so far)"


def shown_address(address: Sequence[object] | None) -> str:
    """The address of a client as text: `10.0.0.7:41234`, `[fd00::7]:41234`."""
    if not address or len(address) < 2:
        return "an unknown address"
    host, port = address[:2]
    return f"[{host}]:{port}" if ":" in str(host) else f"{host}:{port}"
