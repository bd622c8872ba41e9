"""JSON text as a tree that is decoded only where somebody looks, and at most once per event.

In: the texts that an event carries (`raw`, `request_object`, `response_object`). Out: `Node`s. A node decodes its own
level when first asked for a member or an element and keeps what it found; the levels below stay text, and a value that
nobody looks into never becomes a node. Depth costs nothing: nothing here recurses.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from lanner.event import MISSING, AuditEvent, Missing
from lanner.jsontext.access import JSONError, JSONText, as_text, elements, is_array, is_object, is_string, members

DEEPEST_ARRAYS = 16
"""Arrays in arrays that count as one array. Kubernetes has none; opening 9,000 around a megabyte would take minutes."""


class Token(NamedTuple):
    """One step into a value: the key to take from an object, and the position to take from an array (None: none)."""

    key: str
    position: int | None = None


class Node:
    """One JSON value. Whatever its text holds, no method raises."""

    __slots__ = ("_children", "_elements", "_members", "is_array", "json")

    def __init__(self, json: JSONText) -> None:
        self.json = json
        self.is_array = is_array(json)
        self._members: Mapping[str, JSONText] | None = None
        self._children: dict[str, Node] | None = None
        self._elements: list[Node] | None = None

    @property
    def members(self) -> Mapping[str, JSONText]:
        """The texts of an object's values by key, in order; nothing for other values."""
        if self._members is None:
            self._members = self._read_members()
        return self._members

    def member(self, key: str) -> JSONText | Missing:
        """The text of that key's value; MISSING where there is none or the value is not an object."""
        table = self._members
        if table is None:
            table = self._members = self._read_members()
        return table.get(key, MISSING)

    def child(self, key: str) -> Node | None:
        """That key's value, to be looked into; None where there is none or the value is not an object."""
        children = self._children
        if children is None:
            children = self._children = {}
        node = children.get(key)
        if node is None:
            json = self.member(key)
            if json is not MISSING:
                node = children[key] = Node(json)
        return node

    def at(self, token: Token) -> Node | None:
        """One step of a JSON pointer: a member of an object or an element of an array."""
        if token.position is not None and self.is_array:
            items = self.elements
            return items[token.position] if token.position < len(items) else None
        return self.child(token.key)

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

    @property
    def text(self) -> str:
        """What rules see of the value, not cut at NUL: strings bare, everything else as compact JSON."""
        return as_text(self.json)

    def _read_members(self) -> Mapping[str, JSONText]:
        try:
            return {} if self.is_array else members(self.json) or {}
        except JSONError:
            return {}

    def _read_elements(self) -> list[Node]:
        try:
            return [Node(element) for element in elements(self.json) or ()]
        except JSONError:
            return []


def document(event: AuditEvent) -> Node | None:
    """The whole event."""
    state = event.__dict__
    node: Node | None = state.get("document_node")
    if node is None and event.place:
        node = state["document_node"] = Node(event.place)
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


def collect(root: Node | None, keys: tuple[str, ...], index: int | None = None) -> list[JSONText | Missing] | None:
    """The texts of the values at a path that leads through arrays.

    Without an index, an array met before the last key stands for all its elements, those of arrays in it included,
    and an element that lacks the rest of the path counts as MISSING; with an index, it stands for that element. An
    empty last key asks for the values before it, of which only arrays are opened. None: not even one value can be
    there, because a key is missing before any array, or the index lies behind an array's end.
    """
    owners = _reach(root, keys[:-1], index)
    if owners is None:
        return None
    last = keys[-1]
    if isinstance(owners, Node):
        value = owners.member(last) if last else owners.json
        return None if value is MISSING else [value]
    if last:
        return [MISSING if owner is None else owner.member(last) for owner in owners]
    return [MISSING if owner is None else owner.json for owner in owners]


def opened(root: Node | None, keys: tuple[str, ...], index: int | None = None) -> list[Node | None] | None:
    """What `collect` gives for those keys and an empty one, to be looked into."""
    found = _reach(root, keys, index)
    return [found] if isinstance(found, Node) else found


def _reach(root: Node | None, keys: tuple[str, ...], index: int | None) -> Node | list[Node | None] | None:
    """A single node where no array was met or the index has picked one element of each."""
    if index is not None:
        return _reach_one(root, keys, index)
    node = root
    for depth, key in enumerate(keys):
        if node is None:
            return None
        if node.is_array:
            return _reach_all(node, keys[depth:])
        node = node.child(key)
    return _reach_all(node, ()) if node is not None and node.is_array else node


def _reach_all(array: Node, keys: tuple[str, ...]) -> list[Node | None]:
    found = _open_arrays([array])
    for key in keys:
        found = _open_arrays([None if node is None else node.child(key) for node in found])
    return found


def _reach_one(root: Node | None, keys: tuple[str, ...], index: int) -> Node | None:
    node = _pick(root, index)
    for key in keys:
        if node is None:
            return None
        node = _pick(node.child(key), index)
    return node


def _pick(node: Node | None, index: int) -> Node | None:
    """Of an array that element, if it is there; any other value itself."""
    if node is None or not node.is_array:
        return node
    items = node.elements
    return items[index] if index < len(items) else None


def _open_arrays(nodes: list[Node | None]) -> list[Node | None]:
    """Each array replaced by its elements, and arrays among those by theirs; in order."""
    for _ in range(DEEPEST_ARRAYS):
        for node in nodes:
            if node is not None and node.is_array:
                break
        else:
            return nodes
        opened: list[Node | None] = []
        for node in nodes:
            if node is not None and node.is_array:
                opened += node.elements
            else:
                opened.append(node)
        nodes = opened
    return [None if node is not None and node.is_array else node for node in nodes]
