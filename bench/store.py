"""Measures the store: `python -m bench.store [--seconds N] [--url URL] [--alerts SHARE] [--rate N]`.

Batches as a busy API server makes them, 400 events each, some of which raise an alert (with a document of 1.2 kB and
an event of 2.5 kB), are submitted to a committer as fast as it takes them. Rates are by the wall clock.
"""

from __future__ import annotations

import argparse
import os
import resource
import sys
import tempfile
import time
from collections import deque
from concurrent.futures import Future
from functools import partial
from hashlib import blake2b
from pathlib import Path

from lanner.store.committer import Committer, QueueFull
from lanner.store.records import AlertRecord, Batch, EventIdentity, Outcome
from lanner.store.store import open_store

EVENTS = 400
"""Events of a body."""


def batch(number: int, alerts: int) -> Batch:
    """A body's worth of results; another number gives other alerts."""
    now = time.time_ns()
    made = []
    for index in range(alerts):
        audit_id = f"{number:08x}-{index:04x}"
        made.append(
            AlertRecord(
                id=EventIdentity("prod", audit_id, "ResponseComplete", "t", "u").alert_id("Create Privileged Pod"),
                cluster="prod",
                source="k8s_audit",
                rule="Create Privileged Pod",
                priority=4,
                tags=("k8s", "mitre_execution"),
                time_ns=now,
                audit_id=audit_id,
                stage="ResponseComplete",
                namespace="default",
                user="system:serviceaccount:ci:deployer",
                resource="pods",
                name=f"job-{index}",
                verb="create",
                output="Pod started with privileged container " + "x" * 160,
                document=b'{"output": "' + b"d" * 1_200 + b'"}',
                event=b'{"auditID": "' + audit_id.encode() + b"e" * 2_500 + b'"}',
                event_id=EventIdentity("prod", audit_id, "ResponseComplete", "t", "u").event_id(),
            )
        )
    return Batch(
        source="webhook",
        cluster="prod",
        received_ns=now,
        size=EVENTS * 2_500,
        digest=blake2b(f"{os.getpid()}:{number}".encode(), digest_size=16).digest(),
        evaluated=EVENTS,
        matched=len(made),
        last_event_ns=now,
        alerts=tuple(made),
        rule_matches={"Create Privileged Pod": len(made)} if made else {},
    )


def main(arguments: list[str]) -> int:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--url", help="default: an SQLite file in a temporary folder of the working directory")
    parser.add_argument("--alerts", type=float, default=0.2, help="the share of events with an alert")
    parser.add_argument("--rate", type=float, default=0.0, help="bodies per second; default: as fast as it goes")
    chosen = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(dir=Path.cwd()) as folder:
        measure(chosen.url or f"sqlite:///{folder}/lanner.db", chosen.seconds, int(EVENTS * chosen.alerts), chosen.rate)
    return 0


def measure(url: str, seconds: float, alerts: int, rate: float) -> None:
    """Commit for some time and print the rates."""
    store = open_store(url)
    committer = Committer(store)
    waiting: deque[Future[Outcome]] = deque()
    times: list[float] = []
    making = 0.0
    committer.submit(batch(0, alerts)).result()  # connects, and has statements compiled
    began = time.perf_counter()
    cpu = time.process_time()
    number = 0
    first = time.time_ns()

    def done(sent: float, _future: Future[Outcome]) -> None:
        times.append(time.perf_counter() - sent)

    def settle(until: int) -> None:
        while len(waiting) > until or (waiting and waiting[0].done()):
            waiting.popleft().result()

    while time.perf_counter() - began < seconds:
        if rate:
            time.sleep(max(0.0, began + number / rate - time.perf_counter()))
        made = time.thread_time()
        one = batch(first + number, alerts)
        number += 1
        making += time.thread_time() - made
        sent = time.perf_counter()
        while True:
            try:
                waiting.append(committer.submit(one))
                waiting[-1].add_done_callback(partial(done, sent))
                break
            except QueueFull:
                settle(len(waiting) - 1)
        settle(32)
    settle(0)
    wall = time.perf_counter() - began
    committer.close()
    used = time.process_time() - cpu - making
    times.sort()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"{number * EVENTS / wall:12,.0f} events/s   {number * alerts / wall:10,.0f} alerts/s   {number} bodies")
    print(
        f"latency of a body: p50 {times[len(times) // 2] * 1e3:.1f} ms,"
        f" p99 {times[int(len(times) * 0.99)] * 1e3:.1f} ms, longest {times[-1] * 1e3:.1f} ms"
    )
    print(f"CPU of the store: {used / number * 1e3:.2f} ms a body; peak memory {peak:.0f} MB")
    store.close()


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
