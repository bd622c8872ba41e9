"""Certificates for tests, made by the openssl program."""

from __future__ import annotations

import shutil
import ssl
import subprocess
from pathlib import Path

import pytest

needs_openssl = pytest.mark.skipif(shutil.which("openssl") is None, reason="the openssl program is not here")


class Authority:
    """A certificate authority in a folder. `issue` gives a file with key and certificate."""

    def __init__(self, folder: Path, name: str) -> None:
        self._folder = folder
        self._name = name
        self.file = folder / f"{name}.crt"
        self._key = folder / f"{name}.key"
        _openssl(
            *("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"),
            *("-subj", f"/CN={name}", "-keyout", str(self._key), "-out", str(self.file)),
        )

    def issue(self, name: str, subject: str, alternative_names: str = "") -> Path:
        """`alternative_names` as openssl writes them: `DNS:localhost,IP:127.0.0.1`."""
        key, request, certificate, both, extensions = (
            self._folder / f"{name}.{end}" for end in ("key", "csr", "crt", "pem", "ext")
        )
        _openssl(
            *("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"),
            *("-subj", subject, "-keyout", str(key), "-out", str(request)),
        )
        extensions.write_text(f"subjectAltName={alternative_names}\n" if alternative_names else "")
        _openssl(
            *("x509", "-req", "-days", "2", "-in", str(request), "-CA", str(self.file), "-CAkey", str(self._key)),
            *("-CAcreateserial", "-extfile", str(extensions), "-out", str(certificate)),
        )
        both.write_bytes(key.read_bytes() + certificate.read_bytes())
        return both


def trusting(authority: Authority, client: Path | None = None) -> ssl.SSLContext:
    """For a client that trusts an authority, with a certificate of its own or without."""
    context = ssl.create_default_context(cafile=authority.file)
    if client is not None:
        context.load_cert_chain(client)
    return context


def encrypt(key: Path, encrypted: Path) -> None:
    """A copy of a private key that needs a passphrase."""
    _openssl("pkcs8", "-topk8", "-in", str(key), "-passout", "pass:secret", "-out", str(encrypted))


def _openssl(*arguments: str) -> None:
    subprocess.run(["openssl", *arguments], check=True, capture_output=True)
