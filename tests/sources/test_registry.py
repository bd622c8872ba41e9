"""Sources by name: open parameters, settings, and what installed packages bring."""

from __future__ import annotations

from importlib.metadata import EntryPoint, EntryPoints
from pathlib import Path

import pytest

from lanner.sources import registry
from lanner.sources.follow import Follow
from lanner.sources.once import ReadOnce, StandardInput
from lanner.sources.registry import (
    FollowParams,
    OnceParams,
    Params,
    SourceError,
    StdinParams,
    WebhookParams,
    factory,
    file_source,
    names,
    parse_open_params,
    plan,
)
from lanner.sources.webhook_settings import WebhookLimits

HTTPS = Path("/etc/falco/falco.pem")


@pytest.mark.parametrize(
    ("text", "params"),
    [
        ("", WebhookParams("127.0.0.1", 9765, "/k8s-audit")),
        ("http://:9765/k8s-audit", WebhookParams("", 9765, "/k8s-audit")),
        (" http://:9765/k8s-audit\n", WebhookParams("", 9765, "/k8s-audit")),
        ("http://0.0.0.0:80/", WebhookParams("0.0.0.0", 80, "/")),
        ("HTTP://localhost", WebhookParams("localhost", 9765, "/k8s-audit")),
        ("http://[::1]:1/a/b/", WebhookParams("::1", 1, "/a/b/")),
        ("https://:9765/k8s-audit", WebhookParams("", 9765, "/k8s-audit", HTTPS)),
        (":9765/k8s-audit", WebhookParams("", 9765, "/k8s-audit")),
        (":9765", WebhookParams("", 9765, "/k8s-audit")),
        ("127.0.0.1:9000/x", WebhookParams("127.0.0.1", 9000, "/x")),
        ("[::]:9000/x", WebhookParams("::", 9000, "/x")),
        ("file:///var/log/audit.log", FollowParams("/var/log/audit.log")),
        ("file://localhost/var/log/", FollowParams("/var/log/")),
        ("file://logs/audit.log", FollowParams("logs/audit.log")),
        ("file:///var/log/*/a%20b.log", FollowParams("/var/log/*/a b.log")),
        ("/var/log/audit.log", OnceParams("/var/log/audit.log")),
        ("audit", OnceParams("audit")),
        ("./a:1", OnceParams("./a:1")),
        ("logs/*.gz", OnceParams("logs/*.gz")),
        ("-", StdinParams()),
    ],
)
def test_open_parameters(text: str, params: Params) -> None:
    """All forms that Falco takes, and a few that people expect."""
    assert parse_open_params(text) == params


@pytest.mark.parametrize(
    ("text", "message", "help"),
    [
        ("ftp://x/y", "scheme `ftp`, which is unknown", "write `http://"),
        ("file://", "need a path", "write `http://"),
        ("http:/x", "lack `//`", "write `http://"),
        ("http://:99999/x", "port has to be from 1 to 65535", "write `http://"),
        ("http://:0/x", "port has to be from 1 to 65535", "write `http://"),
        ("http://[::1/x", "not an address", "write `http://"),
        ("http://user:secret@:9765/x", "more than an address", "`lanner.webhooks`"),
        ("http://:9765/x?token=1", "more than an address", "`lanner.webhooks`"),
        ("http://:9765/{x}", "has to begin with `/`", "write `http://"),
    ],
)
def test_bad_open_parameters(text: str, message: str, help: str) -> None:
    """The message says what is wrong, the help what to write."""
    with pytest.raises(SourceError) as caught:
        parse_open_params(text)
    assert message in caught.value.message
    assert help in caught.value.help
    assert caught.value.place == "open_params"
    assert "secret" not in caught.value.message


def test_settings_of_k8saudit() -> None:
    """The keys of Falco's plugin, and one of our own; nothing stands for the default."""
    assert plan("k8saudit", {}, "").params == WebhookParams()
    assert plan("k8saudit", {"sslCertificate": None}, "https://:1/x").params == WebhookParams("", 1, "/x", HTTPS)
    config = {"sslCertificate": "/tls.pem", "useAsync": False, "maxEventSize": 5, "webhookMaxBatchSize": 7}
    wanted = WebhookParams("", 9765, "/k8s-audit", Path("/tls.pem"), 7)
    assert plan("k8saudit", config, "https://") == registry.Plan(wanted, 5)
    assert plan("k8saudit", {"readFrom": "start"}, "file:///x").params == FollowParams("/x", from_start=True)
    (typo, typo_help), (other, other_help) = plan("k8saudit", {"maxEventsize": 5, "other": 1}, "").unknown
    assert (typo, typo_help) == ("maxEventsize", "did you mean `maxEventSize`?")
    assert other == "other"
    assert "`webhookMaxBatchSize`, `readFrom`" in other_help


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"sslCertificate": 1}, "`sslCertificate` in `init_config` must be a path"),
        ({"maxEventSize": 0}, "`maxEventSize` in `init_config` must be a number of bytes"),
        ({"webhookMaxBatchSize": True}, "`webhookMaxBatchSize` in `init_config` must be a number of bytes"),
        ({"readFrom": "middle"}, "`readFrom` in `init_config` must be `start` or `end`"),
    ],
)
def test_bad_settings_of_k8saudit(config: dict[str, object], message: str) -> None:
    """The key is named."""
    with pytest.raises(SourceError) as caught:
        plan("k8saudit", config, "")
    assert caught.value.message.startswith(message)
    assert caught.value.help.startswith("write")
    assert caught.value.place == f"init_config.{next(iter(config))}"


def test_json_reads_nothing() -> None:
    """In Falco it only extracts fields."""
    assert plan("json", {}, "").params is None


def test_webhook_settings() -> None:
    """What the open parameters say goes before what holds otherwise."""
    settings = WebhookParams("", 1, "/x", Path("/tls.pem"), 7).settings("prod", WebhookLimits(body=3, in_flight=5))
    assert (settings.address, settings.port, settings.paths[0].cluster) == ("", 1, "prod")
    assert (settings.limits.body, settings.limits.in_flight) == (7, 7)
    assert settings.limits.body_settings == "`webhookMaxBatchSize` in the `init_config` of the plugin"
    assert settings.tls is not None
    assert settings.tls.certificate == Path("/tls.pem")
    assert WebhookParams().settings().limits == WebhookLimits()


def test_file_sources() -> None:
    """Each kind of parameters has its source, under the given name."""
    for params, kind in ((FollowParams("/x"), Follow), (OnceParams("/x"), ReadOnce), (StdinParams(), StandardInput)):
        source = file_source(params, name="audit")
        assert isinstance(source, kind)
        assert source.name == "audit"


def test_sources_of_installed_packages(monkeypatch: pytest.MonkeyPatch) -> None:
    """They are found by their entry point; errors name what is there, and whose fault it is."""
    mine = EntryPoint("mine", "lanner.sources.once:StandardInput", registry.GROUP)
    broken = EntryPoint("broken", "no.such.module:Thing", registry.GROUP)
    installed = EntryPoints([mine, broken])
    monkeypatch.setattr(registry, "entry_points", installed.select)
    assert names() == ("k8saudit", "json", "broken", "mine")
    assert factory("mine") == mine.load()
    with pytest.raises(SourceError, match=r"cannot be loaded: ModuleNotFoundError") as caught:
        factory("broken")
    assert "no.such.module:Thing" in caught.value.help
    with pytest.raises(SourceError, match="no event source `k8sadit`") as caught:
        factory("k8sadit")
    assert caught.value.help == "did you mean `k8saudit`?"
