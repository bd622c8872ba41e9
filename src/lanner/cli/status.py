"""`lanner status`: what came in, what became of it, and how the service is."""

from __future__ import annotations

import json
import ssl
import time
import urllib.error
import urllib.request
from base64 import b64encode
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from lanner.cli.loading import read_config
from lanner.cli.looking import SECOND, ago, size, span, store_of
from lanner.cli.options import config_options
from lanner.cli.table import printable, terminal_width, wrapped
from lanner.config import Config
from lanner.service.records import INTERNAL
from lanner.service.wiring import logins, tokens
from lanner.store.records import Counters, SourceCounters
from lanner.store.store import Store

TOP_RULES = 15
ASKING = 2.0


@click.command(name="status", epilog="Example: lanner status --watch")
@click.option("--watch", is_flag=True, help="Show it again every two seconds, until Ctrl-C.")
@click.option("--json", "as_json", is_flag=True, help="As one JSON document.")
@config_options
def command(watch: bool, as_json: bool, config_path: Path | None, overrides: tuple[str, ...]) -> int:
    """Show what came in, from where, what became of it, and how the service is.

    The counts are of all time and from the store: received = evaluated + duplicate + malformed, always. Whether the
    service runs, its own server tells.
    """
    config = read_config(config_path, overrides)
    with store_of(config) as store:
        if as_json:
            click.echo(json.dumps(document(store.counters(), service(config), store_size(config)), indent=2))
            return 0
        try:
            while True:
                lines = list(described(config, store))
                if watch:
                    click.clear()
                click.echo(printable("\n".join(lines)))
                if not watch:
                    return 0
                time.sleep(2)
        except KeyboardInterrupt:
            return 0


def document(counters: Counters, running: dict[str, Any] | None, stored: int | None) -> dict[str, Any]:
    """All of it as plain values."""
    return {
        "service": running,
        "store": {"bytes": stored},
        "sources": [{**asdict(source), "refused_bodies": dict(source.refused_bodies)} for source in visible(counters)],
        "rules": [asdict(rule) for rule in counters.rules],
    }


def visible(counters: Counters) -> list[SourceCounters]:
    """The counts of sources; what Lanner says itself comes from nowhere."""
    return [source for source in counters.sources if source.source != INTERNAL]


def described(config: Config, store: Store) -> Iterator[str]:
    """The status for people, line by line."""
    counters = store.counters()
    running = service(config)
    stored = store_size(config)
    states = {source["name"]: source for source in (running or {}).get("sources", ())}
    if running is None:
        yield "service: not running, or its server does not answer"
    else:
        yield f"service: {running['status']}, for {span(running['uptime_seconds'])}"
        if error := running["store"].get("error"):
            yield f"         the store does not work: {error}"
    yield f"store:   {store.name.removeprefix('the store ')}{f', {size(stored)}' if stored is not None else ''}"
    yield ""
    yield from _sources(visible(counters), states)
    totals = Counter[str]()
    errors = Counter[str]()
    for rule in counters.rules:
        totals[rule.rule] += rule.matches
        errors[rule.rule] += rule.errors
    if totals:
        yield ""
        rows = [
            (name, f"{count:,}", f"{errors[name]:,}" if errors[name] else "")
            for name, count in totals.most_common(TOP_RULES)
        ]
        yield from wrapped(("RULE", "MATCHES", "ERRORS"), rows, terminal_width(), keys=1)
        if len(totals) > TOP_RULES:
            yield f"and {len(totals) - TOP_RULES} more; `lanner status --json` has them all"


def _sources(counters: list[SourceCounters], states: dict[str, dict[str, Any]]) -> Iterator[str]:
    now = time.time_ns()
    headers: tuple[str, ...] = (
        "SOURCE",
        "CLUSTER",
        "STATE",
        "HEARD",
        "RECEIVED",
        "EVALUATED",
        "DUPLICATE",
        "MALFORMED",
        "MATCHED",
        "OVERSIZE",
        "TRUNCATED",
        "REFUSED",
        "LAG",
        "MAX LAG",
        "BYTES",
    )
    rows = [
        (
            source.source,
            source.cluster,
            states.get(source.source, {}).get("state", ""),
            ago(source.last_received_ns, now),
            *(
                f"{count:,}"
                for count in (
                    source.received,
                    source.evaluated,
                    source.duplicate,
                    source.malformed,
                    source.matched,
                    source.oversize,
                    source.truncated,
                    sum(source.refused_bodies.values()),
                )
            ),
            span(source.lag_ns / SECOND) if source.last_event_ns else "",
            span(source.max_lag_ns / SECOND) if source.last_event_ns else "",
            size(source.bytes),
        )
        for source in counters
    ]
    heard = {source.source for source in counters}
    rows += [
        (name, "", state["state"], "never", *["0"] * 8, "", "", "")
        for name, state in states.items()
        if name not in heard
    ]
    if rows:
        yield from wrapped(headers, rows, terminal_width(), keys=2)
    else:
        yield "nothing has come in yet"
    for source in counters:
        if source.refused_bodies:
            reasons = ", ".join(f"{count:,} {reason}" for reason, count in sorted(source.refused_bodies.items()))
            yield f"refused by {source.source} {source.cluster}".rstrip() + f": {reasons}"
    for name, state in states.items():
        if error := state.get("error"):
            yield f"{name} fails: {error}"


def store_size(config: Config) -> int | None:
    """Bytes on disk of a store that is a file; None for one that is not."""
    scheme, _, path = config.service.store.partition("://")
    if not scheme.startswith("sqlite"):
        return None
    path = path.removeprefix("/")
    files = [file for file in (Path(path), Path(f"{path}-wal")) if file.is_file()]
    return sum(file.stat().st_size for file in files) if files else None


def service(config: Config) -> dict[str, Any] | None:
    """What /readyz says; None if nobody answers. The certificate is not checked: it is asked at its own address."""
    server = config.service.server
    if not server.enabled:
        return None
    host = "127.0.0.1" if server.address in ("", "0.0.0.0", "::") else server.address
    host = f"[{host}]" if ":" in host else host
    scheme = "https" if server.certificate else "http"
    request = urllib.request.Request(f"{scheme}://{host}:{server.port}/readyz")
    context = None
    if server.certificate:
        context = ssl.create_default_context()
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    try:
        if found := tokens(server.access):
            request.add_header("Authorization", f"Bearer {found[0]}")
        elif pairs := logins(server.access):
            request.add_header("Authorization", f"Basic {b64encode(':'.join(pairs[0]).encode()).decode()}")
        try:
            with urllib.request.urlopen(request, timeout=ASKING, context=context) as answer:
                body = answer.read()
        except urllib.error.HTTPError as error:
            body = error.read()
        document = json.loads(body)
    except (OSError, ValueError):
        return None
    return document if isinstance(document, dict) and "sources" in document else None
