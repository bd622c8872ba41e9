"""One scan tells which words a body mentions; a value of it has no others."""

from __future__ import annotations

import json
import re
import string
from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lanner.compiler.comparisons import SCALAR
from lanner.decode import decode
from lanner.event import MISSING, AuditEvent
from lanner.fields.catalog import BoundField
from lanner.fields.mentions import MAX_LENGTH, MAX_WORDS, Mentions
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


def mentioned_by(field: BoundField, event: AuditEvent) -> list[str]:
    """The words that a body mentions, in the order of the alphabet."""
    found = field.getter(event)
    assert found is MISSING or isinstance(found, list)
    return sorted(found or ())


def spelled(value: Any, escaped: set[str], blanks: str) -> str:
    """JSON in which some letters of strings are escapes."""
    text = json.dumps(value, separators=(f",{blanks}", f":{blanks}"))

    def escape(match: re.Match[str]) -> str:
        return "".join(f"\\u{ord(letter):04x}" if letter in escaped else letter for letter in match[0])

    return re.sub(r'"[^"\\]*(?:\\.[^"\\]*)*"', escape, text)


PARTS = ("password", "xpassx", "aws-key", "s://pass", "p/s")
TEXTS = st.text('pasword-_1 \n"\\<é', max_size=12) | st.sampled_from(PARTS)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | TEXTS,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(TEXTS | st.sampled_from(["name", "0"]), inner, max_size=3)
    ),
    max_leaves=8,
)


WORDS = ("pass", "password", "aws-key", "true", "123", "o r", "PassWord", "s://p", "p/s")


@given(
    VALUES, VALUES | st.fixed_dictionaries({"name": TEXTS}),
    st.sets(st.sampled_from("pasw-1 /:")), st.sampled_from(["", " "]), st.sampled_from(FIELDS),
    st.sampled_from(["contains", "icontains"]),
)  # fmt: skip
def test_no_means_no(data: Any, metadata: Any, escaped: set[str], blanks: str, field: str, operator: str) -> None:
    """Whatever the body, its spelling, and where a word stands: what it does not mention is in no value of it."""
    body = spelled({"data": data, "metadata": metadata}, escaped, blanks)
    getter = bound(field).getter
    mentions = Mentions()
    asked = {word: mentions.of(getter, operator, word) for word in WORDS}
    for part in ("requestObject", "responseObject"):
        found = getter(event(body, part))
        for word, ahead in asked.items():
            assert ahead is not None
            if found is not MISSING and SCALAR[operator](found, word):
                assert ahead[1] in mentioned_by(ahead[0], event(body, part))


@pytest.mark.parametrize(
    ("body", "mentioned"),
    [
        ('{"data":{"a":"password"}}', ["pass", "password", "(?i)PassWord"]),
        ('{"data":{"a":"PASSWORD"}}', ["(?i)PassWord"]),
        ('{"data":{"a":"secret"}}', []),
        ('{"data":{"a":"\\u003cb\\u003e\\u0026\\u2028"}}', []),
        ('{"data":"\\u0070ass"}', ["pass", "password", "(?i)PassWord"]),
        ('{"metadata":{"name":"a pass"}}', ["pass"]),
        ('{"data":{"a":"p\\\\/ass"}}', ["pass", "password", "(?i)PassWord"]),
        ("7", []),
    ],
)
def test_what_a_scan_tells(body: str, mentioned: list[str]) -> None:
    """The words that stand in the body, each once; all of them where a letter may be spelled in another way."""
    mentions = Mentions()
    getter = bound("ka.req.configmap.obj").getter
    fields = {
        asked[0]
        for operator, word in (("contains", "pass"), ("contains", "password"), ("icontains", "PassWord"))
        if (asked := mentions.of(getter, operator, word))
    }
    (field,) = fields
    assert mentioned_by(field, event(body)) == sorted(mentioned)


def test_a_body_that_is_not_there_mentions_nothing() -> None:
    asked = Mentions().of(bound("ka.req.configmap.obj").getter, "contains", "pass")
    assert asked is not None
    assert asked[0].getter(event("{}", "responseObject")) is MISSING


@pytest.mark.parametrize(
    ("field", "operator", "word"),
    [
        ("ka.uri", "contains", "pass"),
        ("ka.req.configmap.obj", "contains", "a:b"),
        ("ka.req.configmap.obj", "contains", "abc:"),
        ("ka.req.configmap.obj", "contains", "<abc>"),
        ("ka.req.configmap.obj", "contains", "pa"),
        ("ka.req.configmap.obj", "contains", "\u00e9t\u00e9"),
        ("ka.req.configmap.obj", "startswith", "pass"),
        ("ka.req.configmap.obj", "=", "pass"),
    ],
)
def test_what_a_scan_cannot_tell(field: str, operator: str, word: str) -> None:
    """Values that are no part of a body, other operators, and words that JSON may spell in more than one way."""
    assert Mentions().of(bound(field).getter, operator, word) is None


def test_words_have_a_limit() -> None:
    """Rules with more words are matched without a scan ahead; those before are looked for all the same."""
    mentions = Mentions()
    getter = bound("ka.req.configmap.obj").getter
    assert all(mentions.of(getter, "contains", f"word{number}") for number in range(MAX_WORDS))
    assert mentions.of(getter, "contains", "another") is None
    asked = mentions.of(getter, "contains", f"word{MAX_WORDS - 1}")
    assert asked is not None
    assert asked[1] in mentioned_by(asked[0], event('{"a":"word9999"}'))


@pytest.mark.parametrize("operator", ["contains", "icontains"])
def test_of_long_words_and_of_those_that_end_alike_a_part_is_looked_for(operator: str) -> None:
    """Whatever is looked for stands in the word, and few of all end alike."""
    mentions = Mentions()
    getter = bound("ka.req.configmap.obj").getter
    words = [f"{name}.example.com" for name in string.ascii_letters for name in (name, name * 3)]
    words += ["x" * 20_000, "x" * 20_001, *("a" * number + ".internal" for number in range(40))]
    tails: Counter[str] = Counter()
    looked_for = set()
    for word in words:
        asked = mentions.of(getter, operator, word)
        assert asked == mentions.of(getter, operator, word)
        if asked is not None:
            part = asked[1].removeprefix("(?i)")
            assert part in word
            assert len(part) <= MAX_LENGTH
            assert asked[1] in mentioned_by(asked[0], event(json.dumps({"data": word})))
            looked_for.add(part)
    for part in looked_for:
        tails[part[-8:].lower()] += 1
    assert max(tails.values()) == 1
