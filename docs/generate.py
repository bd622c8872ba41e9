"""Writes the generated parts of the documentation: `make docs`. A test holds that they are current.

Whole pages: fields.md, diagnostics.md, configuration.md, cli.md, metrics.md. Parts of a page, between markers: the
tables of operators, modifiers and transformers in conditions.md, the audit policy in api-server.md.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterable
from pathlib import Path
from tempfile import TemporaryDirectory

import click

from lanner.cli.fields import markdown
from lanner.cli.main import COMMANDS, group
from lanner.condition.operators import MODIFIERS, OPERATORS, TRANSFORMERS
from lanner.config import SETTINGS, Config, Setting
from lanner.diagnostics.codes import Code
from lanner.diagnostics.diagnostic import Diagnostic
from lanner.diagnostics.render import render_text
from lanner.diagnostics.report import Report
from lanner.diagnostics.source import SourceFile
from lanner.engine.loader import load_rules, load_sources
from lanner.fields.k8s_catalog import k8s_audit_catalog
from lanner.server.metrics import METRICS
from lanner.service.wiring import wire
from lanner.testing.cases import read_cases

DOCS = Path(__file__).resolve().parent
EXAMPLES = DOCS / "diagnostics"
AUDIT_POLICY = DOCS.parent / "deploy/kubernetes/audit-policy.yaml"
NOTE = "<!-- Written by `make docs`; changes made here are lost. -->"


def page(title: str, *paragraphs: str) -> str:
    return "\n\n".join((f"# {title}", NOTE, *paragraphs)) + "\n"


def rows(headers: Iterable[str], body: Iterable[Iterable[str]]) -> str:
    """A Markdown table."""
    escaped = [[cell.replace("|", "\\|") for cell in row] for row in body]
    lines = [list(headers), ["---" for _ in headers], *escaped]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def fields_page() -> str:
    return page(
        "Fields",
        "What conditions and outputs can ask of an event of the source `k8s_audit`. `lanner fields` shows the same.",
        "An optional index picks one value of a list, from 0. A required key is described with its field. A field that "
        "an event does not have is missing: see [missing values](conditions.md#missing-values). "
        "[Differences from Falco](differences.md) tells which fields give other values than Falco's.",
        "\n".join(markdown(list(k8s_audit_catalog()))),
    )


def with_parts(name: str, parts: dict[str, str]) -> str:
    """A hand-written page with these texts put in between the markers that have their names."""
    text = (DOCS / name).read_text(encoding="utf-8")
    for part, content in parts.items():
        begin, end = f"<!-- {part}: begin, written by `make docs` -->\n", f"<!-- {part}: end -->"
        head, _, rest = text.partition(begin)
        text = f"{head}{begin}{content}\n{end}{rest.partition(end)[2]}"
    return text


def conditions_page() -> str:
    tables = {
        "operators": rows(
            ("operator", "right side", "holds when"),
            ((f"`{op.name}`", op.right.value, op.description) for op in OPERATORS.values()),
        ),
        "modifiers": rows(("modifier", "holds when"), ((f"`{word}`", holds) for word, holds in MODIFIERS.items())),
        "transformers": rows(
            ("transformer", "result"), ((f"`{t.name}`", t.description) for t in TRANSFORMERS.values())
        ),
    }
    return with_parts("conditions.md", tables)


def api_server_page() -> str:
    policy = AUDIT_POLICY.read_text(encoding="utf-8").strip()
    return with_parts("api-server.md", {"audit-policy": f"```yaml\n{policy}\n```"})


def diagnostics_page() -> str:
    sections = [
        "Every problem has a code. Errors make a file invalid; warnings do not. `lanner check` shows both.",
        "Codes that begin with `LOAD_` are Falco's.",
    ]
    for code in Code:
        sections += [f"## {code.value}", f"{code.severity.value.capitalize()}: {code.title}. {code.explanation}"]
        sections += example_of(code)
    return page("Diagnostics", *sections)


NEVER_GIVEN = {
    Code.ERR_EXTENSION: "Lanner has no extensions of the rules format, so it never gives this code.",
    Code.WARNING_EXTENSION: "Lanner has no extensions of the rules format, so it never gives this code.",
    Code.NO_EVTTYPE: "This is about rules for system calls, which Lanner sets aside, so it never gives this code.",
}


def example_of(code: Code) -> list[str]:
    """What the file of that code's name gives, as paragraphs; without a file, a file that does not exist."""
    if code in NEVER_GIVEN:
        return [NEVER_GIVEN[code]]
    rendered = render_text([diagnostic for diagnostic in problems_of(code) if diagnostic.code is code]).strip()
    shown = [f"```text\n{rendered}\n```"]
    file = EXAMPLES / f"{code.value}.yaml"
    return [f"```yaml\n{file.read_text(encoding='utf-8').strip()}\n```", *shown] if file.exists() else shown


def problems_of(code: Code) -> tuple[Diagnostic, ...]:
    """All diagnostics of the example for a code; files have their bare names in them."""
    if code is Code.ERR_FILE_READ:
        return load_rules(["no_such_rules.yaml"]).diagnostics
    file = EXAMPLES / f"{code.value}.yaml"
    if not file.exists():
        return ()
    text = file.read_text(encoding="utf-8")
    if code.value.startswith("CONFIG_"):
        with TemporaryDirectory() as folder, contextlib.chdir(folder):
            Path("falco.yaml").write_text(text, encoding="utf-8")
            config = Config.load("falco.yaml", environ={})
            return (*config.diagnostics, *wire(config.service).diagnostics)
    if code is Code.CASE_ERROR:
        report = Report()
        read_cases(SourceFile("cases.yaml", text), report)
        return tuple(report.diagnostics)
    return load_sources([SourceFile("rules.yaml", text)]).diagnostics


def configuration_page() -> str:
    def default(setting: Setting) -> str:
        match setting.default:
            case None | "" | ():
                return ""
            case bool():
                return f"`{str(setting.default).lower()}`"
            case _:
                return f"`{setting.default}`"

    return page(
        "Configuration",
        "Lanner reads Falco's falco.yaml. The file is the one that `-c` names, else the one in the environment "
        "variable `LANNER_CONFIG`, else `/etc/lanner/falco.yaml`; none is fine. `lanner check falco.yaml` checks one.",
        "`-o key=value` sets one key, `-o key[]=value` appends to a list, and dots go into sections: "
        "`-o webserver.listen_port=8080`. `${VAR}` stands for a variable of the environment, `$${VAR}` for itself. "
        "A variable that is not set is named in every error that it causes. Where it would change what is listened to, "
        "and below `lanner:`, it is an error.",
        "Unknown keys among Falco's warn. What Falco does not have stands under `lanner:`; there an unknown key, or "
        "one that is there twice, is an error. Defaults that differ from Falco's: "
        "`rule_matching` is `all` (see [differences](differences.md#all-matching-rules-alert)); standard output, the "
        "web server and its metrics are on; the web server listens on 127.0.0.1 alone.",
        "## Authentication",
        "A key that asks for authentication (`token`, `token_file`, `username`, `password`, `password_file`, "
        "`client_ca`, `allowed_subjects`) asks for it whatever its value: if it yields no secret (a variable that is "
        "not set, null, blank, an empty or missing file), `lanner run` does not start, and `lanner check` says why in "
        "the same words. Other commands need no secrets. A path without keys of its own asks for what its webhook asks "
        "for. [Running the service](service.md#who-may-post) tells the rest.",
        "## Included files",
        "The files in `config_files` are read after the main one. Of Falco's keys the later one holds, and lists are "
        "joined. Below `lanner:` sections are put together key by key, so that a file which sets one key takes nothing "
        "from the others. `strategy` chooses otherwise: `override` replaces `lanner:` as a whole, `add-only` leaves "
        "it.",
        "Configuration and rules files are regular files of at most 16 MiB, files of secrets and certificates of at "
        "most 1 MiB. Pipes by name, devices and folders in their place are errors; `/dev/stdin` and the shell's "
        "`<(...)` work.",
        "## Where events come from",
        "`lanner.webhooks`, `lanner.files` and Falco's `plugins` (narrowed by `load_plugins`) all name sources; "
        "without any there is one webhook on `127.0.0.1:9765`. [Event sources](sources.md) tells what each can be; "
        "[running the service](service.md) has examples.",
        "Times are written `90s`, `15m`, `12h`, `30d`; sizes `512KiB`, `64MiB`, `10GiB`.",
        "## Selecting rules",
        "`rules` is a list of steps that are applied in order to what the rules files enable:",
        '```yaml\nrules:\n  - disable: {rule: "*"}\n  - enable: {tag: k8s}\n```',
        "## All settings",
        "`a.b` is the key `b` in the section `a`; `a[].b` is the key `b` of each item of the list `a`.",
        rows(
            ("key", "holds", "default", "meaning"),
            (
                (
                    f"`{setting.name}`",
                    "one of " + ", ".join(f"`{choice}`" for choice in setting.choices)
                    if setting.choices
                    else setting.kind.value,
                    default(setting),
                    setting.description,
                )
                for setting in SETTINGS.values()
            ),
        ),
    )


def cli_page() -> str:
    """The help texts of all commands, as an 80 column terminal shows them."""
    sections = []
    root = click.Context(group, info_name="lanner", terminal_width=80, **group.context_settings)
    sections += ["```text\n" + group.get_help(root).strip() + "\n```"]
    for name in COMMANDS:
        command = group.get_command(root, name)
        assert command is not None
        context = click.Context(command, info_name=name, parent=root, terminal_width=80)
        sections += [f"## lanner {name}", "```text\n" + command.get_help(context).strip() + "\n```"]
    sections += [
        "## Exit codes",
        rows(
            ("code", "meaning"),
            (
                ("0", "done; `replay` has read everything, whether or not there were alerts"),
                ("1", "an input could not be read, or rules or configuration have errors"),
                ("2", "wrong usage"),
                ("130", "interrupted"),
                ("141", "the reader of the output went away"),
            ),
        ),
    ]
    return page("Command line", *sections)


def metrics_page() -> str:
    falco = (
        ("falcosecurity_falco_version_info", "the version of Lanner"),
        ("falcosecurity_evt_hostname_info", "the host name that alerts carry"),
        ("falcosecurity_falco_evt_source_info", "the event source"),
        ("falcosecurity_scap_engine_name_info", "always `source_plugin`"),
        ("falcosecurity_falco_sha256_rules_files_info", "every rules file and the SHA-256 of what was in it"),
        ("falcosecurity_falco_sha256_config_files_info", "the same for configuration files"),
        ("falcosecurity_falco_start_timestamp_nanoseconds", "when the process started"),
        ("falcosecurity_falco_reload_timestamp_nanoseconds", "when the rules were loaded"),
        ("falcosecurity_falco_duration_seconds_total", "how long it runs"),
        ("falcosecurity_falco_outputs_queue_num_drops_total", "alerts not written to standard output"),
        (
            "falcosecurity_falco_rules_matches_total",
            "matches of each rule that had some; labels `rule_name`, `priority` (0 to 7), `source`, `tag_NAME` per tag",
        ),
    )
    return page(
        "Metrics",
        "`/metrics` of [the service](service.md#health) gives these in Prometheus' text format. Counters begin at 0 "
        "when the process starts; `lanner status` has the totals of all time. In each of them "
        "received = evaluated + duplicate + malformed.",
        "A [dashboard](../deploy/grafana/lanner.json) and [alerting rules](../deploy/prometheus/alerts.yaml) use them.",
        "## Lanner's own",
        rows(
            ("metric", "kind", "labels", "meaning"),
            ((f"`{m.name}`", m.kind, ", ".join(f"`{label}`" for label in m.labels), m.help) for m in METRICS.values()),
        ),
        "## Falco's names",
        "Where the meaning is the same, the name is Falco's, so that dashboards go on working.",
        rows(("metric", "meaning"), ((f"`{name}`", meaning) for name, meaning in falco)),
        "Besides these there are the usual `process_` metrics.",
    )


PAGES: dict[str, Callable[[], str]] = {
    "fields.md": fields_page,
    "diagnostics.md": diagnostics_page,
    "configuration.md": configuration_page,
    "cli.md": cli_page,
    "conditions.md": conditions_page,
    "api-server.md": api_server_page,
    "metrics.md": metrics_page,
}
"""How to make the text of every page that is generated, whole or in part."""


def main() -> None:
    for name, make in PAGES.items():
        path, text = DOCS / name, make()
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")
            click.echo(f"wrote {os.path.relpath(path)}")


if __name__ == "__main__":
    main()
