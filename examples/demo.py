"""Starts the service on free ports with a store of its own, posts a recorded attack to its webhook as an API server
would, and shows what it found: `make demo`."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

HERE = Path(__file__).resolve().parent
ATTACK = HERE / "attack.jsonl"
RULES = (HERE.parent / "src" / "lanner" / "content" / "k8s_audit.yaml", HERE / "our_cluster.yaml")
BODY = 50
LANNER = [sys.executable, "-m", "lanner"]


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="lanner-demo-") as folder:
        options = ["-o", f"lanner.data_dir={folder}", "-o", "webserver.listen_port=0"]
        say("Starting the service, with the rules that ship and what a team adds to them: lanner run -r ... -r ...")
        rules = [word for path in RULES for word in ("-r", str(path))]
        service = subprocess.Popen(
            [*LANNER, "run", *rules, *options, "-o", "lanner.webhooks[].port=0", "-o", "lanner.log_format=json"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )
        try:
            webhook, server = places(service)
            say(f"It takes events on {webhook} and tells about itself on {server}")
            post_attack(webhook)
            options[-1] = f"webserver.listen_port={server.rpartition(':')[2]}"
            show("What it found, warnings and worse, the newest last", "alerts", "--priority", "warning", *options)
            show("One alert in full, with the event that raised it", "alerts", interesting(options), *options)
            show("Every event is accounted for", "status", *options)
        finally:
            service.terminate()
            service.communicate()
        say("Stopped. With your own cluster: docs/service.md")


def places(service: subprocess.Popen[bytes]) -> tuple[str, str]:
    """Where the service listens, from its log: (webhook, server)."""
    assert service.stderr is not None
    found: dict[str, str] = {}
    for line in service.stderr:
        entry = json.loads(line)
        if entry["event"] == "source started":
            found[entry["source"]] = entry["place"]
        if len(found) == 2:
            return found["webhook"], found["server"]
    raise SystemExit("the service did not start")


def post_attack(webhook: str) -> None:
    started = time.perf_counter()
    events = ATTACK.read_text(encoding="utf-8").splitlines()
    for body in bodies(events):
        request = urllib.request.Request(webhook, body, {"Content-Type": "application/json"})
        with urllib.request.urlopen(request) as answer:
            assert answer.status == 200
    seconds = time.perf_counter() - started
    say(f"Posted {len(events)} events of an hour in which somebody breaks in; acknowledged after {seconds:.1f} s,")
    print("which means: evaluated, and every alert is on disk. Who does what is told in examples/README.md.")


def bodies(events: list[str]) -> Iterator[bytes]:
    """Event lists as an API server posts them."""
    for start in range(0, len(events), BODY):
        items = ",".join(events[start : start + BODY])
        yield f'{{"kind":"EventList","apiVersion":"audit.k8s.io/v1","items":[{items}]}}'.encode()


def interesting(options: list[str]) -> str:
    """The id of the alert on the privileged pod."""
    command = [*LANNER, "alerts", "--json", "--rule", "Create Privileged Pod", *options]
    found = subprocess.run(command, check=True, capture_output=True).stdout
    identifier = json.loads(found.splitlines()[0])["id"]
    assert isinstance(identifier, str)
    return identifier[:8]


def show(what: str, *arguments: str) -> None:
    shown = " ".join(arguments[: arguments.index("-o")])
    say(f"{what}: lanner {shown}")
    subprocess.run([*LANNER, *arguments], check=True)


def say(text: str) -> None:
    print(f"\n\033[1m{text}\033[0m" if sys.stdout.isatty() else f"\n{text}", flush=True)


if __name__ == "__main__":
    main()
