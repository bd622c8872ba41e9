"""Fields that read an event outside its bodies, and JSON pointers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from lanner.event import AuditEvent
from lanner.fields.json import DEEPEST_INDENT, indented
from lanner.fields.nodes import Token, document, request, response
from lanner.fields.paths import Annotation, Attribute, Pointer, pointer
from tests.fields.builders import Found

Read = Callable[..., Found]

EVENT: dict[str, Any] = {
    "level": "RequestResponse",
    "stage": "ResponseComplete",
    "verb": "create",
    "requestURI": "/api/v1/namespaces/shop/pods?dryRun=All",
    "userAgent": "kubectl/v1.30",
    "user": {"username": "ann", "uid": "7", "groups": ["dev", "ops"], "extra": {"a/b": ["1"]}},
    "impersonatedUser": {"username": "root"},
    "sourceIPs": ["10.0.0.1", "10.0.0.2"],
    "objectRef": {"resource": "pods", "namespace": "shop", "name": "web", "apiGroup": ""},
    "responseStatus": {"code": 201, "reason": "Created", "metadata": {}},
    "requestObject": {"kind": "Pod", "metadata": {"labels": {"app": "web"}}, "list": [[1, {"k": "v"}], "x"]},
    "responseObject": {"metadata": {"name": "web-1"}},
    "annotations": {
        "authorization.k8s.io/decision": "allow",
        "authorization.k8s.io/reason": "",
        "authentication.openshift.io/decision": "deny",
        "authentication.openshift.io/username": "kim",
        "pod-security.kubernetes.io/audit-violations": "hostPath",
        "validation.policy.admission.k8s.io/validation_failure": "[]",
        "cluster_name": "west",
    },
    "extra": {"": "empty key", "~": "tilde", "a/b": {"0": "zero"}, "nul": "a\0b", "nothing": None, "none": []},
}

VALUES: dict[str, Found] = {
    "ka.auditid": "id-1",
    "ka.stage": "ResponseComplete",
    "ka.auth.decision": "allow",
    "ka.auth.reason": "",
    "ka.auth.openshift.decision": "deny",
    "ka.auth.openshift.username": "kim",
    "ka.security.pod.violations": "hostPath",
    "ka.validations.admission.policy.failure": "[]",
    "ka.cluster.name": "west",
    "ka.user.name": "ann",
    "ka.user.groups": ["dev", "ops"],
    "ka.impuser.name": "root",
    "ka.verb": "create",
    "ka.uri": "/api/v1/namespaces/shop/pods?dryRun=All",
    "ka.uri.param[dryRun]": "All",
    "ka.uri.param[dryrun]": None,
    "ka.useragent": "kubectl/v1.30",
    "ka.sourceips": ["10.0.0.1", "10.0.0.2"],
    "ka.sourceips[1]": ["10.0.0.2"],
    "ka.sourceips[2]": None,
    "ka.target.resource": "pods",
    "ka.target.namespace": "shop",
    "ka.target.name": "web",
    "ka.target.subresource": None,
    "ka.target.pod.name": "web-1",
    "ka.req.configmap.name": "web",
    "ka.resp.name": "web-1",
    "ka.response.code": "201",
    "ka.response.reason": "Created",
    "jevt.value[/verb]": "create",
    "jevt.value[verb]": "create",
    "json.value[/verb]": "create",
    "jevt.value[/level]": "RequestResponse",
    "jevt.value[/user/uid]": "7",
    "jevt.value[/user/groups]": '["dev","ops"]',
    "jevt.value[/user/groups/1]": "ops",
    "jevt.value[/user/groups/01]": "ops",
    "jevt.value[/user/groups/+1]": "ops",
    "jevt.value[/user/groups/-0]": "dev",
    "jevt.value[/user/groups/-1]": None,
    "jevt.value[/user/groups/2]": None,
    "jevt.value[/user/groups/99999999999999999999999]": None,
    "jevt.value[/user/groups/x]": None,
    "jevt.value[/user/extra/a~1b/0]": "1",
    "jevt.value[/sourceIPs/0]": "10.0.0.1",
    "jevt.value[/responseStatus/code]": "201",
    "jevt.value[/responseStatus]": '{"code":201,"reason":"Created","metadata":{}}',
    "jevt.value[/annotations/authorization.k8s.io~1decision]": "allow",
    "jevt.value[/annotations/authorization.k8s.io/decision]": None,
    "jevt.value[/requestObject/kind]": "Pod",
    "jevt.value[/requestObject/list/0/1/k]": "v",
    "jevt.value[/requestObject/list]": '[[1,{"k":"v"}],"x"]',
    "jevt.value[/responseObject/metadata/name]": "web-1",
    "jevt.value[/responseObject]": '{"metadata":{"name":"web-1"}}',
    "jevt.value[/extra/]": "empty key",
    "jevt.value[/extra/~0]": "tilde",
    "jevt.value[/extra/a~1b/0]": "zero",
    "jevt.value[/extra/nul]": "a",
    "jevt.value[/extra/nothing]": "null",
    "jevt.value[/extra/none]": "[]",
    "jevt.value[/extra/none/0]": None,
    "jevt.value[/]": None,
    "jevt.value[//verb]": None,
}


@pytest.mark.parametrize("field", VALUES)
def test_values(field: str, read: Read) -> None:
    """Each field reads its place in the event."""
    assert read(field, **EVENT) == VALUES[field]


def test_empty_pointer_is_the_whole_event(read: Read) -> None:
    """The pointer without a token names the document."""
    text = '{ "kind": "Event", "stageTimestamp": "2024-03-05T09:08:07Z", "a": [ 1, 2.0 ] }'
    assert read("jevt.value[]", text) == '{"kind":"Event","stageTimestamp":"2024-03-05T09:08:07Z","a":[1,2.0]}'


@pytest.mark.parametrize(
    ("members", "name"),
    [
        ({"objectRef": {"resource": "pods"}}, "made-up"),
        ({"objectRef": {"resource": "pods", "subresource": ""}}, "made-up"),
        ({"objectRef": {"resource": "pods", "subresource": None}}, "made-up"),
        ({"objectRef": {"resource": "pods", "subresource": "exec"}}, None),
        ({"objectRef": {"resource": "pods", "subresource": "null"}}, None),
        ({"objectRef": {"resource": "services"}}, None),
        ({}, None),
    ],
)
def test_target_pod_name(members: dict[str, Any], name: str | None, read: Read) -> None:
    """The pod's name is that of the answer, and only for requests for a pod itself."""
    assert read("ka.target.pod.name", responseObject={"metadata": {"name": "made-up"}}, **members) == name


def test_without_audit_id(read: Read) -> None:
    """An event without auditID has no ka.* value; other fields do not mind."""
    text = '{"kind":"Event","stageTimestamp":"2024-03-05T09:08:07Z","verb":"get"}'
    assert read("ka.verb", text) is None
    assert read("ka.req.binding.subject.has_name[x]", text) is None
    assert read("jevt.value[/verb]", text) == "get"
    assert read("evt.source", text) == "k8s_audit"


@pytest.mark.parametrize(
    ("members", "field", "value"),
    [
        ({"verb": None}, "ka.verb", "null"),
        ({"verb": 7}, "ka.verb", "7"),
        ({"verb": ["a"]}, "ka.verb", '["a"]'),
        ({"user": None}, "ka.user.name", None),
        ({"user": {"groups": "dev"}}, "ka.user.groups", None),
        ({"user": {"groups": []}}, "ka.user.groups", None),
        ({"user": {"groups": [1, None, "x\0y", {"a": 1}]}}, "ka.user.groups", ["1", "null", "x", '{"a":1}']),
        ({"sourceIPs": "10.0.0.1"}, "ka.sourceips", None),
        ({"annotations": ["x"]}, "ka.auth.decision", None),
        ({"annotations": ["x"]}, "jevt.value[/annotations/0]", "x"),
        ({"annotations": {"cluster_name": {"a": 1}}}, "ka.cluster.name", '{"a":1}'),
        ({"responseStatus": {"code": "200"}}, "ka.response.code", "200"),
        ({"responseStatus": {"code": None}}, "ka.response.code", "null"),
        ({"responseStatus": 5}, "ka.response.code", None),
        ({"requestObject": None}, "jevt.value[/requestObject]", "null"),
    ],
)
def test_unexpected_types(members: dict[str, Any], field: str, value: Found, read: Read) -> None:
    """JSON of another type than usual shows as its text, or is missing where a way through it is needed."""
    assert read(field, **members) == value


def test_pointers_to_attributes() -> None:
    """A pointer to a typed attribute reads that attribute; any other walks from the nearest part of the event."""
    assert pointer("/user/username") == pointer("user/username") == Attribute(("user", "username"))
    assert pointer("/responseStatus/code") == Attribute(("response_status", "code"))
    assert pointer("/annotations/a~1b") == Annotation("a/b")
    assert pointer("/annotations/0") == Pointer(document, (Token("annotations"), Token("0", 0)))
    assert pointer("/requestObject/spec") == Pointer(request, (Token("spec"),))
    assert pointer("/responseObject") == Pointer(response, ())
    assert pointer("/user/uid") == Pointer(document, (Token("user"), Token("uid")))


def test_bodies_are_decoded_once(event: Callable[..., AuditEvent]) -> None:
    """A level of a body that one field has read is not decoded again for the next."""
    made = event(requestObject={"spec": {"a": 1}})
    first = request(made)
    assert first is not None
    assert request(made) is first
    assert first.member("spec") is first.member("spec")


def test_whole_event_indented(read: Read) -> None:
    """json.obj puts each member on a line of its own; empty objects and arrays, and texts, stay as they are."""
    text = '{"kind":"Event","stageTimestamp":"2024-03-05T09:08:07Z","a":{"b":[1,{"c":"{x: [1, 2]}"}],"d":{},"e":[ ]}}'
    expected = (
        '{\n  "kind": "Event",\n  "stageTimestamp": "2024-03-05T09:08:07Z",\n  "a": {\n    "b": [\n      1,\n      {\n'
        '        "c": "{x: [1, 2]}"\n      }\n    ],\n    "d": {},\n    "e": []\n  }\n}'
    )
    assert read("json.obj", text) == expected
    assert read("jevt.obj", text) == expected


def test_indentation_has_an_end() -> None:
    """Deep nesting does not multiply the length of the text."""
    depth = 5_000
    text = indented(b"[" * depth + b"1" + b"]" * depth)
    assert max(map(len, text.splitlines())) <= 2 * DEEPEST_INDENT + 1
