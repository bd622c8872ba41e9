"""kill -9 at random moments under load: nothing that was acknowledged is missing, nothing is there twice."""

from __future__ import annotations

import os
import random
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from subprocess import TimeoutExpired

import pytest

from tests.app.running import WEBHOOK, Running, running
from tests.torture.bodies import Body
from tests.torture.traffic import Traffic, check

KILLS = int(os.environ.get("LANNER_KILLS", "10"))
SEED = int(os.environ.get("LANNER_SEED", "0")) or random.randrange(2**32)


def kill(service: Running, seconds: float) -> None:
    """As kill -9, so long from now: somewhere within whatever goes on."""
    with suppress(TimeoutExpired):
        pytest.fail(f"it ended by itself: {service.process.wait(seconds)}")
    service.process.kill()
    service.process.wait()


def options(url: str) -> Sequence[str]:
    return (*WEBHOOK, "-o", f"lanner.store={url}")


def test_killed_under_load(url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """After each kill the store holds what was acknowledged, whole bodies only; after the last all of it, once."""
    chance = random.Random(SEED)
    with Traffic() as traffic:
        for _ in range(KILLS):
            with running(tmp_path, *options(url)) as service:
                if chance.random() < 0.1:  # while it starts, with a store that the last kill has left
                    kill(service, chance.random())
                    continue
                traffic.point(service.place("webhook"))
                traffic.proceed(chance.randrange(1, 60))
                kill(service, chance.random() / 20)
                traffic.stuck()
                assert not traffic.refusals
            check(url, traffic)
        with running(tmp_path, *options(url)) as service:
            check(url, traffic)
            traffic.point(service.place("webhook"))
            traffic.finish()
            check(url, traffic, complete=True)
            assert service.stop() == 0
    assert not traffic.refusals
    with capsys.disabled():
        print(f"\n{KILLS} kills, seed {SEED}: {len(traffic.sent)} bodies, {events(traffic.acknowledged)} events")


def events(bodies: Sequence[Body]) -> int:
    return sum(body.events for body in bodies)


@pytest.mark.postgres
def test_two_replicas_that_are_killed_in_turn(postgresql_url: str, tmp_path: Path) -> None:
    """Both take bodies for one store; what one had not acknowledged goes to whoever is left."""
    chance = random.Random(SEED)
    with ExitStack() as started, Traffic() as traffic:
        replicas = [started.enter_context(running(tmp_path / str(index), *options(postgresql_url))) for index in "ab"]
        places = [replica.place("webhook") for replica in replicas]
        traffic.point(*places)
        traffic.proceed(chance.randrange(20, 60))
        kill(replicas[0], chance.random() / 20)
        traffic.point(places[1])
        traffic.proceed(40)
        check(postgresql_url, traffic)
        traffic.finish()
        check(postgresql_url, traffic, complete=True)
        assert replicas[1].stop() == 0
