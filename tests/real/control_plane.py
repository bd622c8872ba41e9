"""A real API server with its etcd, controllers and clients, in a network of its own that has nothing but loopback.

The binaries, the script that starts them and the traffic are not part of this repository: `missing` says what is not
there. The network is a namespace, so that ports are never taken and nothing can leave the machine; entering it is why
root is needed.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType

KUBE = Path(__file__).resolve().parents[3] / "shared" / "kube"

PROGRAMS = ("etcd", "zstd", "curl", "openssl", "ip", "unshare", "nsenter")

LOOK = 0.2
"""Seconds between looks at the log."""

SETTLING = 1.0
"""Seconds between looks at whether all has arrived."""

PATIENCE = 90.0
"""Seconds without a single event after which something counts as failed; the API server waits up to 35 s."""


def missing() -> str:
    """Why no API server can be started here; empty if one can."""
    if not KUBE.is_dir():
        return f"no control plane in {KUBE.parent.name}/{KUBE.name}"
    absent = [program for program in PROGRAMS if shutil.which(program) is None]
    if absent:
        return f"not installed: {', '.join(absent)} (make kube)"
    if subprocess.run(["unshare", "--net", "--uts", "true"], capture_output=True, check=False).returncode:
        return "no right to make network namespaces (root has it)"
    return ""


class ControlPlane:
    """A context manager. The API server itself runs inside `recording`, as often as wanted, on the same etcd data.

    Neither is there to be asked from this process: `inside` is what a command begins with to be in their network.
    """

    def __init__(self) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="lanner-kube-"))
        self._fresh = True

    def __enter__(self) -> ControlPlane:
        self._network = subprocess.Popen(
            ["unshare", "--net", "sh", "-c", "ip link set lo up && echo up && exec sleep infinity"],
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._network.stdout is not None
        assert self._network.stdout.readline() == "up\n"
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._network.stdout is not None
        self._network.kill()
        self._network.wait()
        self._network.stdout.close()
        shutil.rmtree(self._folder)

    @property
    def inside(self) -> Sequence[str]:
        """The words before a command that is to run in this network."""
        return ("nsenter", f"--net=/proc/{self._network.pid}/ns/net", "--")

    @contextmanager
    def recording(
        self,
        log: Path,
        webhook: Path,
        policy: Path = KUBE / "audit-policy-full.yaml",
        flags: Sequence[str] = ("--audit-webhook-batch-max-wait=1s",),
    ) -> Iterator[None]:
        """A running API server that writes everything to the log and posts it to what the kubeconfig names.

        Stopped, this version does not wait for its webhook: what it has not sent is lost. So `settle` first. Flags
        come last, so `--audit-log-path=` makes it write no log.
        """
        all_flags = " ".join((f"--audit-webhook-config-file={webhook}", *flags))
        fresh = {"FRESH": "1"} if self._fresh else {}
        try:
            self._script("start.sh", AUDIT_LOG=str(log), API_FLAGS=all_flags, AUDIT_POLICY=str(policy), **fresh)
            self._fresh = False
            yield
        finally:
            self._script("stop.sh")

    def request(self, method: str, path: str, body: str = "", **headers: str) -> tuple[int, str]:
        """Status and body of the API server's answer to its administrator; `_` in names of headers stands for `-`."""
        keys = self._folder / "pki"
        command = [*self.inside, "curl", "--silent", "--insecure", "--cert", str(keys / "admin.crt")]
        command += ["--key", str(keys / "admin.key"), "--request", method, "--write-out", "\n%{http_code}"]
        for name, value in {"Content_Type": "application/json", **headers}.items():
            command += ["--header", f"{name.replace('_', '-')}: {value}"]
        if body:
            command += ["--data-binary", "@-"]
        command += ["--globoff", f"https://127.0.0.1:6443{path}"]
        done = subprocess.run(command, input=body.encode(), capture_output=True, check=True)
        answer, _, code = done.stdout.decode().rpartition("\n")
        return int(code), answer

    def audit_errors(self) -> dict[str, int]:
        """`apiserver_audit_error_total` by plugin: how many events it could not deliver."""
        _, text = self.request("GET", "/metrics")
        found = re.findall(r'^apiserver_audit_error_total\{plugin="(\w+)"\} (\d+)$', text, re.MULTILINE)
        return {plugin: int(count) for plugin, count in found}

    @contextmanager
    def traffic(self, log: Path, seed: int) -> Iterator[Callable[[int], None]]:
        """Some forty clients at work. What it gives waits until the log has so many events, at least."""
        arguments = (f"--seed={seed}", f"--log={log}", "--seconds=86400", f"--target={sys.maxsize}")
        with self._started("fakekubelet.py"), self._started("traffic.py", *arguments) as clients:

            def wait(events: int) -> None:
                written, patience = 0, PATIENCE
                while (now := lines(log)) < events:
                    patience = PATIENCE if now > written else patience - LOOK
                    written = now
                    assert patience > 0, f"nothing after {now} events: {self._said('traffic.py')}"
                    with suppress(subprocess.TimeoutExpired):
                        code = clients.wait(LOOK)
                        raise AssertionError(f"the traffic ended with {code}: {self._said('traffic.py')}")

            yield wait

    def settle(self, log: Path, arrived: Callable[[], int]) -> None:
        """End the API server, without clients by now, at a moment at which as many events arrived as are in the log.

        It is held before the two are compared, so that nothing can happen between that and its end.
        """
        for program in ("sched", "kcm"):
            self._signal(program, signal.SIGTERM)
        before, patience = -1, PATIENCE
        while True:
            self._signal("apiserver", signal.SIGSTOP)
            now = arrived()
            if now == lines(log):
                self._signal("apiserver", signal.SIGKILL)
                return
            self._signal("apiserver", signal.SIGCONT)
            patience = PATIENCE if now != before else patience - SETTLING
            before = now
            assert patience > 0, f"{now} events arrived, {lines(log)} are in the log{self._logs()}"
            time.sleep(SETTLING)

    def _signal(self, program: str, number: signal.Signals) -> None:
        started = (line.split() for line in (self._folder / "pids").read_text().splitlines())
        (pid,) = [int(pid) for pid, name in started if name == program]
        os.kill(pid, number)

    def _script(self, name: str, **settings: str) -> None:
        # Its output goes to a file: what it leaves running would keep a pipe open.
        with self._output(name).open("wb") as output:
            done = subprocess.run(
                [*self.inside, str(KUBE / name)],
                env={**self._environment, **settings},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                check=False,
            )
        assert done.returncode == 0, self._said(name) + self._logs()

    @contextmanager
    def _started(self, name: str, *arguments: str) -> Iterator[subprocess.Popen[bytes]]:
        with self._output(name).open("wb") as output:
            process = subprocess.Popen(
                [*self.inside, sys.executable, str(KUBE / name), *arguments],
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        try:
            yield process
        finally:
            os.killpg(process.pid, signal.SIGKILL)  # with the programs that it runs
            process.wait()

    @property
    def _environment(self) -> dict[str, str]:
        return {**os.environ, "KUBE_RUN": str(self._folder), "PYTHONDONTWRITEBYTECODE": "1"}

    def _output(self, name: str) -> Path:
        return self._folder / f"{name}.out"

    def _said(self, name: str) -> str:
        return self._output(name).read_text(errors="replace")

    def _logs(self) -> str:
        """The ends of the logs of what the script starts."""
        return "".join(
            f"\n{path.name}: {path.read_text(errors='replace')[-2000:]}"
            for path in sorted((self._folder / "log").glob("*.log"))
        )


def lines(path: Path) -> int:
    """How many complete lines a file has."""
    count = 0
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            count += block.count(b"\n")
    return count
