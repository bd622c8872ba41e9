"""Measures the service: `python -m bench.webhook [--quick] [--seconds N] [--output FILE]`.

Each scenario starts `lanner run` anew, with a store in a temporary folder of the working directory, and has a client
beside it post bodies to its webhook (see bench/posting.py). An event counts when its body was answered 200; the store's
books are compared with that at the end. CPU time is of the service alone, from the first measured body to the last.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from bench.measure import machine
from bench.posting import Plan, Summary, recorded_bodies
from bench.scenarios import FALCO, SHIPPED
from lanner.store.store import open_store

OFFERED = 4_000
"""Events a second: what an API server posts at most by default is about that."""

_TICK = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Scenario:
    """`rate`: events offered a second; 0 for as fast as it goes."""

    name: str
    connections: int
    rate: float = 0


@dataclass(frozen=True)
class Result:
    """Latencies in milliseconds, CPU time in microseconds an event, memory (peak) in megabytes.

    `refused` counts bodies that were answered 503 and posted again. `committed` says that the store's books hold what
    was acknowledged, no more and no less.
    """

    name: str
    events_per_second: float
    megabytes_per_second: float
    p50: float
    p99: float
    longest: float
    cpu_per_event: float
    client_cpu_per_event: float
    memory: float
    refused: int
    committed: bool


SCENARIOS = (
    Scenario("1 connection", 1),
    Scenario("8 connections", 8),
    Scenario("64 connections", 64),
    Scenario(f"{OFFERED:,} events/s offered", 8, OFFERED),
)


class Service:
    """A running `lanner run`."""

    def __init__(self, process: subprocess.Popen[bytes], url: str) -> None:
        self._process = process
        self.url = url

    def cpu(self) -> float:
        """Seconds used so far."""
        fields = Path(f"/proc/{self._process.pid}/stat").read_text("utf-8").rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / _TICK

    def memory(self) -> float:
        """Megabytes held at the peak."""
        status = Path(f"/proc/{self._process.pid}/status").read_text("utf-8")
        (line,) = (line for line in status.splitlines() if line.startswith("VmHWM:"))
        return int(line.split()[1]) / 1024


@contextmanager
def service(folder: Path) -> Iterator[Service]:
    """A service on free ports, with Falco's rules where they are there; stopped behind the block."""
    rules = FALCO if FALCO.exists() else SHIPPED
    settings = {
        "lanner.data_dir": folder,
        "lanner.log_format": "json",
        "lanner.webhooks[].port": 0,
        "webserver.listen_port": 0,
    }
    options = [word for name, value in settings.items() for word in ("-o", f"{name}={value}")]
    with (folder / "log").open("wb") as log, (folder / "log").open("rb") as told:
        process = subprocess.Popen(
            [sys.executable, "-m", "lanner", "run", "-r", str(rules), *options], stdout=subprocess.DEVNULL, stderr=log
        )
        try:
            yield Service(process, _place(process, told))
        finally:
            process.terminate()
            process.wait()


def _place(process: subprocess.Popen[bytes], log: Iterator[bytes]) -> str:
    while process.poll() is None:
        for line in log:
            entry = json.loads(line)
            if entry["event"] == "source started" and entry["source"] == "webhook":
                return str(entry["place"])
        try:
            process.wait(0.02)
        except subprocess.TimeoutExpired:
            continue
    raise SystemExit("the service did not start")


def measure(scenario: Scenario, seconds: float) -> Result:
    """Run one scenario."""
    with tempfile.TemporaryDirectory(dir=Path.cwd(), prefix="bench-") as name:
        folder = Path(name)
        with service(folder) as running:
            warm = post(Plan(running.url, 2, min(seconds, 2), 1))
            before = running.cpu()
            done = post(Plan(running.url, scenario.connections, seconds, warm.next, scenario.rate))
            used, memory = running.cpu() - before, running.memory()
        return Result(
            name=scenario.name,
            events_per_second=done.events / done.seconds,
            megabytes_per_second=done.bytes / done.seconds / 1e6,
            p50=done.p50,
            p99=done.p99,
            longest=done.longest,
            cpu_per_event=used / done.events * 1e6,
            client_cpu_per_event=done.cpu / done.events * 1e6,
            memory=memory,
            refused=done.refused,
            committed=evaluated(folder) == warm.events + done.events,
        )


def post(plan: Plan) -> Summary:
    """Have the client post in a process of its own."""
    text = json.dumps(asdict(plan))
    client = [sys.executable, "-m", "bench.posting"]
    found = subprocess.run(client, input=text, stdout=subprocess.PIPE, text=True, check=True).stdout
    return Summary(**json.loads(found))


def evaluated(folder: Path) -> int:
    """Events in the books of the store."""
    store = open_store(f"sqlite:///{folder}/lanner.db", writable=False)
    try:
        return sum(counted.evaluated for counted in store.counters().sources)
    finally:
        store.close()


def table(results: Sequence[Result]) -> str:
    """The results as text."""
    names = ("p50 ms", "p99 ms", "max ms", "CPU us", "client", "peak MB")
    rows = [f"{'':26}{'events/s':>10}{'MB/s':>8}{''.join(f'{name:>9}' for name in names)}{'503':>6}  books"]
    rows += [
        f"{result.name:26}{result.events_per_second:10,.0f}{result.megabytes_per_second:8.0f}{result.p50:9.1f}"
        f"{result.p99:9.1f}{result.longest:9.1f}{result.cpu_per_event:9.1f}{result.client_cpu_per_event:9.1f}"
        f"{result.memory:9.0f}{result.refused:6}  {'right' if result.committed else 'WRONG'}"
        for result in results
    ]
    return "\n".join(rows)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.webhook", description="measure the service")
    parser.add_argument("--quick", action="store_true", help="half a second of each: shows that it runs")
    parser.add_argument("--seconds", type=float, default=10.0, help="how long each scenario posts (10)")
    parser.add_argument("--only", metavar="TEXT", default="", help="the scenarios with this in their name")
    parser.add_argument("--output", type=Path, metavar="FILE", help="write the results as JSON")
    options = parser.parse_args(arguments)
    seconds = 0.5 if options.quick else options.seconds
    facts = {**machine(), "bodies": len(recorded_bodies()), "rules": (FALCO if FALCO.exists() else SHIPPED).name}
    results = [measure(scenario, seconds) for scenario in SCENARIOS if options.only in scenario.name]
    print(", ".join(f"{name} {value}" for name, value in facts.items()))
    print(table(results))
    if options.output is not None:
        document = {"machine": facts, "results": [asdict(result) for result in results]}
        options.output.write_text(json.dumps(document, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main()
