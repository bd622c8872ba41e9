"""kill -9 at random moments: what was acknowledged is there, once, and the books balance."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from pathlib import Path

from lanner.store.store import Store, open_store
from tests.store.builders import balanced, totals
from tests.store.crash_child import numbered

ROOT = Path(__file__).parents[2]
KILLS = int(os.environ.get("LANNER_KILLS", "10"))


def run_and_kill(url: str, first: int, chance: random.Random) -> list[int]:
    """What a process acknowledged until it was killed, at some moment between two of its lines."""
    command = [sys.executable, "-m", "tests.store.crash_child", url, str(first)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        acknowledged = [int(process.stdout.readline()) for _ in range(chance.randrange(1, 200))]
        for _ in range(chance.randrange(20_000)):  # somewhere within a commit, not always right behind one
            pass
        process.kill()
        acknowledged += [int(line) for line in process.stdout.read().split(b"\n")[:-1]]
    return acknowledged


def test_what_was_acknowledged_survives(url: str) -> None:
    """After each kill, and after everything was sent again."""
    chance = random.Random()
    acknowledged: set[int] = set()
    for _ in range(KILLS):
        first = max(acknowledged, default=-1) + 1
        acknowledged.update(run_and_kill(url, max(0, first - 3), chance))
        store = open_store(url)
        check(store, acknowledged)
        store.close()
    store = open_store(url)
    store.commit([numbered(number) for number in sorted(acknowledged)])
    check(store, acknowledged)
    found = totals(store)
    pieces = sum(numbered(number).pieces for number in acknowledged)
    assert found.received > found.evaluated + found.malformed >= pieces
    store.close()


def check(store: Store, acknowledged: set[int]) -> None:
    """All alerts of acknowledged bodies are there, each once, and what else is there belongs to whole bodies."""
    assert balanced(store.counters())
    stored = [one.audit_id for one in store.alerts(after=0, limit=100_000)]
    assert len(stored) == len(set(stored))
    expected = {one.audit_id for number in acknowledged for one in numbered(number).alerts}
    assert expected <= set(stored)
    whole = {int(audit_id.partition("-")[0]) for audit_id in stored}
    assert set(stored) == {one.audit_id for number in whole for one in numbered(number).alerts}
    with_alerts = {number for number in acknowledged if numbered(number).alerts}
    committed = acknowledged | whole
    found = totals(store)
    assert found.evaluated >= 10 * len(committed)
    assert found.matched == sum(numbered(number).matched for number in whole | with_alerts)
