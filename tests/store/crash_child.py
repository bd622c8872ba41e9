"""Run as a process of its own: commits bodies without end, and tells on standard output what was acknowledged.

A line for each body: its number, its alerts and its malformed pieces. Arguments: the URL, the first number.
"""

from __future__ import annotations

import os
import random
import sys

from lanner.store.committer import Committer
from lanner.store.records import Batch, Outcome
from lanner.store.store import open_store
from tests.store.builders import alert, body


def numbered(number: int) -> Batch:
    """The body with this number, the same in every process."""
    chance = random.Random(number)
    alerts = [alert(f"{number}-{index}") for index in range(chance.randrange(4))]
    return body(str(number), *alerts, malformed=chance.randrange(3))


def main(url: str, number: int) -> None:
    """Goes on until killed."""
    committer = Committer(open_store(url))
    while True:
        group = [numbered(number + index) for index in range(8)]
        futures = [(number + index, committer.submit(one)) for index, one in enumerate(group)]
        for acknowledged, future in futures:
            assert future.result() in Outcome
            os.write(1, f"{acknowledged}\n".encode())
        number += len(group)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
