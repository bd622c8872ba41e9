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
from lanner.cli.looking import SECOND, ago, size, span
from lanner.cli.options import config_options
from lanner.cli.table import terminal_width, wrapped
from lanner.config import Config
from lanner.config.access import Access
from lanner.escaping import printable, printable_json
from lanner.service.records import INTERNAL
from lanner.sources.secret_files import SecretFileError, read_password, read_tokens
from lanner.store.errors import StoreError
from lanner.store.place import identity, place
from lanner.store.records import Counters, SourceCounters
from lanner.store.store import make_store

TOP_RULES = 15
ASKING = 2.0


@click.command(name="status", epilog="Example: lanner status --watch")
@click.option("--watch", is_flag=True, help="Show it again every two seconds, until Ctrl-C.")
@click.option("--json", "as_json", is_flag=True, help="As one JSON document.")
@config_options
def command(watch: bool, as_json: bool, config_path: Path | None, overrides: tuple[str, ...]) -> int:
    """Show what came in, from where, what became of it, and how the service is.

    The counts are of all time and from the store: received = evaluated + duplicate + malformed, always. Whether the
    service runs, its own server tells, also while the store does not work; the exit code is 1 then.
    """
    config = read_config(config_path, overrides)
    try:
        store = make_store(config.service.store, writable=False)
    except StoreError as error:
        raise click.ClickException(str(error)) from None
    try:
        while True:
            running = service(config)
            try:
                counters, failure = store.counters(), ""
            except StoreError as error:
                counters, failure = None, str(error)
            if as_json:
                text = json.dumps(document(config, running, counters, failure), indent=2)
                click.echo(printable_json(text.encode()))
            else:
                text = printable("\n".join(described(config, running, counters)))
                if watch:
                    click.clear()
                click.echo(text)
            if as_json or not watch:
                if failure:
                    raise click.ClickException(failure)
                return 0
            if failure:
                click.echo(printable(f"Error: {failure}"), err=True)
            time.sleep(2)
    except KeyboardInterrupt:
        return 0
    finally:
        store.close()


def document(config: Config, running: dict[str, Any] | None, counters: Counters | None, failure: str) -> dict[str, Any]:
    """All of it as plain values. `failure`: why there are no counts."""
    store = {"bytes": store_size(config), "place": place(config.service.store), "same_as_of_service": None}
    if running is not None:
        store["same_as_of_service"] = same_store(config, running)
    if failure:
        store["error"] = failure
    return {
        "service": running,
        "store": store,
        "sources": []
        if counters is None
        else [{**asdict(source), "refused_bodies": dict(source.refused_bodies)} for source in visible(counters)],
        "rules": [] if counters is None else [asdict(rule) for rule in counters.rules],
    }


def same_store(config: Config, running: dict[str, Any]) -> bool | None:
    """Whether the service commits into the store that is looked into; None if nobody can tell."""
    ours, theirs = identity(config.service.store), running["store"].get("identity")
    return ours == theirs if ours and theirs else None


def visible(counters: Counters) -> list[SourceCounters]:
    """The counts of sources; what Lanner says itself comes from nowhere."""
    return [source for source in counters.sources if source.source != INTERNAL]


def described(config: Config, running: dict[str, Any] | None, counters: Counters | None) -> Iterator[str]:
    """The status for people, line by line. Without counts, what the service alone can tell."""
    stored = store_size(config)
    states = {source["name"]: source for source in (running or {}).get("sources", ())}
    if running is None:
        yield "service: not running, or its server does not answer"
    else:
        yield f"service: {running['status']}, for {span(running['uptime_seconds'])}"
        if not running["store"]["up"]:
            yield f"         the store does not work: {running['store'].get('error', 'log in to learn why')}"
        match same_store(config, running):
            case True:
                yield "         commits into the store below"
            case False:
                theirs = running["store"].get("place", "unknown")
                yield f"warning: the service commits into another store, or names it otherwise: {theirs}"
        yield from (f"warning: {warning}" for warning in running.get("warnings", ()))
    yield f"store:   {place(config.service.store)}{f', {size(stored)}' if stored is not None else ''}"
    yield ""
    if counters is None:
        for state in states.values():
            yield " ".join(f"source {state['name']}: {state['state']} {state.get('place', '')}".split())
        yield from _failing(states)
        return
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
    yield from _failing(states)


def _failing(states: dict[str, dict[str, Any]]) -> Iterator[str]:
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
        if login := _login(server.access):
            request.add_header("Authorization", login)
        try:
            with urllib.request.urlopen(request, timeout=ASKING, context=context) as answer:
                body = answer.read()
        except urllib.error.HTTPError as error:
            body = error.read()
        document = json.loads(body)
    except (OSError, ValueError):
        return None
    return document if isinstance(document, dict) and {"sources", "store"} <= document.keys() else None


def _login(access: Access) -> str:
    """The Authorization header for the service; empty where none is needed, or no secret can be read: then it tells
    less."""
    try:
        if access.token:
            return f"Bearer {access.token}"
        if access.token_file:
            return f"Bearer {read_tokens(Path(access.token_file))[0]}"
        if access.username:
            password = read_password(Path(access.password_file))[0] if access.password_file else access.password
            return f"Basic {b64encode(f'{access.username}:{password}'.encode()).decode()}"
    except SecretFileError as error:
        click.echo(f"cannot log in to the service: {error}", err=True)
    return ""
