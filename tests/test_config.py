"""The configuration: keys, kinds, variables, overrides, included files."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from lanner.config import SETTINGS, Config, ConfigError, Setting
from lanner.config.overrides import APPEND, parse_override
from lanner.config.tree import expand
from lanner.diagnostics.codes import Code
from lanner.diagnostics.source import Text
from lanner.priority import Priority

ENVIRON = {"FALCO_HOSTNAME": "host", "NAME": "value", "ON": "true", "DOLLAR": "${NAME}"}


def load(folder: Path, text: str, *overrides: str, name: str = "falco.yaml") -> Config:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return Config.load(path, overrides, ENVIRON)


def problems(config: Config) -> list[tuple[Code, int, int]]:
    """(code, line, column) of everything that was said."""
    found = []
    for diagnostic in config.diagnostics:
        assert diagnostic.span is not None
        location = diagnostic.span.location
        found.append((diagnostic.code, location.line, location.column))
    return found


def test_defaults() -> None:
    """Without a file the defaults hold, and all matching rules alert."""
    config = Config.default(ENVIRON)
    assert config.priority is Priority.DEBUG
    assert config.rule_matching == "all"
    assert config.json_include_output_property
    assert not config.json_include_message_property
    assert (config.rules_files, config.rules, config.append_output) == ((), (), ())
    assert config.hostname == "host"
    assert config.path is None
    assert config.ok


def test_hostname_of_the_machine() -> None:
    """Without FALCO_HOSTNAME the name of the machine is used."""
    assert Config.default({}).hostname


def test_where_the_file_is_found(tmp_path: Path) -> None:
    """A path goes before LANNER_CONFIG; a file that cannot be read is a ConfigError."""
    (tmp_path / "one.yaml").write_text("priority: error")
    (tmp_path / "two.yaml").write_text("priority: alert")
    environ = {"LANNER_CONFIG": str(tmp_path / "two.yaml")}
    assert Config.load(None, environ=environ).priority is Priority.ALERT
    assert Config.load(tmp_path / "one.yaml", environ=environ).priority is Priority.ERROR
    with pytest.raises(ConfigError, match="no such file"):
        Config.load(tmp_path / "none.yaml")
    with pytest.raises(ConfigError):
        Config.load(tmp_path)
    (tmp_path / "latin.yaml").write_bytes(b"priority: \xff")
    with pytest.raises(ConfigError, match="UTF-8"):
        Config.load(tmp_path / "latin.yaml")


@pytest.mark.parametrize(
    ("text", "attribute", "value"),
    [
        ("priority: Notice", "priority", Priority.NOTICE),
        ("priority: info", "priority", Priority.INFORMATIONAL),
        ("rule_matching: FIRST", "rule_matching", "first"),
        ("json_output: yes", "json_output", True),
        ('json_output: "true"', "json_output", True),
        ("json_output: On", "json_output", True),
        ("json_output:", "json_output", False),
        ("json_output: ${ON}", "json_output", True),
        ("json_include_tags_property: n", "json_include_tags_property", False),
        ("json_output: true\njson_output: false", "json_output", True),
        ("static_fields: {env: prod, n: 007}", "static_fields", {"env": "prod", "n": "007"}),
        ("static_fields: {env: 'a ${NAME} $${NAME} ${NONE}|'}", "static_fields", {"env": "a value ${NAME} |"}),
        ("", "json_output", False),
        ("---\n# nothing\n", "json_output", False),
        ("&a json_output: true", "json_output", True),
    ],
)
def test_values(tmp_path: Path, text: str, attribute: str, value: object) -> None:
    """A setting is read as Falco reads it."""
    config = load(tmp_path, text)
    assert not config.diagnostics
    assert getattr(config, attribute) == value


def _sample(setting: Setting) -> str:
    default = setting.default
    if setting.choices:
        return setting.choices[0]
    if setting.name == "lanner.store":
        return "sqlite:////folder/lanner.db"
    match setting.kind.name:
        case "BOOL":
            return "true"
        case "INTEGER" | "NUMBER" | "DURATION" | "SIZE":
            return str(default)
        case "TEXTS":
            return "[]"
        case "TEXT_MAP":
            return "{a: 1s}"
        case "ANY":
            return "[]" if setting.name in ("config_files", "append_output[].extra_fields") else "{a: [1]}"
        case _:
            return str(default) if str(default).startswith("/") else "text"


def _alone(name: str) -> bool:
    """Whether the setting means something without others beside it."""
    return (
        "rules" not in name
        and "config_files[]" not in name
        and not name.startswith(("plugins[]", "lanner.webhooks[].paths[]", "lanner.files[]"))
        and name.rpartition(".")[2]
        not in ("key", "client_ca", "allowed_subjects", "username", "password", "password_file")
    )


@pytest.mark.parametrize("name", [name for name in SETTINGS if _alone(name)])
def test_every_setting_is_taken(tmp_path: Path, name: str) -> None:
    """Every key of the table is accepted without a word, from a file and as an override."""
    setting = SETTINGS[name]
    value = _sample(setting)
    text = value
    for part in reversed(name.split(".")):
        text = f"[{text}]" if part.endswith("[]") else text
        text = f"{{{part.removesuffix('[]')}: {text}}}"
    assert not load(tmp_path, text).diagnostics
    assert not load(tmp_path, "", f"{name}={value}").diagnostics


@pytest.mark.parametrize(
    ("text", "code", "line", "column", "help"),
    [
        ("json_outptu: true", Code.CONFIG_UNKNOWN_KEY, 1, 1, "did you mean `json_output`?"),
        ("qqqq: 1", Code.CONFIG_UNKNOWN_KEY, 1, 1, "`lanner:`"),
        ("webserver:\n  port: 1", Code.CONFIG_UNKNOWN_KEY, 2, 3, "`listen_port`"),
        ("append_output:\n  - extra_outputs: x", Code.CONFIG_UNKNOWN_KEY, 2, 5, "`extra_output`"),
        ("json_output: maybe", Code.CONFIG_ERROR, 1, 14, "`json_output: true`"),
        ("json_output: [true]", Code.CONFIG_ERROR, 1, 14, "`json_output: true`"),
        ("json_output: tRue", Code.CONFIG_ERROR, 1, 14, "`json_output: true`"),
        ("output_timeout: -1", Code.CONFIG_ERROR, 1, 17, "`output_timeout: 2000`"),
        ("priority: warn", Code.CONFIG_ERROR, 1, 11, "did you mean `warning`?"),
        ("rule_matching: any", Code.CONFIG_ERROR, 1, 16, "`all`, `first`"),
        ("engine: {kind: gvisor}", Code.CONFIG_ERROR, 1, 16, "`nodriver`"),
        ("webserver: 5", Code.CONFIG_ERROR, 1, 12, "`webserver:`"),
        ("rules_files: {a: b}", Code.CONFIG_ERROR, 1, 14, "[first, second]"),
        ("rules: {enable: {tag: x}}", Code.CONFIG_ERROR, 1, 8, "begin with `-`"),
        ("rules: [x]", Code.CONFIG_ERROR, 1, 9, "`disable`, `enable`"),
        ("rules: [{enable: {}}]", Code.CONFIG_ERROR, 1, 9, "{rule: NAME}"),
        ("rules: [{}]", Code.CONFIG_ERROR, 1, 9, "enable"),
        ("rules: [{enable: {tag: x}, disable: {tag: x}}]", Code.CONFIG_ERROR, 1, 9, "enable"),
        ("static_fields: x", Code.CONFIG_ERROR, 1, 16, "`name: text`"),
        ("static_fields: {a: [b]}", Code.CONFIG_ERROR, 1, 16, "a text"),
        ("append_output: [{extra_fields: x}]", Code.CONFIG_ERROR, 1, 18, "name"),
        ("append_output: [{extra_fields: [{a: b, c: d}]}]", Code.CONFIG_ERROR, 1, 18, "name"),
        ("append_output: [{extra_fields: [a, {a: b}]}]", Code.CONFIG_ERROR, 1, 37, "leave one"),
        ("[1, 2]", Code.CONFIG_ERROR, 1, 1, "`key: value`"),
        ("just text", Code.CONFIG_ERROR, 1, 1, "`key: value`"),
        ("[a]: b", Code.CONFIG_ERROR, 1, 1, "`name: value`"),
        ("---\npriority: info\n---\nlanner: {}\n", Code.CONFIG_ERROR, 4, 1, "leave out the line `---`"),
        ("a: [", Code.ERR_YAML_PARSE, 1, 5, ""),
        ("[" * 30_000, Code.ERR_YAML_PARSE, 1, 101, ""),
        ("rules_files: [nowhere.yaml]", Code.CONFIG_FILE_NOT_FOUND, 1, 15, "current directory"),
        ("config_files: [nowhere.yaml]", Code.CONFIG_FILE_NOT_FOUND, 1, 16, "left out"),
        ("config_files: [{path: nowhere.yaml, strategy: merge}]", Code.CONFIG_ERROR, 1, 47, "`add-only`"),
    ],
)
def test_problems(tmp_path: Path, text: str, code: Code, line: int, column: int, help: str) -> None:
    """What is wrong is told with its exact place and the way out, and the defaults hold."""
    config = load(tmp_path, text)
    assert (code, line, column) in problems(config)
    assert any(help in diagnostic.help for diagnostic in config.diagnostics if diagnostic.code is code)
    assert config.ok is (code.severity.value == "warning")
    assert not config.json_output


def test_all_problems_at_once(tmp_path: Path) -> None:
    """Every problem of a file is reported, not only the first."""
    config = load(tmp_path, "json_outptu: 1\npriority: x\nwebserver:\n  enabled: perhaps\n")
    assert [line for _, line, _ in problems(config)] == [1, 2, 4]


def test_raw_keeps_everything(tmp_path: Path) -> None:
    """The whole configuration is there as plain values, for whoever needs a key that has no attribute."""
    config = load(tmp_path, "static_fields: {words: 1_0, n: '7'}\nmetrics: {interval: 1e3}\nlog_level: debug")
    assert config.raw == {
        "static_fields": {"words": "1_0", "n": "7"},
        "metrics": {"interval": 1000.0},
        "log_level": "debug",
    }


def test_rules_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rules files are files and folders, relative to the current directory, in the order given."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "b.yaml").touch()
    (tmp_path / "rules.d").mkdir()
    config = load(tmp_path, "rules_files: [rules.d, none.yaml, b.yaml]")
    assert config.rules_files == ("rules.d", "b.yaml")
    config = load(tmp_path, "rules_file: b.yaml")
    assert config.rules_files == ("b.yaml",)
    assert problems(config) == [(Code.DEPRECATED_ITEM, 1, 1)]
    config = load(tmp_path, "rules_file: b.yaml\nrules_files: [rules.d]")
    assert problems(config) == [(Code.CONFIG_ERROR, 1, 1)]


def test_rule_selection(tmp_path: Path) -> None:
    """The steps of `rules` keep their order; overrides append steps."""
    text = "rules:\n  - disable: {rule: '*'}\n  - enable: {tag: net}\n"
    config = load(tmp_path, text, "rules[].enable.rule=One rule", "rules[0].disable.rule=A*")
    assert not config.diagnostics
    assert [(step.enable, step.rule, step.tag) for step in config.rules] == [
        (False, "A*", None),
        (True, None, "net"),
        (True, "One rule", None),
    ]


def test_append_output(tmp_path: Path) -> None:
    """An entry of append_output says which rules it is for, and what it adds, with places in the file."""
    text = (
        "append_output:\n"
        "  - match: {source: k8s_audit, rule: One, tags: [a, b]}\n"
        "    extra_output: on ${NAME} %ka.verb\n"
        "    extra_fields: [ka.stage, {who: 'user %ka.user.name'}]\n"
        "    suggested_output: true\n"
    )
    config = load(tmp_path, text)
    assert not config.diagnostics
    (entry,) = config.append_output
    assert (entry.source, entry.rule, entry.tags) == ("k8s_audit", "One", frozenset("ab"))
    assert entry.extra_output is not None
    assert entry.extra_output.value == "on value %ka.verb"
    field = entry.extra_output.value.index("ka.verb")
    assert entry.extra_output.span(field, field + 7).location[1:3] == (3, 31)
    assert [(name.value, form and form.value) for name, form in entry.extra_fields] == [
        ("ka.stage", None),
        ("who", "user %ka.user.name"),
    ]


@pytest.mark.parametrize(
    ("text", "expanded"),
    [
        ("${NAME}", "value"),
        ("a${NAME}b${NAME}", "avaluebvalue"),
        ("${NONE}", ""),
        ("x${}y", "xy"),
        ("$${NAME}", "${NAME}"),
        ("$${NAME}${NAME}", "${NAME}value"),
        ("$NAME $5 $", "$NAME $5 $"),
        ("$5 ${NAME}", "$5 value"),
        ("${NAME", "${NAME"),
        ("$${NAME", "$${NAME"),
        ("${DOLLAR}", "${NAME}"),
        ("{NAME}", "{NAME}"),
    ],
)
def test_variables(text: str, expanded: str) -> None:
    """`${NAME}` is the variable, `$${NAME}` the text; what a variable holds is not expanded again."""
    assert expand(Text.plain(text), ENVIRON)[0].value == expanded


def test_variables_keep_places() -> None:
    """Characters behind a variable keep their place, those of its value stand where it stands."""
    text, _ = expand(Text.plain("ab${NAME}cd"), ENVIRON)
    assert [text.span(at, at + 1).start for at in range(len(text.value))] == [0, 1, 2, 2, 2, 2, 2, 9, 10]


def test_bytes_that_are_no_text(tmp_path: Path) -> None:
    """Variables and arguments that are not UTF-8 become text with U+FFFD in it."""
    (tmp_path / "falco.yaml").write_text("static_fields: {a: '${ODD}'}")
    config = Config.load(tmp_path / "falco.yaml", ["static_fields.b=x\udcffy"], {"ODD": "o\udcff"})
    assert config.static_fields == {"a": "o\ufffd", "b": "x\ufffdy"}


def test_keys_are_not_expanded(tmp_path: Path) -> None:
    """Variables are filled into values only."""
    assert load(tmp_path, "static_fields: {'${NAME}': x}").static_fields == {"${NAME}": "x"}


@pytest.mark.parametrize(
    ("option", "path"),
    [
        ("key=v", ("key",)),
        ("key=", ("key",)),
        ("a.b.c=v", ("a", "b", "c")),
        ("a[]=v", ("a", APPEND)),
        ("a[].b=v", ("a", APPEND, "b")),
        ("a[2].b=v", ("a", 2, "b")),
        ("a[0][1]=v", ("a", 0, 1)),
        (r"a.b\.c=v", ("a", "b.c")),
        (r"a.b\[0\]=v", ("a", "b[0]")),
        (r"a\\b=v", ("a\\b",)),
        (r"a\=b=v", ("a=b",)),
        ("a=b=c", ("a",)),
    ],
)
def test_override_paths(option: str, path: tuple[str | int, ...]) -> None:
    """The left side of an override is a path of keys and indexes, with backslash escapes."""
    assert parse_override(option).path == path


@pytest.mark.parametrize(
    ("option", "column"),
    [
        ("novalue", 1),
        ("=v", 1),
        ("a..b=v", 3),
        (".a=v", 1),
        ("a.=v", 3),
        ("[0]=v", 1),
        ("a[x]=v", 2),
        ("a[-1]=v", 2),
        ("a[=v", 2),
        ("a[0]b=v", 5),
        ("static_fields={", None),
        ("static_fields={a: [}", 20),
        ("rules[3].enable.tag=x", 1),
        ("json_output.x.y=v", None),
        ("webserver[0]=v", 1),
    ],
)
def test_override_problems(tmp_path: Path, option: str, column: int | None) -> None:
    """A bad override is a CONFIG_ERROR that points into the option."""
    config = load(tmp_path, "webserver: {enabled: true}\njson_output: true", option)
    errors = [diagnostic for diagnostic in config.diagnostics if diagnostic.is_error]
    assert errors
    span = errors[0].span
    assert span is not None
    if column is not None:
        assert (span.location.file, span.location.column) == ("-o", column)


@pytest.mark.parametrize(
    ("options", "attribute", "value"),
    [
        (["json_output=true"], "json_output", True),
        (["json_output=true", "json_output=false"], "json_output", False),
        (["priority=alert"], "priority", Priority.ALERT),
        (["static_fields.a=1", "static_fields.b=${NAME}"], "static_fields", {"x": "y", "a": "1", "b": "${NAME}"}),
        ([r"static_fields.a\.b=1"], "static_fields", {"x": "y", "a.b": "1"}),
        (["static_fields={a: b, c: 'd e'}"], "static_fields", {"a": "b", "c": "d e"}),
        (["static_fields.x=a: b #c"], "static_fields", {"x": "a: b #c"}),
    ],
)
def test_overrides(tmp_path: Path, options: list[str], attribute: str, value: object) -> None:
    """Overrides win over the file, the last one over those before it."""
    config = load(tmp_path, "static_fields: {x: y}\njson_output: false", *options)
    assert not config.diagnostics
    assert getattr(config, attribute) == value


@pytest.mark.parametrize("levels", [101, 1_001, 30_000])
def test_overrides_nest_as_deep_as_files(tmp_path: Path, levels: int) -> None:
    """A value of `-o` is YAML, within the same limits; the column counts from the start of the option."""
    config = load(tmp_path, "", "rules=" + "[" * levels + "]" * levels)
    assert problems(config) == [(Code.CONFIG_ERROR, 1, len("rules=") + 101)]
    assert "nested deeper than 100 levels" in config.diagnostics[0].message


def test_override_of_a_bad_value_heals_it(tmp_path: Path) -> None:
    """Only the values that hold in the end are checked."""
    assert load(tmp_path, "json_output: maybe", "json_output=true").ok


def test_override_lists(tmp_path: Path) -> None:
    """`[]` appends to a list, also one that is not there yet; a list can be given whole."""
    (tmp_path / "a.yaml").touch()
    path = str(tmp_path / "a.yaml")
    assert load(tmp_path, "", f"rules_files[]={path}", f"rules_files[]={path}").rules_files == (path, path)
    assert load(tmp_path, f"rules_files: [{path}]", f"rules_files=[{path}, {path}]").rules_files == (path, path)
    assert load(tmp_path, "rules_files:", f"rules_files[0]={path}").rules_files == (path,)


@pytest.mark.parametrize(
    ("strategy", "want"),
    [
        ("append", (["a", "b"], "alert", {"k": "2"})),
        ("override", (["b"], "alert", {"k": "2"})),
        ("add-only", (["a"], "error", {"j": "1"})),
    ],
)
def test_included_files(tmp_path: Path, strategy: str, want: tuple[Any, ...]) -> None:
    """Included files append to lists and replace the rest, or replace all, or only add."""
    (tmp_path / "more.yaml").write_text(
        "append_output: [{extra_output: b}]\npriority: alert\nstatic_fields: {k: 2}\nlog_level: debug"
    )
    config = load(
        tmp_path,
        f"config_files: [{{path: {tmp_path}/more.yaml, strategy: {strategy}}}]\n"
        "append_output: [{extra_output: a}]\npriority: error\nstatic_fields: {j: 1}",
    )
    assert not config.diagnostics
    added, priority, static = want
    assert [entry.extra_output.value for entry in config.append_output if entry.extra_output] == added
    assert config.priority is Priority.parse(priority)
    assert config.static_fields == static
    assert config.raw["log_level"] == "debug"


def test_included_folders_and_order(tmp_path: Path) -> None:
    """Folders are read by name, later files win, overrides win over all; an override can include files."""
    folder = tmp_path / "config.d"
    folder.mkdir()
    (folder / "2.yaml").write_text("priority: alert\nstatic_fields: {last: two}")
    (folder / "1.yaml").write_text("priority: error\nstatic_fields: {last: one}")
    (tmp_path / "extra.yaml").write_text("priority: notice")
    text = f"config_files: [{folder}]\npriority: debug"
    config = load(tmp_path, text)
    assert (config.priority, config.static_fields) == (Priority.ALERT, {"last": "two"})
    assert config.files == tuple(str(path) for path in (tmp_path / "falco.yaml", folder / "1.yaml", folder / "2.yaml"))
    assert load(tmp_path, text, f"config_files[]={tmp_path}/extra.yaml").priority is Priority.NOTICE
    assert load(tmp_path, text, "priority=emergency").priority is Priority.EMERGENCY


def test_included_files_cannot_include(tmp_path: Path) -> None:
    """A file that includes itself, or an included file that includes, is an error at its place."""
    (tmp_path / "more.yaml").write_text("config_files: [x.yaml]")
    config = load(tmp_path, f"config_files:\n  - {tmp_path}/more.yaml\n  - {tmp_path}/falco.yaml")
    assert [(Path(d.span.location.file).name, d.span.location.line) for d in config.diagnostics if d.span] == [
        ("more.yaml", 1),
        ("falco.yaml", 3),
    ]


def test_problems_in_included_files_name_the_file(tmp_path: Path) -> None:
    """A problem is told with the file in which it stands."""
    (tmp_path / "more.yaml").write_text("\njson_output: maybe")
    config = load(tmp_path, f"config_files: {tmp_path}/more.yaml")
    (problem,) = config.diagnostics
    assert problem.span is not None
    assert problem.span.location[:3] == (str(tmp_path / "more.yaml"), 2, 14)


def test_settings_table() -> None:
    """Every setting has a description, and a default of its kind."""
    kinds: dict[str, Any] = {"BOOL": bool, "TEXT": str, "INTEGER": int, "NUMBER": (int, float), "TEXTS": tuple}
    kinds |= {"DURATION": str, "SIZE": str}
    for name, setting in SETTINGS.items():
        assert name == setting.name
        assert setting.description
        if setting.default is not None:
            assert isinstance(setting.default, kinds[setting.kind.name])


def test_load_of_the_null_device() -> None:
    """An empty file is the defaults."""
    assert Config.load(os.devnull, environ=ENVIRON).ok


def test_a_value_that_is_none_of_the_choices(tmp_path: Path) -> None:
    """The message names the value, not its type."""
    (tmp_path / "falco.yaml").write_text("priority: urgent\nrule_matching: [all]\n")
    messages = [problem.message for problem in Config.load(tmp_path / "falco.yaml", environ={}).diagnostics]
    assert messages == ["`priority` cannot be `urgent`", "`rule_matching` must be a text"]
