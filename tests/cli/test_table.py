"""Plain text tables."""

from __future__ import annotations

import pytest

from lanner.cli.fields import text
from lanner.cli.table import Listing, plural, table, wrapped
from lanner.fields.k8s_catalog import k8s_audit_catalog


@pytest.mark.parametrize(
    ("width", "wanted"),
    [
        (None, ["A    BEE  C", "one  2    three"]),
        (15, ["A    BEE  C", "one  2    three"]),
        (14, ["A    BEE", "one  2"]),
        (1, ["A", "one"]),
    ],
)
def test_columns_that_do_not_fit_are_left_out(width: int | None, wanted: list[str]) -> None:
    """The first column always stays."""
    assert table(("A", "BEE", "C"), [("one", "2", "three")], width) == wanted


@pytest.mark.parametrize(
    ("width", "wanted"),
    [
        (None, ["NAME    A  STATE       B", "one     1  up      1,000", "other  12  failed"]),
        (20, ["NAME    A  STATE", "one     1  up", "other  12  failed", "", "NAME       B", "one    1,000", "other"]),
        (1, ["NAME    A", "one     1", "other  12", "", "NAME   STATE", "one    up", "other  failed"]),
    ],
)
def test_columns_that_do_not_fit_come_below(width: int | None, wanted: list[str]) -> None:
    """Nothing is left out; numbers stand under each other."""
    headers, rows = ("NAME", "A", "STATE", "B"), [("one", "1", "up", "1,000"), ("other", "12", "failed", "")]
    assert list(wrapped(headers, rows, width, keys=1))[: len(wanted)] == wanted


@pytest.mark.parametrize(
    ("width", "wanted"),
    [
        (None, ["ID  WHO            WHERE", "1   somebody else  here"]),
        (24, ["ID  WHO            WHERE", "1   somebody else  here"]),
        (22, ["ID  WHO", "1   somebody else"]),
        (13, ["ID  WHO", "1   somebody…"]),
        (3, ["ID  WHO", "1   somebod…"]),
    ],
)
def test_a_listing_fits(width: int | None, wanted: list[str]) -> None:
    """Columns on the right are left out first, then those that may be are cut, but not to nothing."""
    assert (
        Listing(("ID", "WHO", "WHERE"), width, ("WHO",), keep=2).lines([("1", "somebody else", "here")], True) == wanted
    )


def test_a_listing_that_goes_on_keeps_its_columns() -> None:
    """Rows that come later stand under those before."""
    listing = Listing(("A", "B"), None, (), keep=1)
    assert listing.lines([("long", "x")], True) == ["A     B", "long  x"]
    assert listing.lines([("s", "y")], False) == ["s     y"]


@pytest.mark.parametrize(("count", "wanted"), [(0, "0 events"), (1, "1 event"), (1234, "1,234 events")])
def test_plural(count: int, wanted: str) -> None:
    """One is not several."""
    assert plural(count, "event") == wanted


def test_fields_fit_into_80_columns() -> None:
    """On a terminal no line is longer than it; styles take no room."""
    import click

    lines = text(list(k8s_audit_catalog()), 80)
    assert max(len(click.unstyle(line)) for line in lines) <= 80
