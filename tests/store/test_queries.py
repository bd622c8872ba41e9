"""Looking for alerts and malformed pieces."""

from __future__ import annotations

import pytest

from lanner.store.records import AlertFilter, RetentionPolicy
from lanner.store.store import Store, StoreError, open_store
from tests.store.builders import NOW, alert, body

ALERTS = (
    alert("a", rule="Exec in pod", priority=2, user="jane", namespace="web", tags=("mitre", "exec"), time_ns=NOW + 3),
    alert("b", rule="Secret read", priority=4, user="joe", namespace="web", tags=("mitre2",), time_ns=NOW + 1),
    alert("c", rule="secret list", priority=6, user="jane", namespace="", tags=(), time_ns=NOW + 2, cluster="stage"),
    alert("d", rule="100%_odd\\", priority=5, user="o'hara", namespace="x", tags=("MITRE",), time_ns=NOW + 1),
)

FILTERS = {
    "all": (AlertFilter(), "acdb"),
    "since": (AlertFilter(since_ns=NOW + 2), "ac"),
    "until": (AlertFilter(until_ns=NOW + 2), "db"),
    "since and until": (AlertFilter(since_ns=NOW + 2, until_ns=NOW + 3), "c"),
    "priority": (AlertFilter(priority=4), "ab"),
    "rule": (AlertFilter(rules=("Secret read",)), "b"),
    "rules": (AlertFilter(rules=("Secret read", "secret list")), "cb"),
    "cluster": (AlertFilter(clusters=("stage",)), "c"),
    "namespace": (AlertFilter(namespaces=("web",)), "ab"),
    "no namespace": (AlertFilter(namespaces=("",)), "c"),
    "user": (AlertFilter(users=("o'hara",)), "d"),
    "tag": (AlertFilter(tags=("mitre",)), "a"),
    "tags": (AlertFilter(tags=("exec", "MITRE")), "ad"),
    "text in any case": (AlertFilter(text="SECRET"), "cb"),
    "text of the output": (AlertFilter(text="on b"), "b"),
    "text with the signs of patterns": (AlertFilter(text="%_odd\\"), "d"),
    "text that is a pattern": (AlertFilter(text="s%t"), ""),
    "several fields": (AlertFilter(users=("jane",), namespaces=("web",)), "a"),
}


@pytest.mark.parametrize("name", FILTERS)
def test_filters(store: Store, name: str) -> None:
    """Newest first by their own time, the later commit first among equals."""
    store.commit([body(None, *ALERTS)])
    wanted, found = FILTERS[name]
    assert "".join(one.audit_id for one in store.alerts(wanted)) == found
    assert "".join(one.audit_id for one in store.alerts(wanted, after=0)) == "".join(sorted(found))


def test_pages_show_every_alert_once(store: Store) -> None:
    """Also where many have the same time."""
    store.commit([body(None, *(alert(str(index), time_ns=NOW + index // 7) for index in range(30)))])
    seen = store.alerts(limit=4)
    while page := store.alerts(limit=4, before=(seen[-1].time_ns, seen[-1].seq)):
        seen += page
    assert [one.audit_id for one in seen] == [one.audit_id for one in store.alerts()]
    assert len(seen) == 30


def test_following_in_steps_meets_every_alert(store: Store) -> None:
    """The highest number so far leads on."""
    store.commit([body(None, *(alert(str(index)) for index in range(10)))])
    seen: list[str] = []
    last = 0
    while page := store.alerts(limit=3, after=last):
        seen += [one.audit_id for one in page]
        last = page[-1].seq
    assert seen == [str(index) for index in range(10)]


def test_an_alert_by_its_id_or_the_beginning_of_it(store: Store) -> None:
    """The beginning must be of one alert only."""
    store.commit([body(None, *(alert(str(index)) for index in range(40)))])
    one = alert("7")
    for given in (one.id, one.id.upper(), one.id[:20], one.id[:19]):
        found = store.alert(given)
        assert found is not None
        assert (found.id, found.event) == (one.id, one.event)
    assert store.alert("no id") is None
    assert store.alert(one.id + "00") is None
    assert store.alert("0" * 32) is None
    with pytest.raises(LookupError, match="several alerts"):
        store.alert("")


def test_malformed_pieces_by_source_and_cluster(store: Store) -> None:
    """Newest first, or behind a number."""
    store.commit([body(None, malformed=2), body(None, malformed=1, cluster="stage", source="other")])
    assert [one.cluster for one in store.malformed()] == ["stage", "prod", "prod"]
    assert len(store.malformed(source="other")) == 1
    assert len(store.malformed(cluster="prod", limit=1)) == 1
    assert [one.seq for one in store.malformed(after=1)] == [2, 3]
    (one,) = store.malformed(cluster="stage")
    assert (one.source, one.reason, one.raw) == ("other", "not JSON", b"piece 0")


def test_who_only_looks_changes_nothing(url: str) -> None:
    """A store is neither made nor migrated nor written, and is seen while another writes."""
    with pytest.raises(StoreError, match="lanner run"):
        open_store(url, writable=False)
    with pytest.raises(StoreError, match="lanner run"):
        open_store(url, writable=False)
    writer = open_store(url)
    reader = open_store(url, writable=False)
    writer.commit([body(None, alert())])
    assert len(reader.alerts()) == 1
    assert reader.healthy()
    with pytest.raises(StoreError, match="read-only"):
        reader.commit([body()])
    writer.commit([body(None, alert("b"))])
    assert len(reader.alerts()) == 2
    reader.close()
    writer.close()


def test_a_page_is_bounded_by_bytes(store: Store) -> None:
    """It holds no more than that, or one alert; whoever goes on until a page is empty sees each of them once."""
    sizes = [10, 400_000, 10, 3_000_000, 10, 10, 900_000]
    for index, size in enumerate(sizes):
        store.commit([body(None, alert(str(index), document=b"d" * size, time_ns=NOW + index))])
    bound = 1_000_000
    pages, after = [], 0
    while page := store.alerts(after=after, limit=5, max_bytes=bound):
        pages.append([int(one.audit_id) for one in page])
        after = page[-1].seq
    assert pages == [[0, 1, 2], [3], [4, 5, 6]]
    newest = store.alerts(limit=3, max_bytes=bound)
    assert [int(one.audit_id) for one in newest] == [6, 5, 4]
    assert [int(one.audit_id) for one in store.alerts(limit=1, max_bytes=1)] == [6]
    before = (NOW + 4, newest[-1].seq)
    assert [int(one.audit_id) for one in store.alerts(before=before, max_bytes=bound)] == [3]
    found = store.newest(AlertFilter())
    assert (len(found), found.clusters) == (7, True)
    assert [[int(one.audit_id) for one in page] for page in store.read(found, 6, bound)] == [[1, 2], [3], [4, 5, 6]]


def test_alerts_that_are_gone_by_now(store: Store) -> None:
    """What was removed between finding and reading is not there."""
    store.commit([body(None, *(alert(str(index), time_ns=NOW + index, cluster="") for index in range(5)))])
    found = store.newest(AlertFilter(), 4)
    assert (len(found), found.clusters) == (4, False)
    (page,) = store.read(found, 4)
    store.retention(RetentionPolicy(max_bytes=0), NOW)
    assert [one.audit_id for one in page] == ["1", "2", "3", "4"]
    assert list(store.read(found, 4)) == [[]]
