"""What is measured, and on what.

Inputs are the recorded events and Falco's ruleset of ../shared where they are there, else generated events and the
ruleset that ships with Lanner. A scenario is a function that does a piece of work and says how many events it was.
"""

from __future__ import annotations

import io
import json
import random
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from time import process_time
from typing import Any

import msgspec
import zstandard
from msgspec import Raw, Struct

from lanner.decode import decode
from lanner.diagnostics.source import SourceFile
from lanner.engine.engine import Engine
from lanner.engine.loader import LoadResult, load_sources
from lanner.event import AuditEvent

ROOT = Path(__file__).parents[1]
DATA = ROOT.parent / "shared" / "data"
FALCO = DATA / "falco" / "k8s_audit_rules.yaml"
SHIPPED = ROOT / "src" / "lanner" / "content" / "k8s_audit.yaml"

BATCH = 400
"""Events in a body of the API server's webhook."""


@dataclass(frozen=True)
class Events:
    """A named list of events, a line of JSON each."""

    name: str
    lines: list[bytes]

    def bodies(self) -> list[bytes]:
        """The same events as the API server posts them: lists of at most BATCH."""
        return [
            b'{"kind":"EventList","apiVersion":"audit.k8s.io/v1","items":['
            + b",".join(line.strip() for line in self.lines[start : start + BATCH])
            + b"]}"
            for start in range(0, len(self.lines), BATCH)
        ]


@dataclass(frozen=True)
class Rules:
    """A named rules text."""

    name: str
    text: str

    def load(self) -> LoadResult:
        return load_sources([SourceFile(self.name, self.text)])

    def copies(self, count: int) -> Rules:
        """The same definitions, and every rule `count` times under different names."""
        items = re.split(r"(?m)^(?=- )", self.text)
        rules = [item for item in items if item.startswith("- rule:")]
        renamed = [_renamed(rule, f"copy {copy}") for copy in range(1, count) for rule in rules]
        return Rules(f"{self.name} x{count}", self.text.rstrip("\n") + "\n" + "".join(renamed))


def _renamed(rule: str, suffix: str) -> str:
    first, _, rest = rule.partition("\n")
    name = first.removeprefix("- rule:").strip()
    return f"- rule: {json.dumps(f'{name} {suffix}')}\n{rest}"


def recorded(name: str, limit: int | None = None) -> Events | None:
    """Events of ../shared/data, or None if they are not there."""
    path = DATA / f"{name}.jsonl.zst"
    if not path.exists():
        return None
    with path.open("rb") as file, zstandard.ZstdDecompressor().stream_reader(file) as reader:
        return Events(name, list(islice(io.BufferedReader(reader), limit)))


def generated(count: int, seed: int = 7) -> Events:
    """Made-up events, the same ones every time: mostly reads by controllers, some changes with bodies."""
    draw = random.Random(seed)
    users = [f"system:serviceaccount:kube-system:controller-{number}" for number in range(20)] + ["eve", "bob"]
    kinds = ["pods", "configmaps", "secrets", "leases", "nodes", "deployments", "endpoints", "serviceaccounts"]
    return Events(
        "generated", [_event(draw, number, draw.choice(users), draw.choice(kinds)) for number in range(count)]
    )


def _event(draw: random.Random, number: int, user: str, resource: str) -> bytes:
    verb = draw.choice(("get", "list", "watch", "update", "patch", "create", "delete"))
    body = {
        "kind": "Object",
        "metadata": {"name": f"object-{draw.randrange(500)}", "labels": {f"key-{k}": "value" for k in range(8)}},
        "spec": {"containers": [{"name": "c", "image": f"registry:5000/team/app-{draw.randrange(30)}:1"}]},
        "data": {"text": "x" * draw.randrange(2000)},
    }
    event: dict[str, Any] = {
        "kind": "Event",
        "apiVersion": "audit.k8s.io/v1",
        "level": "RequestResponse",
        "auditID": f"{draw.getrandbits(128):032x}",
        "stage": draw.choice(("RequestReceived", "ResponseComplete", "ResponseComplete")),
        "requestURI": f"/api/v1/namespaces/ns-{draw.randrange(30)}/{resource}/object-{draw.randrange(500)}",
        "verb": verb,
        "user": {"username": user, "groups": ["system:authenticated", "team"]},
        "sourceIPs": ["10.0.0.1"],
        "userAgent": "client/v1.0",
        "objectRef": {"resource": resource, "namespace": f"ns-{draw.randrange(30)}", "name": f"object-{number % 500}"},
        "requestReceivedTimestamp": "2024-01-01T00:00:00.000000Z",
        "stageTimestamp": "2024-01-01T00:00:00.100000Z",
    }
    if event["stage"] == "ResponseComplete":
        event["responseStatus"] = {"metadata": {}, "code": draw.choice((200, 200, 201, 403, 404))}
        event["annotations"] = {"authorization.k8s.io/decision": "allow", "authorization.k8s.io/reason": ""}
        if verb in ("update", "patch", "create"):
            event["requestObject"] = event["responseObject"] = body
    return msgspec.json.encode(event) + b"\n"


# --- the floor -------------------------------------------------------------------------------------------------------


class FloorUser(Struct):
    username: str = ""
    groups: list[str] = []


class FloorRef(Struct):
    resource: str = ""
    namespace: str = ""
    name: str = ""
    subresource: str = ""


class FloorStatus(Struct):
    code: int = 0
    reason: str = ""


class FloorEvent(Struct, rename="camel"):
    """What one has to read of an event to match rules at all, decoded by msgspec without any care for odd events."""

    audit_id: str = msgspec.field(default="", name="auditID")
    stage: str = ""
    verb: str = ""
    request_uri: str = msgspec.field(default="", name="requestURI")
    user: FloorUser | None = None
    object_ref: FloorRef | None = None
    response_status: FloorStatus | None = None
    source_ips: list[str] = msgspec.field(default_factory=list, name="sourceIPs")
    user_agent: str = ""
    annotations: dict[str, str] = msgspec.field(default_factory=dict)
    stage_timestamp: str = ""
    request_object: Raw = Raw()
    response_object: Raw = Raw()


_floor = msgspec.json.Decoder(FloorEvent).decode

# --- scenarios -------------------------------------------------------------------------------------------------------

Seconds = float
Scenario = Callable[[], Seconds]
"""Does the work once and says how much CPU time it took, preparations left out."""


def floor(events: Events) -> Scenario:
    """Plain typed decoding, an event at a time."""

    def run() -> Seconds:
        start = process_time()
        for line in events.lines:
            _floor(line)
        return process_time() - start

    return run


def decode_lines(events: Events) -> Scenario:
    """Decoding lines into audit events."""

    def run() -> Seconds:
        start = process_time()
        for line in events.lines:
            decode(line)
        return process_time() - start

    return run


def decode_bodies(events: Events) -> Scenario:
    """Decoding the bodies that the API server posts."""
    bodies = events.bodies()

    def run() -> Seconds:
        start = process_time()
        for body in bodies:
            decode(body)
        return process_time() - start

    return run


def warmed(loaded: LoadResult, events: Events) -> LoadResult:
    """The same after it has seen the events once, so that every kind of request is known. See `cold_start`."""
    for line in events.lines:
        for event in decode(line).events:
            event.number = 1
            loaded.ruleset.match(event)
    return loaded


def match(events: Events, loaded: LoadResult) -> Scenario:
    """Matching alone, on events that were just decoded: nothing of their bodies has been read."""

    def run() -> Seconds:
        rules = loaded.ruleset.match
        total = 0.0
        for chunk in _chunks(events.lines, 2000):
            decoded = list(_numbered(chunk))
            start = process_time()
            for event in decoded:
                rules(event)
            total += process_time() - start
        return total

    return run


def decode_and_match(events: Events, loaded: LoadResult) -> Scenario:
    """Decoding and matching, an event at a time."""

    def run() -> Seconds:
        rules = loaded.ruleset.match
        start = process_time()
        for line in events.lines:
            for event in decode(line).events:
                event.number = 1
                rules(event)
        return process_time() - start

    return run


def alerts(events: Events, loaded: LoadResult) -> Scenario:
    """Everything: decoding, matching, and the JSON of every alert."""

    def run() -> Seconds:
        engine = Engine(loaded.ruleset)
        start = process_time()
        for line in events.lines:
            for alert in engine.process(line):
                alert.to_json()
        return process_time() - start

    return run


def cold_start(events: Events, rules: Rules) -> Scenario:
    """The first 1,000 events on a ruleset that has not seen any."""
    first = events.lines[:1000]

    def run() -> Seconds:
        ruleset = rules.load().ruleset
        start = process_time()
        for line in first:
            for event in decode(line).events:
                event.number = 1
                ruleset.match(event)
        return process_time() - start

    return run


def load(rules: Rules) -> Scenario:
    """Loading a rules text."""

    def run() -> Seconds:
        start = process_time()
        rules.load()
        return process_time() - start

    return run


def _chunks(lines: list[bytes], size: int) -> Iterator[list[bytes]]:
    for start in range(0, len(lines), size):
        yield lines[start : start + size]


def _numbered(lines: list[bytes]) -> Iterator[AuditEvent]:
    for line in lines:
        for event in decode(line).events:
            event.number = 1
            yield event
