"""What webhook settings refuse, with a text for the user."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from lanner.sources.webhook_settings import AllowedSubject, PathSettings, TlsSettings, WebhookLimits, WebhookSettings


@pytest.mark.parametrize(
    ("kind", "arguments", "message"),
    [
        (PathSettings, {"path": "k8s-audit"}, "has to begin with `/`"),
        (PathSettings, {"path": "/{name}"}, "hold none of"),
        (PathSettings, {"path": "/a?b"}, "hold none of"),
        (PathSettings, {"tokens": ("",)}, "a token of the path `/k8s-audit` is empty"),
        (PathSettings, {"tokens": ("secret\n",)}, "a token of the path `/k8s-audit` is empty or holds blanks"),
        (PathSettings, {"logins": (("a:b", "secret"),)}, "user name without a colon"),
        (PathSettings, {"logins": (("a", ""),)}, "and a password"),
        (AllowedSubject, {}, "needs a common name"),
        (AllowedSubject, {"alternative_name": "api.example"}, "has to begin with one of `DNS:`"),
        (AllowedSubject, {"alternative_name": "DNS:"}, "has to begin with one of `DNS:`"),
        (TlsSettings, {"certificate": Path("x"), "client_certificate_required": False}, "no client CA"),
        (WebhookLimits, {"body": 0}, "the limit `body` has to be greater than 0"),
        (WebhookLimits, {"idle_time": -1}, "the limit `idle_time`"),
        (WebhookLimits, {"body": 2, "in_flight": 1}, "at least the body limit"),
        (WebhookSettings, {"port": 65536}, "there is no port 65536"),
        (WebhookSettings, {"paths": ()}, "at least one path"),
        (WebhookSettings, {"paths": (PathSettings(), PathSettings(cluster="x"))}, "`/k8s-audit` is there twice"),
        (WebhookSettings, {"paths": (PathSettings(subjects=(AllowedSubject("a"),)),)}, "no client CA is given"),
    ],
)
def test_refused(kind: type, arguments: dict[str, Any], message: str) -> None:
    """Each check has its message, and none shows a secret."""
    with pytest.raises(ValueError, match=message) as caught:
        kind(**arguments)
    assert "secret" not in str(caught.value)


def test_defaults() -> None:
    """Without settings: the local address, Falco's port and path, no TLS."""
    settings = WebhookSettings()
    assert (settings.address, settings.port, settings.paths[0].path) == ("127.0.0.1", 9765, "/k8s-audit")
    assert settings.tls is None
    assert settings.limits.body == settings.limits.in_flight == 64 * 1024 * 1024
