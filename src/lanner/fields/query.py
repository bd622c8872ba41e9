"""Query parameters of a request URI, read exactly as strictly as Go's net/url reads them.

Falco takes a parameter from `url.Parse` followed by `url.ParseQuery`, and either of them refusing means that no
parameter has a value: one bad %-escape or one `;` anywhere hides them all. The checks below are those of Go 1.22.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import unquote_to_bytes

from lanner.event import MISSING, AuditEvent, Missing
from lanner.fields.paths import cut

_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_BAD_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*):")
_USERINFO = re.compile(r"[A-Za-z0-9\-._:~!$&'()*+,;=%@]*")
_HOST = re.compile(r"""(?:[A-Za-z0-9\-_.~!$&'()*+,;=:\[\]<>"]|[^\x00-\x7f]|%25|%[89A-Fa-f][0-9A-Fa-f])*""")
_PORT = re.compile(r"(?::[0-9]*)?")


@dataclass(frozen=True, slots=True)
class QueryParameter:
    """The first value of the parameter of that name in the request URI."""

    name: str

    def __call__(self, event: AuditEvent) -> str | Missing:
        state = event.__dict__
        found: dict[str, str] | None = state.get("query_parameters")
        if found is None:
            uri = event.request_uri
            found = state["query_parameters"] = {} if uri is MISSING else parameters(uri)
        value = found.get(self.name)
        return MISSING if value is None else cut(value)


def parameters(uri: str) -> dict[str, str]:
    """The parameters of a URI, each with its first value; none at all where Go would refuse the URI or its query."""
    query = _raw_query(uri)
    if not query or ";" in query or _BAD_ESCAPE.search(query):
        return {}
    found: dict[str, str] = {}
    for part in query.split("&"):
        if part:
            name, _, value = part.partition("=")
            found.setdefault(_unescape(name), _unescape(value))
    return found


def _unescape(text: str) -> str:
    if "%" not in text and "+" not in text:
        return text
    return unquote_to_bytes(text.replace("+", " ")).decode("utf-8", "replace")


def _raw_query(uri: str) -> str | None:
    """The part behind the question mark; None where `url.Parse` returns an error."""
    if _CONTROL.search(uri):
        return None
    uri, _, fragment = uri.partition("#")
    if _BAD_ESCAPE.search(fragment) or uri.startswith(":"):
        return None
    scheme = _SCHEME.match(uri)
    rest, _, query = uri[scheme.end() if scheme else 0 :].partition("?")
    if not rest.startswith("/"):
        if scheme:
            return query
        if ":" in rest.partition("/")[0]:
            return None
    elif rest.startswith("//") and (scheme or not rest.startswith("///")):
        authority, slash, path = rest[2:].partition("/")
        rest = slash + path
        if not _is_authority(authority):
            return None
    return None if _BAD_ESCAPE.search(rest) else query


def _is_authority(authority: str) -> bool:
    userinfo, at, host = authority.rpartition("@")
    if at and (not _USERINFO.fullmatch(userinfo) or _BAD_ESCAPE.search(userinfo)):
        return False
    if host.startswith("["):
        address, bracket, port = host.rpartition("]")
        if not bracket or not _PORT.fullmatch(port):
            return False
        address, zone, identifier = address.partition("%25")
        return bool(_HOST.fullmatch(address)) and not (zone and _BAD_ESCAPE.search(identifier))
    name, colon, port = host.rpartition(":")
    if colon and not _PORT.fullmatch(colon + port):
        return False
    return bool(_HOST.fullmatch(name if colon else port))
