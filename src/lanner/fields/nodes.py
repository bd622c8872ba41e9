"""JSON text as a tree that is decoded only where somebody looks, and at most once per event.

In: the texts that an event carries (`raw`, `request_object`, `response_object`). Out: `Node`s. A node decodes its own
level when first asked for a member or an element and keeps what it found; the levels below stay text. Depth costs
nothing: nothing here recurses.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple, cast

from lanner.event import MISSING, AuditEvent
from lanner.jsontext.access import JSONError, JSONText, as_text, elements, is_array, is_object, is_string, members

DEEPEST_ARRAYS = 16
"""Arrays in arrays that count as one array. Kubernetes has none; opening 9,000 around a megabyte would take minutes."""


class Token(NamedTuple):
    """One step into a value: the key to take from an object, and the position to take from an array (None: none)."""

    key: str
    position: int | None = None


class Node:
    """One JSON value. Whatever its text holds, no method raises."""

    __slots__ = ("_elements", "_members", "is_array", "json")

    def __init__(self, json: JSONText) -> None:
        self.json = json
        self.is_array = is_array(json)
        self._members: dict[str, JSONText | Node] | None = None
        self._elements: list[Node] | None = None

    def member(self, key: str) -> Node | None:
        """The value of that key; None where there is none or the value is not an object."""
        table = self._members
        if table is None:
            table = self._members = self._read_members()
        found = table.get(key)
        if found is None or isinstance(found, Node):
            return found
        node = table[key] = Node(found)
        return node

    def at(self, token: Token) -> Node | None:
        """One step of a JSON pointer: a member of an object or an element of an array."""
        if token.position is not None and self.is_array:
            items = self.elements
            return items[token.position] if token.position < len(items) else None
        return self.member(token.key)

    @property
    def keys(self) -> Iterable[str]:
        """The keys of an object, in order; nothing for other values."""
        if self._members is None:
            self._members = self._read_members()
        return self._members.keys()

    @property
    def elements(self) -> list[Node]:
        """The elements of an array; nothing for other values."""
        if self._elements is None:
            self._elements = self._read_elements()
        return self._elements

    @property
    def is_object(self) -> bool:
        return is_object(self.json)

    @property
    def is_string(self) -> bool:
        return is_string(self.json)

    def is_literal(self, word: bytes) -> bool:
        """Whether the value is that JSON literal: `true`, `false` or `null`."""
        return memoryview(self.json)[: len(word) + 1] == word

    @property
    def text(self) -> str:
        """What rules see of the value, not cut at NUL: strings bare, everything else as compact JSON."""
        try:
            return as_text(self.json)
        except JSONError:
            return bytes(self.json).decode("utf-8", "replace")

    def _read_members(self) -> dict[str, JSONText | Node]:
        try:
            table = members(self.json)
        except JSONError:
            table = None
        # Nobody else holds the table: it may take the nodes made from its texts.
        return {} if table is None else cast("dict[str, JSONText | Node]", table)

    def _read_elements(self) -> list[Node]:
        try:
            return [Node(element) for element in elements(self.json) or ()]
        except JSONError:
            return []


def document(event: AuditEvent) -> Node | None:
    """The whole event."""
    state = event.__dict__
    node: Node | None = state.get("document_node")
    if node is None and "raw" in state:
        node = state["document_node"] = Node(event.raw)
    return node


def request(event: AuditEvent) -> Node | None:
    """The body of the request, None where the event has none (a JSON null is a body)."""
    state = event.__dict__
    node: Node | None = state.get("request_node")
    if node is None and event.request_object is not MISSING:
        node = state["request_node"] = Node(event.request_object)
    return node


def response(event: AuditEvent) -> Node | None:
    """The body of the response, None where the event has none."""
    state = event.__dict__
    node: Node | None = state.get("response_node")
    if node is None and event.response_object is not MISSING:
        node = state["response_node"] = Node(event.response_object)
    return node


def collect(root: Node | None, keys: tuple[str, ...], index: int | None = None) -> list[Node | None] | None:
    """The values at a path that leads through arrays.

    Without an index, an array met before the last key stands for all its elements, those of arrays in it included,
    and each element that lacks the rest of the path counts as None; with an index, it stands for that element. An empty
    key asks for the value itself, which only opens an array. None: not even one value can be there, because a key is
    missing before any array, or the index lies behind an array's end.
    """
    if index is not None:
        return _collect_one(root, keys, index)
    node = root
    for depth, key in enumerate(keys):
        if node is None:
            return None
        if node.is_array:
            return _collect_all(node, keys[depth:])
        if key:
            node = node.member(key)
    return None if node is None else [node]


def _collect_all(array: Node, keys: tuple[str, ...]) -> list[Node | None]:
    found: list[Node | None] = [array]
    for key in keys:
        found = _open_arrays(found)
        if key:
            found = [None if node is None else node.member(key) for node in found]
    return found


def _collect_one(root: Node | None, keys: tuple[str, ...], index: int) -> list[Node | None] | None:
    node = root
    for key in keys:
        if node is None:
            return None
        if node.is_array:
            items = node.elements
            if index >= len(items):
                return None
            node = items[index]
        if key:
            node = node.member(key)
    return None if node is None else [node]


def _open_arrays(nodes: list[Node | None]) -> list[Node | None]:
    """Each array replaced by its elements, and arrays among those by theirs; in order."""
    for _ in range(DEEPEST_ARRAYS):
        if not any(node.is_array for node in nodes if node is not None):
            return nodes
        opened: list[Node | None] = []
        for node in nodes:
            if node is not None and node.is_array:
                opened += node.elements
            else:
                opened.append(node)
        nodes = opened
    return [None if node is not None and node.is_array else node for node in nodes]
