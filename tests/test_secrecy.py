"""Texts that hold secrets, as they may be shown; and files that are read within bounds."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from lanner.regular_file import read_regular_file
from lanner.secrecy import is_secret_key, masked, masked_urls, safe_url
from lanner.store.database import open_database
from lanner.store.place import place


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("http://h:1/path", "http://h:1/path"),
        ("http://me:hush@h:1/path", "http://h:1/path"),
        ("http://hush@h/path", "http://h/path"),
        ("postgresql://u:hu@sh@h/d", "postgresql://h/d"),
        ("postgresql://u:hu/sh@h/d", "postgresql://h/d"),
        ("postgresql://h/d?password=hush&x=1", "postgresql://h/d"),
        ("postgresql://h/d?password=a@hush", "postgresql://..."),
        ("postgresql://u:a?b@hush", "postgresql://..."),
        ("http://h/p#hush", "http://h/p"),
        ("me:hush@h:1/p", "h:1/p"),
        ("sqlite:////var/lib/lanner.db", "sqlite:////var/lib/lanner.db"),
        ("", ""),
    ],
)
def test_urls(url: str, shown: str) -> None:
    """No user, no password, no query, whatever they hold."""
    assert safe_url(url) == shown
    assert "hush" not in masked_urls(f"cannot reach `{url}`: gone") or "://" not in url or "#" in url


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://u:hush@h/d",
        "postgresql://u:hu@hush@h/d",
        "postgresql://h/d?password=hush",
        "postgresql://h/d?sslpassword=hush&passfile=x",
        "postgresql:///d?host=h&password=hush",
    ],
)
def test_stores_show_no_secret(url: str) -> None:
    """Neither in their name, nor in their place, nor in what the driver says."""
    pytest.importorskip("psycopg")
    database = open_database(url, writable=True)
    told = str(database.explain(RuntimeError("password hush is wrong, or @hush@")))
    shown = [database.name, place(url)]
    assert "hush" not in "".join([*shown, *([told] if "hu@hush" not in url else [])])


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("token: hush", "token: ***"),
        ("lanner.server.token=hush", "lanner.server.token=***"),
        ('{"password": "hush", a: b}', '{"password": ***'),
        ("token: |\n    hush\n  more\nport: 1", "token: ***\nport: 1"),
        ("- token:\n    - hush\n- port: 1", "- token:***\n- port: 1"),
        ("token_file: /run/token\nport: 1", "token_file: /run/token\nport: 1"),
    ],
)
def test_settings(text: str, shown: str) -> None:
    """What follows the key of a secret, as far as it may go."""
    assert masked(text).replace(": ***", ":***") == shown.replace(": ***", ":***")


@pytest.mark.parametrize(
    ("key", "secret"),
    [
        *((key, True) for key in ("token", "password", "apiKey", "client_secret", "dbPassword", "private_key")),
        *(
            (key, False)
            for key in ("token_file", "password_file", "passwordFile", "port", "key", "cluster", "username")
        ),
    ],
)
def test_keys(key: str, secret: bool) -> None:
    """By their name; a file of secrets is none."""
    assert is_secret_key(key) == secret


def test_a_file_is_read_within_its_bound(tmp_path: Path) -> None:
    """A byte more is an error."""
    path = tmp_path / "file"
    path.write_bytes(b"x" * 1000)
    assert read_regular_file(path, 1000) == b"x" * 1000
    with pytest.raises(OSError, match="larger than 999 bytes"):
        read_regular_file(path, 999)
    assert read_regular_file("/dev/null", 1) == b""


@pytest.mark.parametrize("make", [os.mkfifo, lambda path: path.symlink_to("/dev/zero"), os.mkdir])
def test_what_is_no_file_is_not_waited_for(tmp_path: Path, make: object) -> None:
    """A pipe that nobody writes would be waited for without an end."""
    assert callable(make)
    make(tmp_path / "odd")
    with pytest.raises(OSError, match="not a"):
        read_regular_file(tmp_path / "odd", 1000)


READ = "import sys; from lanner.regular_file import read_regular_file as r; print(len(r(sys.argv[1], 1000)))"


@pytest.mark.parametrize(("size", "output"), [(1000, "1000\n"), (100_000, "")])
@pytest.mark.parametrize("name", ["/dev/stdin", "/dev/fd/0", "/proc/self/fd/0"])
def test_a_pipe_that_was_handed_over(name: str, size: int, output: str) -> None:
    """It is read to its end, within the bound."""
    done = subprocess.run(
        [sys.executable, "-c", READ, name], input=b"x" * size, capture_output=True, check=False, timeout=60
    )
    assert done.stdout.decode() == output
