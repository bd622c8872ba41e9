"""What a source did not take: the reasons, and what each of them means for the events."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, StrEnum
from types import MappingProxyType


class Reason(StrEnum):
    """Why something was refused: the words a sink counts by."""

    BAD_REQUEST = "bad_request"  # not HTTP, or headers too large or too slow
    TLS = "tls"  # the handshake failed: no certificate, a wrong one, plain http
    CONNECTIONS = "connections"  # too many connections, whoever holds them
    UNKNOWN_PATH = "unknown_path"
    METHOD = "method"
    UNAUTHORIZED = "unauthorized"
    FORBIDDEN = "forbidden"
    CONTENT_TYPE = "content_type"
    CONTENT_ENCODING = "content_encoding"
    DAMAGED = "damaged"  # announced as gzip, but is not
    TOO_LARGE = "too_large"
    TOO_SLOW = "too_slow"
    INCOMPLETE = "incomplete"  # the client went away, or what it sent stopped being HTTP
    OVERLOAD = "overload"  # too many bytes or requests in flight
    UNAVAILABLE = "unavailable"  # the sink could not take it
    FAILED = "failed"  # a fault of ours
    STOPPED = "stopped"  # not finished when the source had to end


class Consequence(Enum):
    """What a refusal means for the events in the request."""

    LOST = "lost"
    """The sender showed its credentials, and every retry gets the same answer: the events are gone."""
    RETRIED = "retried"
    """The sender showed its credentials, and a retry can succeed."""
    OVERLOAD = "overload"
    """The same, and this service is what has to change: there was no room."""
    UNPROVEN = "unproven"
    """Anyone who reaches the port can cause it. It may have been an API server that is set up wrongly."""


CONSEQUENCES: Mapping[Reason, Consequence | None] = MappingProxyType(
    {
        Reason.BAD_REQUEST: Consequence.UNPROVEN,
        Reason.TLS: Consequence.UNPROVEN,
        Reason.CONNECTIONS: Consequence.UNPROVEN,
        Reason.UNKNOWN_PATH: Consequence.UNPROVEN,
        Reason.METHOD: Consequence.UNPROVEN,
        Reason.UNAUTHORIZED: Consequence.UNPROVEN,
        Reason.FORBIDDEN: Consequence.UNPROVEN,
        Reason.CONTENT_TYPE: Consequence.LOST,
        Reason.CONTENT_ENCODING: Consequence.LOST,
        Reason.DAMAGED: Consequence.LOST,
        Reason.TOO_LARGE: Consequence.LOST,
        Reason.TOO_SLOW: Consequence.RETRIED,
        Reason.INCOMPLETE: Consequence.RETRIED,
        Reason.OVERLOAD: Consequence.OVERLOAD,
        Reason.UNAVAILABLE: None,  # the sink knows its own failures better
        Reason.FAILED: Consequence.LOST,
        Reason.STOPPED: Consequence.RETRIED,
    }
)
"""What each reason means; None where the sink itself reports the cause."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """One request, or one connection that came to no request.

    `cluster`: the one of the path, empty where none is known. `reason`: a `Reason`; sources of plugins may have words
    of their own, which count as `Consequence.RETRIED`. `text`: the cause and the way out; must hold nothing that a
    sender without credentials chooses. `status`: the answer, 0 without one. `size`: bytes, as far as known. `peer`: the
    address of the sender.
    """

    cluster: str
    reason: str
    text: str
    status: int = 0
    size: int = 0
    peer: str = ""

    @property
    def consequence(self) -> Consequence | None:
        """See CONSEQUENCES."""
        try:
            return CONSEQUENCES[Reason(self.reason)]
        except ValueError:
            return Consequence.RETRIED
