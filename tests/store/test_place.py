"""What is said of a store, and how two processes know that they have the same."""

from __future__ import annotations

from pathlib import Path

import pytest

from lanner.store.place import identity, place


@pytest.mark.parametrize(
    ("url", "want"),
    [
        ("sqlite:////folder/lanner.db", "/folder/lanner.db"),
        ("postgresql://lanner:secret@DB.example/lanner", "postgresql://db.example:5432/lanner"),
        ("postgresql://db.example:6000/lanner?password=secret&user=me", "postgresql://db.example:6000/lanner"),
        ("postgresql:///lanner?host=/run/Postgres&port=6000", "postgresql:///run/Postgres:6000/lanner"),
        ("postgresql:///lanner?host=a&host=b", "postgresql://a,b:5432/lanner"),
        ("secret", "unknown"),
    ],
)
def test_places_hold_no_secrets(url: str, want: str) -> None:
    """Where the store is, and nothing of who may use it."""
    assert place(url) == want


@pytest.mark.parametrize(
    ("other", "same"),
    [
        ("postgresql://reader:other@db.example:5432/lanner", True),
        ("postgresql://db.example/another", False),
        ("postgresql://db.example:6000/lanner", False),
        ("postgresql://db2.example/lanner", False),
        ("postgresql://db.example/lanner?options=-csearch_path%3Dmine", False),
    ],
)
def test_a_database_is_known_by_its_place(other: str, same: bool) -> None:
    """Whoever uses it."""
    assert (identity("postgresql://lanner:secret@db.example/lanner") == identity(other)) is same


def test_a_file_is_known_by_itself(tmp_path: Path) -> None:
    """Under any path; another file at the same path is another store, and none is none."""
    url = f"sqlite:///{tmp_path}/lanner.db"
    assert identity(url) == identity("secret") == ""
    (tmp_path / "lanner.db").write_text("")
    (tmp_path / "link").symlink_to("lanner.db")
    first = identity(url)
    assert first == identity(f"sqlite:///{tmp_path}/link")
    (tmp_path / "other").write_text("")
    (tmp_path / "other").replace(tmp_path / "lanner.db")
    assert identity(url) not in ("", first)
