"""What is measured, and on what.

Inputs are the recorded events and Falco's ruleset of ../shared where they are there, else generated events and the
ruleset that ships with Lanner. Lines have no line ends. A scenario is a function that does a piece of work and says how
long it took.
"""

from __future__ import annotations

import io
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from random import Random
from time import perf_counter, process_time
from typing import Any

import msgspec
import zstandard
from msgspec import Raw, Struct

from bench.rulesets import Rules
from lanner.alert import Alert
from lanner.decode import decode, decode_parts, usual_decoder, usual_list
from lanner.engine.engine import Engine
from lanner.engine.ruleset import Ruleset

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
            + b",".join(self.lines[start : start + BATCH])
            + b"]}"
            for start in range(0, len(self.lines), BATCH)
        ]


def recorded(name: str, limit: int | None = None) -> Events | None:
    """Events of ../shared/data, or None if they are not there."""
    path = DATA / f"{name}.jsonl.zst"
    if not path.exists():
        return None
    with path.open("rb") as file, zstandard.ZstdDecompressor().stream_reader(file) as reader:
        return Events(name, [line.rstrip(b"\n") for line in islice(io.BufferedReader(reader), limit)])


def generated(count: int, seed: int = 7) -> Events:
    """Made-up events, the same ones every time: mostly reads by controllers, some changes with bodies."""
    draw = Random(seed)
    users = [f"system:serviceaccount:kube-system:controller-{number}" for number in range(20)] + ["eve", "bob"]
    kinds = ["pods", "configmaps", "secrets", "leases", "nodes", "deployments", "endpoints", "serviceaccounts"]
    return Events(
        "generated", [_event(draw, number, draw.choice(users), draw.choice(kinds)) for number in range(count)]
    )


def _body(draw: Random) -> dict[str, Any]:
    return {
        "kind": "Object",
        "metadata": {"name": f"object-{draw.randrange(500)}", "labels": {f"key-{k}": "value" for k in range(8)}},
        "spec": {"containers": [{"name": "c", "image": f"registry:5000/team/app-{draw.randrange(30)}:1"}]},
        "data": {"text": "x" * draw.randrange(2000)},
    }


def _event(draw: Random, number: int, user: str, resource: str) -> bytes:
    verb = draw.choice(("get", "list", "watch", "update", "patch", "create", "delete"))
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
            event["requestObject"] = event["responseObject"] = _body(draw)
    return msgspec.json.encode(event)


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


def each_line(lines: Sequence[bytes], work: Callable[[bytes], object]) -> Scenario:
    """A piece of work for each line."""

    def run() -> Seconds:
        start = process_time()
        for line in lines:
            work(line)
        return process_time() - start

    return run


def floor(events: Events) -> Scenario:
    """Plain typed decoding, an event at a time."""
    return each_line(events.lines, _floor)


def decode_lines(events: Events) -> Scenario:
    """Decoding lines into audit events with all attributes."""
    return each_line(events.lines, decode)


def decode_asked(events: Events, ruleset: Ruleset) -> Scenario:
    """Decoding lines into what the rules ask for; what the fast decoder leaves is read with care."""
    decoder = Engine(ruleset).decode_usual

    def run() -> Seconds:
        start = process_time()
        for line in events.lines:
            decoder(line) or decode(line)
        return process_time() - start

    return run


def match(events: Events, ruleset: Ruleset) -> Scenario:
    """Matching alone, on events that were just decoded: nothing of their bodies has been read."""
    decoder = Engine(ruleset).decode_usual

    def run() -> Seconds:
        rules = ruleset.match
        total = 0.0
        for start in range(0, len(events.lines), 2000):
            decoded = [decoder(line) or decode(line).events[0] for line in events.lines[start : start + 2000]]
            began = process_time()
            for event in decoded:
                rules(event)
            total += process_time() - began
        return total

    return run


def decode_and_match(events: Events, ruleset: Ruleset, lines: Sequence[bytes] | None = None) -> Scenario:
    """Decoding what the rules ask for and matching, an event at a time, after all kinds of request were seen once."""
    decoder = Engine(ruleset).decode_usual
    rules = ruleset.match
    chosen = events.lines if lines is None else lines
    warm(events, ruleset)

    def run() -> Seconds:
        start = process_time()
        for line in chosen:
            rules(decoder(line) or decode(line).events[0])
        return process_time() - start

    return run


def warm(events: Events, ruleset: Ruleset) -> None:
    """Show a ruleset all events, so that every kind of request is known. See `cold_start`."""
    process = Engine(ruleset).process
    for line in events.lines:
        process(line)


def bodies_and_match(events: Events, ruleset: Ruleset) -> Scenario:
    """The same for bodies of many events, as the service reads them."""
    bodies = events.bodies()
    decoder = usual_decoder(ruleset.asks)
    evaluate = Engine(ruleset).evaluate

    def run() -> Seconds:
        start = process_time()
        for body in bodies:
            listed = usual_list(body, decoder)
            for part in chain(listed, listed.rest()) if listed is not None else decode_parts(body):
                for event in part.events:
                    evaluate(event)
        return process_time() - start

    return run


def process(events: Events, ruleset: Ruleset) -> Scenario:
    """The one call that a program makes: JSON text in, alerts out."""
    return each_line(events.lines, Engine(ruleset).process)


def alerts(events: Events, ruleset: Ruleset, *renderings: Callable[[Alert], object]) -> Scenario:
    """Everything: `process`, and what outputs ask of every alert."""
    engine = Engine(ruleset)

    def run() -> Seconds:
        start = process_time()
        for line in events.lines:
            for alert in engine.process(line):
                for rendering in renderings:
                    rendering(alert)
        return process_time() - start

    return run


def cold_start(events: Events, rules: Rules, count: int) -> Scenario:
    """The first events on a ruleset that has not seen any. Loading is not counted."""
    first = events.lines[:count]

    def run() -> Seconds:
        return each_line(first, Engine(rules.load().ruleset).process)()

    return run


def load(rules: Rules) -> Scenario:
    """From a rules text to a ruleset that is ready."""

    def run() -> Seconds:
        start = process_time()
        rules.load()
        return process_time() - start

    return run


def command(arguments: Sequence[str]) -> Scenario:
    """The wall-clock time of Python in a fresh process."""
    line = [sys.executable, *arguments]

    def run() -> Seconds:
        start = perf_counter()
        subprocess.run(line, stdout=subprocess.DEVNULL, check=True)
        return perf_counter() - start

    return run


# --- large and odd events --------------------------------------------------------------------------------------------


def large_list(size: int) -> bytes:
    """A `list` of pods whose response takes about that many bytes."""
    draw = Random(1)
    items: list[bytes] = []
    while size > 0:
        items.append(msgspec.json.encode(_body(draw)))
        size -= len(items[-1])
    response = b'{"kind":"PodList","apiVersion":"v1","metadata":{},"items":[%b]}' % b",".join(items)
    event = msgspec.json.decode(_event(draw, 0, "eve", "pods"))
    event |= {"verb": "list", "stage": "ResponseComplete", "responseStatus": {"code": 200}}
    event.pop("requestObject", None)
    return msgspec.json.encode({**event, "responseObject": Raw(response)})


def config_map(text: str) -> bytes:
    """The creation of a config map with one value."""
    event = msgspec.json.decode(_event(Random(1), 0, "eve", "configmaps"))
    event |= {"verb": "create", "stage": "ResponseComplete", "responseStatus": {"code": 201}}
    return msgspec.json.encode({**event, "requestObject": {"kind": "ConfigMap", "data": {"text": text}}})


def scan(text: bytes, times: int) -> Scenario:
    """msgspec skips over a text, which checks that it is JSON."""
    decoder = msgspec.json.Decoder(Raw).decode
    return each_line([text] * times, decoder)


ODDITIES: dict[str, Callable[[bytes], bytes]] = {
    "a lone surrogate": lambda line: _with(line, b'"requestURI":"', b'"requestURI":"\\ud800'),
    "invalid UTF-8": lambda line: _with(line, b'"requestURI":"', b'"requestURI":"\xff'),
    "a number as verb": lambda line: _with(line, b'"verb":"', b'"verb":1,"other":"'),
    "null as user": lambda line: _with(line, b'"user":{', b'"user":null,"other":{'),
    "1,000 arrays in arrays": lambda line: _with(line, b"{", b'{"other":' + b"[" * 1000 + b"]" * 1000 + b","),
}
"""What makes an event odd: types, escapes and depths that the API server never writes. All but the last stand where
rules ask."""


def _with(line: bytes, found: bytes, replacement: bytes) -> bytes:
    return line.replace(found, replacement, 1)
