"""The one table of diagnostic codes. The LOAD_ codes are Falco's (engine `falco_load_result.cpp`)."""

from __future__ import annotations

from enum import Enum


class Severity(Enum):
    ERROR = "error"
    WARNING = "warning"


class Code(Enum):
    """A kind of problem: its name, severity, short title and explanation."""

    severity: Severity
    title: str
    explanation: str

    def __new__(cls, name: str, severity: Severity, title: str, explanation: str) -> Code:
        code = object.__new__(cls)
        code._value_ = name
        code.severity = severity
        code.title = title
        code.explanation = explanation
        return code

    ERR_FILE_READ = (
        "LOAD_ERR_FILE_READ",
        Severity.ERROR,
        "error reading file",
        "The file does not exist, may not be read, or is not UTF-8 text.",
    )
    ERR_YAML_PARSE = (
        "LOAD_ERR_YAML_PARSE",
        Severity.ERROR,
        "YAML parse error",
        "The file is not YAML: a bracket, quote or indentation is wrong at the place shown, or it nests too deep.",
    )
    ERR_YAML_VALIDATE = (
        "LOAD_ERR_YAML_VALIDATE",
        Severity.ERROR,
        "error validating rules file",
        "The file is YAML, but a key is missing, has a value of the wrong kind, or may not stand there.",
    )
    ERR_COMPILE_CONDITION = (
        "LOAD_ERR_COMPILE_CONDITION",
        Severity.ERROR,
        "error compiling condition",
        "A condition does not follow the grammar, names an unknown field, or uses an operator its field does not take.",
    )
    ERR_COMPILE_OUTPUT = (
        "LOAD_ERR_COMPILE_OUTPUT",
        Severity.ERROR,
        "error compiling output",
        "An output template names an unknown field or is malformed.",
    )
    ERR_VALIDATE = (
        "LOAD_ERR_VALIDATE",
        Severity.ERROR,
        "error validating rule, macro, list or exception",
        (
            "Definitions do not fit together: an unknown macro, a change to something that does not exist, "
            "an exception whose parts differ in number, a version that is not met."
        ),
    )
    ERR_PLUGIN_VERSION = (
        "PLUGIN_REQUIREMENT",
        Severity.ERROR,
        "plugin requirement not met",
        "A file requires a version of a plugin, or a plugin, that is not there. Falco ends without a code then.",
    )
    ERR_EXTENSION = (
        "LOAD_ERR_EXTENSION",
        Severity.ERROR,
        "error in an extension item",
        "An extension of the rules format refused an item.",
    )
    UNKNOWN_SOURCE = (
        "LOAD_UNKNOWN_SOURCE",
        Severity.WARNING,
        "unknown event source",
        "The rule is for events of a source that is not loaded, so it is set aside.",
    )
    UNSAFE_NA_CHECK = (
        "LOAD_UNSAFE_NA_CHECK",
        Severity.WARNING,
        "unsafe comparison with <NA>",
        "A missing field makes every comparison false; `<NA>` is only how outputs print it. Use `exists`.",
    )
    NO_EVTTYPE = (
        "LOAD_NO_EVTTYPE",
        Severity.WARNING,
        "condition has no event type restriction",
        "The rule would be tried on every event.",
    )
    UNKNOWN_FILTER = (
        "LOAD_UNKNOWN_FILTER",
        Severity.WARNING,
        "unknown field in a condition or output",
        "The rule is left out because it says `skip-if-unknown-filter: true`.",
    )
    UNUSED_MACRO = (
        "LOAD_UNUSED_MACRO",
        Severity.WARNING,
        "unused macro",
        "No rule or macro refers to this macro.",
    )
    UNUSED_LIST = (
        "LOAD_UNUSED_LIST",
        Severity.WARNING,
        "unused list",
        "No rule, macro, exception or list refers to this list.",
    )
    UNKNOWN_ITEM = (
        "LOAD_UNKNOWN_ITEM",
        Severity.WARNING,
        "unknown rules file item",
        "An item is neither a rule, macro, list nor a version requirement; it is ignored.",
    )
    DEPRECATED_ITEM = (
        "LOAD_DEPRECATED_ITEM",
        Severity.WARNING,
        "deprecated key",
        "The key still works and will go away; the message names what to write instead.",
    )
    WARNING_EXTENSION = (
        "LOAD_WARNING_EXTENSION",
        Severity.WARNING,
        "warning in an extension item",
        "An extension of the rules format has something to say about an item.",
    )
    APPEND_NO_VALUES = (
        "LOAD_APPEND_NO_VALUES",
        Severity.WARNING,
        "appended exception has no values",
        "An exception is appended to without any values, which changes nothing.",
    )
    EXCEPTION_NAME_NOT_UNIQUE = (
        "LOAD_EXCEPTION_NAME_NOT_UNIQUE",
        Severity.WARNING,
        "several exceptions with the same name",
        "Two exceptions of one rule share a name, so appending to it is ambiguous.",
    )
    INVALID_MACRO_NAME = (
        "LOAD_INVALID_MACRO_NAME",
        Severity.WARNING,
        "macro name that no condition can refer to",
        "Macro names are letters, digits and underscores, beginning with a letter.",
    )
    INVALID_LIST_NAME = (
        "LOAD_INVALID_LIST_NAME",
        Severity.WARNING,
        "list name that conditions can hardly refer to",
        "List names are letters, digits, underscores, dots, dashes and slashes, without blanks.",
    )
    COMPILE_CONDITION = (
        "LOAD_COMPILE_CONDITION",
        Severity.WARNING,
        "suspicious condition",
        "The condition is valid but probably not what was meant.",
    )
    UNKNOWN_KEY = (
        "LOAD_UNKNOWN_KEY",
        Severity.WARNING,
        "unknown key",
        "The key is not known in this place and is ignored.",
    )
    CONFIG_ERROR = (
        "CONFIG_ERROR",
        Severity.ERROR,
        "error in the configuration",
        "A key of the configuration has a value that cannot be used.",
    )
    CONFIG_UNKNOWN_KEY = (
        "CONFIG_UNKNOWN_KEY",
        Severity.WARNING,
        "unknown key in the configuration",
        "The key is not known and is ignored. Below `lanner:` an unknown key is a CONFIG_ERROR instead.",
    )
    CONFIG_FILE_NOT_FOUND = (
        "CONFIG_FILE_NOT_FOUND",
        Severity.WARNING,
        "file in the configuration not found",
        (
            "The configuration names a file or folder that does not exist or may not be read. Rules files and included "
            "files are left out; whatever else needs the file fails until it is there."
        ),
    )
    CONFIG_OPEN_LISTENER = (
        "CONFIG_OPEN_LISTENER",
        Severity.WARNING,
        "listener without authentication",
        (
            "Other machines reach this address, and whoever reaches it may post events as if the API server did. The "
            "service starts, as Falco does."
        ),
    )
    CASE_ERROR = (
        "CASE_ERROR",
        Severity.ERROR,
        "error in a test case",
        "A file of test cases does not have the form that docs/testing-rules.md describes.",
    )
