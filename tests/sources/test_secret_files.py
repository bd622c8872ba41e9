"""Secrets in files: what is one, and what becomes of those that change while somebody may log in with them."""

from __future__ import annotations

import base64
import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from lanner.sources import secret_files
from lanner.sources.auth import Gate
from lanner.sources.secret_files import SecretFileError, read_password, read_tokens
from lanner.sources.webhook_settings import PathSettings


@pytest.fixture(autouse=True)
def _look_at_every_request(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(secret_files, "CHECK_INTERVAL_SECONDS", 0.0)


def write(path: Path, content: str, age_seconds: float = 60) -> None:
    """As if it had been written that long ago; each time another time, as on a disk."""
    path.write_text(content)
    when = time.time_ns() - int(age_seconds * 1e9)
    os.utime(path, ns=(when, when))


class Door:
    """A gate, whose file it is, and what it told."""

    def __init__(self, folder: Path, kind: str) -> None:
        self.file = folder / "secret"
        self.problems: list[str] = []
        write(self.file, "first\n")
        files = (
            PathSettings(token_files=(self.file,))
            if kind == "token"
            else PathSettings(login_files=(("me", self.file),))
        )
        self._kind = kind
        self._gate = Gate(files, self.problems.append)

    def status(self, secret: str) -> int:
        """What who shows this secret gets."""
        login = base64.b64encode(f"me:{secret}".encode()).decode()
        shown = f"Bearer {secret}" if self._kind == "token" else f"Basic {login}"
        denial = self._gate.check([shown.encode()], None)
        return 200 if denial is None else denial.status


@pytest.fixture(params=["token", "password"])
def door(tmp_path: Path, request: pytest.FixtureRequest) -> Door:
    return Door(tmp_path, request.param)


def test_a_new_secret_is_taken_and_the_old_one_is_not(door: Door) -> None:
    """As soon as it is there completely."""
    assert (door.status("first"), door.status("second")) == (200, 401)
    write(door.file, "second\n")
    assert (door.status("first"), door.status("second")) == (401, 200)
    assert door.problems == []


def test_a_link_that_is_swapped(door: Door, tmp_path: Path) -> None:
    """As Kubernetes does with its volumes: the link leads to another folder at once."""
    for number, secret in enumerate(("one", "two")):
        folder = tmp_path / f"..{number}"
        folder.mkdir()
        write(folder / "secret", secret)
    (tmp_path / "..data").symlink_to("..0")
    door.file.unlink()
    door.file.symlink_to("..data/secret")
    assert (door.status("first"), door.status("one")) == (401, 200)
    (tmp_path / "..new").symlink_to("..1")
    (tmp_path / "..new").rename(tmp_path / "..data")
    assert (door.status("one"), door.status("two")) == (401, 200)


def _remove(file: Path) -> None:
    file.unlink()


def _become(kind: Callable[[Path], object]) -> Callable[[Path], None]:
    def change(file: Path) -> None:
        file.unlink()
        kind(file)

    return change


def _content(text: str) -> Callable[[Path], None]:
    return lambda file: write(file, text)


@pytest.mark.parametrize(
    ("spoil", "why"),
    [
        (_remove, "no such file"),
        (_content(""), "it is empty"),
        (_content(" \n\t\n"), "it is blank"),
        (_become(os.mkfifo), "it is a pipe"),
        (_become(os.mkdir), "it is a folder"),
        (_become(lambda file: file.symlink_to("/dev/zero")), "it is a device"),
        (_become(lambda file: file.symlink_to(file)), "symbolic links"),
        (_become(lambda file: file.write_bytes(b"\xff")), "not UTF-8"),
    ],
)
def test_a_file_that_turns_bad(door: Door, spoil: Callable[[Path], None], why: str) -> None:
    """Nobody is let in any more, not even with nothing; it is told once, and once more when it happens again."""
    assert door.status("first") == 200
    spoil(door.file)
    assert [door.status(secret) for secret in ("first", "", " ", "null")] == [401] * 4
    (problem,) = door.problems
    assert why in problem
    assert str(door.file) in problem
    if door.file.is_dir():
        door.file.rmdir()
    else:
        door.file.unlink(missing_ok=True)
    write(door.file, "first\n")
    assert door.status("first") == 200
    _remove(door.file)
    assert door.status("first") == 401
    assert len(door.problems) == 2


def test_a_file_that_is_bad_from_the_start(door: Door) -> None:
    """It asks for a secret all the same."""
    door.file.unlink()
    assert [door.status(secret) for secret in ("first", "")] == [401, 401]
    assert len(door.problems) == 1


def test_a_file_that_is_being_written(door: Door) -> None:
    """A part of a secret is none: what was there before holds until the file is left alone."""
    assert door.status("first") == 200
    write(door.file, "s", age_seconds=-60)  # the disk's clock is ahead, so its time cannot tell
    assert door.status("s") == 401
    write(door.file, "sec", age_seconds=-61)
    assert door.status("first") == 200
    write(door.file, "second", age_seconds=-62)
    assert (door.status("sec"), door.status("second"), door.status("first")) == (401, 200, 401)


@pytest.mark.parametrize("from_the_start", [False, True])
@pytest.mark.parametrize("spoil", [_remove, _become(os.mkdir), _become(lambda file: file.write_bytes(b"\xff"))])
def test_a_file_that_comes_back(door: Door, spoil: Callable[[Path], None], from_the_start: bool) -> None:
    """It may be half-written, too, and there is no secret from before that would hold."""
    if not from_the_start:
        assert door.status("first") == 200
    spoil(door.file)
    assert door.status("first") == 401
    if door.file.is_dir():
        door.file.rmdir()
    write(door.file, "s", age_seconds=-60)
    assert door.status("s") == 401
    write(door.file, "second", age_seconds=-61)
    assert [door.status(secret) for secret in ("second", "second", "s")] == [401, 200, 401]


def test_an_empty_moment_is_no_alert(door: Door) -> None:
    """A program that empties a file before it writes it is usual."""
    assert door.status("first") == 200
    write(door.file, "", age_seconds=-60)
    assert (door.status(""), door.problems) == (401, [])
    write(door.file, "second")
    assert (door.status("second"), door.problems) == (200, [])


def test_other_secrets_of_the_path_stay_good(tmp_path: Path) -> None:
    """Each file is for itself."""
    good, bad = tmp_path / "good", tmp_path / "bad"
    write(good, "one\n\ntwo\n")
    gate = Gate(PathSettings(tokens=("fixed",), token_files=(good, bad)))
    assert [gate.check([b"Bearer " + token], None) for token in (b"fixed", b"one", b"two")] == [None] * 3
    denial = gate.check([b"Bearer "], None)
    assert denial is not None
    assert denial.status == 401


def test_files_are_not_looked_at_all_the_time(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    """Many requests at once cost one look."""
    assert door.status("first") == 200
    monkeypatch.setattr(secret_files, "CHECK_INTERVAL_SECONDS", 1e9)
    write(door.file, "second")
    assert door.status("first") == 200


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (b"a\n", ("a",)),
        (b"a", ("a",)),
        (b"\xef\xbb\xbfa\r\n b \r\n", ("a", "b")),
        (b"a b\n", None),
        (b"a\0b\n", None),
        ("ü".encode(), None),
        (b"null\n", None),
        (b"\n", None),
        (b"", None),
    ],
)
def test_tokens(tmp_path: Path, content: bytes, found: tuple[str, ...] | None) -> None:
    """One a line; what could not be sent is an error that does not show it."""
    (tmp_path / "file").write_bytes(content)
    if found is not None:
        assert read_tokens(tmp_path / "file") == found
        return
    with pytest.raises(SecretFileError, match="file`") as error:
        read_tokens(tmp_path / "file")
    assert "a b" not in str(error.value)


@pytest.mark.parametrize(
    ("content", "found"),
    [(b"pass word \n", "pass word "), (b"a\nb\n", "a\nb"), ("grün".encode(), "grün"), (b"  \n", None), (b"~\n", None)],
)
def test_passwords(tmp_path: Path, content: bytes, found: str | None) -> None:
    """All but the last line end."""
    (tmp_path / "file").write_bytes(content)
    if found is not None:
        assert read_password(tmp_path / "file") == (found,)
        return
    with pytest.raises(SecretFileError):
        read_password(tmp_path / "file")
