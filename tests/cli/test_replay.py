"""`lanner replay`."""

from __future__ import annotations

import gzip
import itertools
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import zstandard

from tests.cli.builders import event, lines
from tests.cli.conftest import Lanner

Process = Callable[..., subprocess.Popen[bytes]]


@pytest.fixture
def events_file(tmp_path: Path) -> Path:
    """Two events that alert and one that does not."""
    path = tmp_path / "events.jsonl"
    path.write_bytes(lines(event("one", number=1), event("two", "get", 2), event("three", "update", 3)))
    return path


def names(output: str) -> list[str]:
    """The ConfigMaps that text alerts name."""
    return [line.rpartition("name=")[2].rstrip(")") for line in output.splitlines()]


def test_alerts_go_out_and_the_summary_goes_to_standard_error(
    lanner: Lanner, rules_file: Path, events_file: Path
) -> None:
    """One line for each alert; alerts do not change the exit code."""
    result = lanner("replay", "-r", rules_file, events_file)
    assert result.code == 0
    assert names(result.stdout) == ["one", "three"]
    assert result.stdout.splitlines()[0].endswith(": Warning ConfigMap changed (user=alice name=one)")
    assert result.stderr.startswith("3 events in ")
    assert "2 alerts, 0 malformed" in result.stderr
    assert "        2  Warning" in result.stderr
    assert "        2  ConfigMap changed (Warning)" in result.stderr


@pytest.mark.parametrize("options", [["--json"], ["-o", "json_output=true"]])
def test_json_alerts(lanner: Lanner, rules_file: Path, events_file: Path, options: list[str]) -> None:
    """JSON lines with the keys of Falco, asked for on the command line or by the configuration."""
    result = lanner("replay", "-r", rules_file, *options, events_file)
    first, second = (json.loads(line) for line in result.stdout.splitlines())
    assert set(first) == {"hostname", "output", "output_fields", "priority", "rule", "source", "tags", "time"}
    assert first["hostname"] == "test-host"
    assert first["output_fields"]["ka.target.name"] == "one"
    assert second["output_fields"]["ka.target.name"] == "three"


def test_a_configuration_file(lanner: Lanner, rules_file: Path, events_file: Path, tmp_path: Path) -> None:
    """Rules files and the form of alerts come from the configuration."""
    config = tmp_path / "falco.yaml"
    config.write_text(f"rules_files: [{rules_file}]\njson_output: true\njson_include_tags_property: false\n")
    result = lanner("replay", "-c", config, events_file)
    assert result.code == 0
    assert ["tags" in json.loads(line) for line in result.stdout.splitlines()] == [False, False]


def test_malformed_lines_are_counted_and_shown(lanner: Lanner, rules_file: Path, tmp_path: Path) -> None:
    """They cost their neighbours nothing and the exit code neither; the first few are told with their places."""
    path = tmp_path / "events.jsonl"
    path.write_bytes(lines(event("one"), *["{broken"] * 7, event("two", number=2)))
    result = lanner("replay", "-r", rules_file, path)
    assert result.code == 0
    assert names(result.stdout) == ["one", "two"]
    assert "2 events in " in result.stderr
    assert "7 malformed" in result.stderr
    assert "malformed, the first 5:" in result.stderr
    assert result.stderr.count(f"{path}:") == 5


def test_compressed_files_and_folders(lanner: Lanner, rules_file: Path, tmp_path: Path) -> None:
    """Plain, gzip and zstandard files are read; a folder is read by name."""
    folder = tmp_path / "audit"
    folder.mkdir()
    (folder / "a.jsonl").write_bytes(lines(event("plain")))
    (folder / "b.jsonl.gz").write_bytes(gzip.compress(lines(event("gzip", number=2))))
    (folder / "c.jsonl.zst").write_bytes(zstandard.compress(lines(event("zstd", number=3))))
    assert names(lanner("replay", "-r", rules_file, folder).stdout) == ["plain", "gzip", "zstd"]


def test_an_input_that_cannot_be_read_does_not_hide_the_others(
    lanner: Lanner, rules_file: Path, events_file: Path, tmp_path: Path
) -> None:
    """A missing and a truncated file are errors with exit code 1; the rest is read."""
    cut = tmp_path / "cut.jsonl.gz"
    cut.write_bytes(gzip.compress(lines(*(event(f"n{os.urandom(4).hex()}", number=n) for n in range(500))))[:-2000])
    missing = tmp_path / "missing.jsonl"
    result = lanner("replay", "-r", rules_file, missing, cut, events_file)
    assert result.code == 1
    assert str(missing) in result.stderr
    assert str(cut) in result.stderr
    assert names(result.stdout)[-2:] == ["one", "three"]


def test_a_bad_rules_file_does_not_silence_a_good_one(
    lanner: Lanner, rules_file: Path, events_file: Path, tmp_path: Path
) -> None:
    """The error is told first, the good rules run, the exit code is 1."""
    bad = tmp_path / "bad.yaml"
    bad.write_text("- rule: half\n")
    result = lanner("replay", "-r", bad, "-r", rules_file, events_file)
    assert result.code == 1
    assert result.stderr.index("LOAD_ERR_YAML_VALIDATE") < result.stderr.index("3 events in ")
    assert names(result.stdout) == ["one", "three"]


def test_without_any_good_rules_file_nothing_is_read(lanner: Lanner, events_file: Path, tmp_path: Path) -> None:
    """A run without a rule would find nothing, and look as if all were well."""
    result = lanner("replay", "-r", tmp_path / "none.yaml", events_file)
    assert result.code == 1
    assert "LOAD_ERR_FILE_READ" in result.stderr
    assert "there is no rule to run" in result.stderr
    assert "events in" not in result.stderr


def test_a_folder_of_rules(lanner: Lanner, rules_file: Path, events_file: Path) -> None:
    """-r takes folders."""
    assert names(lanner("replay", "-r", rules_file.parent, events_file).stdout) == ["one", "three"]


def test_without_rules_the_shipped_ones_run(lanner: Lanner, events_file: Path) -> None:
    """Events are read and counted under the rules that ship."""
    result = lanner("replay", events_file)
    assert result.code == 0
    assert "3 events in " in result.stderr


def test_standard_input(process: Process, rules_file: Path) -> None:
    """`-` is standard input."""
    run = process("replay", "-r", rules_file, "-")
    stdout, stderr = run.communicate(lines(event("piped")))
    assert run.returncode == 0
    assert names(stdout.decode()) == ["piped"]
    assert b"1 event in " in stderr


def test_an_interrupt_ends_with_a_summary(process: Process, rules_file: Path) -> None:
    """Ctrl-C: what was read is accounted for, and the exit code is 130."""
    with process("replay", "-r", rules_file, "-") as run:
        assert run.stdin is not None
        assert run.stdout is not None
        run.stdin.write(lines(event("first")))
        run.stdin.flush()
        assert run.stdout.readline().rstrip().endswith(b"name=first)")
        run.send_signal(signal.SIGINT)
        _, stderr = run.communicate()
    assert run.returncode == 130
    assert b"1 event in " in stderr
    assert b"Traceback" not in stderr


def test_nothing_in_an_event_reaches_the_terminal_as_a_command(
    lanner: Lanner, rules_file: Path, tmp_path: Path
) -> None:
    """Escape sequences in names and in malformed lines are made visible."""
    path = tmp_path / "events.jsonl"
    path.write_bytes(lines(event("\x1b[2J"), "\x1b[31m{"))
    result = lanner("replay", "-r", rules_file, path)
    assert "\x1b" not in result.stdout + result.stderr


def test_no_rules_file_is_an_error(lanner: Lanner, events_file: Path, tmp_path: Path) -> None:
    """Where the files or folders that are named hold no rules file, no other rules run in their place."""
    (tmp_path / "empty").mkdir()
    result = lanner("replay", "-r", tmp_path / "empty", events_file)
    assert (result.code, result.stdout) == (1, "")
    assert result.stderr == f"Error: there is no rules file in `{tmp_path / 'empty'}`\n"
    result = lanner("replay", "-o", "rules_files[]=gone.yaml", events_file)
    assert (result.code, result.stdout) == (1, "")
    assert "Error: no rules file of the configuration exists\n" in result.stderr


QUIET = lines(event("quiet", "get")) * 20_000  # more than is evaluated before worker processes start
MIXED = lines(*(event(f"n{number}", "get" if number % 8 else "create", number) for number in range(4000))) * 3


def children(run: subprocess.Popen[bytes]) -> list[int]:
    """The processes that a process started."""
    return [int(child) for child in Path(f"/proc/{run.pid}/task/{run.pid}/children").read_text().split()]


@pytest.fixture
def working(process: Process, rules_file: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A replay that has two worker processes and waits for more input."""
    with process("replay", "-r", rules_file, "--jobs", "2", "-") as run:
        assert run.stdin is not None
        assert run.stdout is not None
        run.stdin.write(QUIET + lines(event("marker")))
        run.stdin.flush()
        assert run.stdout.readline().endswith(b"name=marker)\n")
        assert len(children(run)) == 2
        yield run


def outcome(run: subprocess.Popen[bytes], given: bytes = b"") -> tuple[int, bytes, list[bytes]]:
    """How a run ended: exit code, standard output, and the lines on standard error without the time it took."""
    stdout, stderr = run.communicate(given)
    return run.returncode, stdout, re.sub(rb" in [0-9.]+ s \([0-9,]+ events/s\)", b"", stderr).splitlines()


def test_the_output_is_the_same_for_any_number_of_processes(process: Process, rules_file: Path, tmp_path: Path) -> None:
    """Alerts, counts, places and exit code, over files of all kinds, some of which cannot be read to their ends."""
    large = (MIXED + b"{broken\n\n\n[7]\n" + MIXED)[:-1]
    listed = json.dumps({"kind": "EventList", "items": [event(f"i{number}") for number in range(9000)]}, indent=1)
    contents = {
        "a": large,
        "cut.gz": gzip.compress(MIXED, 1)[:-20_000],
        "document": listed.encode(),
        "short": lines(event("short"), "{odd"),
        "z.zst": zstandard.compress(large),
    }
    files = [tmp_path / name for name in (*contents, "gone")]
    for path, content in zip(files, contents.values(), strict=False):
        path.write_bytes(content)
    options = ["-o", "rule_matching=first", "--json", "-r", rules_file, "-r", tmp_path / "gone.yaml"]
    one, *others = (outcome(process("replay", *options, "--jobs", jobs, *files)) for jobs in (1, 2, 5))
    code, alerts, told = one
    assert code == 1
    assert len(alerts.splitlines()) > 4 * 1500 + 9000
    assert f"           {files[0]}:12001: not JSON".encode() in b"\n".join(told)
    assert f"           {files[0]}:12004: item 1: not an event".encode() in b"\n".join(told)
    for other in others:
        assert other == one


BREAKING = """
import os, sys
from lanner.cli.main import main

broken = int(sys.argv.pop(1))
pread = os.pread

def refuse(fd, size, start):
    if broken <= start < 12_000_000:  # behind that the file may be read again
        raise OSError(5, "Input/output error")
    return pread(fd, min(size, broken - start) if start < broken else size, start)

os.pread = refuse
main()
"""
RAISING = """
import lanner.replay.workers
from lanner.cli.main import main

def fail(*_):
    raise ZeroDivisionError

lanner.replay.workers.evaluate = fail
main()
"""


def changed(change: str, *arguments: object) -> subprocess.Popen[bytes]:
    """Starts a script that changes something and then runs `lanner ARGUMENTS...`."""
    pipe = subprocess.PIPE
    return subprocess.Popen([sys.executable, "-c", change, *map(str, arguments)], stdin=pipe, stdout=pipe, stderr=pipe)


@pytest.mark.parametrize("broken", [100_000, 6_000_001, 9_999_999])
def test_a_file_that_breaks_is_the_same_for_any_number_of_processes(
    rules_file: Path, tmp_path: Path, broken: int
) -> None:
    """One error; what lies before the place counts, what lies behind it does not, and the next file does."""
    files = tmp_path / "broken", tmp_path / "short"
    files[0].write_bytes(MIXED * 5)
    files[1].write_bytes(lines(event("short"), "{odd"))
    for jobs in (1, 2, 5):
        run = changed(BREAKING, broken, "replay", "-r", rules_file, "--jobs", jobs, *files)
        code, stdout, told = outcome(run)
        assert code == 1
        assert [line for line in told if b"Error" in line] == [
            f"Error: cannot read `{files[0]}`: Input/output error".encode()
        ]
        assert any(line.strip().startswith(f"{files[1]}:2: ".encode()) for line in told)
        assert stdout.count(b"\n") == (MIXED * 5)[:broken].count(b'"verb": "create"') + 1


def test_what_is_raised_in_a_worker_is_told(rules_file: Path, tmp_path: Path) -> None:
    """It is not mistaken for the end of the process, and tells where it came from."""
    (tmp_path / "events").write_bytes(MIXED * 2)
    code, _, told = outcome(changed(RAISING, "replay", "-r", rules_file, "--jobs", "2", tmp_path / "events"))
    assert code == 1
    assert any(line.endswith(b"in fail") for line in told)
    assert not any(b"ended from outside" in line for line in told)


def test_short_inputs_need_no_process(process: Process, rules_file: Path) -> None:
    """As long as little came, it is evaluated where it is read."""
    with process("replay", "-r", rules_file, "--jobs", "2", "-") as run:
        assert run.stdin is not None
        assert run.stdout is not None
        run.stdin.write(lines(event("marker")))
        run.stdin.flush()
        run.stdout.readline()
        assert children(run) == []


def test_events_are_counted_over_the_whole_input(process: Process, rules_file: Path, tmp_path: Path) -> None:
    """Fields that count events are exact, whatever --jobs says."""
    rules_file.write_text(rules_file.read_text().replace("name=%ka.target.name", "%evt.num"))
    events = tmp_path / "events"
    events.write_bytes(lines(event()) * 20_000)
    _, stdout, _ = outcome(process("replay", "-r", rules_file, "--jobs", "2", events))
    numbers = [int(line.rpartition(b" ")[2].rstrip(b")")) for line in stdout.splitlines()]
    assert numbers == list(range(1, 20_001))


def test_a_worker_that_is_killed_ends_the_run(working: subprocess.Popen[bytes]) -> None:
    """With a message, exit code 1, and a summary of what was evaluated."""
    os.kill(children(working)[0], signal.SIGKILL)
    code, stdout, stderr = outcome(working, QUIET)
    assert (code, stdout) == (1, b"")
    assert stderr[0] == b"20,001 events, 1 alert, 0 malformed"
    assert stderr[-1].startswith(b"Error: a worker process was ended from outside")
    assert not any(b"Traceback" in line for line in stderr)


def test_an_interrupt_ends_all_processes(working: subprocess.Popen[bytes]) -> None:
    """A terminal interrupts all of them at once; the summary comes as from one."""
    for pid in itertools.chain(children(working), [working.pid]):
        os.kill(pid, signal.SIGINT)
    code, stdout, stderr = outcome(working)
    assert (code, stdout, stderr[0]) == (130, b"", b"20,001 events, 1 alert, 0 malformed")
    assert not any(b"Traceback" in line for line in stderr)


def test_workers_end_with_the_process_that_started_them(working: subprocess.Popen[bytes]) -> None:
    """Also if it is killed. Standard output ends when the last process that holds it does."""
    working.kill()
    assert working.stdout is not None
    assert working.stdout.read() == b""


def test_a_reader_that_goes_away_ends_all_processes(process: Process, rules_file: Path, tmp_path: Path) -> None:
    """`lanner replay | head` says nothing."""
    events = tmp_path / "events"
    events.write_bytes(QUIET + MIXED * 2)
    with process("replay", "-r", rules_file, "--jobs", "2", events) as run:
        assert run.stdout is not None
        assert run.stderr is not None
        run.stdout.readline()
        run.stdout.close()
        assert run.stderr.read() == b""
    assert run.returncode == 141
