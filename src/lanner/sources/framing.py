"""Where a request ends, read strictly: h11, but without what two readers of the same bytes may understand differently.

A proxy in front that finds another end of a request than this server does would take a part of a body for a request, or
the other way round. h11 refuses most of that. What it lets pass and is refused here: Content-Length beside
Transfer-Encoding, more than one Content-Length, Transfer-Encoding in HTTP/1.0, lines that end with a bare line feed or
hold a bare carriage return, folded header lines, versions other than 1.0 and 1.1, and trailers. No API server sends any
of these.
"""

from __future__ import annotations

import re
from typing import TypeAlias

import h11

Event: TypeAlias = h11.Event | type[h11.NEED_DATA] | type[h11.PAUSED]

_HEAD_END = re.compile(rb"\n\r?\n")
_LOOSE_LINE = re.compile(rb"(?<!\r)\n|\r(?!\n)")
_FOLDED = re.compile(rb"\r\n[ \t]")
_VERSION = re.compile(rb" HTTP/1\.[01]\Z")


class StrictConnection(h11.Connection):
    """The server's side of a connection. `problem`: why a request was refused here; empty if h11 did, or none was."""

    problem = ""

    def next_event(self) -> Event:
        """As in h11; raises h11.RemoteProtocolError also for the above."""
        if self.their_state is h11.IDLE:
            self._check(ambiguity(self.trailing_data[0]))
        event = super().next_event()
        if isinstance(event, h11.EndOfMessage) and event.headers:
            self._check("header fields after the body (trailers) are not taken")
        return event

    def _check(self, problem: str) -> None:
        if problem:
            self.problem = problem
            raise h11.RemoteProtocolError(problem)


def ambiguity(received: bytes) -> str:
    """What makes the end of a request ambiguous; empty for nothing, and for headers that are not complete yet.

    `received` begins with the request line; whatever follows the headers does not count.
    """
    end = _HEAD_END.search(received)
    if end is None:
        return ""
    head = received[: end.end()]
    if _LOOSE_LINE.search(head):
        return "a line of the headers does not end with CR LF"
    if _FOLDED.search(head):
        return "a header field spans several lines"
    request_line, *lines = head.lower().split(b"\r\n")
    fields = [line.partition(b":") for line in lines]
    lengths = [value for name, _, value in fields if name == b"content-length"]
    encoded = any(name == b"transfer-encoding" for name, _, _ in fields)
    if len(lengths) > 1 or any(b"," in length for length in lengths):
        return "there is more than one Content-Length"
    if lengths and encoded:
        return "there is a Content-Length beside a Transfer-Encoding"
    version = _VERSION.search(request_line.upper())
    if version is None:
        return "the version of HTTP is neither 1.0 nor 1.1"
    if encoded and version[0].endswith(b"0"):
        return "there is a Transfer-Encoding in HTTP/1.0"
    return ""
