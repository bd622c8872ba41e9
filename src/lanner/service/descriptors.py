"""Shares the file descriptors that the process may have (`ulimit -n`) between connections, followed files and the rest.

Whoever reaches a port decides how many connections there are, so they are bounded such that the store can always open
its files, and such that the status server answers however many there are.
"""

from __future__ import annotations

import resource
import sys
from dataclasses import dataclass
from itertools import count

from lanner.sources.follow import MAX_OPEN
from lanner.sources.webhook_settings import WebhookLimits

RESERVED = 32
"""Standard streams, the event loop, the store, listening sockets, name look-ups, and files that are read again."""

STATUS_CONNECTIONS = 64
"""Of the status server, where there are descriptors enough."""

LEAST_CONNECTIONS = 8
LEAST_STATUS_CONNECTIONS = 4
LEAST_OPEN_FILES = 4


@dataclass(frozen=True, slots=True)
class Descriptors:
    """`connections`: of each webhook listener; `open_files`: of each source that follows files."""

    connections: int
    status_connections: int
    open_files: int

    @property
    def enough(self) -> bool:
        """Whether the service can work with that."""
        return (
            self.connections >= LEAST_CONNECTIONS
            and self.status_connections >= LEAST_STATUS_CONNECTIONS
            and self.open_files >= LEAST_OPEN_FILES
        )

    @property
    def full(self) -> bool:
        """Whether nothing is bounded more than it would be anyway."""
        return self == _FULL


_FULL = Descriptors(WebhookLimits().connections, STATUS_CONNECTIONS, MAX_OPEN)


def limit_of_open_files() -> int:
    """The soft limit of this process."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return sys.maxsize if soft == resource.RLIM_INFINITY else soft


def share_out(limit: int, listeners: int, followers: int) -> Descriptors:
    """The bounds for so many webhooks and sources that follow files."""
    left = max(0, limit - RESERVED)
    open_files = min(MAX_OPEN, left // 2 // followers) if followers else MAX_OPEN
    if followers:
        left -= open_files * followers
    status = min(_FULL.status_connections, left // 4)
    connections = min(_FULL.connections, (left - status) // listeners) if listeners else _FULL.connections
    return Descriptors(connections, status, open_files)


def needed(listeners: int, followers: int) -> int:
    """The lowest limit that is enough."""
    return next(limit for limit in count(RESERVED) if share_out(limit, listeners, followers).enough)
