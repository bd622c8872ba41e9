"""On each Python that the project says it runs on: a wheel is installed into a new environment and used there."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.app.running import ENVIRONMENT, WEBHOOK, event_list, post, running
from tests.documents import ROOT, readme_example
from tests.real.pythons import PINS, interpreter, normal_name, pins, supported

pytestmark = pytest.mark.pythons

MANY = 20_000
"""Events of a replay that is long enough for worker processes."""


def output(*command: str | Path, folder: Path = ROOT) -> str:
    """What a command prints; it has to succeed. Warnings of Python are errors in it."""
    strict = {**ENVIRONMENT, "PYTHONWARNINGS": "error"} if "pip" not in command else ENVIRONMENT
    ended = subprocess.run(command, cwd=folder, env=strict, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, f"{command}: {ended.stderr}"
    return ended.stdout


def pip(python: str | Path, *words: str | Path) -> str:
    return output(python, "-m", "pip", "--disable-pip-version-check", *words)


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of the project."""
    folder = tmp_path_factory.mktemp("wheel")
    pip(sys.executable, "wheel", "--no-deps", "--build-constraint", PINS, "--wheel-dir", folder, ROOT)
    (path,) = folder.glob("lanner-*.whl")
    return path


@pytest.mark.parametrize("version", supported())
def test_a_wheel_works_on_every_supported_python(version: str, wheel: Path, tmp_path: Path) -> None:
    """Everything it needs is pinned; the example of the README gives its alert; long replays run in processes; what
    is posted to the service is an alert in its store."""
    base = interpreter(version)
    if base is None:
        pytest.skip(f"no Python {version} at hand")
    output(base, "-m", "venv", tmp_path / "venv")
    python = tmp_path / "venv" / "bin" / "python"
    pip(python, "install", "--constraint", PINS, f"{wheel}[postgresql]")
    assert installed(python).items() <= pins().items()

    example = readme_example()
    (tmp_path / "rules.yaml").write_text(example.rules)
    (tmp_path / "events.jsonl").write_text(example.event)
    lanner = python.with_name("lanner")
    assert output(lanner, *example.command[1:], folder=tmp_path) == example.alert
    (tmp_path / "many.jsonl").write_text(example.event * MANY)
    many = [*example.command[1:-1], "--jobs", "2", "many.jsonl"]
    assert output(lanner, *many, folder=tmp_path) == example.alert * MANY
    assert output(lanner, "check", "rules.yaml", folder=tmp_path) == "rules.yaml: ok\n"

    assert posted(python, tmp_path, [example.event]) == ["ConfigMap with a private key"]


def posted(python: Path, folder: Path, events: Sequence[str]) -> list[str]:
    """The rules of the alerts that `lanner alerts` shows after events were posted to the service."""
    data = folder / "data"
    rules = ("-r", str(folder / "rules.yaml"))
    with running(data, *rules, *WEBHOOK, env={"PYTHONWARNINGS": "error"}, python=str(python)) as service:
        assert post(service.place("webhook"), event_list(events)).status_code == 200
        shown = output(python, "-m", "lanner", "alerts", "--json", "-o", f"lanner.data_dir={data}", folder=folder)
        assert service.stop() == 0
    return [json.loads(line)["rule"] for line in shown.splitlines()]


def installed(python: Path) -> dict[str, str]:
    """The versions of what Lanner brought with it."""
    own = ("lanner", "pip", "setuptools")
    found = json.loads(pip(python, "list", "--format=json"))
    return {normal_name(item["name"]): item["version"] for item in found if item["name"] not in own}
