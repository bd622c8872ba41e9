"""The one table of settings: the keys of Falco's falco.yaml, what they hold, and what holds without them.

Names are paths: `webserver.listen_port` is a key in a section, `rules[].enable.tag` a key of every item of a list.
Source: falco `configuration.cpp`, `configuration.h`, `config_json_schema.h`.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from lanner.priority import PRIORITY_WORDS


class Kind(Enum):
    """What a setting holds; the value is how messages ask for it."""

    BOOL = "`true` or `false`"
    TEXT = "a text"
    INTEGER = "a whole number, 0 or more"
    NUMBER = "a number"
    TEXTS = "a list of texts"
    TEXT_MAP = "a mapping of names to texts"
    DURATION = "a time such as `90s`, `15m`, `12h` or `30d`"
    SIZE = "a size such as `512KiB`, `64MiB` or `10GiB`"
    ANY = "anything"


Default = bool | str | int | float | tuple[str, ...] | None


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting. `choices`: the only texts it takes, in any case. `default` None: nothing is set.

    `asks_for`: what the service must not do without once the key is there, such as authentication. Where it then holds
    nothing, the service does not start; all other commands work.
    """

    name: str
    kind: Kind
    default: Default
    description: str
    choices: tuple[str, ...] = ()
    asks_for: str = ""


B, T, I, N, L = Kind.BOOL, Kind.TEXT, Kind.INTEGER, Kind.NUMBER, Kind.TEXTS  # noqa: E741
D, S = Kind.DURATION, Kind.SIZE
AUTHENTICATION, HTTPS = "authentication", "https"
STRATEGIES = ("append", "override", "add-only")

_KEPT_FOR_SYSCALLS = "for system calls only; accepted and without effect"

_ACCESS = (
    ("token", T, "", "bearer token that a client must show; better `token_file`"),
    ("token_file", T, "", "file with bearer tokens, one a line"),
    ("username", T, "", "name for basic authentication"),
    ("password", T, "", "password of that name; better `password_file`"),
    ("password_file", T, "", "file with that password"),
)


def _access(prefix: str) -> tuple[Setting, ...]:
    return tuple(
        Setting(f"{prefix}.{name}", kind, default, text, asks_for=AUTHENTICATION)
        for name, kind, default, text in _ACCESS
    )


_SUBJECTS_ARE = "with `client_ca`: common names of the client certificates that may post; without it any that is signed"


def _subjects(prefix: str) -> Setting:
    return Setting(f"{prefix}.allowed_subjects", L, (), _SUBJECTS_ARE, asks_for=AUTHENTICATION)


# Defaults that differ from Falco's. `rule_matching`: with `first`, the rule that is defined first hides all other
# detections on an event. `webserver.listen_address`: nothing is open to the network unless somebody says so.
_TABLE: tuple[Setting, ...] = (
    Setting("config_files", Kind.ANY, None, "files or folders of further settings, each a path or {path, strategy}"),
    Setting("config_files[].path", T, None, "file or folder to include"),
    Setting("config_files[].strategy", T, "append", "what to do with keys that are set already", STRATEGIES),
    Setting("watch_config_files", B, True, "reload when a rules or settings file changes"),
    Setting("rules_files", L, (), "rules files, or folders of them, in the order of loading"),
    Setting("rules_file", L, (), "old name of `rules_files`"),
    Setting("rules[].enable.rule", T, None, "turn on the rules whose name matches; `*` stands for anything"),
    Setting("rules[].enable.tag", T, None, "turn on the rules with this tag"),
    Setting("rules[].disable.rule", T, None, "turn off the rules whose name matches; `*` stands for anything"),
    Setting("rules[].disable.tag", T, None, "turn off the rules with this tag"),
    Setting("priority", T, "debug", "leave out rules that are less severe", (*PRIORITY_WORDS, "info")),
    Setting("rule_matching", T, "all", "alert for all rules that match an event, or for the first", ("all", "first")),
    Setting("json_output", B, False, "write alerts as JSON"),
    Setting("json_include_output_property", B, True, "`output` in JSON alerts: time, priority and message"),
    Setting("json_include_message_property", B, False, "`message` in JSON alerts: the message alone"),
    Setting("json_include_output_fields_property", B, True, "`output_fields` in JSON alerts"),
    Setting("json_include_tags_property", B, True, "`tags` in JSON alerts"),
    Setting("time_format_iso_8601", B, False, "begin alerts with an ISO 8601 time in UTC instead of the local time"),
    Setting("buffer_format_base64", B, False, _KEPT_FOR_SYSCALLS),
    Setting("append_output[].match.source", T, "", "only for rules of this source"),
    Setting("append_output[].match.rule", T, "", "only for the rule of this name"),
    Setting("append_output[].match.tags", L, (), "only for rules with all of these tags"),
    Setting("append_output[].extra_output", T, "", "text to add to the output, with fields in it"),
    Setting("append_output[].extra_fields", Kind.ANY, None, "fields to add: a field name, or {name: text with fields}"),
    Setting("append_output[].suggested_output", B, False, "add the fields that a source suggests"),
    Setting("static_fields", Kind.TEXT_MAP, None, "constants that rules use as `static.NAME`"),
    # outputs
    Setting("buffered_outputs", B, False, "let outputs buffer what they write"),
    Setting("outputs_queue.capacity", I, 0, "alerts that may wait for outputs; 0 for no bound"),
    Setting("output_timeout", I, 2000, "milliseconds after which a slow output is reported"),
    Setting("stdout_output.enabled", B, True, "alerts on standard output"),
    Setting("syslog_output.enabled", B, False, "alerts to syslog"),
    Setting("file_output.enabled", B, False, "alerts into a file"),
    Setting("file_output.keep_alive", B, False, "keep the file open between alerts"),
    Setting("file_output.filename", T, "", "the file"),
    Setting("http_output.enabled", B, False, "alerts by HTTP POST"),
    Setting("http_output.url", T, "", "where to"),
    Setting("http_output.user_agent", T, "falcosecurity/falco", "the User-Agent header"),
    Setting("http_output.insecure", B, False, "do not check the certificate of the server"),
    Setting("http_output.ca_cert", T, "", "file with the certificate of an authority to trust"),
    Setting("http_output.ca_bundle", T, "", "file with several of them"),
    Setting("http_output.ca_path", T, "/etc/ssl/certs", "folder of them"),
    Setting("http_output.mtls", B, False, "show a certificate to the server"),
    Setting("http_output.client_cert", T, "/etc/ssl/certs/client.crt", "that certificate"),
    Setting("http_output.client_key", T, "/etc/ssl/certs/client.key", "its key"),
    Setting("http_output.echo", B, False, "print what the server answers"),
    Setting("http_output.compress_uploads", B, False, "send gzip"),
    Setting("http_output.keep_alive", B, False, "keep the connection between alerts"),
    Setting("http_output.max_consecutive_timeouts", I, 5, "tries after a timeout"),
    Setting("program_output.enabled", B, False, "alerts to a program"),
    Setting("program_output.keep_alive", B, False, "keep the program running between alerts"),
    Setting("program_output.program", T, "", "the shell command"),
    # the service
    Setting("webserver.enabled", B, True, "serve health, versions and metrics"),
    Setting("webserver.threadiness", I, 0, "accepted and without effect: one thread serves all"),
    Setting("webserver.listen_port", I, 8765, "port to listen on"),
    Setting("webserver.listen_address", T, "127.0.0.1", "address to listen on; `0.0.0.0` for all"),
    Setting("webserver.k8s_healthz_endpoint", T, "/healthz", "path of the health check"),
    Setting("webserver.prometheus_metrics_enabled", B, True, "serve metrics for Prometheus"),
    Setting("webserver.ssl_enabled", B, False, "serve over TLS"),
    Setting("webserver.ssl_certificate", T, "/etc/falco/falco.pem", "one file with certificate and key"),
    Setting("log_stderr", B, True, "log to standard error"),
    Setting("log_syslog", B, True, "accepted and without effect: logs go to standard error"),
    Setting("log_level", T, "info", "least severe messages to log", (*PRIORITY_WORDS, "info")),
    Setting("libs_logger.enabled", B, True, _KEPT_FOR_SYSCALLS),
    Setting("libs_logger.severity", T, "info", _KEPT_FOR_SYSCALLS),
    Setting("metrics.enabled", B, False, "report metrics at an interval"),
    Setting("metrics.interval", T, "5000", "the interval: `1h`, `30m`, ... or milliseconds"),
    Setting("metrics.output_rule", B, False, "report as alerts of the source `internal`"),
    Setting("metrics.output_file", T, "", "report into a file, one JSON document a line"),
    Setting("metrics.rules_counters_enabled", B, True, "matches of every rule"),
    Setting("metrics.resource_utilization_enabled", B, True, "CPU and memory"),
    Setting("metrics.state_counters_enabled", B, True, _KEPT_FOR_SYSCALLS),
    Setting("metrics.kernel_event_counters_enabled", B, True, _KEPT_FOR_SYSCALLS),
    Setting("metrics.kernel_event_counters_per_cpu_enabled", B, True, _KEPT_FOR_SYSCALLS),
    Setting("metrics.libbpf_stats_enabled", B, True, _KEPT_FOR_SYSCALLS),
    Setting("metrics.plugins_metrics_enabled", B, True, "metrics of the event sources"),
    Setting("metrics.jemalloc_stats_enabled", B, True, _KEPT_FOR_SYSCALLS),
    Setting("metrics.convert_memory_to_mb", B, True, "memory in megabytes"),
    Setting("metrics.include_empty_values", B, False, "also metrics that are 0"),
    # event sources
    Setting("load_plugins", L, None, "names of the plugins to use, all without it"),
    Setting("plugins[].name", T, "", "name of a plugin: `k8saudit`, `json`, or a source that a Python package brings"),
    Setting("plugins[].library_path", T, "", "accepted and without effect: no library is needed"),
    Setting("plugins[].init_config", Kind.ANY, None, "its settings, as a mapping, or as JSON or YAML text"),
    Setting(
        "plugins[].open_params", T, "", "what it reads; for k8saudit `http://:9765/k8s-audit`, `file:///path`, `/path`"
    ),
    Setting("plugins_hostinfo", B, True, _KEPT_FOR_SYSCALLS),
    Setting(
        "engine.kind", T, "nodriver", "how system calls are captured", ("kmod", "modern_ebpf", "replay", "nodriver")
    ),
    Setting("engine.kmod.buf_size_preset", I, 4, _KEPT_FOR_SYSCALLS),
    Setting("engine.kmod.drop_failed_exit", B, False, _KEPT_FOR_SYSCALLS),
    Setting("engine.modern_ebpf.cpus_for_each_buffer", I, 2, _KEPT_FOR_SYSCALLS),
    Setting("engine.modern_ebpf.buf_size_preset", I, 4, _KEPT_FOR_SYSCALLS),
    Setting("engine.modern_ebpf.drop_failed_exit", B, False, _KEPT_FOR_SYSCALLS),
    Setting("engine.replay.capture_file", T, "", _KEPT_FOR_SYSCALLS),
    Setting("capture.enabled", B, False, _KEPT_FOR_SYSCALLS),
    Setting("capture.path_prefix", T, "/tmp/falco", _KEPT_FOR_SYSCALLS),
    Setting("capture.mode", T, "rules", _KEPT_FOR_SYSCALLS, ("rules", "all_rules")),
    Setting("capture.default_duration", I, 5000, _KEPT_FOR_SYSCALLS),
    Setting("capture.max_file_size_mb", I, 0, _KEPT_FOR_SYSCALLS),
    Setting("syscall_event_drops.threshold", N, 0.1, _KEPT_FOR_SYSCALLS),
    Setting("syscall_event_drops.actions", L, (), _KEPT_FOR_SYSCALLS),
    Setting("syscall_event_drops.rate", N, 0.03333, _KEPT_FOR_SYSCALLS),
    Setting("syscall_event_drops.max_burst", N, 1, _KEPT_FOR_SYSCALLS),
    Setting("syscall_event_drops.simulate_drops", B, False, _KEPT_FOR_SYSCALLS),
    Setting("syscall_event_timeouts.max_consecutives", I, 1000, _KEPT_FOR_SYSCALLS),
    Setting("base_syscalls.all", B, False, _KEPT_FOR_SYSCALLS),
    Setting("base_syscalls.custom_set", L, (), _KEPT_FOR_SYSCALLS),
    Setting("base_syscalls.repair", B, False, _KEPT_FOR_SYSCALLS),
    Setting("falco_libs.thread_table_size", I, 0, _KEPT_FOR_SYSCALLS),
    Setting("falco_libs.thread_table_auto_purging_interval_s", I, 0, _KEPT_FOR_SYSCALLS),
    Setting("falco_libs.thread_table_auto_purging_thread_timeout_s", I, 0, _KEPT_FOR_SYSCALLS),
    Setting("falco_libs.snaplen", I, 0, _KEPT_FOR_SYSCALLS),
    *(
        Setting(f"container_engines.{engine}.enabled", B, True, _KEPT_FOR_SYSCALLS)
        for engine in ("docker", "cri", "podman", "lxc", "libvirt_lxc", "bpm")
    ),
    Setting("container_engines.cri.sockets", L, (), _KEPT_FOR_SYSCALLS),
    Setting("container_engines.cri.disable_async", B, False, _KEPT_FOR_SYSCALLS),
    # what Falco does not have
    Setting("lanner.data_dir", T, "", "folder of the store; `/var/lib/lanner` for root, else `~/.local/share/lanner`"),
    Setting("lanner.store", T, "", "where alerts are kept: `sqlite:////path/lanner.db`, `postgresql://user@host/name`"),
    Setting("lanner.retention.age", D, "30d", "older alerts are removed; `0s` keeps them"),
    Setting(
        "lanner.retention.size",
        S,
        "10GiB",
        "beyond this size those who take the most lose their oldest alerts; `0` for no bound",
    ),
    Setting("lanner.webhooks[].name", T, "", "name of the source; `webhook` and a number without it"),
    Setting("lanner.webhooks[].address", T, "127.0.0.1", "address to listen on; `0.0.0.0` for all"),
    Setting("lanner.webhooks[].port", I, 9765, "port to listen on"),
    Setting("lanner.webhooks[].path", T, "/k8s-audit", "path that takes events"),
    Setting("lanner.webhooks[].cluster", T, "", "name of the cluster that posts there"),
    Setting(
        "lanner.webhooks[].certificate",
        T,
        "",
        "certificate for https, or one file with certificate and key",
        asks_for=HTTPS,
    ),
    Setting("lanner.webhooks[].key", T, "", "key of the certificate, if it is in another file", asks_for=HTTPS),
    Setting(
        "lanner.webhooks[].client_ca",
        T,
        "",
        "authorities whose client certificates are taken; then one is needed",
        asks_for=AUTHENTICATION,
    ),
    _subjects("lanner.webhooks[]"),
    *_access("lanner.webhooks[]"),
    Setting("lanner.webhooks[].paths[].path", T, "", "a path of its own for a cluster: `/k8s-audit/prod-eu`"),
    Setting("lanner.webhooks[].paths[].cluster", T, "", "name of that cluster"),
    _subjects("lanner.webhooks[].paths[]"),
    *_access("lanner.webhooks[].paths[]"),
    Setting("lanner.files[].name", T, "", "name of the source; `file` and a number without it"),
    Setting("lanner.files[].path", T, "", "file, folder or pattern; `-` for standard input"),
    Setting("lanner.files[].follow", B, True, "go on reading as it grows; `false` reads once"),
    Setting("lanner.files[].cluster", T, "", "name of the cluster that the events are of"),
    Setting("lanner.limits.body", S, "64MiB", "largest body, unpacked; a larger one is refused"),
    Setting(
        "lanner.limits.in_flight", S, "64MiB", "bytes of bodies in work, shared fairly; beyond it the answer is 503"
    ),
    Setting("lanner.limits.event", S, "256KiB", "a larger event is evaluated and is itself an alert"),
    Setting(
        "lanner.limits.kept_event",
        S,
        "1MiB",
        "a larger event is kept without bodies, and cut down to this size",
    ),
    Setting(
        "lanner.limits.field", S, "16KiB", "a longer value is cut where it enters an alert; conditions see all of it"
    ),
    Setting("lanner.limits.header_timeout", D, "10s", "time for the headers of a request"),
    Setting("lanner.limits.body_timeout", D, "30s", "time for its body"),
    Setting("lanner.limits.idle_timeout", D, "2m", "time that a connection may be idle"),
    Setting("lanner.limits.retry_after", D, "5s", "when a client that was refused may come again"),
    Setting("lanner.limits.stop", D, "20s", "time to finish what was accepted when the service stops"),
    Setting(
        "lanner.silence.after", D, "15m", "alert when a cluster that was heard is silent for so long; `0s` for never"
    ),
    Setting("lanner.silence.clusters", Kind.TEXT_MAP, None, "the same for single clusters: `{prod-eu: 2m, lab: 0s}`"),
    Setting("lanner.silence.first_event", D, "5m", "time after which the log tells that no event has come at all"),
    Setting("lanner.redact[].resource", T, "", "what to redact of: `secrets`, `serviceaccounts/token`; empty for all"),
    Setting(
        "lanner.redact[].pointers",
        L,
        (),
        "JSON pointers into the event; `*`: any key or position, `*x`: keys that end in `x`",
    ),
    Setting("lanner.log_format", T, "auto", "form of the log; `auto` is `text`", ("auto", "text", "json")),
    *_access("lanner.server"),
    Setting(
        "lanner.server.key", T, "", "key for `webserver.ssl_certificate`, if it is in another file", asks_for=HTTPS
    ),
)

SETTINGS: dict[str, Setting] = {setting.name: setting for setting in _TABLE}
"""All settings by name."""


def children(path: str) -> frozenset[str]:
    """The keys that may stand in a section; `""` is the top, `rules[]` an item of that list."""
    prefix = f"{path}." if path else ""
    return frozenset(
        name[len(prefix) :].partition(".")[0].removesuffix("[]") for name in SETTINGS if name.startswith(prefix)
    )


def is_section(path: str) -> bool:
    """Whether the path is a mapping of known keys."""
    return any(name.startswith(f"{path}.") for name in SETTINGS)


def is_list(path: str) -> bool:
    """Whether the path is a list whose items are mappings of known keys."""
    return any(name.startswith(f"{path}[]") for name in SETTINGS)
