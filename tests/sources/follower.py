"""A process that follows a file into a SQLite database, for tests that kill it.

Arguments: the target, the database. Prints after each commit how many lines are committed.
"""

from __future__ import annotations

import asyncio
import sqlite3
import sys
from collections.abc import Collection

from lanner.sources.base import Delivery, Position
from lanner.sources.follow import Follow
from lanner.sources.refusal import Refusal


class Database:
    """Lines and positions, committed together."""

    def __init__(self, path: str) -> None:
        self._connection = sqlite3.connect(path)
        self._connection.execute("create table if not exists lines (line blob)")
        self._connection.execute("create table if not exists positions (file primary key, identity, offset)")

    async def deliver(self, delivery: Delivery) -> None:
        position = delivery.position
        assert position is not None
        with self._connection as connection:
            connection.executemany("insert into lines values (?)", [(line,) for line in delivery.body.splitlines()])
            row = (position.file, position.identity, position.offset)
            connection.execute("insert or replace into positions values (?, ?, ?)", row)
        print(*self._connection.execute("select count(*) from lines").fetchone(), flush=True)

    def refuse(self, refusal: Refusal) -> None:
        raise AssertionError(refusal)

    def report_secret_problem(self, cluster: str, problem: str) -> None:
        raise AssertionError(problem)

    async def position(self, file: str) -> Position | None:
        row = self._connection.execute("select * from positions where file = ?", (file,)).fetchone()
        return None if row is None else Position(*row)

    async def present(self, files: Collection[str]) -> None:
        pass


if __name__ == "__main__":
    asyncio.run(Follow(sys.argv[1], name="audit", settle=0.3, poll=0.3).run(Database(sys.argv[2])))
