"""`lanner check`."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.conftest import RULES, Lanner
from tests.sources.certificates import Authority, needs_openssl

MISSPELT = RULES.replace("condition: writes", "condition: write")


def test_a_good_file(lanner: Lanner, rules_file: Path) -> None:
    """Good files are told to be good."""
    result = lanner("check", rules_file)
    assert result.code == 0
    assert result.stdout == f"{rules_file}: ok\n"


def test_a_misspelt_macro_is_shown_at_its_place(lanner: Lanner, tmp_path: Path) -> None:
    """The message has code, file, line, column, a caret under the word, and the name that was meant."""
    path = tmp_path / "rules.yaml"
    path.write_text(MISSPELT)
    result = lanner("check", path)
    assert result.code == 1
    assert "LOAD_ERR_VALIDATE" in result.stdout
    assert f"{path}:6:14" in result.stdout
    assert "`writes`" in result.stdout
    lines = result.stdout.splitlines()
    (number,) = [n for n, line in enumerate(lines) if "condition: write and" in line]
    assert lines[number + 1].index("^") == lines[number].index("write and")
    assert lines[-1] == f"{path}: invalid, 1 error"


def test_warnings_are_allowed(lanner: Lanner, tmp_path: Path) -> None:
    """A warning is shown and counted, and the file stays valid."""
    path = tmp_path / "rules.yaml"
    path.write_text(RULES + "\n- list: nobody_asks\n  items: [a]\n")
    result = lanner("check", path)
    assert result.code == 0
    assert "LOAD_UNUSED_LIST" in result.stdout
    assert result.stdout.endswith(f"{path}: ok, 1 warning\n")


def test_files_are_checked_together_and_one_bad_file_does_not_hide_another(lanner: Lanner, tmp_path: Path) -> None:
    """Folders are read by name, all but hidden files; a later file sees what an earlier good one defines."""
    (tmp_path / "1-macros.yaml").write_text("- macro: writes\n  condition: ka.verb in (create, update)\n")
    (tmp_path / "2-bad.yaml").write_text("- macro: [\n")
    (tmp_path / "3-rules").write_text(RULES[RULES.index("- rule") :])
    (tmp_path / ".notes.txt").write_text("not rules")
    result = lanner("check", tmp_path)
    assert result.code == 1
    verdicts = [line.split(": ")[-1] for line in result.stdout.splitlines() if line.startswith(str(tmp_path))]
    assert [verdict.split(",")[0] for verdict in verdicts] == ["ok", "invalid", "ok"]


@pytest.mark.parametrize("option", [["--json"], ["--format", "json"]])
def test_json_has_the_shape_of_falco(lanner: Lanner, tmp_path: Path, option: list[str]) -> None:
    """One result for each file, with errors and warnings by code and place; places count from 0, as in Falco."""
    path = tmp_path / "rules.yaml"
    path.write_text(MISSPELT)
    result = lanner("check", path, *option)
    assert result.code == 1
    (file,) = json.loads(result.stdout)["falco_load_results"]
    assert file["name"] == str(path)
    assert file["successful"] is False
    assert file["warnings"] == [] or file["warnings"][0]["code"].startswith("LOAD_")
    (error,) = file["errors"]
    assert error["code"] == "LOAD_ERR_VALIDATE"
    place = error["context"]["locations"][-1]["position"]
    assert (place["name"], place["line"], place["column"]) == (str(path), 5, 13)


def test_a_configuration_is_known_by_its_content(lanner: Lanner, tmp_path: Path) -> None:
    """A mapping is a configuration, whatever its name."""
    path = tmp_path / "rules.yaml"
    path.write_text("priority: loud\n")
    result = lanner("check", path)
    assert result.code == 1
    assert "CONFIG_ERROR" in result.stdout
    assert f"{path}:1:" in result.stdout
    path.write_text("priority: warning\njson_output: true\n")
    assert lanner("check", path).stdout == f"{path}: ok\n"


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("mysql://user:secret@host/db", "`mysql` is no kind of store"),
        ("/var/lib/lanner.db", "`lanner.store` is no URL of a store"),
        ("sqlite:lanner.db", "`lanner.store` is no URL of a store"),
        ("postgresql://", "`lanner.store` does not say which store"),
    ],
)
def test_a_store_that_cannot_be(lanner: Lanner, tmp_path: Path, url: str, message: str) -> None:
    """Told with its place and with what a store can be, here as when the service starts."""
    path = tmp_path / "falco.yaml"
    path.write_text(f"lanner:\n  store: {url}\n")
    result = lanner("check", path)
    assert result.code == 1
    assert f"error[CONFIG_ERROR]: {message}\n --> {path}:2:10\n" in result.stdout
    assert "`postgresql://user@host/database`" in result.stdout
    assert "CONFIG_ERROR" in lanner("run", "-c", path, "--dry-run").stderr


@pytest.mark.parametrize(
    "url", ["sqlite:////var/lib/lanner/lanner.db", "postgresql://user:word@host/db", "postgres://user@host/db"]
)
def test_stores_that_can_be(lanner: Lanner, tmp_path: Path, url: str) -> None:
    """They are not looked for."""
    path = tmp_path / "falco.yaml"
    path.write_text(f"lanner: {{store: '{url}'}}\n")
    assert lanner("check", path).stdout == f"{path}: ok\n"


@needs_openssl
@pytest.mark.parametrize(
    ("written", "line"),
    [
        ("lanner: {webhooks: [{certificate: PATH}]}", 1),
        ("lanner:\n  webhooks:\n    - certificate: server.crt\n      key: PATH", 4),
        ("lanner:\n  webhooks:\n    - certificate: server.pem\n      client_ca: PATH", 4),
        ("webserver:\n  ssl_enabled: true\n  ssl_certificate: PATH", 3),
        ("webserver: {ssl_enabled: true, ssl_certificate: server.crt}\nlanner: {server: {key: PATH}}", 2),
        (
            "plugins:\n  - name: k8saudit\n    init_config: {sslCertificate: PATH}\n    open_params: https://127.0.0.1:1",
            3,
        ),
    ],
)
def test_certificates_that_a_configuration_names(
    lanner: Lanner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, written: str, line: int
) -> None:
    """One that is not there is a warning at its place, since nothing listens until it comes; one that cannot be used
    is an error; one that fits is fine."""
    monkeypatch.chdir(tmp_path)
    server = Authority(tmp_path, "authority").issue("server", "/CN=localhost")
    named = tmp_path / "named"
    Path("falco.yaml").write_text(written.replace("PATH", str(named)) + "\n")
    result = lanner("check", "falco.yaml")
    assert result.code == 0
    assert "warning[CONFIG_FILE_NOT_FOUND]: there is no file" in result.stdout
    assert f"`{named}`\n --> falco.yaml:{line}:" in result.stdout
    assert result.stdout.endswith("falco.yaml: ok, 1 warning\n")
    for content in ("", " \n", "something"):
        named.write_text(content)
        result = lanner("check", "falco.yaml")
        assert result.code == 1
        assert "error[CONFIG_ERROR]: cannot use the c" in result.stdout
        assert "CONFIG_ERROR" in lanner("run", "-c", "falco.yaml", "--dry-run").stderr
    named.unlink()
    os.mkfifo(named)
    result = lanner("check", "falco.yaml")
    assert f"`{named}` cannot be used: it is a pipe, not a regular file\n --> falco.yaml:{line}:" in result.stdout
    named.unlink()
    shutil.copy(server.with_suffix(".key") if "key: PATH" in written else server, named)
    assert lanner("check", "falco.yaml").stdout == "falco.yaml: ok\n"


@pytest.mark.parametrize(
    "written",
    [
        "plugins:\n  - name: k8saudit\n    open_params: file://PATH",
        "plugins:\n  - name: k8saudit\n    open_params: PATH",
        "lanner:\n  files:\n    - path: PATH",
        "lanner:\n  files:\n    - {path: PATH, follow: false}",
    ],
)
def test_inputs_that_a_configuration_names(lanner: Lanner, tmp_path: Path, written: str) -> None:
    """One that is not there is a warning at its place, since it may come later; a pipe cannot be followed."""
    named, path = tmp_path / "named", tmp_path / "falco.yaml"
    path.write_text(written.replace("PATH", str(named)) + "\n")
    result = lanner("check", path)
    assert "warning[CONFIG_FILE_NOT_FOUND]: there is no file" in result.stdout
    assert f"`{named}`\n --> {path}:3:" in result.stdout
    named.write_text("something")
    assert lanner("check", path).stdout == f"{path}: ok\n"
    named.unlink()
    os.mkfifo(named)
    assert lanner("check", path).code == ("follow: false" not in written and "open_params: PATH" not in written)


@pytest.mark.parametrize(
    "written",
    [
        "webserver: {ssl_enabled: false, ssl_certificate: /nowhere/falco.pem}",
        "webserver: {enabled: false, ssl_enabled: true, ssl_certificate: /nowhere/falco.pem}",
        'lanner: {files: [{path: "-"}, {path: /nowhere/*.log}]}',
        "plugins: [{name: k8saudit, init_config: {sslCertificate: /nowhere/falco.pem}, open_params: 'http://127.0.0.1:1/a'}]",
        "lanner: {webhooks: [{certificate: }]}",
    ],
)
def test_files_that_are_not_needed(lanner: Lanner, tmp_path: Path, written: str) -> None:
    """What Falco's own falco.yaml names and does not use, patterns and standard input bring no warning."""
    path = tmp_path / "falco.yaml"
    path.write_text(written + "\n")
    assert lanner("check", path).stdout == f"{path}: ok\n"


def test_a_file_that_does_not_exist(lanner: Lanner, tmp_path: Path, rules_file: Path) -> None:
    """It is an error of that file; the others are checked."""
    result = lanner("check", tmp_path / "none.yaml", rules_file)
    assert result.code == 1
    assert "LOAD_ERR_FILE_READ" in result.stdout
    assert f"{rules_file}: ok" in result.stdout


def test_a_bad_configuration_ends_the_command(lanner: Lanner, tmp_path: Path, rules_file: Path) -> None:
    """With settings that cannot be used nothing is checked."""
    config = tmp_path / "falco.yaml"
    config.write_text("priority: loud\n")
    result = lanner("check", "-c", config, rules_file)
    assert result.code == 1
    assert "CONFIG_ERROR" in result.stderr
    assert not result.stdout
    assert lanner("check", "-c", tmp_path / "none.yaml", rules_file).code == 1


def test_an_empty_folder(lanner: Lanner, tmp_path: Path) -> None:
    """Nothing to check is not valid."""
    result = lanner("check", tmp_path)
    assert (result.code, result.stderr) == (1, f"Error: there is no rules file in `{tmp_path}`\n")


def test_an_item_without_its_dash_is_no_configuration(lanner: Lanner, tmp_path: Path) -> None:
    """A rules file that forgot the list is reported as one, not passed as a configuration of unknown keys."""
    (tmp_path / "rules.yaml").write_text("required_engine_version: 1\n")
    result = lanner("check", tmp_path / "rules.yaml")
    assert result.code == 1
    assert "a rules file is a list of items" in result.stdout


def test_a_pipe(process: Callable[..., subprocess.Popen[bytes]]) -> None:
    """Rules from a pipe, which can be read only once, are checked."""
    with process("check", "/dev/stdin") as run:
        out, _ = run.communicate(b"- macro: broken\n  condition: ka.verb =\n")
    assert run.returncode == 1
    assert b"/dev/stdin: invalid, 1 error" in out
