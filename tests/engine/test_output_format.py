"""Output templates: what is text, what is a field, and how values are written."""

from __future__ import annotations

import json
from typing import Any

import pytest

from lanner.config import Config
from lanner.decode import decode
from lanner.diagnostics.codes import Code
from lanner.diagnostics.report import Report
from lanner.diagnostics.source import SourceFile, Text
from lanner.engine.field_limit import FieldLimit
from lanner.engine.output_format import OutputFormat, append_to_output, compile_output
from lanner.engine.rendering import generate
from lanner.event import MISSING, AuditEvent
from lanner.fields.catalog import Argument, BoundField
from lanner.fields.k8s_catalog import k8s_audit_catalog

LIMIT = FieldLimit(16384)
CATALOG = k8s_audit_catalog({"team": "blue"}, hostname="here")

EVENT: dict[str, Any] = {
    "kind": "Event",
    "auditID": "a-1",
    "stage": "ResponseComplete",
    "verb": "create",
    "requestURI": "/api/v1/pods?dryRun=All&x=%C3%9Cber",
    "user": {"username": "dana", "groups": ["dev", "", "ops"]},
    "objectRef": {"resource": "pods", "name": "ledger"},
    "annotations": {"a/b c": "slashed", "a]b": "bracket"},
    "responseStatus": {"code": 201},
    "stageTimestamp": "2024-03-05T10:20:30.123456Z",
}


def event(**changes: Any) -> AuditEvent:
    (made,) = decode(json.dumps(EVENT | changes).encode()).events
    return made


def compiled(template: str) -> OutputFormat:
    report = Report()
    output = compile_output(Text.plain(template), CATALOG, report, LIMIT)
    assert output is not None, report.diagnostics
    return output


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ("no fields", "no fields"),
        ("%ka.verb", "create"),
        ("<%ka.verb> (%ka.user.name).", "<create> (dana)."),
        ("%ka.verb%ka.verb", "createcreate"),
        ("%ka.target.namespace!", "<NA>!"),
        ("%ka.user.groups", "(dev,,ops)"),
        ("%ka.uri.param[dryRun]", "All"),
        ('%ka.uri.param["dryRun"]', "All"),
        ("%ka.uri.param['dryRun']", "All"),
        ('%jevt.value["/annotations/a~1b c"]', "slashed"),
        ('%jevt.value["/annotations/a]b"]', "bracket"),
        ("%static.team", "blue"),
        # the longest beginning that is a field; the rest is text
        ("%ka.verbosity", "createosity"),
        ("%ka.verb.x", "create.x"),
        ("%ka.uri.param", "/api/v1/pods?dryRun=All&x=%C3%9Cber.param"),
        ("%ka.uri.param[dryRun", "/api/v1/pods?dryRun=All&x=%C3%9Cber.param[dryRun"),
        ("%ka.verb[x]", "create[x]"),
        ("%ka.user.groups[0]", "(dev,,ops)[0]"),
        # stars
        ("*%ka.verb", "create"),
        ("**%ka.verb", "*create"),
        ("a *%ka.verb", "a *create"),
        ("*", ""),
        # widths, in bytes
        ("%9ka.verb|", "create   |"),
        ("%3ka.verb|", "cre|"),
        ("%0ka.verb|", "create|"),
        ("%003ka.verb|", "cre|"),
        ("%3ka.target.namespace|", "<NA|"),
        ("%6ka.target.namespace|", "<NA>  |"),
        ("%7ka.uri.param[x]|", "Über  |"),
        ("%1ka.uri.param[x]|", "\ufffd|"),
        ("%5ka.user.groups|", "(dev,|"),
        # transformers
        ("%toupper(ka.verb)!", "CREATE!"),
        ("%toupper(tolower(ka.verb))", "CREATE"),
        ("%len(ka.user.groups)", "3"),
        ("%3len(ka.user.groups)|", "3  |"),
        ('%join("; ", ka.user.groups)', "dev; ; ops"),
        ('%concat(ka.verb, "/", ka.target.name)', "create/ledger"),
        ('%concat(ka.verb, "/", ka.target.namespace)', "<NA>"),
        ("%toupper(ka.verb)[x]", "CREATE[x]"),
        ("%toupper( ka.verb ) %ka.verb", "CREATE create"),
        # numbers
        ("%ka.response.code", "201"),
        ("%evt.is_async", "false"),
        ("%evt.rawtime.ns", "123456000"),
        # what is not a field begins no field
        ("{%ka.verb} {0} {} \\n", "{create} {0} {} \\n"),
    ],
)
def test_rendering(template: str, text: str) -> None:
    """A template renders to this text for the event."""
    assert compiled(template).render(event()) == text


@pytest.mark.parametrize(
    ("template", "fields"),
    [
        ("no fields", {}),
        ("%ka.verb %ka.verb", {"ka.verb": "create"}),
        ("%ka.target.namespace", {"ka.target.namespace": None}),
        ("%3ka.verb", {"ka.verb": "create"}),
        ("%ka.user.groups", {"ka.user.groups": ["dev", "", "ops"]}),
        ("%toupper(ka.verb)", {"ka.verb": "create"}),
        ('%concat(tolower(ka.verb), "x", ka.user.name)', {"ka.verb": "create", "ka.user.name": "dana"}),
        ("%ka.response.code", {"ka.response.code": "201"}),
        ("%ka.uri.param[dryRun]", {"ka.uri.param[dryRun]": "All"}),
        ("%ka.uri.param['dryRun']", {"ka.uri.param[dryRun]": "All"}),
        ("%jevt.value[/annotations/a~1b]", {"jevt.value[/annotations/a~1b]": None}),
        ('%jevt.value["/annotations/a~1b c"]', {'jevt.value["/annotations/a~1b c"]': "slashed"}),
        ("%evt.time", {"evt.time": 1709634030123456000}),
        ("%evt.time.iso8601", {"evt.time.iso8601": 1709634030123456000}),
        ("%evt.is_async", {"evt.is_async": False}),
        ("%ka.verbosity", {"ka.verb": "create"}),
    ],
)
def test_fields(template: str, fields: dict[str, object]) -> None:
    """`output_fields` holds every field of the template under its written name, with its own type."""
    assert compiled(template).fields(event()) == fields


NULS: dict[str, Any] = {
    "auditID": "a\0b",
    "stage": "\0",
    "verb": "create\0x",
    "requestURI": "/api\0?dryRun=A\0ll",
    "user": {"username": "dana\0", "groups": ["d\0ev", "\0"]},
    "objectRef": {"resource": "po\0ds", "name": "\0ledger", "namespace": "", "subresource": "a\0\0b"},
    "responseStatus": {"code": "2\x0001", "reason": "\0"},
    "requestObject": {"metadata": {"name": "x\0y"}, "spec": {"type": "\0"}},
}


@pytest.mark.parametrize(
    "changes",
    [{}, {"auditID": None}, {"auditID": 7, "verb": 7, "user": None, "responseStatus": {"code": -0.0}}, NULS],
    ids=["usual", "null as auditID", "odd types", "NULs"],
)
@pytest.mark.parametrize("known", [True, False])
def test_what_is_rendered_is_what_fields_say(changes: dict[str, Any], known: bool) -> None:
    """A message with all fields in it, some of them twice, shows every value as its field gives it."""
    text = {key: value for key, value in (EVENT | changes).items() if known or key != "auditID"}
    (seen,) = decode(json.dumps(text).encode()).events
    arguments = {Argument.NONE: "", Argument.KEY: "[/dryRun]", Argument.OPTIONAL_INDEX: ""}
    names = [f"{field.name}{arguments[field.argument]}" for field in CATALOG]
    names += ["jevt.value[/verb]", "jevt.value[/responseStatus/code]", "jevt.value[/stageTimestamp]", "ka.verb"]
    bound = {name: CATALOG.bind(*name.removesuffix("]").split("[")) for name in names}
    values = {name: field.value(seen) for name, field in bound.items()}
    shown = [as_shown(bound[name], values[name]) for name in names]
    output = compiled(" ".join(f"{name}=%{name}" for name in names))
    assert output.render(seen) == " ".join(f"{name}={text}" for name, text in zip(names, shown, strict=True))
    for name, found in output.fields(seen).items():
        json_getter = bound[name].definition.json
        value = json_getter(seen) if json_getter else values[name]
        assert found == (None if value is MISSING else value)
    assert list(output.fields(seen)) == sorted(bound)


def as_shown(field: BoundField, value: Any) -> str:
    if value is MISSING:
        return "<NA>"
    return f"({','.join(value)})" if isinstance(value, list) else field.definition.written(value)


def test_an_output_is_not_written_into_the_code() -> None:
    """Whatever its texts and keys hold, they are globals; and each value is read once."""
    hostile = "x'); import os # \n\" {e} \\ é"
    output = compiled(f"{hostile} %ka.verb %ka.verb %ka.uri.param[\"import 'os'\"]")
    assert output.render(event(verb="get")) == f"{hostile} get get <NA>"
    source = generate(output._message, output._fields.items(), LIMIT).text
    assert source.isascii()
    assert "import" not in source
    assert source.count("e.verb") == 1


def test_an_event_without_audit_id_shows_no_ka_fields() -> None:
    """Without an auditID every ka.* field is missing, while jevt.* fields are there."""
    (bare,) = decode(json.dumps({k: v for k, v in EVENT.items() if k != "auditID"}).encode()).events
    output = compiled("%ka.verb %jevt.value[/verb]")
    assert output.render(bare) == "<NA> create"
    assert output.fields(bare) == {"ka.verb": None, "jevt.value[/verb]": "create"}


@pytest.mark.parametrize(
    ("template", "marked", "help"),
    [
        ("", "", "say what happened"),
        ("all of it: 100%", "%", "no escape"),
        ("ends with %12", "%12", "no escape"),
        ("100%% sure", "%%", "no escape"),
        ("50% of", "% ", "no escape"),
        ("x %ka.usr.name y", "ka.usr.name", "ka.user.name"),
        ("%foo(ka.verb)", "foo", ""),
        ("%toupper(ka.vrb)", "ka.vrb", "ka.verb"),
        ("%toupper(ka.verb", "(", ""),
        ("%ka.vreb[x", "[", ""),
        ("%99999999999ka.verb", "99999999999", "4096"),
        ("%len(ka.verb, ka.verb)", "len(ka.verb, ka.verb)", ""),
    ],
)
def test_errors_point_at_the_place(template: str, marked: str, help: str) -> None:
    """What cannot be compiled is one LOAD_ERR_COMPILE_OUTPUT at the very characters, with the way out."""
    report = Report()
    assert compile_output(Text.plain(template), CATALOG, report, LIMIT) is None
    (problem,) = report.diagnostics
    assert problem.code is Code.ERR_COMPILE_OUTPUT
    assert help in problem.help
    assert problem.span is not None
    assert template[problem.span.start : problem.span.end] == marked


def test_all_problems_of_an_output_are_reported() -> None:
    """Every problem of an output is told, one for each place."""
    report = Report()
    assert compile_output(Text.plain("%nope.one 50%% %ka.verb %ka.vrb 100%"), CATALOG, report, LIMIT) is None
    assert [problem.span and problem.span.start for problem in report.diagnostics] == [1, 12, 25, 35]


def test_container_info_is_dropped() -> None:
    """`%container.info` of old rules renders to nothing, with a warning at its place."""
    report = Report()
    output = compile_output(Text.plain("%ka.verb (%container.info)"), CATALOG, report, LIMIT)
    assert output is not None
    assert output.template == "%ka.verb ()"
    assert output.render(event()) == "create ()"
    (warning,) = report.diagnostics
    assert warning.code is Code.DEPRECATED_ITEM
    assert warning.span is not None
    assert (warning.span.start, warning.span.end) == (10, 25)


APPENDING = """\
append_output:
  - match: {source: k8s_audit, tags: [net]}
    extra_output: on %ka.target.resource
  - match: {rule: other}
    extra_output: never
  - extra_fields:
      - ka.user.groups
      - ka.stage: seen at %ka.stage
      - broken: 100%
"""


def _append_output(tmp_path: Any, text: str) -> Config:
    (tmp_path / "falco.yaml").write_text(text)
    config = Config.load(tmp_path / "falco.yaml", environ={})
    assert not config.diagnostics
    return config


def test_append_output(tmp_path: Any) -> None:
    """`append_output` adds text to the outputs it is for, and fields as values or as formatted text."""
    config = _append_output(tmp_path, APPENDING.replace("      - broken: 100%\n", ""))
    template, extra = append_to_output(Text.plain("%ka.verb"), "mine", "k8s_audit", ("net", "x"), config.append_output)
    assert template.value == "%ka.verb on %ka.target.resource"
    output = compile_output(template, CATALOG, Report(), LIMIT, extra_fields=extra)
    assert output is not None
    assert output.render(event()) == "create on pods"
    assert output.fields(event()) == {
        "ka.verb": "create",
        "ka.target.resource": "pods",
        "ka.user.groups": ["dev", "", "ops"],
        "ka.stage": "seen at ResponseComplete",
    }


def test_append_output_is_only_for_what_it_matches(tmp_path: Any) -> None:
    """An entry needs its source, its rule name and all its tags."""
    entries = _append_output(tmp_path, APPENDING).append_output
    cases = [("mine", "k8s_audit", ()), ("mine", "syscall", ("net",)), ("other", "k8s_audit", ("net",))]
    found = [append_to_output(Text.plain("x"), *case, entries)[0].value for case in cases]
    assert found == ["x", "x", "x on %ka.target.resource never"]


def test_errors_in_appended_output_stand_in_the_configuration(tmp_path: Any) -> None:
    """A broken format of `append_output` is reported at its place in the configuration."""
    config = _append_output(tmp_path, APPENDING)
    template, extra = append_to_output(Text.plain("x"), "mine", "k8s_audit", (), config.append_output)
    report = Report()
    assert compile_output(template, CATALOG, report, LIMIT, extra_fields=extra) is None
    (problem,) = report.diagnostics
    assert problem.span is not None
    assert problem.span.location[1:3] == (9, 20)


def test_position_within_a_folded_block() -> None:
    """The place of a problem is found also where the text came together from several parts."""
    first = Text.plain("%ka.verb", "first.yaml")
    second = Text.whole(SourceFile("second.yaml", "and %ka.nme"))
    report = Report()
    assert compile_output(first.joined(second), CATALOG, report, LIMIT) is None
    span = report.diagnostics[0].span
    assert span is not None
    assert (span.location.file, span.location.column) == ("second.yaml", 6)
