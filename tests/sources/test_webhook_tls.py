"""https, client certificates, and files that change while the webhook listens."""

from __future__ import annotations

import os
import shutil
import ssl
from pathlib import Path

import httpx
import pytest

from lanner.sources import tls as tls_module
from lanner.sources.tls import TlsError, TlsFiles
from lanner.sources.webhook_settings import AllowedSubject, PathSettings, TlsSettings, WebhookSettings
from tests.sources.certificates import Authority, encrypt, needs_openssl, trusting
from tests.sources.webhook_server import JSON, Answer, FakeSink, closed, head, serving

pytestmark = needs_openssl

HERE = "DNS:localhost,IP:127.0.0.1"


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"), "authority")


@pytest.fixture(scope="module")
def server(authority: Authority) -> Path:
    return authority.issue("server", "/CN=localhost", HERE)


def post(url: str, context: ssl.SSLContext) -> int:
    with httpx.Client(verify=context) as client:
        return client.post(url, content=b"{}", headers=JSON).status_code


@pytest.mark.parametrize("files", ["one", "two"])
def test_https(authority: Authority, server: Path, files: str) -> None:
    """Certificate and key come from one file or two."""
    settings = (
        TlsSettings(server) if files == "one" else TlsSettings(server.with_suffix(".crt"), server.with_suffix(".key"))
    )
    sink = FakeSink()
    with serving(WebhookSettings(port=0, tls=settings), sink) as served:
        assert served.url.startswith("https://")
        body = os.urandom(3_000_000).hex().encode()
        with httpx.Client(verify=trusting(authority)) as client:
            for _ in range(2):
                assert client.post(served.url, content=body, headers=JSON).status_code == 200
    assert sink.bodies == [body, body]


def test_a_refused_body_over_https_is_answered(authority: Authority, server: Path) -> None:
    """The client sees the answer although it is still sending."""
    settings = WebhookSettings(port=0, tls=TlsSettings(server))
    with serving(settings, FakeSink()) as served, httpx.Client(verify=trusting(authority)) as client:
        response = client.post(served.url, content=b"1" * 9_000_000, headers={"content-type": "text/plain"})
        assert response.status_code == 400


def test_client_certificates(authority: Authority, server: Path, tmp_path: Path) -> None:
    """Each cluster may use its own path; without a certificate of the CA nobody gets in."""
    eu = authority.issue("eu", "/O=clusters/CN=apiserver-eu", "DNS:eu.example")
    us = authority.issue("us", "/O=clusters/CN=apiserver-us", "DNS:us.example")
    stranger = Authority(tmp_path, "stranger").issue("eu", "/O=clusters/CN=apiserver-eu", "DNS:eu.example")
    paths = (
        PathSettings("/eu", "eu", subjects=(AllowedSubject("apiserver-eu", "clusters"),)),
        PathSettings("/us", "us", subjects=(AllowedSubject(alternative_name="DNS:us.*"),)),
        PathSettings("/any", "any"),
    )
    sink = FakeSink()
    with serving(
        WebhookSettings(port=0, paths=paths, tls=TlsSettings(server, client_ca=authority.file)), sink
    ) as served:
        answers = {
            (name, url.rpartition("/")[2]): post(url, trusting(authority, file))
            for name, file in (("eu", eu), ("us", us))
            for url in served.urls
        }
        for file in (None, stranger):
            with pytest.raises((httpx.ReadError, httpx.RemoteProtocolError, httpx.ConnectError, httpx.WriteError)):
                post(served.url, trusting(authority, file))
    assert answers == {
        ("eu", "eu"): 200,
        ("eu", "us"): 403,
        ("eu", "any"): 200,
        ("us", "eu"): 403,
        ("us", "us"): 200,
        ("us", "any"): 200,
    }
    assert sorted(sink.refusals) == [("eu", "forbidden", 2), ("us", "forbidden", 2)]
    assert sorted(delivery.cluster for delivery in sink.deliveries) == ["any", "any", "eu", "us"]


def test_optional_client_certificates(authority: Authority, server: Path) -> None:
    """Paths that ask for none can be used without; the others cannot."""
    client = authority.issue("optional", "/CN=me")
    paths = (PathSettings("/open"), PathSettings("/mine", subjects=(AllowedSubject("me"),)))
    tls = TlsSettings(server, client_ca=authority.file, client_certificate_required=False)
    with serving(WebhookSettings(port=0, paths=paths, tls=tls), FakeSink()) as served:
        answers = [post(url, trusting(authority, file)) for url in served.urls for file in (None, client)]
    assert answers == [200, 200, 403, 200]


def test_files_that_change(
    authority: Authority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """New connections get the new certificate, old ones go on; unusable files change nothing until they are right."""
    monkeypatch.setattr(tls_module, "CHECK_INTERVAL", 0.0)
    old = Authority(tmp_path, "old")
    file = tmp_path / "used.pem"
    shutil.copy(old.issue("one", "/CN=localhost", HERE), file)
    settings = WebhookSettings(port=0, tls=TlsSettings(file))
    with serving(settings, FakeSink()) as served, httpx.Client(verify=trusting(old)) as kept:
        assert kept.post(served.url, content=b"{}", headers=JSON).status_code == 200
        file.write_text("-----BEGIN CERTIFICATE-----\n")
        assert post(served.url, trusting(old)) == 200
        assert post(served.url, trusting(old)) == 200
        shutil.copy(authority.issue("two", "/CN=localhost", HERE), file)
        assert post(served.url, trusting(authority)) == 200
        with pytest.raises(httpx.ConnectError, match="CERTIFICATE_VERIFY_FAILED"):
            post(served.url, trusting(old))
        assert kept.post(served.url, content=b"{}", headers=JSON).status_code == 200
    lines = [record.getMessage() for record in caplog.records if record.name == tls_module.__name__]
    assert len([line for line in lines if "cannot be used" in line]) == 1


def test_files_are_not_looked_at_all_the_time(server: Path, tmp_path: Path) -> None:
    """Many connections at once cost one look."""
    file = tmp_path / "server.pem"
    shutil.copy(server, file)
    files = TlsFiles(TlsSettings(file), check_interval=1e9)
    before = files.context()
    file.write_text("nothing")
    assert files.context() is before


@pytest.mark.parametrize(
    ("certificate", "key", "message"),
    [
        ("missing.pem", None, "`missing.pem`: No such file"),
        ("empty.pem", None, "`empty.pem`: "),
        ("server.crt", "other.key", "`server.crt` and `other.key`: the key does not belong"),
        ("locked.pem", None, "`locked.pem`: the key is encrypted"),
    ],
)
def test_unusable_files(
    authority: Authority,
    server: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    certificate: str,
    key: str | None,
    message: str,
) -> None:
    """At the start they are an error that names them."""
    monkeypatch.chdir(tmp_path)
    Path("empty.pem").write_text("")
    shutil.copy(server.with_suffix(".crt"), "server.crt")
    shutil.copy(authority.issue("other", "/CN=x").with_suffix(".key"), "other.key")
    encrypt(server.with_suffix(".key"), Path("locked.key"))
    Path("locked.pem").write_text(Path("locked.key").read_text() + Path("server.crt").read_text())
    with pytest.raises(TlsError) as caught:
        TlsFiles(TlsSettings(Path(certificate), None if key is None else Path(key)))
    assert message in str(caught.value)


def test_an_unusable_client_ca(server: Path, tmp_path: Path) -> None:
    """So is a file without certificates to verify clients against."""
    (tmp_path / "ca.pem").write_text("none")
    with pytest.raises(TlsError, match=r"cannot use the client CA in `.*ca\.pem`: "):
        TlsFiles(TlsSettings(server, client_ca=tmp_path / "ca.pem"))


def test_no_tls_at_all(server: Path) -> None:
    """A client that speaks plain HTTP, rubbish, or nothing to an https port costs a connection and no more."""
    sink = FakeSink()
    settings = WebhookSettings(port=0, tls=TlsSettings(server))
    with serving(settings, sink) as served, served.connect() as connection, served.connect() as silent:
        connection.sendall(head(length=2) + b"{}")
        while not closed(connection):  # an alert may come first
            pass
        served.stop()
        assert closed(silent)
    assert sink.deliveries == []


def test_tls_to_a_plain_port() -> None:
    """Is answered in plain HTTP, and counted."""
    sink = FakeSink()
    with serving(WebhookSettings(port=0), sink) as served, served.connect() as connection:
        connection.sendall(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03")
        assert Answer(connection).status == 400
    assert sink.refusals == [("", "bad_request", 0)]
