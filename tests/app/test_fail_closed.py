"""Authentication that is asked for and yields no secret keeps the service from starting, in `check` as in `run`."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import pytest

from lanner.config import Config
from lanner.diagnostics.codes import Code
from lanner.diagnostics.diagnostic import Diagnostic
from lanner.diagnostics.render import falco_json, render_text
from lanner.regular_file import problem_of
from lanner.service.named_files import named_file_problems
from lanner.service.wiring import is_loopback, wire
from tests.cli.conftest import RULES, Lanner, lanner  # noqa: F401 - a fixture

ROOT = Path(__file__).resolve().parent.parent.parent
ENVIRON = {"HOME": "/home/me", "FALCO_HOSTNAME": "host", "EMPTY": "", "SET": "s3cret"}


def judged(folder: Path, text: str, *overrides: str) -> tuple[Config, list[Diagnostic]]:
    """A configuration of that text, and all that `run` and `check` say of it."""
    (folder / "falco.yaml").write_text(text)
    config = Config.load(folder / "falco.yaml", overrides, ENVIRON)
    return config, [*config.diagnostics, *wire(config.service).diagnostics, *named_file_problems(config.service)]


def errors(folder: Path, text: str, *overrides: str) -> list[Diagnostic]:
    return [problem for problem in judged(folder, text, *overrides)[1] if problem.is_error]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current directory, with files that yield no secret."""
    monkeypatch.chdir(tmp_path)
    for name, content in {
        "empty": b"",
        "blank": b" \n\t\r\n",
        "null.txt": b"null\n",
        "odd": b"a token of words\n",
        "binary": b"\xff\xfe\x00",
        "nul": b"a\0b\n",
        "good": b"s3cret\n",
    }.items():
        Path(name).write_bytes(content)
    Path("folder").mkdir()
    os.mkfifo("pipe")
    with Path("huge").open("wb") as huge:
        huge.truncate(10 * 1024**3)
    return tmp_path


NOTHING = ["${NONE}", "'${NONE}'", '"${NONE}"', "${EMPTY}", '""', "''", "", "~", "null", '"null"', '"  "', '"${NONE} "']
NO_FILES = ["empty", "blank", "null.txt", "binary", "missing", "folder", "pipe", "huge", "/dev/zero", "/dev/null"]
LISTENERS = {
    "lanner.webhooks[]": "lanner:\n  webhooks:\n    - port: 1\n      {}\n",
    "lanner.webhooks[].paths[]": "lanner:\n  webhooks:\n    - paths:\n      - path: /a\n        {}\n",
    "lanner.server": "lanner:\n  server:\n    # of health and metrics\n    {}\n",
}
KEYS = {
    "token": "token: {}",
    "token_file": "token_file: {}",
    "username": "username: {}",
    "password": "password: {}",
    "password_file": "password_file: {}",
}


@pytest.mark.parametrize("section", LISTENERS)
@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize("value", NOTHING)
def test_a_key_that_yields_no_secret(folder: Path, section: str, key: str, value: str) -> None:
    """Whatever nothing looks like, it is an error that names the key, the place and the variable."""
    text = LISTENERS[section].format(KEYS[key].format(value))
    found = next(problem for problem in errors(folder, text) if f"`{section}.{key}`" in problem.message)
    assert found.code is Code.CONFIG_ERROR
    assert found.span is not None
    assert found.span.location.line == 4 + ("paths" in section)
    assert found.help
    for name in re.findall(r"\$\{(\w+)\}", value):
        assert f"the environment variable `{name}` is {'empty' if name == 'EMPTY' else 'not set'}" in found.message


@pytest.mark.parametrize("section", LISTENERS)
@pytest.mark.parametrize("key", ["token_file", "password_file"])
@pytest.mark.parametrize("name", NO_FILES)
def test_a_file_that_yields_no_secret(folder: Path, section: str, key: str, name: str) -> None:
    """Missing, empty, blank, odd, or no regular file: an error at its place, at once."""
    text = LISTENERS[section].format("username: me" if key == "password_file" else "token: other")
    indentation = text.splitlines()[-1].partition("username" if key == "password_file" else "token")[0]
    text += f"{indentation.replace('-', ' ')}{key}: {name}\n"
    (found,) = errors(folder, text)
    assert f"`{key}` asks for authentication and yields no secret: " in found.message
    assert f"`{name}`" in found.message
    assert found.span is not None
    assert text.splitlines()[found.span.location.line - 1].strip() == f"{key}: {name}"


@pytest.mark.parametrize("name", ["odd", "nul"])
def test_a_token_that_cannot_be_sent(folder: Path, name: str) -> None:
    """A line of a file of tokens with blanks or odd characters is named, without its text."""
    (found,) = errors(folder, LISTENERS["lanner.webhooks[]"].format(f"token_file: {name}"))
    assert f"line 1 of `{name}` is no bearer token" in found.message
    assert "words" not in found.message


TLS = "lanner:\n  webhooks:\n    - port: 1\n      certificate: c.pem\n      "


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        *((f"{TLS}client_ca: {value}", 5, "`lanner.webhooks[].client_ca` asks for auth") for value in NOTHING),
        *(
            (f"{TLS}client_ca: c.pem\n      allowed_subjects: {value}", 6, "`lanner.webhooks[].allowed_subjects` asks")
            for value in [*NOTHING, "[]", "['']", "[~]", "[a, '${NONE}']", "[a, ' ']"]
        ),
        (f"{TLS}client_ca: c.pem\n      allowed_subjects: [CN=]", 6, "may name one `CN` and one `O`"),
        (f"{TLS}client_ca: c.pem\n      allowed_subjects: ['CN=a,O=']", 6, "may name one `CN` and one `O`"),
        (f"{TLS}client_ca: c.pem\n      allowed_subjects: ['CN=a,CN=b']", 6, "may name one `CN` and one `O`"),
        (f"{TLS}client_ca: c.pem\n      allowed_subjects: ['DNS:']", 6, "has to begin with one of"),
        (f"{TLS}client_ca: c.pem\n      paths: [{{path: /a, allowed_subjects: []}}]", 6, "allowed_subjects` asks for"),
        (f"{TLS}paths: []\n      token: a", 5, "`lanner.webhooks[].paths` is empty"),
        (f"{TLS}paths:\n      token: a", 5, "`lanner.webhooks[].paths` is empty"),
        ("lanner:\n  webhooks:\n    - certificate: ''", 3, "`lanner.webhooks[].certificate` asks for https"),
        ("lanner:\n  webhooks:\n    - certificate: ${NONE}", 3, "`lanner.webhooks[].certificate` asks for https"),
        (f"{TLS}key: ${{NONE}}", 5, "`lanner.webhooks[].key` asks for https and is empty"),
        ("lanner:\n  webhooks:\n    - client_ca: good", 3, "`client_ca` without a `certificate`"),
        ("webserver:\n  ssl_enabled: true\n  ssl_certificate: ''", 3, "`webserver.ssl_certificate` is empty"),
        ("webserver:\n  ssl_enabled: true\n  ssl_certificate: ${NONE}", 3, "`NONE` is not set"),
        ("lanner:\n  webhooks:\n    - token: [a]", 3, "`lanner.webhooks[].token` must be a text"),
        ("lanner:\n  webhooks:\n    - token: {a: b}", 3, "`lanner.webhooks[].token` must be a text"),
        ("lanner:\n  webhooks:\n    - token: a b", 3, "`lanner.webhooks[].token` is no bearer token"),
        ("lanner:\n  webhooks:\n    - token: é", 3, "`lanner.webhooks[].token` is no bearer token"),
        ("lanner:\n  webhooks:\n    - token: x${NONE}", 3, "asks for authentication and is incomplete"),
        ("lanner:\n  webhooks:\n    - token: $${NONE}", 3, "is a reference that nobody has filled in"),
        ("lanner:\n  webhooks:\n    - token: $(NONE)", 3, "is a reference that nobody has filled in"),
        ("lanner:\n  webhooks:\n    - token: $NONE", 3, "is a reference that nobody has filled in"),
        ("lanner:\n  webhooks:\n    - username: a", 3, "needs a name and a password"),
        ("lanner:\n  webhooks:\n    - password: a", 3, "needs a name and a password"),
        ("lanner:\n  webhooks:\n    - {username: 'a:b', password: c}", 3, "`lanner.webhooks[].username` holds a `:`"),
        # What is misspelt asks for nothing, so what it would ask for is not there.
        ("lanner:\n  webhooks:\n    - token_fil: good", 3, "unknown key `token_fil` in `lanner.webhooks[]`"),
        ("lanner:\n  webhooks:\n    - Token: a", 3, "unknown key `Token` in `lanner.webhooks[]`"),
        ("lanner:\n  webhooks:\n    - paths: [{path: /a, tokn: a}]", 3, "unknown key `tokn`"),
        ("lanner:\n  webhoks: [{token: a}]", 2, "unknown key `webhoks` in `lanner`"),
        ("lanner:\n  server: {tokenfile: a}", 2, "unknown key `tokenfile` in `lanner.server`"),
        ("Lanner:\n  server: {token: a}", 1, "unknown key `Lanner`"),
        ("laner:\n  server: {token: a}", 1, "unknown key `laner`"),
        ("lanner.webhooks: [{port: 9000, token: abc}]", 1, "unknown key `lanner.webhooks`"),
        ("'Lanner.webhooks[0].token': abc", 1, "unknown key `Lanner.webhooks[0].token`"),
        ("lanner_webhooks: [{token: abc}]", 1, "unknown key `lanner_webhooks`"),
        ("webhooks: [{port: 9000, token: abc}]", 1, "unknown key `webhooks`"),
        ("Webhooks: [{port: 9000, token: abc}]", 1, "unknown key `Webhooks`"),
        ("'webhooks[0].token': abc", 1, "unknown key `webhooks[0].token`"),
        ("server: {token: abc}", 1, "unknown key `server`"),
        ("redact: [{pointers: [/a]}]", 1, "unknown key `redact`"),
        ("token: abc", 1, "unknown key `token`"),
        ("webserver:\n  token: abc", 2, "unknown key `token` in `webserver`"),
        ("plugins:\n- name: k8saudit\n  token_file: good", 3, "unknown key `token_file` in `plugins[]`"),
        *(
            (f"lanner:\n  webhooks:\n    - {{username: me, {key}: {value}}}", 3, f"`lanner.webhooks[].{key}` cannot be")
            for key in ("token", "password")
            for value in ("false", "True", "'false'", "no", "on")
        ),
        ("lanner:\n  server:\n    token: false", 3, "`lanner.server.token` cannot be `false`"),
        ("lanner:\n  webhooks: [{}]\nlanner:\n  webhooks: [{token: a}]", 3, "`lanner` is there twice"),
        ("lanner:\n  webhooks:\n    - port: 1\n      token: a\n      token: b", 5, "`token` is there twice"),
        # Nothing is guessed in the place of a variable.
        ("lanner:\n  webhooks: [{address: '${NONE}'}]", 2, "`lanner.webhooks[].address` is incomplete: the env"),
        ("lanner:\n  store: ${NONE}", 2, "`lanner.store` is incomplete: the environment variable `NONE`"),
        ("lanner:\n  silence: {clusters: {a: '${NONE}'}}", 2, "variable `NONE` is not set"),
        ("webserver:\n  listen_address: ${NONE}", 2, "`webserver.listen_address` is incomplete"),
        ("plugins:\n- name: k8saudit\n  open_params: http://${NONE}:1/x", 3, "`plugins[].open_params` is incomplete"),
        ("priority: ${NONE}", 1, "`priority` cannot be ``: the environment variable `NONE` is not set"),
        ("rules_files: ['${NONE}']", 1, "an entry of `rules_files` is empty: the environment variable `NONE`"),
        ("config_files: ['${NONE}']", 1, "an entry of `config_files` is empty: the environment variable `NONE`"),
        ("plugins: [{name: k8saudit, init_config: {sslCertificate: '${NONE}'}}]", 1, "variable `NONE` is not set"),
        (
            "plugins:\n- name: k8saudit\n  init_config: |\n    sslCertificate: '${NONE}'\n  open_params: /x",
            4,
            "variable `NONE` is not set",
        ),
        ("webserver: {listen_port: 7}\nlanner:\n  webhooks: [{port: 7}]", 3, "a webhook and the status server listen"),
        ("lanner:\n  store: postgresql://u:p@ss@h/d", 2, "holds an `@` that is not escaped"),
        ("lanner:\n  store: postgresql://h:1/d?password=p@ss", 2, "holds an `@` that is not escaped"),
    ],
)
def test_what_does_not_start(folder: Path, text: str, line: int, message: str) -> None:
    """Each is an error at its place."""
    found = next(problem for problem in errors(folder, text + "\n") if message in problem.message)
    assert found.span is not None
    assert found.span.location.line == line
    assert found.help


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("lanner.webhooks[0].token=", "`lanner.webhooks[].token` asks for authentication and is empty"),
        ("lanner.webhooks[0].token=~", "`lanner.webhooks[].token` asks for authentication and is empty"),
        ("lanner.webhooks[0].token=${TOKEN}", "is a reference that nobody has filled in"),
        ("lanner.webhooks[0].token_file=empty", "yields no secret: `empty` holds no token"),
        ("lanner.webhooks[0].tokn=a", "unknown key `tokn` in `lanner.webhooks[]`"),
        ("lanner.webhooks[0].allowed_subjects=[]", "`lanner.webhooks[].allowed_subjects` asks for"),
        ("lanner.server.token=", "`lanner.server.token` asks for authentication and is empty"),
        ("webhooks[0].token=a", "unknown key `webhooks`"),
        ("lanner.webhooks[0].token=false", "`lanner.webhooks[].token` cannot be `false`"),
        ("lanner.servr.token=abc", "unknown key `servr` in `lanner`"),
        ("lanner.webhooks[]={token: }", "`lanner.webhooks[].token` asks for authentication and is empty"),
    ],
)
def test_what_does_not_start_by_an_option(folder: Path, option: str, message: str) -> None:
    """Options are held to the same; they are their own place."""
    found = next(
        problem for problem in errors(folder, "lanner: {webhooks: [{port: 1}]}\n", option) if message in problem.message
    )
    assert found.span is not None
    assert found.span.location.file == "-o"


def test_included_files(folder: Path) -> None:
    """A file that sets another key of ours takes no authentication away; an empty one in it is an error there."""
    (folder / "more.yaml").write_text("lanner:\n  silence: {after: 1h}\n  webhooks: [{port: 2, token: b}]\n")
    text = "config_files: [more.yaml]\nlanner:\n  webhooks: [{port: 1, token: a}]\n  server: {token: c}\n"
    config, problems = judged(folder, text)
    assert problems == []
    assert [webhook.paths[0].access.token for webhook in config.service.webhooks] == ["a", "b"]
    assert (config.service.server.access.token, config.service.silence.after) == ("c", 3600)
    (folder / "more.yaml").write_text("lanner:\n  server:\n    token: ${NONE}\n")
    (found,) = errors(folder, text)
    assert found.span is not None
    assert (found.span.location.file, found.span.location.line) == ("more.yaml", 3)


def test_paths_ask_for_what_their_webhook_asks_for(folder: Path) -> None:
    """A token above `paths` guards each that has nothing of its own."""
    text = "lanner:\n  webhooks:\n    - {token: a, paths: [{path: /a}, {path: /b, token: b}]}\n"
    config, problems = judged(folder, text)
    assert problems == []
    assert [path.access.token for path in config.service.webhooks[0].paths] == ["a", "b"]


def test_other_commands_need_no_secrets(folder: Path) -> None:
    """Who looks at alerts has not the environment of the service."""
    config, problems = judged(folder, "lanner: {webhooks: [{token: '${NONE}'}]}\n")
    assert config.ok
    assert not all(problem in config.diagnostics for problem in problems)


@pytest.mark.parametrize(
    "text",
    [
        "lanner: {webhooks: [{token: s3cret}]}",
        "lanner: {webhooks: [{token: '${SET}'}]}",
        "lanner: {webhooks: [{token_file: good}], server: {username: a, password_file: good}}",
        "lanner: {webhooks: [{certificate: , key: ~}]}",
        "lanner: {webhooks: [{cluster: 'a$${b}'}]}",
        "json_output: true",
    ],
)
def test_what_starts(folder: Path, text: str) -> None:
    """Secrets that are there, and no secrets on this machine alone."""
    assert judged(folder, text)[1] == []


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("lanner:\n  webhooks:\n    - address: 0.0.0.0", 3),
        ("lanner:\n  webhooks:\n    - {address: '::', paths: [{path: /a}, {path: /b, token: b}]}", 3),
        ("lanner:\n  webhooks:\n    - {address: '', certificate: missing}", 3),
        ("lanner:\n  webhooks:\n    - {address: lanner.example}", 3),
        ("plugins:\n- name: k8saudit\n  open_params: http://:9765/k8s-audit", 3),
        ("plugins:\n- name: k8saudit\n  open_params: https://10.0.0.1:9765/k8s-audit", 3),
    ],
)
def test_a_listener_that_anybody_reaches(folder: Path, text: str, line: int) -> None:
    """It starts, and says at its place that it asks for nothing; so does its source."""
    config, problems = judged(folder, text)
    (found,) = [problem for problem in problems if problem.code is Code.CONFIG_OPEN_LISTENER]
    assert found.span is not None
    assert found.span.location.line == line
    assert "no authentication is configured" in found.message
    assert "/b" not in found.message
    (source,) = wire(config.service).sources
    assert "no authentication is configured" in source.warning
    assert "/" not in source.warning


@pytest.mark.parametrize(
    "text",
    [
        "",
        "lanner: {webhooks: [{address: localhost}, {address: 127.0.0.2}, {address: '::1'}]}",
        "lanner: {webhooks: [{address: 0.0.0.0, token: a}]}",
        "lanner: {webhooks: [{address: 0.0.0.0, username: a, password: a}]}",
        "lanner: {webhooks: [{address: 0.0.0.0, certificate: missing, client_ca: missing}]}",
        "plugins: [{name: k8saudit, open_params: 'http://127.0.0.1:9765/x'}]",
        "webserver: {listen_address: 0.0.0.0}",
    ],
)
def test_listeners_that_are_not_open(folder: Path, text: str) -> None:
    """Authentication of any kind, or this machine alone; metrics and health may be read by anybody, as usual."""
    assert Code.CONFIG_OPEN_LISTENER not in {problem.code for problem in judged(folder, text)[1]}


@pytest.mark.parametrize(
    ("address", "loopback"),
    [
        *((address, True) for address in ("127.0.0.1", "127.9.9.9", "::1", "LOCALHOST")),
        *((address, False) for address in ("", "0.0.0.0", "::", "127.0.0.1.example", "10.0.0.1")),
    ],
)
def test_loopback(address: str, loopback: bool) -> None:
    """What is not sure to be this machine alone is not."""
    assert is_loopback(address) == loopback


SECRET = "hu5hhu5h"


@pytest.mark.parametrize(
    "text",
    [
        f"lanner: {{webhooks: [{{port: 70000, token: {SECRET}}}]}}",
        f"lanner: {{webhooks: [{{port: 70000, username: a, password: {SECRET}}}]}}",
        f"lanner: {{webhooks: [{{port: 1, tokn: {SECRET}}}]}}",
        f"lanner:\n  webhooks:\n    - token: [{SECRET}]",
        f"lanner:\n  webhooks:\n    - token: {{a: {SECRET}}}",
        f"lanner:\n  webhooks:\n    - token: {SECRET} {SECRET}",
        f"lanner:\n  webhooks:\n    - token: |\n        {SECRET} x",
        f"lanner:\n  server:\n    token: {SECRET}\n    token: {SECRET}",
        f"lanner:\n  webhooks:\n    - {{token: {SECRET}",
        f'lanner:\n  webhooks:\n    - token: "{SECRET}\\z"',
        f"lanner:\n  webhooks:\n    - token: |\n        {SECRET}\n\t{SECRET}",
        f"laner: {{server: {{token: {SECRET}}}}}",
        f"lanner: {{store: 'mysql://u:{SECRET}@h/d'}}",
        f"lanner: {{store: 'postgresql://u:a@{SECRET}@h/d'}}",
        f"lanner: {{store: 'mysql://h/d?password={SECRET}'}}",
        f"plugins: [{{name: k8saudit, open_params: 'http://me:{SECRET}@:1/x'}}]",
        f"plugins: [{{name: k8saudit, open_params: 'ftp://me:{SECRET}@:1/x'}}]",
        f"plugins: [{{name: k8saudit, open_params: 'ftp://me:a@{SECRET}@h:1/x'}}]",
        f"plugins: [{{name: k8saudit, open_params: 'http://h:1/x?token={SECRET}'}}]",
        f"plugins: [{{name: nope, init_config: {{apiKey: {SECRET}}}}}]",
        f"plugins:\n- name: k8saudit\n  init_config: |\n    {{'token': '{SECRET}', useAsinc: 1}}",
    ],
)
def test_secrets_are_not_shown(folder: Path, text: str) -> None:
    """An error near a secret, or about it, shows the line without it, as text and as JSON."""
    _, problems = judged(folder, text + "\n")
    assert problems
    shown = render_text(problems) + json.dumps(falco_json([("falco.yaml", problems)]))
    assert SECRET not in shown


@pytest.mark.parametrize(
    "option",
    [
        f"lanner.webhooks[0].token=[{SECRET}]",
        f"lanner.webhooks[0].tokn={SECRET}",
        f"lanner.server.token.x={SECRET}",
        f"lanner.webhooks[]={{port: x, token: {SECRET}}}",
        f"lanner.webhooks[]={{token: {SECRET}",
        f"lanner.server.token:{SECRET}",
        f"lanner.store=mysql://u:{SECRET}@h/d",
    ],
)
def test_secrets_in_options_are_not_shown(folder: Path, option: str) -> None:
    """The same for what stands on the command line."""
    _, problems = judged(folder, "lanner: {webhooks: [{port: 1}]}", option)
    assert problems
    assert SECRET not in render_text(problems) + json.dumps(falco_json([("-o", problems)]))


def test_check_and_run_say_the_same(lanner: Lanner, folder: Path) -> None:  # noqa: F811 - the fixture
    """`check` of the file, `check` without files, `run --dry-run` and `run` refuse in the same words."""
    Path("rules.yaml").write_text(RULES)
    Path("falco.yaml").write_text(
        "rules_files: [rules.yaml]\n"
        "lanner:\n  webhooks:\n    - port: 0\n      token: ${NONE}\n    - {token_file: empty}\n"
    )
    checked, whole = lanner("check", "falco.yaml"), lanner("check", "-c", "falco.yaml")
    dry, run = lanner("run", "-c", "falco.yaml", "--dry-run"), lanner("run", "-c", "falco.yaml")
    assert [result.code for result in (checked, whole, dry, run)] == [1, 1, 1, 1]
    said = dry.stderr.strip()
    assert "error[CONFIG_ERROR]: `lanner.webhooks[].token` asks for authentication and is empty" in said
    assert "`empty` holds no token" in said
    assert run.stderr.strip() == said
    for result in (checked, whole):
        assert result.stdout.strip().startswith(said)


def test_check_without_files(lanner: Lanner, folder: Path) -> None:  # noqa: F811 - the fixture
    """It judges the configuration, its files, its options and its rules, as `run` takes them."""
    Path("rules.yaml").write_text(RULES)
    Path("falco.yaml").write_text("rules_files: [rules.yaml]\nlanner: {webhooks: [{token_file: good}]}\n")
    assert lanner("check", "-c", "falco.yaml").stdout == "falco.yaml: ok\nrules.yaml: ok\n"
    assert lanner("check", "-c", "falco.yaml", "-o", "lanner.webhooks[0].token_file=blank").code == 1
    Path("rules.yaml").write_text(RULES.replace("condition: writes", "condition: write"))
    result = lanner("check", "-c", "falco.yaml")
    assert (result.code, result.stdout.splitlines()[-1]) == (1, "rules.yaml: invalid, 1 error")
    assert lanner("check", "-r", "rules.yaml", "falco.yaml").code == 2


@pytest.mark.parametrize("name", ["pipe", "/dev/zero", "huge", "folder"])
@pytest.mark.parametrize(
    "command",
    [
        ["check", "NAME"],
        ["check", "-c", "NAME"],
        ["run", "--dry-run", "-c", "NAME"],
        ["run", "--dry-run", "-c", "/dev/null", "-r", "NAME"],
        ["rules", "-c", "/dev/null", "-r", "NAME"],
        ["replay", "-c", "/dev/null", "-r", "NAME", "good"],
    ],
)
def test_what_is_no_file(lanner: Lanner, folder: Path, name: str, command: list[str]) -> None:  # noqa: F811
    """A pipe nobody writes, a device without an end and a huge file end a command with the reason, and at once."""
    result = lanner(*(name if word == "NAME" else word for word in command))
    if name == "folder" and "-c" in command and command[-1] == "NAME" and "-r" not in command:
        assert "folder, not a file" in result.stderr
    elif name == "folder":
        assert "no rules file in" in result.stderr
    else:
        assert re.search("it is (a pipe|a device|larger than)", result.stdout + result.stderr)
    assert result.code == 1


@pytest.mark.parametrize("included", ["pipe", "/dev/zero", "huge"])
def test_included_files_that_are_none(folder: Path, included: str) -> None:
    """They are an error where they are included."""
    (found,) = errors(folder, f"config_files: [{included}]\n")
    assert f"cannot read `{included}`: it is" in found.message


def test_the_manifest_is_good(folder: Path) -> None:
    """The configuration that we deploy has no error, and its listener is not open."""
    manifest = (ROOT / "deploy" / "kubernetes" / "lanner.yaml").read_text()
    found = re.search(r"(?m)^  falco\.yaml: \|\n((?:    .*\n|\n)+)", manifest)
    assert found is not None
    text = re.sub(r"(?m)^    ", "", found[1])
    problems = judged(folder, text)[1]
    assert {problem.code for problem in problems} <= {Code.CONFIG_FILE_NOT_FOUND}


def test_a_name_that_no_file_can_have() -> None:
    """It is a problem of the file, not of the program."""
    assert problem_of("a\0b") == "its name holds a nul character"
