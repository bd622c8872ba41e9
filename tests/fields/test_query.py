"""Query parameters, as strict as Go."""

from __future__ import annotations

import pytest

from lanner.fields.query import parameters


@pytest.mark.parametrize(
    ("uri", "found"),
    [
        ("/x", {}),
        ("/x?", {}),
        ("/x?a=1&b=&c&=d&&a=2", {"a": "1", "b": "", "c": "", "": "d"}),
        ("/x?a=b=c", {"a": "b=c"}),
        ("/x?a=b?c", {"a": "b?c"}),
        ("/x?a=1+2%2B3%20", {"a": "1 2+3 "}),
        ("/x?%61=%C3%A9", {"a": "é"}),
        ("/x?a=%ff", {"a": "\ufffd"}),
        ("/x?a=1#?b=2", {"a": "1"}),
        ("?a=1", {"a": "1"}),
        ("x?a=1", {"a": "1"}),
        ("//host:80/x?a=1", {"a": "1"}),
        ("///x?a=1", {"a": "1"}),
        ("//[::1]:80/x?a=1", {"a": "1"}),
        ("https://me:pw@host/x?a=1", {"a": "1"}),
        ("mailto:x?a=1", {"a": "1"}),
        ("/é?a=é", {"a": "é"}),
    ],
)
def test_readable(uri: str, found: dict[str, str]) -> None:
    """The first value of each parameter counts, plus signs and escapes read."""
    assert parameters(uri) == found


@pytest.mark.parametrize(
    "uri",
    [
        "/x?ok=1&a=%zz",
        "/x?ok=1&a=%4",
        "/x?ok=1&%zz=a",
        "/x?ok=1;b=2",
        "/%zz?ok=1",
        "/x?ok=1#%zz",
        "/x\n?ok=1",
        "/x?ok=\x7f",
        ":x?ok=1",
        "1x:y?ok=1",
        "//host:port/x?ok=1",
        "//ho st/x?ok=1",
        "//[::1/x?ok=1",
        "//a b@host/x?ok=1",
        "//%zz@host/x?ok=1",
        "//ho%41st/x?ok=1",
    ],
)
def test_refused(uri: str) -> None:
    """One flaw in a URI, which Go refuses, hides all its parameters."""
    assert parameters(uri) == {}
