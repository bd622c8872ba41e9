"""A fast scan of a body may say that a word is not in a value, and is then right."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lanner.decode import decode
from lanner.event import MISSING, AuditEvent
from lanner.fields.mentions import mentions
from tests.fields.builders import CATALOG

FIELDS = (
    "ka.req.configmap.obj",
    "jevt.value[/requestObject/data]",
    "jevt.value[/requestObject/metadata/name]",
    "jevt.value[/requestObject/data/0]",
    "jevt.value[/responseObject/data]",
)


def event(body: str, part: str = "requestObject") -> AuditEvent:
    (found,) = decode(
        f'{{"kind":"Event","auditID":"a","stageTimestamp":"2026-01-02T03:04:05Z","{part}":{body}}}'.encode()
    ).events
    return found


def bound(text: str) -> Any:
    name, _, argument = text.removesuffix("]").partition("[")
    return CATALOG.bind(name, argument or None)


def spelled(value: Any, escaped: set[str], blanks: str) -> str:
    """JSON in which some letters of strings are escapes."""
    text = json.dumps(value, separators=(f",{blanks}", f":{blanks}"))

    def escape(match: re.Match[str]) -> str:
        return "".join(f"\\u{ord(letter):04x}" if letter in escaped else letter for letter in match[0])

    return re.sub(r'"[^"\\]*(?:\\.[^"\\]*)*"', escape, text)


TEXTS = st.text('pasword-_1 \n"\\<é', max_size=12) | st.sampled_from(["password", "xpassx", "aws-key"])
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | TEXTS,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(TEXTS | st.sampled_from(["name", "0"]), inner, max_size=3)
    ),
    max_leaves=8,
)


@given(
    VALUES, VALUES | st.fixed_dictionaries({"name": TEXTS}),
    st.sets(st.sampled_from("pasw-1")), st.sampled_from(["", " "]),
    st.sampled_from(["pass", "password", "aws-key", "true", "123"]), st.sampled_from(FIELDS),
)  # fmt: skip
def test_no_means_no(data: Any, metadata: Any, escaped: set[str], blanks: str, word: str, field: str) -> None:
    """Whatever the body, its spelling, and where the word stands."""
    body = spelled({"data": data, "metadata": metadata}, escaped, blanks)
    getter = bound(field).getter
    may = mentions(getter, word)
    assert may is not None
    for part in ("requestObject", "responseObject"):
        found = getter(event(body, part))
        if found is not MISSING and word in found:
            assert may(event(body, part))


@pytest.mark.parametrize(
    ("body", "may"),
    [
        ('{"data":{"a":"password"}}', True),
        ('{"data":{"a":"secret"}}', False),
        ('{"data":{"a":"\\u003cb\\u003e"}}', False),
        ('{"data":"\\u0070assword"}', True),
        ('{"data":{"a":"\\u0070assword"}}', False),
        ('{"metadata":{"name":"password"}}', True),
    ],
)
def test_what_a_scan_tells(body: str, may: bool) -> None:
    """Objects show as they are spelled, so only strings need more than a scan."""
    found = mentions(bound("ka.req.configmap.obj").getter, "password")
    assert found is not None
    assert found(event(body)) is may


@pytest.mark.parametrize(
    ("field", "word"), [("ka.uri", "pass"), ("ka.req.configmap.obj", "a b"), ("ka.req.configmap.obj", "é")]
)
def test_what_a_scan_cannot_tell(field: str, word: str) -> None:
    """Values that are no part of a body, and words that JSON may spell in more than one way."""
    assert mentions(bound(field).getter, word) is None
