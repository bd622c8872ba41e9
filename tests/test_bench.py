"""The measurements run, so that they cannot rot. No figure is asserted."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from bench.scenarios import Rules, generated
from lanner.decode import decode

ROOT = Path(__file__).parents[1]


def _run(*arguments: str) -> str:
    command = [sys.executable, "-m", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout


def test_quick_run_and_comparison(tmp_path: Path) -> None:
    """A quick run tells every time and its ratio to the floor, and two runs can be compared."""
    output = tmp_path / "run.json"
    table = _run("bench.run", "--quick", "--output", str(output))
    document = json.loads(output.read_bytes())
    assert document["machine"]["python"]
    results = {result["name"]: result for result in document["results"]}
    assert all(result["best"] > 0 and name in table for name, result in results.items())
    assert [result["ratio"] for name, result in results.items() if name.endswith(": floor")] == [1.0]
    assert any(name.endswith("decode + match") and result["ratio"] > 0 for name, result in results.items())
    assert {"lanner --help", "cold start: first 1,000 events"} <= set(results)
    compared = _run("bench.compare", str(output), str(output))
    assert compared.count("+0.0%") == len(results)


def test_quick_run_of_the_service(tmp_path: Path) -> None:
    """Bodies are posted over one and over many connections, and the store holds exactly what was acknowledged."""
    output = tmp_path / "run.json"
    table = _run("bench.webhook", "--quick", "--output", str(output))
    results = json.loads(output.read_bytes())["results"]
    assert len(results) == 4
    assert all(result["committed"] and result["p99"] > 0 and result["name"] in table for result in results)


def test_generated_events_are_events() -> None:
    """Without recorded events there are generated ones, the same every time."""
    events = generated(50)
    assert events == generated(50)
    assert all(len(decode(line).events) == 1 for line in events.lines)
    assert [len(decode(body).events) for body in events.bodies()] == [50]


def test_copies_of_rules_have_names_of_their_own() -> None:
    """Three times the rules, macros and lists once."""
    text = (
        "- macro: m\n  condition: ka.verb = get\n"
        '- rule: it\'s "r"\n  desc: d\n  condition: m\n  output: o\n  priority: NOTICE\n  source: k8s_audit\n'
    )
    loaded = Rules("two", text).copies(3).load()
    assert loaded.ok
    assert [rule.name for rule in loaded.rules] == ['it\'s "r"', 'it\'s "r" copy 1', 'it\'s "r" copy 2']
