"""The compiled rules, with dispatch by shape and without, answer what the slow evaluator answers."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import msgspec
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

import lanner
from lanner.decode import decode
from lanner.diagnostics.source import SourceFile
from lanner.engine.engine import Engine
from lanner.engine.loader import LoadResult, load_rules, load_sources
from lanner.testing.answers import Evaluators
from lanner.testing.settings import config_of

DATA = Path(__file__).parents[3] / "shared" / "data"
RULESET = DATA / "falco" / "k8s_audit_rules.yaml"


def one_of(words: str, *more: str) -> st.SearchStrategy[str]:
    return st.sampled_from((*words.split(), *more))


WORDS = one_of(
    """
    get create GET pods secrets exec status eve system:eve ops 200 403 9 null /api/v1 /api true ResponseComplete
    RequestReceived nginx:1 r:5000/a/b é
    """,
    "",
    "a\0b",
)
"""Values of events and of conditions alike, so that comparisons hit."""

TEXT_FIELDS = one_of(
    """
    ka.verb ka.stage jevt.value[/stage] jevt.value[/verb] ka.target.resource ka.target.subresource ka.target.name
    ka.target.namespace ka.user.name ka.impuser.name ka.response.code ka.uri ka.uri.param[a] ka.auth.decision
    ka.response.reason ka.resp.name ka.req.pod.host_network ka.req.configmap.obj jevt.value[/user/groups/0]
    jevt.value[/objectRef] ka.target.pod.name jevt.value[/responseStatus/code] ka.useragent ka.auditid
    ka.req.binding.subject.has_name[eve]
    """
)
LIST_FIELDS = one_of(
    """
    ka.user.groups ka.sourceips ka.req.pod.containers.image ka.req.pod.containers.image.repository
    ka.req.pod.containers.image[0] ka.req.role.rules.verbs ka.req.pod.containers.privileged
    """
)


def quoted(word: str) -> str:
    return '"' + word.replace("\\", "\\\\").replace('"', '\\"').replace("\0", "0") + '"'


VALUES = WORDS.map(quoted)
LISTS = st.lists(VALUES, max_size=3).map(lambda items: f"({', '.join(items)})")
TEXTS = st.one_of(
    TEXT_FIELDS,
    st.builds("{}({})".format, st.sampled_from(("tolower", "toupper", "b64", "basename")), TEXT_FIELDS),
    st.builds("concat({}, {})".format, TEXT_FIELDS, VALUES),
    st.builds('join(",", {})'.format, LIST_FIELDS),
)
NUMBERS = st.one_of(st.just("evt.num"), st.builds("len({})".format, st.one_of(TEXT_FIELDS, LIST_FIELDS)))
ORDERS = st.sampled_from(("<", "<=", ">", ">="))
OPERATORS = st.sampled_from(("=", "!=", "contains", "icontains", "startswith", "endswith", "glob", "iglob"))
MODIFIED = st.sampled_from(("=", "contains", "startswith", "endswith", "icontains"))
CALLS = st.builds("{}({})".format, st.sampled_from(("val", "tolower", "toupper")), TEXT_FIELDS)
RIGHTS = st.one_of(VALUES, CALLS)

CHECKS = st.one_of(
    st.builds("{} {} {}".format, TEXTS, OPERATORS, RIGHTS),
    st.builds("{} {} {}".format, TEXTS, ORDERS, st.one_of(st.sampled_from((200, 403, 9)), CALLS)),
    st.builds("{} exists".format, st.one_of(TEXTS, LIST_FIELDS)),
    st.builds("{} {} {}".format, TEXTS, st.sampled_from(("in", "intersects", "pmatch")), LISTS),
    st.builds("{} {} {}".format, LIST_FIELDS, st.sampled_from(("in", "intersects")), LISTS),
    st.builds("{} {} {} {}".format, TEXT_FIELDS, MODIFIED, st.sampled_from(("oneof", "anyof", "allof")), LISTS),
    st.builds("{} regex {}".format, TEXT_FIELDS, st.sampled_from(('"[a-z]+"', '".*e.*"', '"(get|create)"'))),
    st.builds("{} {} {}".format, NUMBERS, st.sampled_from(("=", "!=", "<", ">=")), st.integers(-1, 9)),
)
CONDITIONS = st.recursive(
    CHECKS,
    lambda inner: st.one_of(
        st.lists(inner, min_size=2, max_size=3).map(lambda parts: f"({' and '.join(parts)})"),
        st.lists(inner, min_size=2, max_size=3).map(lambda parts: f"({' or '.join(parts)})"),
        inner.map("not ({})".format),
    ),
    max_leaves=8,
)

ODD = st.sampled_from((None, 7, 1.5, True, [], {}, ["get"], {"resource": "pods"}))


def mostly(usual: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """The usual values, and now and then one of another type."""
    return st.one_of(usual, usual, usual, ODD)


EVENTS = st.fixed_dictionaries(
    {"kind": st.just("Event"), "stageTimestamp": st.just("2024-01-01T00:00:00Z")},
    optional={
        "auditID": mostly(WORDS),
        "stage": mostly(WORDS),
        "verb": mostly(WORDS),
        "requestURI": mostly(st.one_of(WORDS, WORDS.map("/x?a={}".format))),
        "user": mostly(
            st.fixed_dictionaries(
                {}, optional={"username": mostly(WORDS), "groups": mostly(st.lists(WORDS, max_size=3))}
            )
        ),
        "impersonatedUser": mostly(st.fixed_dictionaries({"username": WORDS})),
        "objectRef": mostly(
            st.fixed_dictionaries(
                {},
                optional={key: mostly(WORDS) for key in ("resource", "subresource", "name", "namespace")},
            )
        ),
        "responseStatus": mostly(
            st.fixed_dictionaries({}, optional={"code": st.sampled_from((200, 403, 9)), "reason": WORDS})
        ),
        "sourceIPs": mostly(st.lists(WORDS, max_size=2)),
        "userAgent": mostly(WORDS),
        "annotations": mostly(st.fixed_dictionaries({"authorization.k8s.io/decision": WORDS})),
        "requestObject": mostly(
            st.fixed_dictionaries(
                {},
                optional={
                    "spec": mostly(
                        st.fixed_dictionaries(
                            {"hostNetwork": st.booleans()},
                            optional={"containers": st.lists(st.fixed_dictionaries({"image": WORDS}), max_size=2)},
                        )
                    ),
                    "data": mostly(st.dictionaries(WORDS, WORDS, max_size=2)),
                    "rules": mostly(
                        st.lists(st.fixed_dictionaries({"verbs": st.lists(WORDS, max_size=2)}), max_size=2)
                    ),
                    "subjects": st.lists(st.fixed_dictionaries({"kind": st.just("User"), "name": WORDS}), max_size=2),
                },
            )
        ),
        "responseObject": mostly(st.fixed_dictionaries({"metadata": st.fixed_dictionaries({"name": WORDS})})),
    },
)


def load(conditions: Sequence[str], matching: str) -> LoadResult:
    rules = [
        {
            "rule": f"rule {number}",
            "desc": "random",
            "condition": condition,
            "output": "seen",
            "priority": "NOTICE",
            "source": "k8s_audit",
        }
        for number, condition in enumerate(conditions)
    ]
    text = msgspec.json.encode(rules).decode()
    return load_sources([SourceFile("random.yaml", text)], config_of({"rule_matching": matching}))


@pytest.mark.property
@given(
    st.lists(CONDITIONS, min_size=1, max_size=4),
    st.lists(EVENTS, min_size=1, max_size=8),
    st.sampled_from(("all", "first")),
)
def test_all_evaluators_agree(conditions: list[str], events: list[Any], matching: str) -> None:
    """Whatever the rules and events: evaluated, compiled with dispatch, and compiled without give the same rules."""
    loaded = load(conditions, matching)
    assert loaded.ok, loaded.diagnostics
    evaluators = Evaluators(loaded)
    for number, body in enumerate(events, 1):
        [event] = decode(msgspec.json.encode(body)).events
        event.number = number
        answers = evaluators.ask(event)
        assert answers.agree, answers.disagreement()


def recorded(name: str) -> Iterator[bytes]:
    """The lines of a file beside the project."""
    with (DATA / name).open("rb") as file, zstandard.ZstdDecompressor().stream_reader(file) as reader:
        yield from io.BufferedReader(reader)


RECORDED = ["corpus.jsonl.zst", "fields-events.jsonl.zst", "bench-60k.jsonl.zst"]
SHIPPED = Path(lanner.__file__).parent / "content" / "k8s_audit.yaml"
beside = pytest.mark.skipif(not RULESET.exists(), reason="no recorded events beside the project")


@beside
@pytest.mark.parametrize("name", RECORDED)
@pytest.mark.parametrize("matching", ["all", "first"])
def test_all_evaluators_agree_on_recorded_events(name: str, matching: str) -> None:
    """The same with Falco's ruleset on a slice of the recorded events."""
    evaluators = Evaluators(load_rules([RULESET], config_of({"rule_matching": matching})))
    for number, line in enumerate(islice(recorded(name), 0, None, 97), 1):
        [event] = decode(line).events
        event.number = number
        answers = evaluators.ask(event)
        assert answers.agree, answers.disagreement()


@beside
@pytest.mark.parametrize("name", RECORDED)
@pytest.mark.parametrize("rules", [RULESET, SHIPPED], ids=lambda path: path.stem)
def test_fast_ways_agree_on_all_recorded_events(name: str, rules: Path) -> None:
    """On every event: decoded for what rules ask and matched by shape, and decoded whole and matched by all rules."""
    ruleset = load_rules([rules]).ruleset
    decode_usual = Engine(ruleset).decode_usual
    for line in recorded(name):
        [whole] = decode(line).events
        asked = decode_usual(line)
        expected = ruleset.match_without_dispatch(whole)
        assert list(ruleset.match(whole)) == list(expected)
        assert asked is None or list(ruleset.match(asked)) == list(expected)
