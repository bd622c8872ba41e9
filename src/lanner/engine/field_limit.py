"""Bounds what one value of an event may add to an alert.

In: the value of a field, as rules see it. Out: the same value, or its beginning with a mark that states its full size.
Conditions never come here: they see the whole value.

With a limit of 8 bytes:

    "abcdefghijkl"          -> "abcdefgh[cut: 12 bytes in all]"
    ["abcd", "efgh", "ij"]  -> ["abcd", "[cut: 3 items in all]"]
"""

from __future__ import annotations

from collections.abc import Sequence

_ITEM_BYTES = 3
"""What an item of a list adds besides its text: quotes and a comma in JSON."""

_MAX_CHARACTER_BYTES = 4
"""Bytes of a character in UTF-8, at most."""


class FieldLimit:
    """The bound on one text, and on all texts of one list together, in bytes of UTF-8; marks come on top."""

    __slots__ = ("free_characters", "max_bytes")

    def __init__(self, max_bytes: int) -> None:
        self.max_bytes = max_bytes
        self.free_characters = max_bytes // _MAX_CHARACTER_BYTES
        """A text of so many characters is within the limit, whatever they are."""

    def value(self, value: object) -> object:
        """The value of a field, bounded; numbers, booleans and missing values as they are."""
        if value.__class__ is str:
            return value if len(value) <= self.free_characters else self.text(value)
        if value.__class__ is list:
            items: Sequence[str] = value
            free = sum(map(len, items)) + _ITEM_BYTES * len(items) <= self.free_characters
            return items if free else self.texts(items)
        return value

    def text(self, text: str) -> str:
        """The text, or its first `max_bytes` bytes (fewer, where a character would be cut through) and a mark."""
        if len(text) <= self.free_characters:
            return text
        size = len(text) if text.isascii() else len(text.encode(errors="surrogatepass"))
        if size <= self.max_bytes:
            return text
        head = text[: self.max_bytes].encode(errors="surrogatepass")[: self.max_bytes].decode(errors="ignore")
        return f"{head}[cut: {size:,} bytes in all]"

    def texts(self, texts: Sequence[str]) -> list[str]:
        """The first of the texts that fit into the limit together, at least one, and a mark if that is not all."""
        found: list[str] = []
        left = self.max_bytes
        for text in texts:
            bounded = self.text(text)
            left -= len(bounded.encode(errors="surrogatepass")) + _ITEM_BYTES
            if left < 0 and found:
                return [*found, f"[cut: {len(texts):,} items in all]"]
            found.append(bounded)
        return found
