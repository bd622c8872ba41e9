"""What is special about PostgreSQL: replicas, and a server that comes and goes."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack

import psycopg
import pytest
from sqlalchemy import event, make_url

from lanner.store import postgresql
from lanner.store.committer import Committer
from lanner.store.records import Batch, Outcome
from lanner.store.store import Store, StoreError, open_store
from tests.store.builders import alert, balanced, body, totals
from tests.store.postgresql import Cluster

pytestmark = pytest.mark.postgres


@pytest.fixture
def replicas(postgresql_url: str) -> Iterator[tuple[Store, Store]]:
    """Two stores on one database, as two processes have them."""
    one, two = open_store(postgresql_url), open_store(postgresql_url)
    yield one, two
    one.close()
    two.close()


def test_two_replicas_that_get_the_same_bodies_alert_once(replicas: tuple[Store, Store]) -> None:
    """At the same time and in different orders; every body is new for one of them only."""
    batches = [body(str(index), alert(str(index), rule="r"), malformed=1) for index in range(60)]
    outcomes: Counter[tuple[bytes | None, Outcome]] = Counter()
    told: list[str] = []
    guard = threading.Lock()

    def replica(store: Store, order: list[Batch]) -> None:
        committer = Committer(store)
        committer.subscribe(lambda committed, _: told.extend(one.id for batch in committed for one in batch.alerts))
        futures = [(batch.digest, committer.submit(batch)) for batch in order]
        with guard:
            outcomes.update((digest, future.result(60)) for digest, future in futures)
        committer.close()

    threads = [
        threading.Thread(target=replica, args=(replicas[0], batches)),
        threading.Thread(target=replica, args=(replicas[1], batches[::-1])),
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(outcomes[batch.digest, outcome] == 1 for batch in batches for outcome in Outcome)
    assert sorted(told) == sorted(one.id for batch in batches for one in batch.alerts)
    assert len(replicas[0].alerts(limit=1_000)) == 60
    found = totals(replicas[1])
    assert (found.received, found.evaluated, found.duplicate, found.malformed) == (1_320, 600, 660, 60)


def test_followers_miss_nothing_while_two_replicas_write(replicas: tuple[Store, Store]) -> None:
    """Numbers become visible in their order."""
    done = threading.Event()

    def write(store: Store, name: str) -> None:
        for index in range(100):
            store.commit([body(None, *(alert(f"{name}-{index}-{number}") for number in range(index % 5)))])

    threads = [threading.Thread(target=write, args=(store, name)) for store, name in zip(replicas, "ab", strict=True)]
    for thread in threads:
        thread.start()
    seen: list[int] = []
    while not done.is_set():
        if not any(thread.is_alive() for thread in threads):
            done.set()  # one more look after the last commit
        while page := replicas[0].alerts(after=seen[-1] if seen else 0, limit=7):
            seen += [one.seq for one in page]
    assert len(seen) == 400
    assert seen == sorted(one.seq for one in replicas[1].alerts(limit=1_000))


def test_a_server_that_stops_and_starts(cluster: Cluster, postgresql_url: str) -> None:
    """While it is away nothing is taken and nothing is half done; when it is back all goes on by itself."""
    store = open_store(postgresql_url)
    committer = Committer(store)
    batch = body("first", alert("first"))
    assert committer.submit(batch).result(60) is Outcome.COMMITTED
    cluster.stop()
    try:
        for _ in range(2):
            failure = committer.submit(body("second", alert("second"))).exception(60)
            assert isinstance(failure, StoreError)
            assert failure.retryable
            assert "cannot be reached" in str(failure) or "does not work" in str(failure)
        assert not store.healthy()
        with pytest.raises(StoreError):
            store.alerts()
    finally:
        cluster.start()
    assert store.healthy()
    assert committer.submit(batch).result(60) is Outcome.DUPLICATE
    assert committer.submit(body("second", alert("second"))).result(60) is Outcome.COMMITTED
    assert len(store.alerts()) == 2
    assert balanced(store.counters())
    committer.close()
    store.close()


HANGING = ("submitted", "committing")


@pytest.mark.parametrize("moment", HANGING)
def test_a_server_that_hangs(
    cluster: Cluster, postgresql_url: str, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    """Between two commits, or with a commit on its way whose outcome nobody can tell then: each batch fails, nothing is
    half done, and when the server goes on so does the store. The same again is committed once."""
    monkeypatch.setattr(postgresql, "_ANSWER_SECONDS", 1.0)
    monkeypatch.setitem(postgresql._CONNECT, "connect_timeout", 2)
    store = open_store(postgresql_url)
    committer = Committer(store)
    assert committer.submit(body("first", alert("first"))).result(60) is Outcome.COMMITTED
    second = body("second", alert("second"))
    with ExitStack() as hung:
        if moment == "submitted":
            hung.enter_context(cluster.hung())
        else:
            event.listen(store._database.engine, "commit", lambda _: hung.enter_context(cluster.hung()), once=True)
        for batch in (second, body("third", alert("third"))):
            failure = committer.submit(batch).exception(60)
            assert isinstance(failure, StoreError)
            assert failure.retryable
            assert "cannot be reached" in str(failure)
        assert not store.healthy()
        with pytest.raises(StoreError):
            store.counters()
    outcome = committer.submit(second).result(60)
    assert moment == "committing" or outcome is Outcome.COMMITTED
    assert committer.submit(second).result(60) is Outcome.DUPLICATE
    assert store.healthy()
    assert {one.audit_id for one in store.alerts()} == {"first", "second"}
    assert len(store.alerts()) == 2
    found = totals(store)
    assert (found.evaluated, found.duplicate) == (20, 10 + 10 * (outcome is Outcome.DUPLICATE))
    committer.close()
    store.close()


def test_a_migration_may_take_its_time(postgresql_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Longer than any other statement; what follows on the same connection may not."""
    monkeypatch.setattr(postgresql, "_ANSWER_SECONDS", 0.2)
    store = open_store(postgresql_url)
    with store._writing() as connection, store._database.migrating(connection):
        connection.exec_driver_sql("SELECT pg_sleep(2)")
    with pytest.raises(StoreError, match="cannot be reached"), store._writing() as connection:
        connection.exec_driver_sql("SELECT pg_sleep(60)")
    assert store.commit([body("x")]) == [Outcome.COMMITTED]
    store.close()


def test_a_connection_lost_within_a_transaction(postgresql_url: str) -> None:
    """All of it is undone."""
    store = open_store(postgresql_url)

    def lose(connection: object) -> None:
        with psycopg.connect(psycopg_url, autocommit=True) as other:
            other.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )

    psycopg_url = make_url(postgresql_url).render_as_string(hide_password=False)
    event.listen(store._database.engine, "commit", lose, once=True)
    with pytest.raises(StoreError) as caught:
        store.commit([body("x", alert())])
    assert caught.value.retryable
    assert store.commit([body("x", alert())]) == [Outcome.COMMITTED]
    assert totals(store).received == 10
    store.close()


def test_a_writer_that_hangs(postgresql_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A writer that hangs in the middle makes the others fail, not wait for ever."""
    monkeypatch.setattr(postgresql, "_LOCK_SECONDS", 1)
    store = open_store(postgresql_url)
    with psycopg.connect(postgresql_url) as other:
        other.execute("SELECT * FROM state FOR UPDATE")
        with pytest.raises(StoreError, match="locked by another process for more than 1 s"):
            store.commit([body("x")])
    assert store.commit([body("x")]) == [Outcome.COMMITTED]
    store.close()


def test_every_commit_is_durable(postgresql_url: str) -> None:
    """Also where the database was set up otherwise."""
    with psycopg.connect(postgresql_url, autocommit=True) as other:
        other.execute("ALTER ROLE postgres SET synchronous_commit TO off")
    try:
        store = open_store(postgresql_url)
        with store._writing() as connection:
            assert connection.exec_driver_sql("SHOW synchronous_commit").scalar() == "on"
        store.close()
    finally:
        with psycopg.connect(postgresql_url, autocommit=True) as other:
            other.execute("ALTER ROLE postgres RESET synchronous_commit")


@pytest.mark.parametrize(
    ("sql", "message"),
    [
        ("ALTER ROLE reader SET default_transaction_read_only TO on", "is read-only"),
        ("GRANT SELECT ON ALL TABLES IN SCHEMA public TO reader", "refuses its user a right"),
    ],
)
def test_a_user_without_rights(postgresql_url: str, sql: str, message: str) -> None:
    """Each says what is missing."""
    open_store(postgresql_url).close()
    with psycopg.connect(postgresql_url, autocommit=True) as admin:
        admin.execute("CREATE ROLE reader LOGIN")
        try:
            admin.execute("GRANT SELECT ON lanner_version TO reader")
            admin.execute(sql.encode())
            store = open_store(postgresql_url.replace("postgres@", "reader@"))
            with pytest.raises(StoreError, match=message):
                store.commit([body()])
            store.close()
        finally:
            admin.execute("DROP OWNED BY reader")
            admin.execute("DROP ROLE reader")


def test_a_database_that_does_not_exist(postgresql_url: str) -> None:
    """The server's words are passed on."""
    elsewhere = make_url(postgresql_url).set(database="nothing").render_as_string(hide_password=False)
    with pytest.raises(StoreError, match='database "nothing" does not exist'):
        open_store(elsewhere)
