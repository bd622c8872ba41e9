"""The routes: health, readiness, versions, metrics.

/healthz says that the process answers; /readyz that it is of use to senders: the store takes commits, and there is
something that takes events. A source that fails beside others that do not is told there, but must not take those from
their senders, so it does not make the service unready.
With authentication, health and readiness stay open, since what asks for them cannot log in; without a login readiness
tells no details.
"""

from __future__ import annotations

import json
import time
from collections.abc import Awaitable, Callable
from typing import Any, TypeAlias

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from lanner.server.facts import Facts
from lanner.server.metrics import CONTENT_TYPE, Metrics
from lanner.sources.auth import Gate
from lanner.sources.webhook_settings import PathSettings
from lanner.version import ENGINE_VERSION, PLUGIN_VERSIONS, __version__

Endpoint: TypeAlias = Callable[[Request], Awaitable[Response]]

# Falco has no other place for what stands here: versions of parts that Lanner does not have.
_NONE = "0.0.0"


def versions() -> dict[str, Any]:
    """Versions in the shape of Falco's /versions (`versions_info.cpp`)."""
    return {
        "default_driver_version": _NONE,
        "driver_api_version": _NONE,
        "driver_schema_version": _NONE,
        "engine_version": str(ENGINE_VERSION[1]),
        "engine_version_semver": ".".join(map(str, ENGINE_VERSION)),
        "falco_version": __version__,
        "libs_version": _NONE,
        "plugin_api_version": _NONE,
        "plugin_versions": {name: ".".join(map(str, version)) for name, version in PLUGIN_VERSIONS.items()},
    }


def readiness(facts: Facts, details: bool) -> tuple[bool, dict[str, Any]]:
    """(ready, the document that says why). `details`: what the errors are, which store it is, where sources listen.

    Senders need a webhook that listens, any of them; without webhooks any source does. `status` is `ok`, `not ready`,
    or `degraded`: ready, with a source that does not run or is overloaded. `problems` names what does not work;
    `warnings` what works and should not stay so. Overload does not make the service unready: the other clusters would
    lose their receiver, and no other replica would gain room.
    """
    failure = facts.store_failure()
    webhooks = [source for source in facts.sources if source.kind == "webhook"]
    ready = not failure and any(source.sound for source in webhooks or facts.sources)
    problems = ["the store does not work"] if failure else []
    problems += [f"the source `{source.name}` does not run" for source in facts.sources if not source.sound]
    for (source_name, cluster), count in facts.overloaded().items():
        where = f"cluster `{cluster}` (source `{source_name}`)" if cluster and details else f"source `{source_name}`"
        problems.append(f"{where} is overloaded: {count:,} requests refused with 503 within a minute")
    store: dict[str, Any] = {"up": not failure}
    if details:
        store |= {"place": facts.store, "identity": facts.store_identity()}
        if failure:
            store["error"] = failure
    sources = []
    for source in facts.sources:
        document: dict[str, Any] = {"name": source.name, "kind": source.kind, "state": source.state.value}
        if details:
            document |= {"place": source.place, "restarts": source.restarts}
            if source.error:
                document["error"] = source.error
        sources.append(document)
    return ready, {
        "status": ("degraded" if problems else "ok") if ready else "not ready",
        "problems": problems,
        "warnings": [f"the source `{source.name}` {source.warning}" for source in facts.sources if source.warning],
        "uptime_seconds": (time.time_ns() - facts.started_ns) // 1_000_000_000,
        "store": store,
        "sources": sources,
    }


def status_app(
    facts: Facts,
    metrics: Metrics,
    healthz: str,
    with_metrics: bool,
    access: PathSettings,
    on_secret_problem: Callable[[str], None] = lambda problem: None,
) -> Starlette:
    """The application. `access`: tokens and logins of which one is needed, if any are asked for."""
    gate = Gate(access, on_secret_problem)

    def denied(request: Request) -> Response | None:
        values = [value.encode("latin-1") for value in request.headers.getlist("authorization")]
        denial = gate.check(values, None)
        if denial is None:
            return None
        response = PlainTextResponse("log in to see this\n", denial.status)
        for challenge in denial.challenges:
            response.headers.append("www-authenticate", challenge)
        return response

    def guarded(endpoint: Endpoint) -> Endpoint:
        async def checked(request: Request) -> Response:
            return denied(request) or await endpoint(request)

        return checked

    async def health(request: Request) -> Response:
        return _json({"status": "ok"})

    async def ready(request: Request) -> Response:
        is_ready, document = readiness(facts, details=denied(request) is None)
        return _json(document, 200 if is_ready else 503)

    async def show_versions(request: Request) -> Response:
        return _json(versions())

    async def show_metrics(request: Request) -> Response:
        return Response(metrics.text(), headers={"content-type": CONTENT_TYPE})

    routes = [
        Route(healthz, health),
        Route("/readyz", ready),
        Route("/versions", guarded(show_versions)),
    ]
    if with_metrics:
        routes.append(Route("/metrics", guarded(show_metrics)))
    return Starlette(routes=routes)


def _json(document: dict[str, Any], status: int = 200) -> Response:
    return Response(json.dumps(document), status, media_type="application/json")
