"""Which attributes of an event a field is read from, so that decoding may leave out the others.

Everything else that getters look at, the text of the event and what the engine has counted, every event has.
"""

from __future__ import annotations

from lanner.event import Path
from lanner.fields import bodies
from lanner.fields.catalog import BoundField
from lanner.fields.json import RawTime, WholeEvent
from lanner.fields.k8s_audit import TargetPodName
from lanner.fields.mentions import BodyMentions
from lanner.fields.nodes import document, request, response
from lanner.fields.paths import Annotation, Attribute, Pointer, RequestValue, TextList
from lanner.fields.query import QueryParameter

REQUEST: Path = ("request_object",)
RESPONSE: Path = ("response_object",)

_ROOTS: dict[object, frozenset[Path]] = {
    document: frozenset(),
    request: frozenset((REQUEST,)),
    response: frozenset((RESPONSE,)),
}
_FROM_REQUESTS = (
    RequestValue,
    bodies.AnyTrue,
    bodies.CommandLines,
    bodies.Complete,
    bodies.EffectiveIds,
    bodies.Elements,
    bodies.FirstOf,
    bodies.Flattened,
    bodies.HasSubject,
    bodies.HostPorts,
    bodies.MountsHostPath,
    bodies.Present,
    bodies.Repositories,
    bodies.SubjectNames,
    bodies.VolumeTypes,
)
_OF_EVERY_EVENT = ("evt.", "static.")
"""Beginnings of the names of fields that are read from what every event has."""


def attributes_of(field: BoundField) -> frozenset[Path] | None:
    """The attributes, besides those of `event.ALWAYS`; None where that is not known: it may be any."""
    match field.getter:
        case Attribute(path) | TextList(path) | BodyMentions(path=path):
            return frozenset((path,))
        case Annotation(key):
            return frozenset((("annotations", key),))
        case QueryParameter():
            return frozenset((("request_uri",),))
        case Pointer(root):
            return _ROOTS.get(root)
        case TargetPodName():
            return frozenset((("object_ref", "resource"), ("object_ref", "subresource"), RESPONSE))
        case RawTime() | WholeEvent():
            return frozenset()
        case getter if isinstance(getter, _FROM_REQUESTS):
            return _ROOTS[request]
        case _:
            return frozenset() if field.definition.name.startswith(_OF_EVERY_EVENT) else None
