"""The measurement of the store runs, so that it cannot rot. No figure is asserted."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench import store


def test_a_short_run(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """It prints rates, and leaves nothing behind."""
    monkeypatch.chdir(tmp_path)
    assert store.main(["--seconds", "0.1", "--alerts", "0.1"]) == 0
    assert "events/s" in capsys.readouterr().out
    assert list(tmp_path.iterdir()) == []
