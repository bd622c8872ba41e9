"""Text that others wrote, on every way to a terminal or a viewer."""

from __future__ import annotations

import csv
import io
import json
import logging
import sys
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lanner import load_rules
from lanner.cli.main import run
from lanner.diagnostics.codes import Code
from lanner.diagnostics.diagnostic import Context, Diagnostic
from lanner.diagnostics.render import render_text
from lanner.diagnostics.source import SourceFile
from lanner.engine.engine import Engine
from lanner.escaping import one_line, printable, printable_json
from lanner.service.logs import FINISH_SECONDS, logger, set_up
from lanner.store.records import MalformedRecord
from lanner.store.store import open_store
from tests.cli.builders import event
from tests.store.builders import alert, body

UNSAFE = {
    "escape (C0)": "\x1b",
    "carriage return": "\r",
    "delete": "\x7f",
    "next line (C1)": "\x85",
    "control sequence (C1)": "\x9b",
    "no-break space": "\u00a0",
    "soft hyphen": "\u00ad",
    "grapheme joiner": "\u034f",
    "letter mark": "\u061c",
    "Hangul filler": "\u3164",
    "half Hangul filler": "\uffa0",
    "Khmer vowel": "\u17b4",
    "Mongolian selector": "\u180b",
    "zero-width space": "\u200b",
    "zero-width joiner": "\u200d",
    "right-to-left mark": "\u200f",
    "line separator": "\u2028",
    "paragraph separator": "\u2029",
    "right-to-left override": "\u202e",
    "word joiner": "\u2060",
    "right-to-left isolate": "\u2067",
    "empty Braille": "\u2800",
    "private": "\ue000",
    "variation selector": "\ufe0f",
    "byte order mark": "\ufeff",
    "annotation": "\ufff9",
    "not a character": "\uffff",
    "tag": "\U000e0041",
    "another variation selector": "\U000e0100",
    "private, far away": "\U0010fffd",
}
SAFE = "plain \u00e9 e\u0301 \u4e2d\u6587 \u05d0\u05d1 \u0639\u0631 \u0e01\u0e33 \U0001f600 \u2603 \\ \" ' \ufffd"

every_unsafe = pytest.mark.parametrize("character", UNSAFE.values(), ids=UNSAFE)


def escape(character: str) -> str:
    """As JSON writes it."""
    return "\\r" if character == "\r" else json.dumps(character)[1:-1] if character != "\x7f" else "\\u007f"


@every_unsafe
def test_characters_by_kind(character: str) -> None:
    """Each becomes its escape, which is the same character again in JSON; newlines stay where lines are wanted."""
    assert one_line(f"a{character}\nb") == f"a{escape(character)}\\nb"
    assert printable(f"a{character}\nb") == f"a{escape(character)}\nb"
    document = json.dumps({"k": f"a{character}\nb"}, ensure_ascii=False).encode()
    assert json.loads(printable_json(document)) == json.loads(document)
    assert character not in printable_json(document).decode()


def test_what_stays() -> None:
    """Letters of all scripts, with their marks, and symbols; documents without unsafe characters to the byte."""
    assert one_line(SAFE) is SAFE
    assert printable(SAFE) is SAFE
    assert printable_json(SAFE.encode()) == SAFE.encode()
    usual = b'{"a":"b"}'
    assert printable_json(usual) is usual
    assert one_line("\ud800") == "\\ud800"
    assert printable_json(b'"\x9b"') == '"\ufffd"'.encode()


def test_every_character_is_judged_by_its_category() -> None:
    """No category that a terminal or a reader may be deceived by has a character that stays."""
    wrong = [
        code
        for code in range(sys.maxunicode + 1)
        if unicodedata.category(chr(code)) in ("Cc", "Cf", "Zl", "Zp", "Cs", "Co", "Cn")
        and one_line(chr(code)) == chr(code)
    ]
    assert wrong == []


@given(st.text())
def test_any_text(text: str) -> None:
    """What is escaped is printable, stays so, and JSON keeps its value."""
    assert one_line(text).isprintable()
    assert one_line(one_line(text)) == one_line(text)
    assert printable(text).replace("\n", "\\n") == one_line(text)
    document = json.dumps(text, ensure_ascii=False).encode("utf-8", "replace")
    assert json.loads(printable_json(document)) == json.loads(document)


RULE = """\
- rule: "odd"
  desc: d
  condition: ka.verb exists
  output: "by %ka.user.name"
  priority: NOTICE
  source: k8s_audit
"""


@pytest.fixture
def rules(tmp_path: Path) -> Path:
    path = tmp_path / "rules.yaml"
    path.write_text(RULE)
    return path


@every_unsafe
def test_alerts(character: str, rules: Path) -> None:
    """The text has an escape, the JSON too; its value is what Falco's has."""
    whole = {**event(), "user": {"username": f"a{character}b"}}
    (raised,) = Engine(load_rules([str(rules)]).ruleset).process(whole)
    assert raised.to_text().endswith(f"by a{escape(character)}b")
    assert character not in raised.to_json().decode()
    assert json.loads(raised.to_json())["output_fields"]["ka.user.name"] == f"a{character}b"


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("LANNER_CONFIG", str(tmp_path / "falco.yaml"))
    (tmp_path / "falco.yaml").write_text(f"lanner:\n  data_dir: {tmp_path}\nwebserver:\n  enabled: false\n")
    return tmp_path


COMMANDS = {
    "alerts": ("alerts",),
    "alerts in JSON": ("alerts", "--json"),
    "alerts in CSV": ("alerts", "--format", "csv"),
    "one alert": ("alerts", "0dd"),
    "one alert in JSON": ("alerts", "0dd", "--json"),
    "malformed": ("alerts", "--malformed"),
    "malformed in JSON": ("alerts", "--malformed", "--json"),
    "malformed in CSV": ("alerts", "--malformed", "--format", "csv"),
    "status": ("status",),
    "status in JSON": ("status", "--json"),
}


def test_commands_on_what_a_store_has(data: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Whatever an event, a client or an earlier version has put there."""
    text = "".join(UNSAFE.values())
    document = json.dumps({"rule": text, "output_fields": {text: text}}, ensure_ascii=False).encode()
    odd = alert(
        id="0dd" + "0" * 29, rule=text, output=text, user=text, name=text, verb=text, resource=text, namespace=text,
        audit_id=text, tags=(text,), document=document, event=json.dumps({text: text}, ensure_ascii=False).encode(),
        cluster=text,
    )  # fmt: skip
    piece = MalformedRecord(text, f"\x9b{text}".encode("latin-1", "ignore") + text.encode())
    store = open_store(f"sqlite:///{data}/lanner.db")
    store.commit([body("one", odd, malformed=(piece,), cluster=text, source=text, rule_matches={text: 1})])
    store.close()
    for name, command in COMMANDS.items():
        capfd.readouterr()
        run(command)
        shown = capfd.readouterr().out
        assert shown.strip(), name
        assert not set(shown) & set(UNSAFE.values()), name
        if "JSON" in name:
            assert text in json.dumps(json.loads(shown), ensure_ascii=False).replace("\\r", "\r").replace(
                "\\u001b", "\x1b"
            ), name
        if "CSV" in name:
            assert len(list(csv.reader(io.StringIO(shown)))) == 2, name


def test_rules_and_problems(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Rules files, their names and the words in them."""
    text = "".join(character for character in UNSAFE.values() if character not in "\r\x85\u2028\u2029\ufeff\uffff")
    quoted = json.dumps(text)
    path = tmp_path / f"x{text}.yaml"
    path.write_text(RULE.replace('"odd"', quoted).replace("desc: d", f"desc: {quoted}"))
    bad = tmp_path / "bad.yaml"
    bad.write_text(RULE.replace("ka.verb exists", f"ka.verb = {text}\n    and {text}"), encoding="utf-8")
    for command in (
        ("rules", "-r", str(path)),
        ("rules", "-r", str(path), text),
        ("rules", "-r", str(path), "--format", "json"),
        ("rules", "-r", str(path), f"{text}?"),
        ("check", str(path), str(bad)),
        ("check", str(path), str(bad), "--format", "json"),
        ("check", f"{path}?"),
        ("debug", "-r", str(path)),
    ):
        capfd.readouterr()
        run(command)
        out, err = capfd.readouterr()
        assert not set(out + err) & set(UNSAFE.values()), command


def test_excerpts() -> None:
    """The line, its carets, the name of the file and of the rule."""
    text = "".join(UNSAFE.values()).replace("\r", "").replace("\x85", "").replace("\u2028", "").replace("\u2029", "")
    source = SourceFile(f"f{text}", f"a {text} b\n")
    found = Diagnostic(Code.ERR_VALIDATE, text, source.span(2, 3), text, (Context("rule", text),))
    assert not set(render_text([found])) & set(UNSAFE.values())


@pytest.mark.parametrize("form", ["text", "json"])
def test_logs(form: str, capfd: pytest.CaptureFixture[str]) -> None:
    """Messages, values, and what a traceback quotes."""
    text = "".join(UNSAFE.values())
    root = logging.getLogger()
    handlers, level, stderr = root.handlers[:], root.level, sys.stderr
    try:
        output = set_up(form, "debug")
        assert output is not None
        logger("test").warning(text, path=text, several=[text])
        try:
            raise ValueError(text)
        except ValueError:
            logger("test").exception("failed")
        logging.getLogger("library").warning("of a library: %s", text)
        output.finish(FINISH_SECONDS)
    finally:
        sys.stderr = stderr
        root.handlers[:] = handlers
        root.setLevel(level)
    shown = capfd.readouterr().err
    assert shown.count("failed") == 1
    assert not set(shown) & set(UNSAFE.values())
