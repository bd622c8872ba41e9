"""Who may post: bearer tokens, basic authentication, certificates; and that nothing is given away."""

from __future__ import annotations

import base64
import logging
from typing import Any

import httpx
import pytest

from lanner.sources.auth import Gate
from lanner.sources.webhook_settings import AllowedSubject, PathSettings, WebhookSettings
from tests.sources.webhook_server import JSON, Answer, FakeSink, serving

TOKENS = PathSettings(tokens=("first-token", "second-token"))
LOGINS = PathSettings(logins=(("user", "pass:word"), ("other", "grün")))
BOTH = PathSettings(tokens=("first-token",), logins=(("user", "pass:word"),))


def basic(text: str) -> bytes:
    return b"Basic " + base64.b64encode(text.encode())


@pytest.mark.parametrize(
    ("settings", "authorization"),
    [
        (PathSettings(), []),
        (PathSettings(), [b"Bearer whatever"]),
        (TOKENS, [b"Bearer first-token"]),
        (TOKENS, [b"bearer  second-token "]),
        (LOGINS, [basic("user:pass:word")]),
        (LOGINS, [basic("other:grün")]),
        (BOTH, [b"Bearer first-token"]),
        (BOTH, [basic("user:pass:word")]),
    ],
)
def test_let_in(settings: PathSettings, authorization: list[bytes]) -> None:
    """One of the credentials of the path is enough; a path without any is open."""
    assert Gate(settings).check(authorization, None) is None


@pytest.mark.parametrize(
    ("settings", "authorization", "text", "challenges"),
    [
        (TOKENS, [], "needs a bearer token", ["Bearer"]),
        (TOKENS, [b""], "needs a bearer token", ["Bearer"]),
        (TOKENS, [b"Bearer"], "is not one", ["Bearer"]),
        (TOKENS, [b"Bearer first-toke"], "is not one", ["Bearer"]),
        (TOKENS, [b"Bearer first-token2"], "is not one", ["Bearer"]),
        (TOKENS, [b"Bearer \xff"], "is not one", ["Bearer"]),
        (TOKENS, [b"first-token"], "needs a bearer token", ["Bearer"]),
        (TOKENS, [basic("first-token:")], "needs a bearer token", ["Bearer"]),
        (TOKENS, [b"Bearer first-token", b"Bearer first-token"], "needs a bearer token", ["Bearer"]),
        (LOGINS, [basic("user:password")], "are not those", ["Basic"]),
        (LOGINS, [basic("other:pass:word")], "are not those", ["Basic"]),
        (LOGINS, [b"Basic !"], "are not those", ["Basic"]),
        (LOGINS, [b"Bearer pass:word"], "needs a user name and password", ["Basic"]),
        (BOTH, [], "needs a bearer token or a user name and password", ["Bearer", "Basic"]),
        (BOTH, [b"Digest x"], "needs a bearer token or a user name and password", ["Bearer", "Basic"]),
    ],
)
def test_kept_out(settings: PathSettings, authorization: list[bytes], text: str, challenges: list[str]) -> None:
    """Anything else gets a 401 that says what is needed."""
    denial = Gate(settings).check(authorization, None)
    assert denial is not None
    assert denial.status == 401
    assert text in denial.text
    assert [challenge.split()[0] for challenge in denial.challenges] == challenges


def certificate(*subject: tuple[str, str], names: tuple[tuple[str, str], ...] = ()) -> dict[str, Any]:
    return {"subject": tuple((pair,) for pair in subject), "subjectAltName": names}


PROD = certificate(
    ("organizationName", "clusters"),
    ("organizationName", "prod"),
    ("commonName", "apiserver-prod.eu"),
    names=(("DNS", "api.prod.example"), ("IP Address", "10.0.0.7"), ("URI", "spiffe://prod/api")),
)


@pytest.mark.parametrize(
    ("subjects", "fits"),
    [
        ((AllowedSubject("apiserver-prod.eu"),), True),
        ((AllowedSubject("apiserver-*"),), True),
        ((AllowedSubject("apiserver-prod?eu"),), False),
        ((AllowedSubject("apiserver-prod"),), False),
        ((AllowedSubject("prod"),), False),
        ((AllowedSubject("APISERVER-*"),), False),
        ((AllowedSubject(organization="prod"),), False),
        ((AllowedSubject(organization="*"),), True),
        ((AllowedSubject(organization="apiserver-*"),), False),
        ((AllowedSubject("apiserver-*", "*"),), True),
        ((AllowedSubject("apiserver-*", "staging"),), False),
        ((AllowedSubject("other"), AllowedSubject("apiserver-prod.eu")), True),
        ((AllowedSubject(alternative_name="DNS:*.prod.example"),), True),
        ((AllowedSubject(alternative_name="DNS:API.Prod.example"),), True),
        ((AllowedSubject(alternative_name="URI:SPIFFE://prod/api"),), False),
        ((AllowedSubject(alternative_name="URI:*.prod.example"),), False),
        ((AllowedSubject(alternative_name="IP:10.0.0.7"),), True),
        ((AllowedSubject(alternative_name="IP:10.0.0.70"),), False),
        ((AllowedSubject(alternative_name="URI:spiffe://prod/*"),), True),
        ((AllowedSubject("apiserver-*", "prod", "DNS:api.staging.example"),), False),
    ],
)
def test_subjects(subjects: tuple[AllowedSubject, ...], fits: bool) -> None:
    """All that a subject names has to fit, one of the subjects has to; `*` is the only special character."""
    denial = Gate(PathSettings(subjects=subjects)).check([], PROD)
    assert (denial is None) == fits
    if denial is not None:
        assert denial.status == 403
        assert "`O=clusters, O=prod, CN=apiserver-prod.eu`" in denial.text


@pytest.mark.parametrize(
    ("given", "fits"),
    [
        (certificate(("commonName", "apiserver"), ("commonName", "other")), False),
        (certificate(("commonName", "other"), ("commonName", "apiserver")), False),
        (certificate(("commonName", "apiserver"), ("commonName", "apiserver")), True),
        ({"subject": ((("commonName", "apiserver"), ("commonName", "other")),)}, False),
        (certificate(("commonName", "apiserver\0.other")), False),
        (certificate(("commonName", "apiserver\n")), False),
        (certificate(("organizationName", "apiserver")), False),
        (certificate(names=(("DNS", "apiserver"),)), False),
    ],
)
@pytest.mark.parametrize("pattern", ["apiserver", "apiserver*"])
def test_a_name_that_is_there_twice(given: dict[str, Any], fits: bool, pattern: str) -> None:
    """All common names have to fit: who gets one signed beside another is not that other. NUL fits nothing."""
    assert (Gate(PathSettings(subjects=(AllowedSubject(pattern),))).check([], given) is None) == fits


@pytest.mark.parametrize("given", [None, {}])
def test_subjects_need_a_certificate(given: dict[str, Any] | None) -> None:
    """Without one there is a 403 that says so."""
    denial = Gate(PathSettings(subjects=(AllowedSubject("a"),))).check([], given)
    assert denial is not None
    assert denial.status == 403
    assert "needs a client certificate" in denial.text


def test_subjects_and_credentials() -> None:
    """Where both are asked for, both are needed."""
    gate = Gate(PathSettings(tokens=("token",), subjects=(AllowedSubject("apiserver-*"),)))
    statuses = [
        denial and denial.status
        for denial in (
            gate.check([b"Bearer token"], PROD),
            gate.check([b"Bearer no"], PROD),
            gate.check([b"Bearer token"], certificate(("commonName", "x"))),
        )
    ]
    assert statuses == [None, 401, 403]


def test_one_cluster_cannot_post_as_another(caplog: pytest.LogCaptureFixture) -> None:
    """The credentials of a path are good for that path only."""
    sink = FakeSink()
    paths = (
        PathSettings("/k8s-audit/eu", "eu", tokens=("token-eu",)),
        PathSettings("/k8s-audit/us", "us", tokens=("token-us",)),
    )
    with serving(WebhookSettings(port=0, paths=paths), sink) as served:
        statuses = {
            (url.rpartition("/")[2], token): httpx.post(
                url, content=b"{}", headers={**JSON, "authorization": f"Bearer {token}"}
            ).status_code
            for url in served.urls
            for token in ("token-eu", "token-us")
        }
    assert statuses == {
        ("eu", "token-eu"): 200,
        ("eu", "token-us"): 401,
        ("us", "token-eu"): 401,
        ("us", "token-us"): 200,
    }
    assert sorted(delivery.cluster for delivery in sink.deliveries) == ["eu", "us"]
    assert sink.refusals == [("eu", "unauthorized", 2), ("us", "unauthorized", 2)]
    lines = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert [line.partition(" from ")[0] for line in lines] == [
        f"refused 401 for `/k8s-audit/{name}` of the cluster `{name}`" for name in ("eu", "us")
    ]
    assert not [line for line in lines if "token-" in line]


def test_a_401_over_the_wire() -> None:
    """It comes at once, names the schemes, and the body is not waited for."""
    with serving(WebhookSettings(port=0, paths=(BOTH,)), FakeSink()) as served, served.connect() as connection:
        connection.sendall(b"POST /k8s-audit HTTP/1.1\r\nhost: x\r\ncontent-length: 9000000\r\n\r\n")
        answer = Answer(connection)
        assert answer.status == 401
        assert answer.headers["www-authenticate"].startswith(("Bearer", "Basic"))


def test_secrets_are_not_shown(caplog: pytest.LogCaptureFixture) -> None:
    """Neither settings nor logs nor answers hold them."""
    caplog.set_level(logging.DEBUG)
    settings = WebhookSettings(port=0, paths=(BOTH,))
    assert "first-token" not in repr(settings)
    assert "word" not in repr(settings)
    with serving(settings, FakeSink()) as served:
        for authorization in (b"Bearer first-token", b"Bearer guessed-token", basic("user:pass:word")):
            response = httpx.post(served.url, content=b"{}", headers={**JSON, "authorization": authorization.decode()})
            assert "-token" not in response.text
    ours = [record.getMessage() for record in caplog.records if record.name.startswith("lanner")]
    assert len(ours) >= 3
    assert not [line for line in ours if "token" in line.replace("bearer token", "") or "word" in line]
