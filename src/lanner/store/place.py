"""Which store a URL means: in words without any secret, and as a mark by which two processes can compare theirs."""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path

from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError

from lanner.secrecy import safe_url

_PORT = 5432


def place(url: str) -> str:
    """`/folder/lanner.db` or `postgresql://host:5432/database`: no user, no password, no options."""
    parsed = _parsed(url)
    if parsed is None:
        return "unknown"
    if parsed.drivername == "sqlite":
        return str(Path(parsed.database or "").resolve())
    host = (parsed.host or "").lower() or _option(parsed, "host")
    port = parsed.port or _option(parsed, "port") or _PORT
    return safe_url(f"postgresql://{host}:{port}/{parsed.database or ''}")


def identity(url: str) -> str:
    """A digest that is the same for the same store, empty if there is none. A file is known by itself, wherever it is
    mounted; a database by its place, so that one with two addresses looks like two."""
    parsed = _parsed(url)
    if parsed is None:
        return ""
    mark = f"{place(url)} {_option(parsed, 'options')}"
    if parsed.drivername == "sqlite":
        try:
            found = Path(parsed.database or "").stat()
        except OSError:
            return ""
        mark = f"file {found.st_dev} {found.st_ino}"
    return sha256(mark.encode()).hexdigest()[:16]


def _option(url: URL, name: str) -> str:
    given = url.query.get(name, "")
    return given if isinstance(given, str) else ",".join(given)


def _parsed(url: str) -> URL | None:
    try:
        return make_url(url)
    except (ArgumentError, ValueError):
        return None
