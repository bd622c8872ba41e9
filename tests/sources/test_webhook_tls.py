"""https, client certificates, and files that change while the webhook listens."""

from __future__ import annotations

import contextlib
import logging
import os
import re
import shutil
import socket
import ssl
from pathlib import Path

import httpx
import pytest

from lanner.sources import listener as listener_module
from lanner.sources import secret_files
from lanner.sources import tls as tls_module
from lanner.sources.tls import TlsError, TlsFiles, handshake_problem
from lanner.sources.webhook_settings import (
    AllowedSubject,
    PathSettings,
    TlsSettings,
    WebhookLimits,
    WebhookSettings,
)
from tests.sources.certificates import Authority, encrypt, needs_openssl, trusting
from tests.sources.webhook_server import JSON, PATIENCE, Answer, FakeSink, Served, closed, head, serving

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
    assert sorted(sink.refusals) == [("", "tls", 0), ("", "tls", 0), ("eu", "forbidden", 2), ("us", "forbidden", 2)]
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


REFUSED = (httpx.ReadError, httpx.RemoteProtocolError, httpx.ConnectError, httpx.WriteError)


@pytest.mark.parametrize("spoiled", ["empty", "gone", "garbage", "pipe", "all gone"])
def test_a_client_ca_that_turns_bad(
    authority: Authority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, spoiled: str
) -> None:
    """Nobody is let in by the one from before, also not on a connection that is there, until it is right again; it is
    reported once."""
    monkeypatch.setattr(tls_module, "CHECK_INTERVAL", 0.0)
    monkeypatch.setattr(secret_files, "SETTLE_SECONDS", 0.0)
    file, ca = tmp_path / "used.pem", tmp_path / "ca.pem"
    shutil.copy(authority.issue(f"server-{spoiled}", "/CN=localhost", HERE), file)
    shutil.copy(authority.file, ca)
    client = trusting(authority, authority.issue(f"client-{spoiled}", "/CN=me"))
    sink = FakeSink()
    with serving(WebhookSettings(port=0, tls=TlsSettings(file, client_ca=ca)), sink) as served:
        with httpx.Client(verify=client) as kept:
            assert kept.post(served.url, content=b"{}", headers=JSON).status_code == 200
            ca.unlink()
            match spoiled:
                case "empty":
                    ca.touch()
                case "garbage":
                    ca.write_text("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
                case "pipe":
                    os.mkfifo(ca)
                case "all gone":
                    file.unlink()
            assert kept.post(served.url, content=b"{}", headers=JSON).status_code == 401
        for _ in range(2):
            with pytest.raises(REFUSED):
                post(served.url, client)
        ((cluster, problem),) = sink.secret_problems
        assert cluster == ""
        assert f"`{file if spoiled == 'all gone' else ca}`" in problem
        ca.unlink(missing_ok=True)
        shutil.copy(authority.file, ca)
        shutil.copy(authority.issue(f"server-{spoiled}", "/CN=localhost", HERE), file)
        assert post(served.url, client) == 200
    assert len(sink.deliveries) == 2


def test_another_client_ca(authority: Authority, server: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who was let in by the old one has to come again, with a certificate of the new one."""
    monkeypatch.setattr(tls_module, "CHECK_INTERVAL", 0.0)
    ca = tmp_path / "ca.pem"
    shutil.copy(authority.file, ca)
    other = Authority(tmp_path, "other")
    old = trusting(authority, authority.issue("client-old", "/CN=me"))
    new = trusting(authority, other.issue("client-new", "/CN=me"))
    sink = FakeSink()
    with serving(WebhookSettings(port=0, tls=TlsSettings(server, client_ca=ca)), sink) as served:
        with httpx.Client(verify=old) as kept:
            assert kept.post(served.url, content=b"{}", headers=JSON).status_code == 200
            os.utime(ca)  # the same content is the same authority
            assert kept.post(served.url, content=b"{}", headers=JSON).status_code == 200
            shutil.copy(other.file, ca)
            assert kept.post(served.url, content=b"{}", headers=JSON).status_code == 401
            with pytest.raises(REFUSED):
                kept.post(served.url, content=b"{}", headers=JSON)
        assert post(served.url, new) == 200
    assert sink.secret_problems == []


def test_two_common_names(authority: Authority, server: Path) -> None:
    """A certificate that also names the one who may post is not that one's."""
    paths = (PathSettings(subjects=(AllowedSubject("apiserver"),)),)
    tls = TlsSettings(server, client_ca=authority.file)
    with serving(WebhookSettings(port=0, paths=paths, tls=tls), FakeSink()) as served:
        for number, (subject, status) in enumerate(
            {"/CN=apiserver": 200, "/CN=apiserver/CN=mallory": 403, "/CN=mallory/CN=apiserver": 403}.items()
        ):
            assert post(served.url, trusting(authority, authority.issue(f"two-{number}", subject))) == status


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
    assert sink.refusals == [("", "tls", 0)]


def lines_of(caplog: pytest.LogCaptureFixture) -> list[str]:
    """What the listener warned of, addresses without their ports."""
    return [
        re.sub(r"127\.0\.0\.1:\d+", "127.0.0.1", record.getMessage())
        for record in caplog.records
        if record.name == listener_module.__name__ and record.levelno >= logging.WARNING
    ]


def fail_handshake(served: Served, client: ssl.SSLContext | bytes) -> None:
    """Connects in a way that does not work: with that context, or sending that."""
    with served.connect() as connection:
        if isinstance(client, bytes):
            connection.sendall(client)
            connection.shutdown(socket.SHUT_WR)
            while not closed(connection):
                pass
            return
        with contextlib.suppress(OSError), client.wrap_socket(connection, server_hostname="localhost") as secured:
            assert secured.recv(1) == b""


@pytest.mark.parametrize(
    ("client", "cause"),
    [
        (
            "stranger",
            "the client certificate cannot be verified (unable to get local issuer certificate): an authority",
        ),
        ("nobody", "the client shows no certificate, and one that the client CA signed is needed"),
        ("distrustful", "the client does not accept the certificate it is shown (unknown ca): look at the authority"),
        (b"POST / HTTP/1.1\r\nhost: x\r\n\r\n", "the client speaks plain http: its URL has to begin with `https://`"),
        (b"\x00\x01\x02\x03" * 20, "what the client sends is no TLS (wrong version number)"),
        (b"\x16\x03\x01\x02\x00\x01", "the client closed the connection within the handshake"),
    ],
)
@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3], ids=["1.2", "1.3"])
def test_handshakes_that_fail_leave_a_trace(
    authority: Authority,
    server: Path,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    client: str | bytes,
    cause: str,
    version: ssl.TLSVersion,
) -> None:
    """Each is counted, and the log tells the cause and who it was."""
    sink = FakeSink()
    contexts = {"nobody": trusting(authority)}
    if client in ("stranger", "distrustful"):
        other = Authority(tmp_path, "stranger")
        contexts["stranger"] = trusting(authority, other.issue("eu", "/CN=apiserver-eu"))
        contexts["distrustful"] = trusting(other)
    for context in contexts.values():
        context.maximum_version = version
    settings = WebhookSettings(port=0, tls=TlsSettings(server, client_ca=authority.file))
    with serving(settings, sink) as served:
        fail_handshake(served, client if isinstance(client, bytes) else contexts[client])
        assert sink.refused.acquire(timeout=PATIENCE)
    assert sink.refusals == [("", "tls", 0)]
    (line,) = lines_of(caplog)
    assert line.startswith(f"no TLS connection with 127.0.0.1: {cause}")


def test_a_scanner_does_not_flood_the_log(server: Path, caplog: pytest.LogCaptureFixture) -> None:
    """All are counted, ever fewer are told, and one kind does not hide another."""
    sink = FakeSink()
    with serving(WebhookSettings(port=0, tls=TlsSettings(server)), sink) as served:
        for sent in [b"GET / HTTP/1.1\r\n\r\n"] * 9 + [b"\x00" * 50]:
            fail_handshake(served, sent)
            assert sink.refused.acquire(timeout=PATIENCE)
    assert sink.refusals == [("", "tls", 0)] * 10
    lines = lines_of(caplog)
    assert [line.partition("https://`")[2] for line in lines[:-1]] == ["", " (2 so far)", " (4 so far)", " (8 so far)"]
    assert lines[-1].endswith("(wrong version number)")


def test_looking_whether_the_port_is_open(authority: Authority, server: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A connection that ends without a byte, or stays silent for too long, is neither counted nor told."""
    sink = FakeSink()
    settings = WebhookSettings(port=0, tls=TlsSettings(server), limits=WebhookLimits(handshake_time=0.05))
    with serving(settings, sink) as served:
        with served.connect() as silent:
            assert closed(silent)
        for linger in (b"\0" * 8, b"\1\0\0\0\0\0\0\0"):  # closed, and reset
            scan = served.connect()
            scan.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            scan.close()
        assert post(served.url, trusting(authority)) == 200
    assert sink.refusals == []
    assert lines_of(caplog) == []


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (ConnectionAbortedError(), "the client did not finish the handshake in time"),
        (BrokenPipeError(), "the client closed the connection within the handshake"),
        ("SSLV3_ALERT_CERTIFICATE_EXPIRED", "does not accept the certificate it is shown (certificate e"),
        ("SSL/TLS_ALERT_BAD_CERTIFICATE", "does not accept the certificate it is shown (bad certificate)"),
        ("TLSV1_ALERT_PROTOCOL_VERSION", "the client gave up (protocol version)"),
        ("UNSUPPORTED_PROTOCOL", "the client speaks no TLS that is safe (unsupported protocol): 1.2 is the least"),
        ("BAD_EXTENSION", "bad extension"),
        (None, "unknown"),
    ],
)
def test_causes(error: OSError | str | None, text: str) -> None:
    """In words for people, whatever the version of OpenSSL calls them."""
    if not isinstance(error, OSError):
        reason, error = error, ssl.SSLError(1, "text")
        error.reason = reason  # type: ignore[assignment]
    assert text in handshake_problem(error)


def test_tls_to_a_plain_port(caplog: pytest.LogCaptureFixture) -> None:
    """Is answered in plain HTTP, counted, and told."""
    sink = FakeSink()
    with serving(WebhookSettings(port=0), sink) as served, served.connect() as connection:
        connection.sendall(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03")
        assert Answer(connection).status == 400
    assert sink.refusals == [("", "bad_request", 0)]
    assert lines_of(caplog) == [
        "no request from 127.0.0.1: this is TLS, not HTTP/1.1: nothing but plain http is spoken here"
    ]
