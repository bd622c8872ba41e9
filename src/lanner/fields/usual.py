"""Request bodies of the usual form: one pass over the text for all the places in them that fields read most.

A body has the usual form if msgspec reads it and if what leads to these places is of the types that Kubernetes writes;
what stands at them may be anything. Any other body (a JSON patch, null instead of an object, a lone surrogate) is read
level by level by nodes.py, which says the same of usual ones, at three times the cost.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from operator import attrgetter
from types import GenericAlias
from typing import Any, NamedTuple, TypeAlias

import msgspec
from msgspec import Raw, Struct, UnsetType, defstruct, structs

from lanner.event import MISSING, AuditEvent, Missing
from lanner.fields.nodes import collect, request
from lanner.jsontext.access import REFUSED, JSONText

Keys: TypeAlias = tuple[str, ...]


def _object(*values: str, **parts: Any) -> type[Struct]:
    """Objects with those values of any type, and with those parts. An object that is not there is an empty one; an
    array may be null, as Go writes those that are not there."""
    fields: list[tuple[str, Any, Any]] = [(name, Raw | UnsetType, MISSING) for name in values]
    for name, kind in parts.items():
        fields.append((name, kind | None, None) if isinstance(kind, GenericAlias) else (name, kind, kind()))
    return defstruct("Object", fields, frozen=True, gc=False)


def _array(items: type[Struct]) -> Any:
    return GenericAlias(list, (items,))


_CONTAINERS = _array(
    _object(
        "name",
        "image",
        "command",
        "args",
        "ports",
        securityContext=_object(
            "privileged",
            "allowPrivilegeEscalation",
            "readOnlyRootFilesystem",
            "runAsUser",
            "runAsGroup",
            "procMount",
            capabilities=_object("add"),
        ),
    )
)
_SPEC = _object(
    "type",
    "hostIPC",
    "hostNetwork",
    "hostPID",
    securityContext=_object("runAsUser", "runAsGroup", "fsGroup"),
    containers=_CONTAINERS,
    initContainers=_CONTAINERS,
    ephemeralContainers=_CONTAINERS,
    volumes=_array(_object(hostPath=_object("path"), flexVolume=_object("driver"))),
)
_BODY = _object(
    "data",
    spec=_SPEC,
    roleRef=_object("name"),
    rules=_array(_object("apiGroups", "nonResourceURLs", "verbs", "resources")),
)

_decode = msgspec.json.Decoder(_BODY).decode


class _Reader(NamedTuple):
    """How to read the values at one place: straight from a body, or from each element of an array in it."""

    array: Callable[[Struct], Any] | None
    value: Callable[[Struct], Any]


def _readers(kind: type[Struct], before: str = "", array: attrgetter[Any] | None = None) -> dict[Keys, _Reader]:
    """The readers of all values in such objects by the keys that lead to them."""
    found: dict[Keys, _Reader] = {}
    for field in structs.fields(kind):
        name = before + field.name
        if isinstance(field.default, Struct):
            below = _readers(type(field.default), f"{name}.", array)
        elif isinstance(part := field.type.__args__[0], GenericAlias):
            below = _readers(part.__args__[0], "", attrgetter(name))
        else:
            below = {(): _Reader(array, attrgetter(name))}
        found |= {(field.name, *keys): reader for keys, reader in below.items()}
    return found


_READERS = _readers(_BODY)
SINGLE = frozenset(keys for keys, reader in _READERS.items() if reader.array is None)
"""The places that `value` knows."""


def value(event: AuditEvent, keys: Keys) -> JSONText | Missing | None:
    """The text of the request body's value at one of the SINGLE places; None if the body has no usual form."""
    body = _body(event)
    if body is None:
        return None
    found: JSONText | Missing = _READERS[keys].value(body)
    return found


def values(event: AuditEvent, keys: Keys, index: int | None = None) -> list[JSONText | Missing] | None:
    """What `collect` gives for the request body of the event."""
    reader = _READERS.get(keys)
    body = None if reader is None else _body(event)
    if reader is None or body is None:
        return collect(request(event), keys, index)
    array, read = reader
    if array is None:
        found = read(body)
        return None if found is MISSING else [found]
    items = array(body)
    if items is None:
        return None
    if index is None:
        return [read(item) for item in items]
    found = read(items[index]) if index < len(items) else MISSING
    return None if found is MISSING else [found]


def _body(event: AuditEvent) -> Struct | None:
    """The body of the request; None if there is none or it has no usual form."""
    state = event.__dict__
    found: Struct | None = state.get("request_body")
    if found is None and "request_body" not in state:
        with suppress(*REFUSED):
            found = None if event.request_object is MISSING else _decode(event.request_object)
        state["request_body"] = found
    return found
