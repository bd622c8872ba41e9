"""From the configuration to sources: what is made of it, and what is told when it cannot be."""

from __future__ import annotations

from importlib.metadata import EntryPoint, EntryPoints
from pathlib import Path

import pytest

from lanner.config import Config
from lanner.diagnostics.codes import Code
from lanner.service.wiring import Wiring, wire
from lanner.sources import registry

HOST = {"FALCO_HOSTNAME": "host", "HOME": "/home/me"}


def wired(tmp_path: Path, text: str) -> Wiring:
    (tmp_path / "falco.yaml").write_text(text)
    config = Config.load(tmp_path / "falco.yaml", environ=HOST)
    assert config.ok
    return wire(config.service)


def places(wiring: Wiring) -> list[tuple[str, str, str]]:
    return [(source.name, source.kind, source.place) for source in wiring.sources]


DEFAULT = ("webhook", "webhook", "http://127.0.0.1:9765/k8s-audit")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "plugins: [{name: json, library_path: libjson.so}]",
        "plugins: [{name: k8saudit, open_params: /x}, {name: cloudtrail}]\nload_plugins: []",
    ],
)
def test_the_default_source(tmp_path: Path, text: str) -> None:
    """Without any source that reads events, one webhook on this machine alone."""
    assert places(wired(tmp_path, text)) == [DEFAULT]


@pytest.mark.parametrize(
    ("open_params", "kind", "place"),
    [
        ("http://:9765/k8s-audit", "webhook", "http://:9765/k8s-audit"),
        ("https://:9765/k8s-audit", "webhook", "https://:9765/k8s-audit"),
        (":9765/k8s-audit", "webhook", "http://:9765/k8s-audit"),
        ("http://[::]", "webhook", "http://[::]:9765/k8s-audit"),
        ("", "webhook", "http://127.0.0.1:9765/k8s-audit"),
        ("file:///var/log/audit.log", "file", "/var/log/audit.log"),
        ("/var/log/*.gz", "file", "/var/log/*.gz"),
        ("-", "file", "-"),
    ],
)
def test_the_forms_of_open_params(tmp_path: Path, open_params: str, kind: str, place: str) -> None:
    """Each makes its source, under the name of the plugin; the library is not needed."""
    wiring = wired(tmp_path, f"plugins: [{{name: k8saudit, library_path: x.so, open_params: '{open_params}'}}]")
    assert {diagnostic.code for diagnostic in wiring.diagnostics} <= {Code.CONFIG_OPEN_LISTENER}
    assert places(wiring) == [("k8saudit", kind, place)]
    assert wiring.notes == ("`library_path` of the plugin `k8saudit` is not needed: it is built in",)
    assert wiring.sources[0].make().name == "k8saudit"


def test_several_of_one_kind(tmp_path: Path) -> None:
    """Each has its own name, limit and place; the budget is enough for the largest body."""
    wiring = wired(
        tmp_path,
        "plugins:\n"
        "- {name: k8saudit, open_params: '127.0.0.1:1/x', init_config: {maxEventSize: 5}}\n"
        "- {name: k8saudit, open_params: '127.0.0.1:2/x', init_config: {webhookMaxBatchSize: 200000000}}\n"
        "- {name: k8saudit, open_params: '[::1]:1/x'}\n",
    )
    assert not wiring.diagnostics
    assert [source.name for source in wiring.sources] == ["k8saudit", "k8saudit-2", "k8saudit-3"]
    assert [source.event_limit for source in wiring.sources] == [5, None, None]
    assert wiring.budget.limit == 200_000_000


@pytest.mark.parametrize(
    ("text", "line", "message", "help"),
    [
        ("plugins:\n- {name: k8saudit, open_params: 'ftp://x'}", 2, "scheme `ftp`", "write `http://"),
        ("plugins:\n- name: k8saudit\n  open_params: 'http://:0'", 3, "from 1 to 65535", "write `http://"),
        ("plugins:\n- name: k8saudit\n  init_config:\n    maxEventSize: big", 4, "a number of bytes", "maxEventSize: "),
        (
            "plugins:\n- name: k8saudit\n  init_config: |\n    a: 1\n    readFrom: x",
            5,
            "`start` or `end`",
            "readFrom: ",
        ),
        ("plugins:\n- name: k8saudt", 2, "no event source `k8saudt`", "did you mean `k8saudit`?"),
        ("plugins:\n- name: cloudtrail", 2, "no event source `cloudtrail`", "`load_plugins`"),
        ("lanner:\n  webhooks:\n  - {}\n  - {address: 0.0.0.0}", 4, "two webhooks listen on port 9765", "`paths`"),
        ("lanner: {webhooks: [{}]}\nplugins:\n- {name: k8saudit}", 3, "two webhooks listen on port 9765", "`paths`"),
    ],
)
def test_problems(tmp_path: Path, text: str, line: int, message: str, help: str) -> None:
    """Told once, at their place, with a way out."""
    wiring = wired(tmp_path, text)
    (diagnostic,) = (found for found in wiring.diagnostics if found.is_error)
    assert not wiring.ok
    assert (diagnostic.code, diagnostic.span and diagnostic.span.location.line) == (Code.CONFIG_ERROR, line)
    assert message in diagnostic.message
    assert help in diagnostic.help


def test_an_unknown_key_warns(tmp_path: Path) -> None:
    """At the key, with the one that may be meant; the source is made all the same."""
    text = "plugins:\n- name: k8saudit\n  init_config:\n    maxEventsize: 5\n"
    wiring = wired(tmp_path, text)
    (diagnostic,) = wiring.diagnostics
    assert diagnostic.code is Code.CONFIG_UNKNOWN_KEY
    assert diagnostic.span is not None
    assert text[diagnostic.span.start : diagnostic.span.end] == "maxEventsize"
    assert diagnostic.help == "did you mean `maxEventSize`?"
    assert len(wiring.sources) == 1


class Theirs:
    """A source of somebody else's package."""

    def __init__(self, *arguments: object) -> None:
        self.arguments = arguments


def test_a_source_of_a_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It gets the name, the settings and the open parameters, which may be secret and are not shown."""
    theirs = EntryPoint("theirs", f"{__name__}:Theirs", registry.GROUP)
    monkeypatch.setattr(registry, "entry_points", EntryPoints([theirs]).select)
    wiring = wired(tmp_path, "plugins: [{name: theirs, init_config: {a: [1, b]}, open_params: 'x://me:secret@y'}]")
    assert places(wiring) == [("theirs", "plugin", "theirs")]
    made = wiring.sources[0].make()
    assert isinstance(made, Theirs)
    assert made.arguments == ("theirs", {"a": [1, "b"]}, "x://me:secret@y")
