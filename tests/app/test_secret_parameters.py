"""Credentials in request URIs, and that no record of an event holds what is redacted while rules see all of it."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lanner import Engine, load_rules
from lanner.alert import AlertFormat
from lanner.config.service import DEFAULT_REDACTION
from lanner.decode import decode_parts
from lanner.engine.field_limit import FieldLimit
from lanner.priority import Priority
from lanner.service.evaluation import Evaluation, Evaluator
from lanner.service.internal import InternalAlerts
from lanner.service.kept_event import KeptEvent
from lanner.service.records import Recorder
from lanner.service.redaction import Redactor
from lanner.service.secret_parameters import MAX_CHARACTERS, without_secret_parameters
from tests.cli.builders import event


@pytest.mark.parametrize(
    ("uri", "want"),
    [
        ("/a?token=HIDDEN", "/a?token=[redacted]"),
        ("/a?b=c&access_token=HIDDEN&d=e", "/a?b=c&access_token=[redacted]&d=e"),
        ("/a?token=HIDDEN&token=HIDDEN", "/a?token=[redacted]&token=[redacted]"),
        ("/a?Access_Token=HIDDEN", "/a?Access_Token=[redacted]"),
        ("/a?X-Amz-Signature=HIDDEN&X-Amz-Date=1", "/a?X-Amz-Signature=[redacted]&X-Amz-Date=1"),
        ("/a?%74oken=HIDDEN", "/a?%74oken=[redacted]"),
        ("/a?t%4Fken=HIDDEN", "/a?t%4Fken=[redacted]"),
        ("/a?%2574oken=HIDDEN", "/a?%2574oken=[redacted]"),
        ("/a?b=c;token=HIDDEN;d=e", "/a?b=c;token=[redacted]"),
        ("/a#id_token=HIDDEN", "/a#id_token=[redacted]"),
        ("/a?b#x=y&refresh_token=HIDDEN", "/a?b#x=y&refresh_token=[redacted]"),
        ("/a/proxy/?client_secret=HIDDEN", "/a/proxy/?client_secret=[redacted]"),
        ("/a/proxy/;token=HIDDEN", "/a/proxy/;token=[redacted]"),
        ("/a/proxy/b%3Ftoken=HIDDEN", "/a/proxy/b%3Ftoken=[redacted]"),
        ("/a?to=%2Fb%3Ftoken%3DHIDDEN&c=d", "/a?to=%2Fb%3Ftoken%3D[redacted]&c=d"),
        ("/a?to=%252Fb%253Fx%253D1%2526token%253DHIDDEN", "/a?to=%252Fb%253Fx%253D1%2526token%253D[redacted]"),
        ("/a?token=x%26HIDDEN&c=d", "/a?token=[redacted]&c=d"),
        ("/a?token=x;HIDDEN", "/a?token=[redacted]"),
        ("/a?token=x#HIDDEN", "/a?token=[redacted]"),
        ("/a?token=x?y=HIDDEN", "/a?token=[redacted]"),
        ("/a?token==HIDDEN", "/a?token=[redacted]"),
        ("/a?user[password]=HIDDEN", "/a?user[password]=[redacted]"),
        ("/a?tokens=HIDDEN&c=d", "/a?tokens=[redacted]&c=d"),
        ("/a?secrets=HIDDEN", "/a?secrets=[redacted]"),
        ("/a?id_token_hint=HIDDEN", "/a?id_token_hint=[redacted]"),
        ("/a?pw=HIDDEN", "/a?pw=[redacted]"),
        ("/a?passcode=HIDDEN", "/a?passcode=[redacted]"),
        ("/a?u=http://user:HIDDEN@host/b&c=d", "/a?u=http://[redacted]@host/b&c=d"),
        ("/a?u=https://HIDDEN@host", "/a?u=https://[redacted]@host"),
        ("/a?u=//user:HIDDEN@host", "/a?u=//[redacted]@host"),
        ("/a?u=http://user:HID@DEN@host/b@c", "/a?u=http://[redacted]@host/b@c"),
        ("/a?u=http%3A%2F%2Fuser%3AHIDDEN%40host%2Fb", "/a?u=http%3A%2F%2F[redacted]%40host%2Fb"),
        ("/a?u=http%253A%252F%252Fuser%253AHIDDEN%2540host", "/a?u=http%253A%252F%252F[redacted]%2540host"),
        ("/a?u=http%3a%2f%2fuser:HID%20DEN@host", "/a?u=http%3a%2f%2f[redacted]@host"),
        ("/proxy/http://user:HIDDEN@host/b", "/proxy/http://[redacted]@host/b"),
        ("/a?u=http://x/&v=http://user:HIDDEN@host", "/a?u=http://x/&v=http://[redacted]@host"),
        ("/a?sig=HIDDEN", "/a?sig=[redacted]"),
        ("/a?api-key=HIDDEN&apiKey=HIDDEN", "/a?api-key=[redacted]&apiKey=[redacted]"),
        ("/a?\u00e9token=HIDDEN", "/a?\u00e9token=[redacted]"),
    ],
)
def test_credentials_in_a_uri(uri: str, want: str) -> None:
    """The value goes, whatever way the name is written; too much goes rather than too little."""
    assert without_secret_parameters(uri) == want
    assert without_secret_parameters(want) == want


@pytest.mark.parametrize(
    "uri",
    [
        "/api/v1/namespaces/default/secrets/my-token",
        "/api/v1/secrets?limit=500&continue=abc&resourceVersion=0",
        "/api/v1/pods?fieldSelector=spec.nodeName%3Dsecret-node&labelSelector=token%20in%20%28a%29",
        "/exec?command=sh&command=-c&command=echo+token%3Dabc",
        "/a?token=&b=c",
        "/a?to=me@host&u=http://host/b@c",
        "/a?u=http%3A%2F%2Fhost%2Fb%40c",
        "/a?pwm=1",
        "/a?token",
        "",
    ],
)
def test_other_uris_stay(uri: str) -> None:
    """What only mentions such a word is the same object."""
    assert without_secret_parameters(uri) is uri


def test_a_very_long_uri() -> None:
    """What is not looked at is not shown."""
    assert "HIDDEN" not in without_secret_parameters("/a?" + "b" * MAX_CHARACTERS + "&token=HIDDEN")


RULE = """\
- rule: sees all
  desc: The marker is there for conditions
  condition: json.obj contains MARKER
  output: >
    %json.obj %ka.uri %ka.uri.param[token] %ka.uri.param[x] %jevt.value[/requestURI] %jevt.value[/requestObject]
    %jevt.value[/responseObject] %jevt.value[/responseObject/rows/0/object] %ka.req.configmap.obj %ka.user.name
  priority: NOTICE
  source: k8s_audit
"""
NAMES = ["token", "access_token", "ID_Token", "t%6Fken", "password", "x-amz-security-token", "client_secret"]
TEXTS = st.text(max_size=3)
LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"


def objects(marker: str) -> st.SearchStrategy[Any]:
    """A secret that holds the marker somewhere, or its text."""
    nested = st.recursive(st.just(marker), lambda inner: st.lists(inner, min_size=1, max_size=2) | keyed(inner))
    some = st.fixed_dictionaries({}, optional={"kind": st.just("Secret"), "type": TEXTS, "immutable": st.booleans()})
    held = st.one_of(
        st.builds(lambda key, value: {key: value}, st.sampled_from(["data", "stringData"]), keyed(nested)),
        st.just({"metadata": {"name": "s", "annotations": {LAST_APPLIED: marker}}}),
    )
    secret = st.builds(lambda a, b: {**a, **b}, some, held)
    return secret | secret.map(json.dumps)


def keyed(values: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.dictionaries(TEXTS, values, min_size=1, max_size=2)


def bodies(marker: str) -> st.SearchStrategy[Any]:
    one = objects(marker)
    return st.one_of(
        one,
        st.lists(one, min_size=1, max_size=3).map(lambda items: {"kind": "SecretList", "items": items}),
        one.map(lambda found: {"kind": "Table", "rows": [{"cells": ["s", "Opaque", 1, "5m"], "object": found}]}),
        one.map(lambda found: {"type": "MODIFIED", "object": found}),
    )


def secrets(marker: str) -> st.SearchStrategy[dict[str, Any]]:
    patch = st.builds(lambda value: [{"op": "add", "path": "/data/k", "value": value}], objects(marker))
    uri = st.builds(
        lambda name, before, after: f"/api/v1/secrets?{quote(before)}&{name}={marker}{quote(after)}&x=1",
        st.sampled_from(NAMES),
        TEXTS,
        TEXTS,
    )
    return st.one_of(
        bodies(marker).map(lambda body: {"requestObject": body}),
        bodies(marker).map(lambda body: {"responseObject": body}),
        patch.map(lambda body: {"requestObject": body}),
        uri.map(lambda text: {"requestURI": text}),
        uri.map(lambda text: {"requestURI": f"/api/v1/nodes/n/proxy/?x={quote(text, safe='')}"}),
    )


@pytest.fixture(scope="module")
def evaluator(tmp_path_factory: pytest.TempPathFactory) -> Evaluator:
    path = tmp_path_factory.mktemp("rules") / "rules.yaml"
    path.write_text(RULE)
    form = AlertFormat("host", include_message=True)
    redactor = Redactor(DEFAULT_REDACTION)
    limit = FieldLimit(16384)
    internal = InternalAlerts(form, Priority.DEBUG, limit)
    recorder = Recorder(redactor, KeptEvent(1 << 20, limit), limit, form)
    result = load_rules([str(path)])
    return Evaluator(Engine(result.ruleset), form, internal, recorder, redactor)


@settings(max_examples=300)
@given(secrets("MARKER"), st.booleans(), st.sampled_from(["", "data", "requestObject"]))
def test_no_record_holds_what_rules_see(
    evaluator: Evaluator, places: dict[str, Any], ascii_only: bool, wrapped: str
) -> None:
    """Neither the line, nor the document, nor the event, nor a column; nor a piece that is no event."""
    whole = {**event(), "objectRef": {"resource": "secrets", "namespace": "default", "name": "s"}, **places}
    piece = {"kind": "Other", wrapped: whole} if wrapped else {**whole, "stageTimestamp": "never"}
    text = json.dumps([whole, piece, {"log": json.dumps(piece)}], ensure_ascii=ascii_only).encode()
    evaluation = Evaluation(event_limit=1)
    for _ in evaluator.steps(decode_parts(text), "prod", evaluation):
        pass
    assert [alert.rule for alert in evaluation.alerts] == ["sees all", "Lanner internal: oversize event"]
    assert len(evaluation.malformed) == 2
    assert "MARKER" not in repr(evaluation.alerts) + repr(evaluation.malformed)
