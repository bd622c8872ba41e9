"""Running the command line in this process and in one of its own, and small inputs for it."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import pytest
import structlog

from lanner.service import logs
from lanner.service.log_output import LogOutput

RULES = """\
- macro: writes
  condition: ka.verb in (create, update)

- rule: ConfigMap changed
  desc: Somebody wrote a ConfigMap
  condition: writes and ka.target.resource = configmaps
  output: ConfigMap changed (user=%ka.user.name name=%ka.target.name)
  priority: WARNING
  source: k8s_audit
  tags: [k8s, config]
"""


class Result(NamedTuple):
    """What a run of the command line left behind."""

    code: int
    stdout: str
    stderr: str


Lanner = Callable[..., Result]


@contextmanager
def logging_as_before() -> Iterator[None]:
    """Takes back what a command does to the logging of its process, so that the tests that follow see the usual."""
    root = logging.getLogger()
    stderr = sys.stderr
    handlers = list(root.handlers)
    levels = {logger: logger.level for logger in [root, *map(logging.getLogger, logs.QUIET)]}
    configured = structlog.get_config() if structlog.is_configured() else None
    try:
        yield
    finally:
        if isinstance(sys.stderr, LogOutput):
            sys.stderr.finish(logs.FINISH_SECONDS)
        sys.stderr = stderr
        root.handlers[:] = handlers
        for logger, level in levels.items():
            logger.setLevel(level)
        if configured is None:
            structlog.reset_defaults()
        else:
            structlog.configure(**configured)


@pytest.fixture
def lanner(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Lanner:
    """Runs `lanner ARGUMENTS...` in this process."""
    from lanner.cli.main import run

    monkeypatch.setenv("TZ", "UTC")
    monkeypatch.setenv("FALCO_HOSTNAME", "test-host")
    monkeypatch.delenv("LANNER_CONFIG", raising=False)

    def call(*arguments: str | Path) -> Result:
        capfd.readouterr()
        with logging_as_before():
            code = run([str(argument) for argument in arguments])
        return Result(code, *capfd.readouterr())

    return call


@pytest.fixture
def process() -> Callable[..., subprocess.Popen[bytes]]:
    """Starts `lanner ARGUMENTS...` as a process with pipes."""

    def start(*arguments: str | Path) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "lanner", *map(str, arguments)]
        pipe = subprocess.PIPE
        return subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, env={**os.environ, "TZ": "UTC"})

    return start


@pytest.fixture
def rules_file(tmp_path: Path) -> Path:
    """A file with one rule that alerts on changed ConfigMaps."""
    path = tmp_path / "rules.yaml"
    path.write_text(RULES)
    return path
