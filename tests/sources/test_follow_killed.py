"""A follower that is killed again and again while a log is written and rotated as fast as it goes."""

from __future__ import annotations

import gzip
import os
import random
import shutil
import sqlite3
import subprocess
import sys
import threading
from collections import Counter
from pathlib import Path

import pytest

from tests.sources.book import event

FOLLOWER = Path(__file__).with_name("follower.py")
KILLS = 30 if os.environ.get("HYPOTHESIS_PROFILE") == "thorough" else 6
LEAD = 3_000


class Writer(threading.Thread):
    """Writes numbered lines, in two pieces each, and rotates, until it is stopped. Keeps ahead, but not far."""

    def __init__(self, log: Path, chance: random.Random) -> None:
        super().__init__()
        self.written = 0
        self.committed = 0
        self.stopped = False
        self.news = threading.Condition()
        self._log = log
        self._chance = chance
        self._rotated = 0

    def run(self) -> None:
        while True:
            with self.news:
                self.news.wait_for(lambda: self.stopped or self.written - self.committed < LEAD)
            if self.stopped:
                return
            with self._log.open("ab", buffering=0) as file:
                for _ in range(self._chance.randrange(1, 200)):
                    line = event(self.written, self._chance.randrange(900)) + b"\n"
                    cut = self._chance.randrange(len(line))
                    file.write(line[:cut])
                    file.write(line[cut:])
                    self.written += 1
            if self._chance.random() < 0.1:
                self._rotate()

    def tell(self, committed: int) -> None:
        with self.news:
            self.committed = committed
            self.news.notify()

    def stop(self) -> None:
        with self.news:
            self.stopped = True
            self.news.notify()

    def _rotate(self) -> None:
        self._rotated += 1
        old = self._log.with_name(f"audit.log.{self._rotated}")
        if self._chance.random() < 0.6:
            self._log.rename(old)
        else:
            shutil.copyfile(self._log, old)
            os.truncate(self._log, 0)
        if self._chance.random() < 0.5:
            old.with_name(f"{old.name}.gz").write_bytes(gzip.compress(old.read_bytes(), 1))
            old.unlink()


@pytest.mark.property
def test_killed_at_random_moments(tmp_path: Path) -> None:
    """Every line is committed exactly once, and nothing that is not a line."""
    log, database = tmp_path / "logs" / "audit.log", tmp_path / "database"
    log.parent.mkdir()
    chance = random.Random(KILLS)
    writer = Writer(log, random.Random(KILLS + 1))

    def follower() -> subprocess.Popen[str]:
        command = [sys.executable, str(FOLLOWER), str(log), str(database)]
        return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)

    def committed(process: subprocess.Popen[str]) -> int:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line, "the follower died by itself"
        return int(line)

    process = follower()
    try:
        committed(process)  # it has begun: from here on nothing may be lost
        writer.start()
        for _ in range(KILLS):
            for _ in range(chance.randrange(1, 40)):
                writer.tell(committed(process))
            process.kill()
            process.communicate()
            process = follower()
        writer.stop()
        writer.join()
        with sqlite3.connect(database) as connection:
            done = connection.execute("select count(*) from lines").fetchone()[0]
        while done < writer.written:
            done = committed(process)
    finally:
        writer.stop()
        process.kill()
        process.communicate()
    with sqlite3.connect(database) as connection:
        lines = [line for (line,) in connection.execute("select line from lines")]
    numbers = Counter(int(line[5 : line.index(b",")]) if line.endswith(b'"}') else -1 for line in lines)
    assert {number: times for number, times in numbers.items() if times != 1 or number < 0} == {}
    assert set(range(writer.written)) - set(numbers) == set()
