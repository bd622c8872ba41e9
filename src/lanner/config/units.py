"""Times and sizes with their units: `15m` is 900 seconds, `64MiB` is 67,108,864 bytes."""

from __future__ import annotations

import re

_QUANTITY = re.compile(r"([0-9]+(?:\.[0-9]+)?) ?([A-Za-z]*)")
_SECONDS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
_BYTES = {"": 1, "b": 1, "kb": 10**3, "mb": 10**6, "gb": 10**9, "tb": 10**12}
_BYTES |= {"k": 1024, "kib": 1024, "m": 1024**2, "mib": 1024**2, "g": 1024**3, "gib": 1024**3, "tib": 1024**4}


def read_duration(text: str) -> float:
    """Seconds. A bare `0` needs no unit. Raises ValueError for anything that is no time."""
    return 0.0 if text == "0" else _read(text, _SECONDS)


def read_size(text: str) -> int:
    """Bytes; units in any case, `K`, `M` and `G` as powers of 1024. Raises ValueError for anything that is no size."""
    return int(_read(text.lower(), _BYTES))


def _read(text: str, units: dict[str, float] | dict[str, int]) -> float:
    match = _QUANTITY.fullmatch(text)
    if match is None or match[2] not in units:
        raise ValueError(text)
    return float(match[1]) * units[match[2]]
