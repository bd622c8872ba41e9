"""Standard error that nobody reads, or that cannot be written, never stops anybody; what is dropped is counted."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import subprocess
import sys
import threading

import pytest

from lanner.service import log_output
from lanner.service.log_output import LogOutput
from tests.app.running import ENVIRONMENT, TIMEOUT

F_SETPIPE_SZ = 1031
LINE = "x" * 99 + "\n"


def small_pipe() -> tuple[int, int]:
    reading, writing = os.pipe()
    fcntl.fcntl(writing, F_SETPIPE_SZ, 4096)
    return reading, writing


def dropped_line(count: int) -> str:
    return f"{count} dropped"


def lines_of(reading: int, count: int) -> list[str]:
    with os.fdopen(reading) as file:
        return [next(file).rstrip("\n") for _ in range(count)]


def test_nobody_reads() -> None:
    """Many threads write more than there is room for; whoever reads later finds whole lines, and how many are gone."""
    reading, writing = small_pipe()
    output = LogOutput(writing, dropped_line, max_bytes=10_000)

    def write() -> None:
        for _ in range(250):
            output.write(LINE)

    threads = [threading.Thread(target=write) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(TIMEOUT)
        assert not thread.is_alive()
    output.finish(0.0)
    assert 1000 - 10_000 // 100 - 4096 // 100 - 1 <= output.dropped < 1000
    written = told = 0
    with os.fdopen(reading) as file:
        while (written, told) != (1000 - output.dropped, output.dropped):
            line = next(file).rstrip("\n")
            if line == LINE.strip():
                written += 1
            else:
                told += int(line.removesuffix(" dropped"))
    os.close(writing)


@pytest.mark.parametrize("error", [errno.ENOSPC, errno.EIO, errno.EPIPE])
def test_writing_fails_for_a_while(monkeypatch: pytest.MonkeyPatch, error: int) -> None:
    """Nothing is lost that fits, and a line goes on where it stopped."""
    monkeypatch.setattr(log_output, "RETRY_SECONDS", 0.001)
    reading, writing = os.pipe()
    write, answers = os.write, iter([3, 0, 0])

    def limited(fd: int, data: bytes) -> int:
        if fd != writing or (count := next(answers, None)) is None:
            return write(fd, data)
        if not count:
            raise OSError(error, os.strerror(error))
        return write(fd, data[:count])

    monkeypatch.setattr(os, "write", limited)
    output = LogOutput(writing, dropped_line)
    output.write("first\nsecond")
    output.write(" goes on\n")
    output.finish(TIMEOUT)
    assert lines_of(reading, 2) == ["first", "second goes on"]
    assert output.dropped == 0
    os.close(writing)


def test_a_closed_descriptor_stops_nobody() -> None:
    """There is nothing to write to: it is counted at most."""
    reading, writing = os.pipe()
    os.close(reading)
    output = LogOutput(writing, dropped_line, max_bytes=1000)
    for _ in range(100):
        output.write(LINE)
    output.finish(0.0)
    assert output.dropped >= 89
    # `writing` stays open: the thread goes on trying, and another file of this process may get the number.


CHILD = """
import logging, sys, warnings
from lanner.service.logs import logger, set_up
output = set_up({form!r}, "info")
{body}
"""


def child(body: str, form: str = "json", stderr: int = subprocess.PIPE) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", CHILD.format(form=form, body=body)]
    return subprocess.run(command, stderr=stderr, text=True, env=ENVIRONMENT, timeout=TIMEOUT, check=False)


def test_everything_comes_out_at_the_end() -> None:
    """Logs of ours and of libraries, warnings, and the traceback of a crash, in their order."""
    done = child(
        "logger('a').warning('ours', text='a\\nb'); logging.getLogger('b').error('theirs');"
        "warnings.warn('a warning'); raise ValueError('a crash')"
    )
    assert done.returncode == 1
    ours, theirs, warning, *rest = done.stderr.splitlines()
    assert (json.loads(ours)["event"], json.loads(ours)["text"]) == ("ours", "a\\nb")
    assert json.loads(theirs)["event"] == "theirs"
    assert "a warning" in warning
    assert rest[-1] == "ValueError: a crash"


@pytest.mark.parametrize("form", ["json", "text"])
def test_what_was_dropped_is_told(form: str) -> None:
    """In the form of the log."""
    done = child("output._untold = 7\nlogger('a').warning('flows')", form)
    last = done.stderr.splitlines()[-1]
    assert "7 log lines were dropped: standard error could not be written" in last
    if form == "json":
        assert json.loads(last)["level"] == "warning"


def test_a_process_ends_although_nobody_reads() -> None:
    """Also by a crash."""
    reading, writing = small_pipe()
    done = child("for _ in range(500): logger('a').warning('x' * 100)\nraise ValueError('a crash')", stderr=writing)
    assert done.returncode == 1
    os.close(writing)
    os.close(reading)


def test_without_standard_error() -> None:
    """A process that was started without one runs all the same."""
    command = CHILD.format(form="text", body="logger('a').warning('x'); logging.error('y')")
    shell = f"exec '{sys.executable}' -c \"$CHILD\" 2>&-"
    done = subprocess.run(["sh", "-c", shell], env={**ENVIRONMENT, "CHILD": command}, timeout=TIMEOUT, check=False)
    assert done.returncode == 0
