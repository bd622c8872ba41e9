"""The tokens of the condition language, and a cursor over a text.

There is no token stream: which token a character belongs to depends on what is expected there (`in` is a macro name
where a check may stand, an operator behind a field, a value behind `=`). So a token is a compiled pattern, and the
parser asks the cursor for the one it expects. In: a `Text`. Out: matched strings and offsets into the text's value.

Behaviour: Falco engine 0.63 (libs `filter/parser.cpp` and `filter/escaping.cpp`). Two sets of blanks differ there and
so do they here: between tokens a backspace is a blank and a form feed is not; behind `not`, and at the end of a bare
word, it is the other way round.

Every pattern takes time linear in what it reads.
"""

from __future__ import annotations

import re

from lanner.condition.operators import MODIFIERS, OPERATORS, TRANSFORMERS, VAL, Operands
from lanner.diagnostics.source import Span, Text

_BLANKS = r" \t\x08\r\n"
_SPACES = r" \t\n\v\f\r"

BLANK = re.compile(f"[{_BLANKS}]*+")
NOTS = re.compile(f"(?:not[{_SPACES}]++)*+")
IDENTIFIER = re.compile(r"[a-zA-Z][a-zA-Z0-9_]*+")
FIELD_NAME = re.compile(r"[a-zA-Z][a-zA-Z0-9_]*+(?:\.[a-zA-Z][a-zA-Z0-9_]*+)++")
BARE_ARGUMENT = re.compile(rf"[^\]\[\"'\x00{_SPACES}]++")
BARE_WORD = re.compile(rf"[^()\"'=,\x00{_SPACES}]++")
NUMBER = re.compile(r"0[xX][0-9a-fA-F]++|[+-]?[0-9]++\.?[0-9]*+(?:[eE][+-][0-9]++)?")
QUOTED = re.compile(
    r""""([^"\\\x00]*+(?:\\[^\x00][^"\\\x00]*+)*+)"|'([^'\\\x00]*+(?:\\[^\x00][^'\\\x00]*+)*+)'""", re.S
)
CALL = re.compile(f"({'|'.join(TRANSFORMERS)})\\(")
CALL_OR_VAL = re.compile(f"({'|'.join(TRANSFORMERS)}|{VAL})\\(")
MODIFIER = re.compile(f"({'|'.join(MODIFIERS)})(?=[{_BLANKS}(])")


def _operator_pattern() -> re.Pattern[str]:
    def spelling(name: str, right: Operands) -> str:
        if name == "=":
            return "==?"
        return f"{name}(?=[{_BLANKS}])" if name.isalpha() and right is Operands.STRING else name

    return re.compile("|".join(spelling(operator.name, operator.right) for operator in OPERATORS.values()))


OPERATOR = _operator_pattern()

# What a reader takes for one word, for messages: a quoted string, a run of letters and the like, a run of signs, or
# any other character.
_WORD = re.compile(rf"{QUOTED.pattern}|[^()\[\]\"',=<>!&|\x00{_SPACES}]++|[=<>!&|]++|.", re.S)
_LONGEST_QUOTE = 40

_ESCAPE = re.compile(r"(?:\\x[0-9a-fA-F]{2})++|\\.", re.S)
_ESCAPED = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "\\": "\\", "/": "/", " ": "\\"}


class ConditionError(Exception):
    """The first problem of a condition: what (`message`), where exactly (`span`), and the way out (`help`)."""

    def __init__(self, message: str, span: Span, help: str) -> None:
        super().__init__(message)
        self.message = message
        self.span = span
        self.help = help


class Cursor:
    """A position in a text. `position` counts characters of `value`; `text.span` turns them into places of a file."""

    __slots__ = ("position", "text", "value")

    def __init__(self, text: Text, position: int = 0) -> None:
        self.text = text
        self.value = text.value
        self.position = position

    def skip_blank(self) -> bool:
        """Go past blanks; tell whether there were any."""
        match = BLANK.match(self.value, self.position)
        end = match.end() if match else self.position
        found = end > self.position
        self.position = end
        return found

    def take(self, word: str) -> bool:
        """Go past `word` if the text goes on with it, whatever follows it."""
        if self.value.startswith(word, self.position):
            self.position += len(word)
            return True
        return False

    def match(self, pattern: re.Pattern[str]) -> re.Match[str] | None:
        """Go past a token if it is here."""
        match = pattern.match(self.value, self.position)
        if match:
            self.position = match.end()
        return match

    def at_quote(self) -> bool:
        return self.value.startswith(('"', "'"), self.position)

    def quoted(self) -> str:
        """Read a quoted string, decoded. The cursor must stand on its opening quote."""
        start = self.position
        match = self.match(QUOTED)
        if match is None:
            quote = self.value[start]
            nul = self.value.find("\0", start)
            if nul >= 0:
                raise self.error("a value cannot hold a NUL character", nul, nul + 1, "Remove the character.")
            raise self.error(
                f"the quote `{quote}` is never closed",
                start,
                start + 1,
                f"Add a closing {quote} behind the value; write \\{quote} for the quote itself.",
            )
        body = match[1] if match[1] is not None else match[2]
        return self._unescape(body, start + 1) if "\\" in body else body

    def _unescape(self, body: str, offset: int) -> str:
        quote = self.value[offset - 1]

        def decode(match: re.Match[str]) -> str:
            escape = match[0]
            if len(escape) > 2:
                raw = bytes.fromhex(escape.replace("\\x", ""))
                if 0 in raw:
                    start = offset + match.start() + 4 * raw.index(0)
                    raise self.error("a value cannot hold a NUL character", start, start + 4, "Remove the escape.")
                # Events show invalid UTF-8 as U+FFFD, so a value that spells invalid UTF-8 does the same.
                return raw.decode("utf-8", "replace")
            letter = escape[1]
            if letter == quote:
                return letter
            decoded = _ESCAPED.get(letter)
            if decoded is not None:
                return decoded
            start = offset + match.start()
            raise self._bad_escape(start, letter, quote)

        return _ESCAPE.sub(decode, body)

    def _bad_escape(self, start: int, letter: str, quote: str) -> ConditionError:
        if letter == "x":
            end = start + 2
            while end < start + 4 and self.value[end] in "0123456789abcdefABCDEF":
                end += 1
            return self.error(
                f"`{self.value[start:end]}` is not a complete escape",
                start,
                end,
                "Write two hex digits, as in \\x41, or \\\\x for a backslash and an x.",
            )
        if letter in "\"'":
            return self.error(
                f"`\\{letter}` may not stand between {quote} quotes",
                start,
                start + 2,
                f"Write {letter} without a backslash.",
            )
        return self.error(
            f"unknown escape `\\{letter}`",
            start,
            start + 2,
            f"Write \\\\{letter} for a backslash and what follows it; known escapes are "
            "\\b \\f \\n \\r \\t \\\\ \\/ \\xHH and the quote.",
        )

    def word_end(self, start: int) -> int:
        """Where the word that begins at `start` ends, as a reader would see it."""
        match = _WORD.match(self.value, start)
        return match.end() if match else start

    def shown(self, start: int, end: int) -> str:
        """A stretch of the text as messages quote it: in backticks, shortened if long, unprintables escaped."""
        found = self.value[start : min(end, start + _LONGEST_QUOTE)]
        if not found.isprintable():
            found = found.encode("unicode_escape").decode("ascii")
        return f"`{found}`" if end - start <= _LONGEST_QUOTE else f"`{found}...`"

    def last(self) -> int:
        """Where the text ends but for blanks: the place to point at when something is missing there."""
        return len(self.value.rstrip(" \t\b\r\n"))

    def error(self, message: str, start: int, end: int, help: str) -> ConditionError:
        return ConditionError(message, self.text.span(start, end), help)

    def expected(self, what: str, help: str) -> ConditionError:
        """Something else than `what` is here, or the end."""
        start = self.position
        if start >= len(self.value):
            last = self.last()
            return self.error(f"expected {what}, found the end", last, last, help)
        end = self.word_end(start)
        return self.error(f"expected {what}, found {self.shown(start, end)}", start, end, help)

    def unexpected(self, help: str) -> ConditionError:
        """The word here may not follow what was read."""
        end = self.word_end(self.position)
        return self.error(f"unexpected {self.shown(self.position, end)}", self.position, end, help)
