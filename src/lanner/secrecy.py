"""What may be shown of texts that hold secrets: URLs without credentials, settings with the values masked.

`safe_url` is for a URL alone, `masked` for a text around one, such as a log line. `secret_stretches` is for text that
has to keep its columns, such as the line of a file below an error.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

MASK = "***"

_SECRET_KEY = re.compile(r"(?i)token|passw(?:or)?d|passphrase|secret|credential|api[-_]?key|private[-_]?key")
_NAMES_A_FILE = re.compile(r"(?i)(?:file|path|dir|folder)\Z")

_USER_INFO = re.compile(r"://([^\s\"'`]*)@")
_QUERY = re.compile(r"://[^\s\"'`?]*\?([^\s\"'`]+)")
_ASSIGNED = re.compile(r"([A-Za-z_][\w-]*)[\"']?[ \t]*[:=][ \t]*")
_LINE = re.compile(r"[^\r\n]*")


def safe_url(url: str) -> str:
    """`scheme://host:port/path`: without user, password, query and fragment.

    A password may hold what should have been escaped, so the last `@` counts. Where it cannot be told whether a `@`
    ends a password or stands in the query, nothing but the scheme is left.
    """
    scheme, colon, rest = url.partition("://")
    if not colon:
        scheme, rest = "", url
    head = re.split(r"[?#]", rest, maxsplit=1)[0]
    if "@" in rest[len(head) :]:
        return f"{scheme}{colon}..."
    return f"{scheme}{colon}{head.rpartition('@')[2]}"


def is_secret_key(key: str) -> bool:
    """Whether a setting of that name holds a secret itself, rather than the name of a file with one."""
    return bool(_SECRET_KEY.search(key)) and not _NAMES_A_FILE.search(key)


def url_stretches(text: str) -> Iterator[tuple[int, int]]:
    """(start, end) of user, password and query of every URL in a text."""
    for pattern in (_USER_INFO, _QUERY):
        for match in pattern.finditer(text):
            yield match.span(1)


def secret_stretches(text: str) -> Iterator[tuple[int, int]]:
    """The same, and what follows a key of a secret: to the end of its line, and all lines indented more than that.

    For text that cannot be parsed, so it hides rather too much.
    """
    yield from url_stretches(text)
    for match in _ASSIGNED.finditer(text):
        if is_secret_key(match[1]):
            end = _LINE.match(text, match.end()).end()  # type: ignore[union-attr] # it matches anywhere
            yield match.end(), _below(text, _indentation(text, match.start()), end)


def masked(text: str) -> str:
    """The text with every secret that can be recognised in it replaced."""
    return _replaced(text, secret_stretches(text))


def masked_urls(text: str) -> str:
    """The text with user, password and query of every URL in it replaced."""
    return _replaced(text, url_stretches(text)) if "://" in text else text


def _replaced(text: str, stretches: Iterator[tuple[int, int]]) -> str:
    done = 0
    pieces: list[str] = []
    for start, end in sorted(stretches):
        if end <= done:
            continue
        pieces += [text[done : max(start, done)], MASK]
        done = end
    return "".join([*pieces, text[done:]])


def _indentation(text: str, offset: int) -> int:
    line = text[text.rfind("\n", 0, offset) + 1 : offset]
    return len(line) - len(line.lstrip(" -"))


def _below(text: str, indentation: int, end: int) -> int:
    """The end of the lines after `end` that are blank or indented more."""
    while end < len(text):
        start = end + (2 if text.startswith("\r\n", end) else 1)
        line_end = _LINE.match(text, start).end()  # type: ignore[union-attr] # it matches anywhere
        line = text[start:line_end]
        if line.strip() and len(line) - len(line.lstrip(" \t")) <= indentation and not line.startswith("\t"):
            break
        if start >= len(text):
            break
        end = line_end
    return end
