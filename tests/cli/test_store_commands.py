"""`lanner alerts` and `lanner status` on a store that is filled by hand, and `lanner run` as far as nothing runs."""

from __future__ import annotations

import csv
import io
import json
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path
from subprocess import Popen

import pytest

from lanner.store.records import AlertRecord, Batch, MalformedRecord
from lanner.store.store import Store, open_store
from tests.cli.conftest import Lanner

HOUR = 3600 * 1_000_000_000
NOW = time.time_ns()


def alert(number: int, **changes: object) -> AlertRecord:
    """An alert that is `number` hours old."""
    identifier = f"{number:032x}"
    values: dict[str, object] = {
        "id": identifier,
        "cluster": "prod",
        "source": "k8s_audit",
        "rule": f"Rule {number}",
        "priority": 4,
        "tags": ("k8s",),
        "time_ns": NOW - number * HOUR,
        "audit_id": "a",
        "stage": "ResponseComplete",
        "namespace": "default",
        "user": "alice",
        "resource": "pods",
        "name": "web",
        "verb": "create",
        "output": f"10:00:00.000000000: Warning message {number}",
        "document": json.dumps({"id": identifier, "output_fields": {"ka.verb": "create"}}).encode(),
        "event": b'{"kind":"Event","verb":"create"}',
        "event_id": identifier,
    }
    return AlertRecord(**{**values, **changes})  # type: ignore[arg-type]


ALERTS = (
    alert(1),
    alert(2, priority=2, cluster="lab"),
    alert(3, namespace="kube-system", user="bob", tags=("T1098", "k8s")),
    alert(50, output="10:00:00.000000000: Warning a \x1b[31mred\nsecret", name="a,b"),
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    store = open_store(f"sqlite:///{tmp_path}/data/lanner.db")
    fill(store, ALERTS)
    store.close()
    return tmp_path / "data"


def fill(store: Store, alerts: tuple[AlertRecord, ...]) -> None:
    store.commit(
        [
            Batch(
                "webhook", "prod", NOW, size=100, digest=alerts[0].id.encode(), evaluated=9, matched=4,
                malformed=(MalformedRecord("item 2: not an event", b"{\x1b}"),), last_event_ns=NOW - HOUR,
                alerts=alerts,
                rule_matches={"Rule 1": 3, "Rule 2": 1}, rule_errors={"Rule 2": 5}, refused={"unauthorized": 2},
            ),
            Batch("internal", "", NOW),
        ]
    )  # fmt: skip


Ask = Callable[..., list[str]]


@pytest.fixture
def ask(lanner: Lanner, folder: Path) -> Ask:
    """Runs a command on the store; the lines of its output."""

    def call(*arguments: str) -> list[str]:
        result = lanner(*arguments, "-o", f"lanner.data_dir={folder}", "-o", "webserver.enabled=false")
        assert result.code == 0, result.stderr
        return result.stdout.splitlines()

    return call


def rules_of(lines: list[str]) -> list[str]:
    return ["Rule " + line.partition("Rule ")[2].split(" ")[0] for line in lines if "Rule " in line]


def test_the_list_ends_with_the_newest(ask: Ask) -> None:
    """As a log does."""
    assert rules_of(ask("alerts")) == ["Rule 50", "Rule 3", "Rule 2", "Rule 1"]


@pytest.mark.parametrize(
    ("options", "want"),
    [
        (["--since", "90m"], ["Rule 1"]),
        (["--until", "150m"], ["Rule 50", "Rule 3"]),
        (["--since", "3d", "--until", "1d"], ["Rule 50"]),
        (["--since", "2001-01-01", "--limit", "1"], ["Rule 1"]),
        (["--priority", "error"], ["Rule 2"]),
        (["--rule", "Rule 1", "--rule", "Rule 3"], ["Rule 3", "Rule 1"]),
        (["--cluster", "lab"], ["Rule 2"]),
        (["--namespace", "kube-system"], ["Rule 3"]),
        (["--user", "bob"], ["Rule 3"]),
        (["--tag", "T1098"], ["Rule 3"]),
        (["--text", "MESSAGE 2"], ["Rule 2"]),
        (["--limit", "0"], ["Rule 50", "Rule 3", "Rule 2", "Rule 1"]),
    ],
)
def test_filters(ask: Ask, options: list[str], want: list[str]) -> None:
    """Every filter leaves what it names."""
    assert rules_of(ask("alerts", *options)) == want


def test_json_lines_are_the_documents(ask: Ask) -> None:
    """What outputs give, one a line."""
    assert [json.loads(line)["id"] for line in ask("alerts", "--json")] == [a.id for a in reversed(ALERTS)]


def test_csv(ask: Ask) -> None:
    """Cells with commas stay cells; control characters are escapes."""
    rows = list(csv.DictReader(ask("alerts", "--format", "csv")))
    assert [row["rule"] for row in rows] == ["Rule 50", "Rule 3", "Rule 2", "Rule 1"]
    assert rows[0]["name"] == "a,b"
    assert "\x1b" not in "".join(rows[0].values())


@pytest.mark.parametrize(
    ("name", "cell"),
    [
        ("=1+1", "'=1+1"),
        ("+1", "'+1"),
        ("-1", "'-1"),
        ("@SUM(A1)", "'@SUM(A1)"),
        ("\t=1", "'\\t=1"),
        ("\r=1", "'\\r=1"),
        ("\n=1", "'\n=1"),
        ("\uff1d1", "'\uff1d1"),
        ("a=1", "a=1"),
        ("", ""),
    ],
)
def test_csv_holds_no_formulas(ask: Ask, folder: Path, name: str, cell: str) -> None:
    """What a spreadsheet would calculate has a single quote in front; everything else stays."""
    store = open_store(f"sqlite:///{folder}/lanner.db")
    fill(store, (alert(0, name=name, user=name),))
    store.close()
    text = "\n".join(ask("alerts", "--format", "csv", "--since", "30m"))
    (row,) = csv.DictReader(io.StringIO(text))
    assert (row["name"], row["user"]) == (cell, cell)


@pytest.mark.parametrize("form", ["json", "csv", "table"])
@pytest.mark.parametrize(
    ("limit", "told"), [(0, ""), (1, "the newest one is"), (3, "the newest 3 are"), (4, ""), (5, "")]
)
@pytest.mark.parametrize("what", [[], ["--malformed"]])
def test_a_list_that_is_cut_says_so(
    lanner: Lanner, folder: Path, form: str, limit: int, told: str, what: list[str]
) -> None:
    """On standard error, with how to get the rest; what is printed is as long as was asked for."""
    store = open_store(f"sqlite:///{folder}/lanner.db")
    for number in range(3):
        store.commit(
            [Batch("webhook", "", NOW, size=1, digest=b"%d" % number, malformed=(MalformedRecord("not JSON", b"x"),))]
        )
    store.close()
    result = lanner("alerts", *what, "--format", form, "-n", str(limit), "-o", f"lanner.data_dir={folder}")
    assert result.code == 0
    assert result.stderr == (f"{told} shown and there are more: `--limit 0` shows all\n" if told else "")
    if form == "json":
        assert len(result.stdout.splitlines()) == min(limit or 4, 4)


def test_one_alert_in_full_forges_no_lines(ask: Ask, folder: Path) -> None:
    """Line ends and control characters in any text of an event are shown as escapes."""
    evil = "eve\n  priority:   Debug\r\x1b[2K\u2028\x85"
    document = json.dumps({"output_fields": {"ka.user.name": evil, evil: 1}}).encode()
    event = json.dumps({"user": {"username": evil}}, ensure_ascii=False).encode()
    store = open_store(f"sqlite:///{folder}/lanner.db")
    texts: dict[str, object] = dict.fromkeys(
        ("rule", "user", "name", "namespace", "resource", "verb", "output", "audit_id"), evil
    )
    hostile = alert(7, **texts, tags=(evil,), document=document, event=event)
    fill(store, (hostile,))
    store.close()
    lines = ask("alerts", hostile.id)
    assert [line for line in lines if line.lstrip().startswith("priority:")] == ["  priority:   Warning"]
    assert all(line.isprintable() for line in lines)
    assert "  user:       eve\\n  priority:   Debug\\r\\u001b[2K\\u2028\\u0085" in lines


def test_one_alert_in_full(ask: Ask) -> None:
    """By the beginning of its id: facts, fields and the event."""
    text = "\n".join(ask("alerts", alert(3).id))
    assert "Warning message 3" in text
    assert 'ka.verb = "create"' in text
    assert '"kind": "Event"' in text
    (line,) = ask("alerts", alert(3).id, "--json")
    assert json.loads(line)["event"] == {"kind": "Event", "verb": "create"}


def test_an_alert_that_is_not_there(lanner: Lanner, folder: Path) -> None:
    """And one that could be several."""
    option = ("-o", f"lanner.data_dir={folder}")
    assert "there is no alert `ffff`" in lanner("alerts", "ffff", *option).stderr
    assert "several alerts begin with" in lanner("alerts", "0000", *option).stderr


def test_malformed(ask: Ask) -> None:
    """The reason, and what it was, harmless for a terminal."""
    lines = ask("alerts", "--malformed")
    assert lines[0].endswith("webhook prod: item 2: not an event")
    assert lines[1].strip() == "{\\u001b}"
    assert json.loads(ask("alerts", "--malformed", "--json")[0])["raw"] == "{\x1b}"
    (row,) = csv.DictReader(ask("alerts", "--malformed", "--format", "csv"))
    assert (row["cluster"], row["reason"], row["raw"]) == ("prod", "item 2: not an event", "{\\u001b}")


def test_no_store_says_what_makes_one(lanner: Lanner, tmp_path: Path) -> None:
    """Somebody who has never run the service learns how."""
    for name in ("alerts", "status"):
        result = lanner(name, "-o", f"lanner.data_dir={tmp_path}")
        assert result.code == 1
        assert "`lanner run` makes it" in result.stderr


def test_a_time_that_is_none(lanner: Lanner) -> None:
    """Told with how to write one."""
    result = lanner("alerts", "--since", "yesterday")
    assert result.code == 2
    assert "`2h`" in result.stderr


def test_following(process: Callable[..., Popen[bytes]], folder: Path) -> None:
    """What is committed while somebody follows is shown, after what was there."""
    with process("alerts", "--follow", "--json", "-o", f"lanner.data_dir={folder}") as run:
        assert run.stdout is not None
        before = [json.loads(run.stdout.readline())["id"] for _ in ALERTS]
        store = open_store(f"sqlite:///{folder}/lanner.db")
        fill(store, (alert(0),))
        store.close()
        assert json.loads(run.stdout.readline())["id"] == alert(0).id
        run.terminate()
    assert before == [a.id for a in reversed(ALERTS)]


def test_status(ask: Ask) -> None:
    """Counts of sources and rules, refusals, and nothing of what Lanner says itself."""
    text = "\n".join(ask("status"))
    assert "service: not running" in text
    (row,) = (line.split() for line in text.splitlines() if line.startswith("webhook"))
    assert row[1] == "prod"
    assert "10 9 0 1 4 0 0 2 60 min" in " ".join(row)
    assert "refused by webhook prod: 2 unauthorized" in text
    assert "internal" not in text


def test_status_as_json(ask: Ask) -> None:
    """The same for programs."""
    document = json.loads("\n".join(ask("status", "--json")))
    (source,) = document["sources"]
    assert source["received"] == source["evaluated"] + source["duplicate"] + source["malformed"] == 10
    assert source["refused_bodies"] == {"unauthorized": 2}
    assert {rule["rule"]: (rule["matches"], rule["errors"]) for rule in document["rules"]} == {
        "Rule 1": (3, 0),
        "Rule 2": (1, 5),
    }
    assert document["service"] is None


def test_a_dry_run_starts_nothing(lanner: Lanner, tmp_path: Path, rules_file: Path) -> None:
    """It reads everything and says so."""
    result = lanner("run", "--dry-run", "-r", rules_file, "-o", f"lanner.data_dir={tmp_path}/data")
    assert (result.code, result.stdout) == (
        0,
        "configuration and rules are good: 1 rule enabled; nothing was started\n",
    )
    assert not (tmp_path / "data").exists()


def test_rules_with_errors_start_nothing(lanner: Lanner, tmp_path: Path) -> None:
    """A service with half of its rules would look like a whole one."""
    (tmp_path / "bad.yaml").write_text("- rule: half\n")
    result = lanner("run", "-r", tmp_path / "bad.yaml", "-o", f"lanner.data_dir={tmp_path}/data")
    assert result.code == 1
    assert "nothing was started" in result.stderr


@pytest.mark.parametrize(
    ("options", "other"),
    [
        (["-V", "{rules}"], ["check", "{rules}"]),
        (["-L", "-r", "{rules}"], ["rules", "-r", "{rules}"]),
        (["-l", "ConfigMap changed", "-r", "{rules}"], ["rules", "ConfigMap changed", "-r", "{rules}"]),
        (["--list"], ["fields"]),
    ],
)
def test_flags_of_falco(lanner: Lanner, rules_file: Path, options: list[str], other: list[str]) -> None:
    """They are other commands under names that people know."""
    first, second = ([word.format(rules=rules_file) for word in words] for words in (options, other))
    assert lanner("run", *first) == lanner(*second)


def test_a_newer_store_is_refused_before_anything_listens(lanner: Lanner, folder: Path, rules_file: Path) -> None:
    """Told in clear text, with exit code 1."""
    with sqlite3.connect(folder / "lanner.db") as connection:
        connection.execute("UPDATE lanner_version SET version_num = '9999'")
    connection.close()
    result = lanner("run", "-r", rules_file, "-o", f"lanner.data_dir={folder}", "-o", "lanner.webhooks[].port=0")
    assert result.code == 1
    assert "9999" in result.stderr or "newer" in result.stderr
