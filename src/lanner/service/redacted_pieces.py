"""Takes values out of pieces that are no events and are kept all the same, as malformed.

In: bytes, which may be JSON of any kind, a part of it, an event in a string of something else, or no JSON at all. Out:
the same with `[redacted]` as the value of every key that may hold a secret, wherever it stands. Nothing is parsed: what
is looked for is a key in quotes and a colon, with backslashes in front of the quotes if there are strings around it.
Too much is taken rather than too little; of a value without an end, everything behind it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from lanner.service.secret_parameters import without_secret_parameters

REDACTED = b'"[redacted]"'
ANY = "*"

_keys = re.compile(r'(?<!\\)(\\*+)"([^"]*+)"(?:[ \t\r\n]|\\++[nrt])*+:(?:[ \t\r\n]|\\++[nrt])*+').search
"""A key: the backslashes in front of its quotes, its text (maybe with backslashes behind), blanks up to its value."""

_quotes = re.compile(r'(?<!\\)(\\*+)"').finditer
_marks = re.compile(r'(?<!\\)(\\*+)"|[\[{]|[\]}]').finditer
_rest_of_scalar = re.compile(r"[^,\]}\s]*").match
_escaped = re.compile(r"(?<!\\)\\++u([0-9A-Fa-f]{4})").sub
_escaped_separators = re.compile(r"(?<!\\)\\++u00(26|3[dD])").sub

_LEVELS = frozenset(2**level - 1 for level in range(8))
"""Backslashes in front of the quotes of a string, in a string, in a string, ..."""

_SHOWN = REDACTED.decode().strip('"')
_URI = "requestURI"


@dataclass(frozen=True, slots=True)
class SecretKeys:
    """Keys that may hold secrets. `whole`: their values are taken whatever they are, also of keys that end as `endings`
    say; `texts`: of those that should hold objects, if they are texts."""

    whole: frozenset[str]
    endings: tuple[str, ...]
    texts: frozenset[str]

    @classmethod
    def of(cls, pointers: Iterable[tuple[str, ...]]) -> SecretKeys:
        """The last keys that pointers name, and the first."""
        whole, endings, texts = set(), set(), set()
        for steps in pointers:
            last = next((step for step in reversed(steps) if step != ANY and not step.isdigit()), None)
            if last is None:
                continue
            if last.startswith(ANY):
                endings.add(last.removeprefix(ANY))
            else:
                whole.add(last)
            texts.add(steps[0])
        return cls(frozenset(whole), tuple(sorted(endings)), frozenset(texts))


def redact_piece(raw: bytes, keys: SecretKeys) -> bytes:
    """The piece without what these keys hold; the same object if it has none of them. Linear in its length."""
    text = raw.decode("latin-1")  # whatever the bytes are, each is one character
    out: list[str] = []
    done = position = 0
    while (key := _keys(text, position)) is not None:
        backslashes, value = key[1], key.end()
        end, shown = value, ""
        if len(backslashes) in _LEVELS:
            end, shown = _shown(text, value, backslashes, _name(key[2]), keys)
        if end > value:
            out += (text[done:value], f'{backslashes}"{shown}{backslashes}"')
            done = end
        position = max(end, key.start() + len(backslashes) + 1)
    return "".join([*out, text[done:]]).encode("latin-1") if out else raw


def _shown(text: str, value: int, backslashes: str, name: str, keys: SecretKeys) -> tuple[int, str]:
    """Where the value that has to be taken ends, and what is shown instead of it; `value` if it stays."""
    if name in keys.whole or name.endswith(keys.endings):
        return _end_of_value(text, value, backslashes), _SHOWN
    if name == _URI:
        end = _end_of_text(text, value, backslashes)
        uri = _escaped_separators(lambda match: chr(int(match[1], 16)), text[value:end].strip('\\"'))
        shown = without_secret_parameters(uri)
        return (value if shown is uri else end), shown
    if name in keys.texts:
        return _end_of_text(text, value, backslashes), _SHOWN
    return value, ""


def _name(text: str) -> str:
    """A key without escapes, and without the backslashes of its closing quotes."""
    text = _escaped(lambda match: chr(int(match[1], 16)), text.rstrip("\\"))
    return text.encode("latin-1", "replace").decode("utf-8", "replace").replace("\\/", "/")


def _end_of_value(text: str, start: int, backslashes: str) -> int:
    """Where the value at `start` ends, whose quotes have these backslashes in front of them."""
    if text[start : start + 1] not in ("{", "["):
        return _end_of_text(text, start, backslashes) or _end_of_scalar(text, start)
    depth = 0
    inside = False
    for mark in _marks(text, start):
        if mark[1] is not None:
            inside ^= _is_bare(mark[1], backslashes)
        elif not inside:
            depth += 1 if mark[0] in "[{" else -1
            if depth == 0:
                return mark.end()
    return len(text)


def _end_of_scalar(text: str, start: int) -> int:
    match = _rest_of_scalar(text, start)
    return start if match is None else match.end()


def _end_of_text(text: str, start: int, backslashes: str) -> int:
    """Where the string at `start` ends; 0 if there is none."""
    if not text.startswith(f'{backslashes}"', start):
        return 0
    for mark in _quotes(text, start + len(backslashes) + 1):
        if _is_bare(mark[1], backslashes):
            return mark.end()
    return len(text)


def _is_bare(found: str, backslashes: str) -> bool:
    """Whether a quote with the backslashes `found` in front of it is one of a string whose own quotes have
    `backslashes`, and not part of its text: each backslash in the text takes twice as many, and is whole."""
    own = len(backslashes)
    return len(found) % (2 * (own + 1)) == own
