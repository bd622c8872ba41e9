"""Reads whole files of bounded size: rules, configuration, secrets, certificates.

A FIFO without a writer would block its reader for ever, a device such as /dev/zero never ends, and a huge file takes
the memory: all of them are errors at once. What is read to its end although it is no file: /dev/null, and a pipe that
the process was given as an open descriptor (`/dev/stdin`, `/dev/fd/63` of the shell's `<(...)`), up to the same bound.
"""

from __future__ import annotations

import errno
import os
import re
import stat
from pathlib import Path

MAX_TEXT_BYTES = 16 * 1024 * 1024
"""The largest rules or configuration file."""

MAX_SECRET_BYTES = 1024 * 1024
"""The largest file of tokens, passwords, certificates or keys."""

_OWN_DESCRIPTOR = re.compile(r"/dev/stdin|/(?:dev|proc/self)/fd/([0-9]{1,9})")
_NULL_DEVICE = os.makedev(1, 3)
_CHUNK_BYTES = 1024 * 1024


def read_regular_file(path: str | os.PathLike[str], max_bytes: int) -> bytes:
    """All bytes of a file. Raises OSError, whose `strerror` says what is wrong: what it is instead, or how large."""
    return read_with_status(path, max_bytes)[0]


def read_with_status(path: str | os.PathLike[str], max_bytes: int) -> tuple[bytes, os.stat_result]:
    """(all bytes of a file, its status after the last of them was read). Raises OSError."""
    name = os.fspath(path)
    descriptor, piped = _opened(name)
    try:
        status = os.fstat(descriptor)
        if not piped:
            _refuse_odd(name, status)
        if status.st_size > max_bytes:
            raise _too_large(name, max_bytes)
        pieces: list[bytes] = []
        size = 0
        while piece := os.read(descriptor, min(_CHUNK_BYTES, max_bytes + 1 - size)):
            pieces.append(piece)
            size += len(piece)
            if size > max_bytes:
                raise _too_large(name, max_bytes)
        return b"".join(pieces), os.fstat(descriptor)
    finally:
        os.close(descriptor)


def problem_of(path: str | os.PathLike[str]) -> str:
    """Why a path is no file that can be read, without reading it; empty if it is one. A missing one is none."""
    try:
        name = os.fspath(path)
        descriptor, piped = _opened(name)
    except OSError as error:
        return reason(error)
    try:
        if not piped:
            _refuse_odd(name, os.fstat(descriptor))
    except OSError as error:
        return reason(error)
    finally:
        os.close(descriptor)
    return ""


def reason(error: OSError) -> str:
    """What went wrong, in lower case."""
    return (error.strerror or str(error) or type(error).__name__).lower()


def _opened(name: str) -> tuple[int, bool]:
    """(a descriptor, whether it is a pipe that was handed to this process)."""
    if "\0" in name:
        raise OSError(errno.EINVAL, "its name holds a NUL character", name)
    own = _OWN_DESCRIPTOR.fullmatch(name)
    if own is not None:
        number = int(own[1] or 0)
        if stat.S_ISFIFO(os.fstat(number).st_mode):
            # To open it anew would wait for a writer that may be gone already.
            return os.dup(number), True
    # Opening a FIFO would wait for a writer, opening a terminal might make it ours.
    return os.open(Path(name), os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY), False


def _refuse_odd(name: str, status: os.stat_result) -> None:
    mode = status.st_mode
    if stat.S_ISREG(mode) or (stat.S_ISCHR(mode) and status.st_rdev == _NULL_DEVICE):
        return
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, "it is a folder, not a file", name)
    kind = "a pipe" if stat.S_ISFIFO(mode) else "a socket" if stat.S_ISSOCK(mode) else "a device"
    raise OSError(errno.EINVAL, f"it is {kind}, not a regular file", name)


def _too_large(name: str, max_bytes: int) -> OSError:
    return OSError(errno.EFBIG, f"it is larger than {max_bytes:,} bytes", name)
