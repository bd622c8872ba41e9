"""Secrets in files: bearer tokens one a line, or one password; read anew when the file changes.

In: a path. Out: the secrets that are good now. A file that is missing, unreadable, empty or odd has none, and those
from before are not good any more: whoever empties a file may mean to revoke what was in it.

A file that is written in place may be seen half-written, and a part of a secret must not become one: what has changed
counts once nothing has been written for SETTLE_SECONDS, and until then what was there before holds: after a file that
was missing or unreadable, that is no secret. A file that is gone counts at once, and so does what the first look finds.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from lanner.regular_file import MAX_SECRET_BYTES, read_with_status, reason

CHECK_INTERVAL_SECONDS = 1.0
"""How often a file is looked at, at most. It is looked at when a secret is asked for, never on its own."""

SETTLE_SECONDS = 0.5
"""How long a file has to be left alone before what is in it counts."""

_NEVER = float("-inf")
_NULL_WORDS = frozenset(("~", "null", "Null", "NULL"))


class Stamp(NamedTuple):
    """What of a file changes with its content."""

    device: int
    inode: int
    mtime_ns: int
    ctime_ns: int
    size: int


Parse = Callable[[str, Path], tuple[str, ...]]
"""Secrets from the text of a file; raises SecretFileError that names the file."""


class SecretFileError(Exception):
    """A file that holds no secret which can be used. The message names it, says why, and shows nothing of it."""


def read_tokens(path: Path) -> tuple[str, ...]:
    """The bearer tokens in a file. Raises SecretFileError."""
    return SecretFile(path, parse_tokens).read()


def read_password(path: Path) -> tuple[str, ...]:
    """The one password in a file. Raises SecretFileError."""
    return SecretFile(path, parse_password).read()


def parse_tokens(text: str, path: Path) -> tuple[str, ...]:
    """One token a line; blank lines are passed over. Raises SecretFileError."""
    found: list[str] = []
    for number, line in enumerate(text.splitlines(), 1):
        token = line.strip()
        if not token:
            continue
        if token in _NULL_WORDS:
            raise SecretFileError(f"line {number} of `{path}` says null, which is no token")
        if token.split() != [token] or not token.isascii() or not token.isprintable():
            raise SecretFileError(
                f"line {number} of `{path}` is no bearer token: it holds blanks, or is not printable ASCII"
            )
        found.append(token)
    if not found:
        raise SecretFileError(f"`{path}` holds no token: it is {'blank' if text else 'empty'}")
    return tuple(found)


def parse_password(text: str, path: Path) -> tuple[str, ...]:
    """All of a file but its last line end. Raises SecretFileError."""
    password = text.rstrip("\r\n")
    if not password.strip() or password.strip() in _NULL_WORDS:
        raise SecretFileError(f"`{path}` holds no password: it is {'blank or null' if text else 'empty'}")
    return (password,)


class SecretFile:
    """The secrets of one file as they are now; empty while there are none. `problem`: why, if so."""

    def __init__(self, path: Path, parse: Parse) -> None:
        self.path = path
        self.problem = ""
        self._parse = parse
        self._secrets: tuple[str, ...] = ()
        self._stamp: Stamp | None = None
        self._changing: Stamp | None = None
        self._looked = _NEVER

    def read(self) -> tuple[str, ...]:
        """Its secrets, read now. Raises SecretFileError."""
        text, _ = self._text()
        return self._parse(text, self.path)

    def secrets(self) -> tuple[str, ...]:
        """Its secrets, as of CHECK_INTERVAL_SECONDS ago at most."""
        now = time.monotonic()
        if now - self._looked >= CHECK_INTERVAL_SECONDS:
            first, self._looked = self._looked == _NEVER, now
            self._look(first)
        return self._secrets

    def _look(self, first: bool) -> None:
        try:
            stamp = file_stamp(self.path)
            if stamp is not None and stamp == self._stamp:
                return
            text, stamp = self._text()
        except SecretFileError as error:
            self._set((), None, str(error))
            return
        if not first and stamp != self._changing and not is_settled(stamp):
            self._changing = stamp
            return
        try:
            self._set(self._parse(text, self.path), stamp)
        except SecretFileError as error:
            self._set((), stamp, str(error))

    def _set(self, secrets: tuple[str, ...], stamp: Stamp | None, problem: str = "") -> None:
        self._secrets, self._stamp, self.problem = secrets, stamp, problem

    def _text(self) -> tuple[str, Stamp]:
        try:
            data, status = read_with_status(self.path, MAX_SECRET_BYTES)
            return data.decode("utf-8-sig"), _stamp(status)
        except OSError as error:
            raise SecretFileError(f"`{self.path}` cannot be read: {reason(error)}") from error
        except UnicodeDecodeError:
            raise SecretFileError(f"`{self.path}` cannot be used: it is not UTF-8 text") from None


def file_stamp(path: Path) -> Stamp | None:
    """Changes with the content of a file, also where a link is swapped; None if there is none."""
    try:
        return _stamp(path.stat())
    except OSError:
        return None


def is_settled(stamp: Stamp) -> bool:
    """Whether the last write is long enough ago. One that lies ahead of the clock is not, so look again."""
    return time.time() - stamp.mtime_ns / 1e9 >= SETTLE_SECONDS


def _stamp(status: os.stat_result) -> Stamp:
    return Stamp(status.st_dev, status.st_ino, status.st_mtime_ns, status.st_ctime_ns, status.st_size)
