"""`lanner replay` with one process and with two: `python -m bench.replay --size 1000`.

A process of its own makes the input while it is read: recorded events over and over, `--size` MB of them, through
standard input. They are read from memory and written whole, so that it takes little of the processors. Or with
`--file`, which is what is left if nothing has to be made: a file in the folder for temporary files. Both runs happen in
turn, several times. Each is told by its fastest run, and with the CPU time of all its processes, which says more where
a machine is shared.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import threading
from contextlib import suppress
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import BinaryIO

from bench.scenarios import FALCO, SHIPPED, generated, recorded

MB = 1_000_000
JOBS = (1, 2)
LOOK_S = 0.1


@dataclass(frozen=True)
class Run:
    """`seconds` by the clock, `cpu` seconds of all processes, `peaks`: the most memory of each, in MB."""

    seconds: float
    cpu: float
    peaks: list[int]
    digest: str


def write_events(size: int, out: BinaryIO) -> None:
    """Write at least `size` bytes of events."""
    text = b"".join(line + b"\n" for line in (recorded("bench-60k") or generated(20_000)).lines)
    while size > 0:
        out.write(text)
        size -= len(text)


def measure(jobs: int, size: int, file: Path | None) -> Run:
    """Replay `size` bytes of events, or a file, with that many processes."""
    rules = FALCO if FALCO.exists() else SHIPPED
    command = [sys.executable, "-m", "lanner", "replay", "-r", str(rules), "--jobs", str(jobs), str(file or "-")]
    maker = None
    if file is None:
        maker = subprocess.Popen([sys.executable, "-m", "bench.replay", "--make", str(size)], stdout=subprocess.PIPE)
    source = maker.stdout if maker is not None else subprocess.DEVNULL
    started = perf_counter()
    replay = subprocess.Popen(command, stdin=source, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    if maker is not None and maker.stdout is not None:
        maker.stdout.close()
    peaks: dict[int, int] = {}
    over = threading.Event()
    watcher = threading.Thread(target=_watch, args=(replay.pid, peaks, over))
    watcher.start()
    digest = sha256()
    assert replay.stdout is not None
    while lines := replay.stdout.read(MB):
        digest.update(lines)
    _, status, usage = os.wait4(replay.pid, 0)
    seconds = perf_counter() - started
    replay.returncode = os.waitstatus_to_exitcode(status)
    over.set()
    watcher.join()
    replay.stdout.close()
    if replay.returncode or (maker is not None and maker.wait()):
        raise SystemExit(f"the replay ended with exit code {replay.returncode}")
    return Run(seconds, usage.ru_utime + usage.ru_stime, list(peaks.values()), digest.hexdigest())


def _watch(pid: int, peaks: dict[int, int], over: threading.Event) -> None:
    """Note the highest memory of a process and its children from time to time."""
    while not over.wait(LOOK_S):
        with suppress(OSError):
            children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
            for process in (pid, *map(int, children)):
                for line in Path(f"/proc/{process}/status").read_text().splitlines():
                    if line.startswith("VmHWM:"):
                        peaks[process] = int(line.split()[1]) * 1024 // MB


def compare(size: int, rounds: int, file: Path | None) -> None:
    """Measure in turn, and print what came of it."""
    runs: dict[int, list[Run]] = {jobs: [] for jobs in JOBS}
    for _ in range(rounds):
        for jobs in JOBS:
            runs[jobs].append(measure(jobs, size, file))
    if len({run.digest for done in runs.values() for run in done}) != 1:
        raise SystemExit("the alerts were not the same")
    print("processes  seconds  CPU seconds  MB/s  peak memory of each, MB")
    for jobs, done in runs.items():
        seconds, cpu = min(run.seconds for run in done), min(run.cpu for run in done)
        peaks = ", ".join(map(str, max(run.peaks for run in done)))
        print(f"{jobs:>9}  {seconds:>7.2f}  {cpu:>11.2f}  {size / MB / seconds:>4.0f}  {peaks}")
    one, two = (runs[jobs] for jobs in JOBS)
    print(f"speed-up {min(r.seconds for r in one) / min(r.seconds for r in two):.2f}", end=", ")
    print(f"CPU time {min(r.cpu for r in two) / min(r.cpu for r in one):.2f} times that of one process")


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure lanner replay with one process and with two.")
    parser.add_argument("--size", type=int, default=1000, help="input in MB (1000)")
    parser.add_argument("--rounds", type=int, default=3, help="runs of each kind (3)")
    parser.add_argument("--file", action="store_true", help="read a file instead of standard input")
    parser.add_argument("--make", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.make is not None:
        with suppress(BrokenPipeError):
            write_events(options.make, sys.stdout.buffer)
        return
    if not options.file:
        compare(options.size * MB, options.rounds, None)
        return
    with TemporaryDirectory() as folder:
        path = Path(folder, "events.jsonl")
        with path.open("wb") as out:
            write_events(options.size * MB, out)
        compare(path.stat().st_size, options.rounds, path)


if __name__ == "__main__":
    main()
