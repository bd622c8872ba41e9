"""Whatever an event holds, every field has a value of its type or none."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lanner.decode import decode
from lanner.event import MISSING, AuditEvent
from lanner.fields.catalog import Argument, BoundField, ValueType
from tests.fields.builders import CATALOG

POINTERS = (
    "",
    "/",
    "/user/groups/0",
    "/user/extra/a",
    "/requestObject/spec/containers/0/image",
    "/requestObject/0",
    "/responseObject/metadata/name",
    "/annotations/0",
    "/annotations/x",
    "/sourceIPs/1",
)
KEYS = {"ka.uri.param": ("a", ""), "ka.req.volume.hostpath": ("/x*", ""), "ka.req.binding.subject.has_name": ("x",)}


def all_fields() -> list[BoundField]:
    """Every field, with and without an index, with several keys."""
    found = []
    for field in CATALOG:
        match field.argument:
            case Argument.NONE:
                arguments: tuple[str | None, ...] = (None,)
            case Argument.OPTIONAL_INDEX:
                arguments = (None, "0", "3", "9" * 19)
            case Argument.KEY:
                arguments = KEYS.get(field.name, POINTERS)
        found += [CATALOG.bind(field.name, argument) for argument in arguments]
    return found


FIELDS = all_fields()

PATHS = [
    ("kind",),
    *((name,) for name in ("auditID", "stage", "verb", "requestURI", "userAgent", "sourceIPs", "annotations")),
    *(
        (name,)
        for name in ("user", "impersonatedUser", "objectRef", "responseStatus", "requestObject", "responseObject")
    ),
    *(("user", name) for name in ("username", "groups", "extra")),
    *(("objectRef", name) for name in ("resource", "namespace", "name", "subresource")),
    *(("responseStatus", name) for name in ("code", "reason")),
    ("responseObject", "metadata"),
    *(("requestObject", name) for name in ("metadata", "spec", "subjects", "roleRef", "rules", "data")),
    *(("requestObject", "spec", name) for name in ("containers", "volumes", "securityContext", "ports", "hostPID")),
    ("requestObject", "spec", "initContainers", 0, "securityContext"),
    *(
        ("requestObject", "spec", "containers", 0, name)
        for name in ("name", "image", "command", "ports", "securityContext")
    ),
    ("requestObject", "spec", "containers", 0, "securityContext", "capabilities"),
    ("requestObject", "spec", "volumes", 0),
    ("requestObject", "subjects", 0),
    ("requestObject", "rules", 0),
]

scalars = (
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5)
)
names = st.sampled_from(
    ["name", "kind", "namespace", "image", "add", "path", "verbs", "privileged", "runAsUser", "hostPort", "0"]
)
structures = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names | st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)


def model() -> dict[str, Any]:
    container = {
        "name": "c",
        "image": "i:1",
        "command": ["a", "b"],
        "ports": [{"containerPort": 1}],
        "securityContext": {"privileged": True, "runAsUser": 0, "capabilities": {"add": ["X"]}},
    }
    return {
        "kind": "Event",
        "auditID": "a",
        "stage": "ResponseComplete",
        "stageTimestamp": "2024-03-05T09:08:07Z",
        "verb": "create",
        "requestURI": "/x?a=1",
        "user": {"username": "ann", "groups": ["g"], "extra": {"a": ["b"]}},
        "impersonatedUser": {"username": "bob"},
        "sourceIPs": ["10.0.0.1"],
        "objectRef": {"resource": "pods", "namespace": "n", "name": "p", "subresource": ""},
        "responseStatus": {"code": 200, "reason": "ok"},
        "requestObject": {
            "metadata": {"labels": {"a": "b"}},
            "spec": {
                "containers": [container],
                "initContainers": [container],
                "volumes": [{"name": "v", "hostPath": {"path": "/x"}}],
                "securityContext": {"runAsUser": 1},
                "ports": [{"port": 1}],
            },
            "subjects": [{"kind": "User", "name": "x"}],
            "roleRef": {"name": "r"},
            "rules": [{"verbs": ["get"]}],
            "data": {"k": "v"},
        },
        "responseObject": {"metadata": {"name": "p"}},
        "annotations": {"x": "y"},
    }


def replaced(path: tuple[str | int, ...], value: Any) -> dict[str, Any]:
    document = model()
    place: Any = document
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = value
    return document


def check(event: AuditEvent) -> None:
    """Every field has a value of its type, or none."""
    for field in FIELDS:
        value = field.value(event)
        if value is MISSING:
            continue
        if field.definition.is_list:
            assert isinstance(value, list), field.text
            assert value, field.text
            assert all(type(text) is str and "\0" not in text for text in value), field.text
        elif field.definition.type is ValueType.STRING:
            assert type(value) is str, field.text
            assert "\0" not in value, field.text
        else:
            assert type(value) is (bool if field.definition.type is ValueType.BOOL else int), field.text


@pytest.mark.property
@given(path=st.sampled_from(PATHS), value=structures)
def test_any_structure_anywhere(path: tuple[str | int, ...], value: Any) -> None:
    """Any JSON value in place of any part of an event leaves every field with a value of its type or none."""
    for event in decode(json.dumps(replaced(path, value)).encode()).events:
        check(event)


DEEP = 10_000

DEEP_PLACES = [
    ("verb",),
    ("user", "groups"),
    ("annotations",),
    ("responseStatus", "code"),
    ("responseObject",),
    ("requestObject",),
    ("requestObject", "rules", 0),
    ("requestObject", "spec", "volumes"),
    ("requestObject", "spec", "containers", 0, "securityContext", "capabilities"),
]


@pytest.mark.parametrize("path", DEEP_PLACES, ids=lambda path: "/".join(map(str, path)))
@pytest.mark.parametrize(
    "nest",
    [
        pytest.param("[" * DEEP + "]" * DEEP, id="arrays"),
        pytest.param('{"spec":' * DEEP + "1" + "}" * DEEP, id="objects"),
        pytest.param('"\\ud800"', id="lone-surrogate"),
    ],
)
def test_deep_nesting_anywhere(path: tuple[str | int, ...], nest: str) -> None:
    """Ten thousand levels, or a text that is no Unicode, cost neither the event nor a field."""
    text = json.dumps(replaced(path, "@")).replace('"@"', nest)
    (event,) = decode(text.encode()).events
    check(event)


def test_raw_text_that_is_no_json() -> None:
    """An event made by hand with bodies that are no JSON still raises nothing."""
    event = AuditEvent(audit_id="a")
    event.place = b'{"a": [1'
    check(event)
