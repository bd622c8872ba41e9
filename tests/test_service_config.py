"""The service's part of the configuration: sources, limits, and what contradicts itself."""

from __future__ import annotations

from pathlib import Path

import pytest

from lanner.config import Config
from lanner.config.access import Access
from lanner.config.service import WebhookPath, default_folder
from lanner.config.units import read_duration, read_size
from lanner.diagnostics.codes import Code

HOST = {"FALCO_HOSTNAME": "host", "HOME": "/home/me"}


def load(tmp_path: Path, text: str) -> Config:
    (tmp_path / "falco.yaml").write_text(text)
    return Config.load(tmp_path / "falco.yaml", environ=HOST)


def test_without_configuration() -> None:
    """The server on this machine alone; no source is named."""
    service = Config.default(HOST).service
    assert (service.webhooks, service.files, service.plugins) == ((), (), ())
    assert (service.server.address, service.server.port, service.server.enabled) == ("127.0.0.1", 8765, True)
    assert service.store.startswith("sqlite:///")
    assert service.limits.event == 262_144
    assert service.silence.of("any") == 900


def test_the_data_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    """What systemd gives, the system's for root, else the user's."""
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    assert default_folder({"HOME": "/home/me"}) == "/home/me/.local/share/lanner"
    assert default_folder({"HOME": "/home/me", "XDG_DATA_HOME": "/data"}) == "/data/lanner"
    assert default_folder({"STATE_DIRECTORY": "/state/lanner:/other"}) == "/state/lanner"
    monkeypatch.setattr("os.geteuid", lambda: 0)
    assert default_folder({"HOME": "/root"}) == "/var/lib/lanner"


@pytest.mark.parametrize(
    "init",
    [
        "{maxEventSize: 1000, useAsync: false}",
        '\'{"maxEventSize": 1000, "useAsync": false}\'',
        "|\n    maxEventSize: 1000\n    useAsync: false",
        '|\n    {\n    \t"maxEventSize": 1000,\n    \t"useAsync": false\n    }',
    ],
)
def test_init_config(tmp_path: Path, init: str) -> None:
    """A mapping, or one as JSON or YAML text; its keys stand where they stand in the file."""
    text = f"plugins:\n- name: k8saudit\n  init_config: {init}\n  open_params: /x\n"
    config = load(tmp_path, text)
    assert config.ok
    (plugin,) = config.service.plugins
    assert (plugin.name, plugin.plugin, plugin.open_params) == ("k8saudit", "k8saudit", "/x")
    assert plugin.init_config == {"maxEventSize": 1000, "useAsync": False}
    key, value = plugin.places["init_config.maxEventSize"].key, plugin.places["init_config.maxEventSize"].value.span
    assert value is not None
    assert (text[key.start : key.end].strip('"'), text[value.start : value.end]) == ("maxEventSize", "1000")
    assert plugin.at("init_config.other") == plugin.places["init_config"]


@pytest.mark.parametrize("init", ["", "~", "''", "{}", "'{}'"])
def test_empty_init_config(tmp_path: Path, init: str) -> None:
    """It is as good as none."""
    config = load(tmp_path, f"plugins:\n- name: k8saudit\n  init_config: {init}\n")
    assert config.ok
    assert config.service.plugins[0].init_config == {}


def test_load_plugins_chooses(tmp_path: Path) -> None:
    """Those named, in that order and all of a name; without the key all. Names are unique."""
    plugins = "plugins: [{name: k8saudit, open_params: /a}, {name: json}, {name: k8saudit, open_params: /b}]\n"

    def chosen(text: str) -> list[tuple[str, str]]:
        return [(plugin.name, plugin.open_params) for plugin in load(tmp_path, plugins + text).service.plugins]

    assert chosen("") == [("k8saudit", "/a"), ("json", ""), ("k8saudit-2", "/b")]
    assert chosen("load_plugins: [json, k8saudit, json]") == [("json", ""), ("k8saudit", "/a"), ("k8saudit-2", "/b")]
    assert chosen("load_plugins: k8saudit") == [("k8saudit", "/a"), ("k8saudit-2", "/b")]
    assert chosen("load_plugins: []") == []
    assert chosen("lanner: {files: [{name: k8saudit, path: /c}]}")[0] == ("k8saudit-2", "/a")


def test_paths_and_access(tmp_path: Path) -> None:
    """Every path has its own; a webhook's own path is there if it is written."""
    config = load(
        tmp_path,
        "lanner:\n  webhooks:\n"
        "    - {port: 1, path: /own, token: t, paths: [{path: /b, cluster: b, username: u, password: p}]}\n"
        "    - {port: 2, paths: [{path: /c}]}\n",
    )
    assert config.ok
    first, second = config.service.webhooks
    assert first.paths == (
        WebhookPath("/own", access=Access(token="t")),
        WebhookPath("/b", "b", Access(username="u", password="p")),
    )
    assert second.paths == (WebhookPath("/c"),)
    assert (first.name, second.name) == ("webhook", "webhook-2")
    assert "'t'" not in repr(config.service)


def test_secrets_are_not_in_the_text_of_the_configuration(tmp_path: Path) -> None:
    """It may end up in a log."""
    config = load(
        tmp_path,
        "lanner: {store: 'postgresql://u:hush@h/d', server: {token: hush}, webhooks: [{username: u, password: hush}]}",
    )
    assert config.ok
    assert "hush" not in repr(config.service)
    plugin = load(tmp_path, "plugins: [{name: x, init_config: {token: hush}, open_params: 'x://hush@y'}]").service
    assert plugin.plugins
    assert "hush" not in repr(plugin)


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ("plugins: [{name: k8saudit, init_config: [1]}]", 1, "`init_config` must be"),
        ("plugins:\n- {name: k8saudit, init_config: '[1]'}", 2, "`init_config` must be"),
        ("plugins:\n- name: k8saudit\n  init_config: |\n   a: 1\n   {\n", 5, "neither JSON nor YAML: "),
        ("plugins:\n- name: k8saudit\n  init_config: |\n   " + "[" * 1_001, 4, "nested deeper than 100 levels"),
        ("plugins: [{open_params: x}]", 1, "needs a `name`"),
        ("load_plugins: [nope]", 1, "`nope`, which is not in `plugins`"),
        ("lanner:\n  webhooks: [{port: 70000}]", 2, "no port 70000"),
        ("lanner:\n  webhooks: [{path: audit}]", 2, "no path to listen on"),
        ("lanner:\n  webhooks: [{key: k}]", 2, "`key` without a `certificate`"),
        ("lanner:\n  webhooks: [{allowed_subjects: [a]}]", 2, "without a `client_ca`"),
        ("lanner:\n  webhooks: [{username: a}]", 2, "needs a name and a password"),
        ("lanner:\n  webhooks: [{name: a, port: 1}, {name: a, port: 2}]", 2, "two sources `a`"),
        ("lanner:\n  files: [{name: internal, path: /a}]", 2, "alerts about Lanner itself"),
        ("lanner:\n  webhooks: [{paths: [{path: /a}, {path: /a}]}]", 2, "`/a` is there twice"),
        ("lanner:\n  files: [{follow: true}]", 2, "needs a `path`"),
        ("lanner:\n  limits: {body: big}", 2, "must be a size"),
        ("lanner:\n  limits: {body: 10MiB, in_flight: 1MiB}", 2, "`in_flight` is less than `body`"),
        ("lanner:\n  limits: {stop: 0s}", 2, "the limit `stop` is 0"),
        ("lanner:\n  silence: {clusters: {a: soon}}", 2, "the limit of `a` must be a time"),
        ("lanner:\n  retention: {age: 30}", 2, "must be a time"),
        ("lanner:\n  redact: [{pointers: [data]}]", 2, "`data` is no JSON pointer"),
        ("lanner:\n  redact: [{pointers: [/stageTimestamp]}]", 2, "`/stageTimestamp` cannot be redacted"),
        ("lanner:\n  redact: [{pointers: [/*]}]", 2, "`/*` cannot be redacted"),
        ("lanner:\n  server: {username: a}", 2, "needs a name and a password"),
        ("webserver:\n  k8s_healthz_endpoint: healthz", 2, "does not begin with `/`"),
        ("webserver:\n  listen_port: 70000", 2, "no port 70000"),
    ],
)
def test_problems(tmp_path: Path, text: str, line: int, message: str) -> None:
    """Told once, at their place, with a way out."""
    config = load(tmp_path, text)
    (diagnostic,) = (*config.diagnostics, *config.service.problems)
    assert (diagnostic.code, diagnostic.span and diagnostic.span.location.line) == (Code.CONFIG_ERROR, line)
    assert message in diagnostic.message
    assert diagnostic.help


@pytest.mark.parametrize(
    ("text", "seconds"), [("90s", 90), ("1.5h", 5400), ("30d", 2_592_000), ("500ms", 0.5), ("0", 0), ("2 m", 120)]
)
def test_durations(text: str, seconds: float) -> None:
    """A number and its unit."""
    assert read_duration(text) == seconds


@pytest.mark.parametrize(
    ("text", "size"), [("64MiB", 67_108_864), ("1k", 1024), ("10gb", 10**10), ("512", 512), ("1.5 KiB", 1536)]
)
def test_sizes(text: str, size: int) -> None:
    """A number and its unit, in any case; bare numbers are bytes."""
    assert read_size(text) == size


@pytest.mark.parametrize("text", ["", "soon", "-1s", "1y", "5", "1h30m", "٣s"])
def test_what_is_no_time(text: str) -> None:
    """Nothing is guessed."""
    with pytest.raises(ValueError):
        read_duration(text)
