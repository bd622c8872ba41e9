"""Which of the words that rules look for a body mentions: one fast scan of its text for all rules.

Values of bodies are long at times: a ConfigMap's data, a list of objects. To find, read and decode them takes ten times
as long as Hyperscan takes to look for thousands of words in the text of the whole body, and most bodies have none.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from itertools import count

import hyperscan
from msgspec import Raw

from lanner.event import MISSING, AuditEvent, Missing, Path
from lanner.fields.catalog import BoundField, FieldDef, Getter
from lanner.fields.nodes import request, response
from lanner.fields.paths import Pointer, RequestValue

MAX_WORDS = 10_000
"""Words that are looked for in a body; Hyperscan takes 0.2 s to prepare for so many, and 20 times that for 10 times. It
does so at the first event with such a body."""

MAX_LENGTH = 64
"""Characters that are looked for of a longer word."""

_TAIL = 8
"""Characters at the end in which words differ. Where a text has the end of some, Hyperscan compares it with each of
them: a body full of it would take a thousand times as long as others. So of a word that ends like another a part is
looked for that ends otherwise."""

_SHORTEST = 3
_WORD = re.compile(r"(?:[A-Za-z0-9_ .=@+/-]|:(?=/)){3,}")
"""Words, of at least so many letters, that JSON spells as they are and that cannot stand across the end of a token."""

_ESCAPE = rb"\\(?:/|u00(?:2[0-57-9A-Fa-f]|3[0-9ABDFabdf]|[4-7][0-9A-Fa-f]))"
"""Other spellings of such letters. API servers spell `<`, `>` and `&` so, and nothing else of ASCII that is printed."""

_IGNORING_CASE = "(?i)"
_numbers = count()


class BodyMentions:
    """A getter: which of its words the text of a body mentions. A word that is not among them is in no value of it.

    An object or array shows in rules as it is spelled in the body, so a word that stands there stands in the body; so
    do the letters of strings, unless they are escapes. A body with such escapes may mention all words.

    Not for several threads at once.
    """

    def __init__(self, attribute: str) -> None:
        self.path: Path = (attribute,)
        self._attribute = attribute
        self._words: dict[str, None] = {}
        self._tails: set[str] = set()
        self._found: list[int] = []
        self._scan: Callable[[Raw], object] | None = None
        self._scanned: tuple[str, ...] = ()
        self._key = f"mentions {next(_numbers)}"

    def __repr__(self) -> str:
        return f"<the words that {self._attribute} mentions, of {len(self._words)}>"

    def add(self, word: str, *, ignore_case: bool) -> str | None:
        """Look for a word, too, or for a part of it: the name of what is looked for. None if there is no such part."""
        prefix = _IGNORING_CASE if ignore_case else ""
        for end in range(len(word), _SHORTEST - 1, -1):
            part = word[max(0, end - MAX_LENGTH) : end]
            name = prefix + part
            if name in self._words:
                return name
            tail = prefix + part[-_TAIL:].lower()
            if tail not in self._tails and len(self._words) < MAX_WORDS and _WORD.fullmatch(part):
                self._tails.add(tail)
                self._words[name] = None
                self._scan = None
                return name
        return None

    def __call__(self, event: AuditEvent) -> list[str] | Missing:
        state = event.__dict__
        found: list[str] | Missing | None = state.get(self._key)
        if found is None:
            body: Raw | Missing = getattr(event, self._attribute)
            found = state[self._key] = MISSING if body is MISSING else self._mentioned(body)
        return found

    def _mentioned(self, body: Raw) -> list[str] | Missing:
        scan = self._scan or self._prepared()
        self._found.clear()
        scan(body)
        if not self._found:
            return MISSING
        words = self._scanned
        return list(words) if len(words) in self._found else [words[number] for number in self._found]

    def _prepared(self) -> Callable[[Raw], object]:
        """What looks for all words so far, and as the last one for escapes."""
        self._scanned = tuple(self._words)
        expressions = [*map(_expression, self._scanned), _ESCAPE]
        database = hyperscan.Database(mode=hyperscan.HS_MODE_BLOCK)
        database.compile(
            expressions=expressions,
            ids=list(range(len(expressions))),
            flags=[hyperscan.HS_FLAG_SINGLEMATCH] * len(expressions),
        )
        found = self._found

        def note(number: int, start: int, end: int, flags: int, context: object) -> None:
            found.append(number)

        def scan(body: Raw) -> None:
            database.scan(body, note)

        self._scan = scan
        return scan


def _expression(word: str) -> bytes:
    prefix = _IGNORING_CASE if word.startswith(_IGNORING_CASE) else ""
    return (prefix + re.escape(word.removeprefix(prefix))).encode()


class Mentions:
    """The scans of request and response for one set of rules."""

    def __init__(self) -> None:
        self._fields = {root: _field(BodyMentions(attribute)) for root, attribute in _BODIES.items()}

    def of(self, getter: Getter, operator: str, word: str) -> tuple[BoundField, str] | None:
        """What tells beforehand whether a value may contain a word: the field and what has to be among its values.

        None for operators, values and words of which a scan tells nothing.
        """
        match getter:
            case Pointer(root=root) | RequestValue(pointer=Pointer(root=root)):
                field = self._fields.get(root)
            case _:
                return None
        if field is None or operator not in ("contains", "icontains") or _WORD.fullmatch(word) is None:
            return None
        assert isinstance(field.getter, BodyMentions)
        name = field.getter.add(word, ignore_case=operator == "icontains")
        return None if name is None else (field, name)


def _field(getter: BodyMentions) -> BoundField:
    """A field that is in no catalog: conditions cannot name it."""
    description = "The words that the text of a body mentions, of those that rules look for."
    return BoundField(FieldDef("mentions", description, lambda _: getter, is_list=True), None, getter)


_BODIES: dict[object, str] = {request: "request_object", response: "response_object"}
