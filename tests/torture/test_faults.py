"""What befalls a store while clients post: they are told to come again, nothing is half done, nothing is restarted."""

from __future__ import annotations

import resource
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from tempfile import mkdtemp

import httpx
import pytest

from tests.app.running import TIMEOUT, Running, running
from tests.store.postgresql import Cluster
from tests.store.test_sqlite_files import TAKEN
from tests.torture.test_kills import KILLS, options
from tests.torture.traffic import CONNECTIONS, Traffic, check

RETRY_AFTER = "7"
OPTIONS = ("-o", f"lanner.limits.retry_after={RETRY_AFTER}s")
NO_RIGHTS = ("setpriv", "--bounding-set=-dac_override,-dac_read_search")
"""What makes root obey the modes of files."""


def refused(url: str, traffic: Traffic) -> None:
    """Every client comes to a halt with a 503; what is in the store are whole bodies."""
    traffic.stuck()
    assert {(answer.status, answer.retry_after) for answer in traffic.refusals} == {(503, RETRY_AFTER)}
    assert len(traffic.refusals) == CONNECTIONS
    check(url, traffic)


def recovers(url: str, service: Running, place: str, traffic: Traffic, more: int = 20) -> None:
    """It goes on by itself, with all that was refused."""
    traffic.point(place)
    traffic.proceed(more)
    traffic.finish()
    check(url, traffic, complete=True)
    assert service.stop() == 0


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder that can be reached without root's rights."""
    made = Path(mkdtemp(prefix="lanner-torture-"))
    yield made
    shutil.rmtree(made)


@pytest.fixture
def small_disk(folder: Path) -> Iterator[Path]:
    """A file system of 24 MiB."""
    mount = folder / "small"
    mount.mkdir()
    try:
        command = ["mount", "-t", "tmpfs", "-o", "size=24m,mode=755", "tmpfs", str(mount)]
        if subprocess.run(command, check=False, capture_output=True).returncode:
            pytest.skip("no right to mount a file system")
    except FileNotFoundError:
        pytest.skip("no `mount`")
    yield mount
    subprocess.run(["umount", str(mount)], check=True)


def fill(ballast: Path) -> None:
    """Not a byte is free behind this."""
    with ballast.open("ab", buffering=0) as file:
        try:
            while file.write(b"x" * 4096):
                pass
        except OSError:
            return


def test_a_full_disk(small_disk: Path) -> None:
    """Twice in one run."""
    url = f"sqlite:///{small_disk}/lanner.db"
    with running(small_disk, *options(url), *OPTIONS) as service, Traffic() as traffic:
        place = service.place("webhook")
        for _ in range(2):
            traffic.point(place)
            traffic.proceed(10)
            fill(small_disk / "ballast")
            refused(url, traffic)
            (small_disk / "ballast").unlink()
        recovers(url, service, place, traffic, more=10)


def test_a_limit_on_the_size_of_files(tmp_path: Path) -> None:
    """The system does not let the process write, wherever in its files it is."""
    url = f"sqlite:///{tmp_path}/lanner.db"
    with running(tmp_path, *options(url), *OPTIONS) as service, Traffic() as traffic:
        place = service.place("webhook")
        usual = resource.prlimit(service.process.pid, resource.RLIMIT_FSIZE)
        for part in (1, 2):
            traffic.point(place)
            traffic.proceed(20)
            limit = (tmp_path / "lanner.db-wal").stat().st_size // part
            resource.prlimit(service.process.pid, resource.RLIMIT_FSIZE, (limit, usual[1]))
            refused(url, traffic)
            resource.prlimit(service.process.pid, resource.RLIMIT_FSIZE, usual)
        recovers(url, service, place, traffic)


@pytest.mark.parametrize("name", TAKEN)
def test_the_log_of_the_store_is_taken_away(tmp_path: Path, name: str) -> None:
    """Under load, then kill -9: nothing that was acknowledged is missing, before it and after it."""
    path = tmp_path / "lanner.db"
    url = f"sqlite:///{path}"
    with Traffic() as traffic:
        for _ in range(max(1, KILLS // 20)):
            with running(tmp_path, *options(url)) as service:
                place = service.place("webhook")
                traffic.point(place)
                traffic.proceed(20)
                TAKEN[name](path)
                if not name.endswith("is cut"):  # by which a process may end that is using it just then
                    assert "connecting anew" in service.logged_like("removed or replaced from outside")["event"]
                    traffic.point(place)
                    traffic.proceed(20)
                service.process.kill()
                service.process.wait()
                traffic.stuck()
            check(url, traffic)
        with running(tmp_path, *options(url)) as service:
            traffic.point(service.place("webhook"))
            traffic.finish()
            check(url, traffic, complete=True)
            assert service.stop() == 0


def without_rights() -> Sequence[str]:
    """The words before a command that may not do what modes forbid; none where nobody may."""
    if subprocess.run(["id", "-u"], check=True, capture_output=True).stdout != b"0\n":
        return ()
    trial = [*NO_RIGHTS, sys.executable, "-c", "import lanner"]
    if shutil.which("setpriv") is None or subprocess.run(trial, check=False, capture_output=True).returncode:
        pytest.skip("no way to run without root's rights")
    return NO_RIGHTS


def test_a_read_only_store(folder: Path) -> None:
    """From the start, until somebody gives the right."""
    url = f"sqlite:///{folder}/lanner.db"
    under = without_rights()
    with running(folder, *options(url), under=under) as service, Traffic() as traffic:
        traffic.point(service.place("webhook"))
        traffic.proceed(5)
        assert service.stop() == 0
        traffic.stuck()
        (folder / "lanner.db").chmod(0o400)
        with running(folder, *options(url), *OPTIONS, under=under) as again:
            place = again.place("webhook")
            traffic.point(place)
            refused(url, traffic)
            for file in folder.glob("lanner.db*"):
                file.chmod(0o600)
            again.logged("store opened")
            recovers(url, again, place, traffic)


@pytest.mark.postgres
def test_postgresql_crashes_and_comes_back(cluster: Cluster, tmp_path: Path) -> None:
    """Stopped at once, as by a crash, under load, and started again, twice."""
    url = cluster.new_database()
    with running(tmp_path, *options(url), *OPTIONS) as service, Traffic() as traffic:
        place = service.place("webhook")
        for _ in range(2):
            traffic.point(place)
            traffic.proceed(20)
            cluster.stop()
            try:
                traffic.stuck()
            finally:
                cluster.start()
            refused(url, traffic)
        recovers(url, service, place, traffic)


@pytest.mark.postgres
def test_postgresql_hangs_and_goes_on(cluster: Cluster, tmp_path: Path) -> None:
    """Its processes are stopped under load: nobody waits for ever, and commits whose outcome nobody knew count once."""
    url = cluster.new_database()
    with running(tmp_path, *options(url), *OPTIONS) as service, Traffic() as traffic:
        place = service.place("webhook")
        server = service.place("server")
        traffic.point(place)
        traffic.proceed(20)
        with cluster.hung():
            traffic.stuck()
            assert httpx.get(f"{server}/readyz", timeout=TIMEOUT).status_code == 503
            assert httpx.get(f"{server}/healthz", timeout=TIMEOUT).status_code == 200
        refused(url, traffic)
        recovers(url, service, place, traffic)
