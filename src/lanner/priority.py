"""The eight priorities of an alert, most severe first."""

from __future__ import annotations

from enum import IntEnum


class Priority(IntEnum):
    """How severe an alert is; a lower number is more severe, as in syslog."""

    EMERGENCY = 0
    ALERT = 1
    CRITICAL = 2
    ERROR = 3
    WARNING = 4
    NOTICE = 5
    INFORMATIONAL = 6
    DEBUG = 7

    label: str
    """The capitalised word that alerts carry, for example `Warning`."""

    def __init__(self, _: int) -> None:
        self.label = self.name.capitalize()

    @classmethod
    def parse(cls, word: str) -> Priority:
        """Read a priority word in any case; `info` stands for `informational`.

        Raises ValueError for any other word.
        """
        name = word.upper()
        if name == "INFO":
            return cls.INFORMATIONAL
        try:
            return cls[name]
        except KeyError:
            raise ValueError(f"`{word}` is not a priority; use one of {', '.join(PRIORITY_WORDS)}") from None


PRIORITY_WORDS = tuple(priority.name.lower() for priority in Priority)
