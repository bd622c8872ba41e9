"""What a field is, and how a name with an argument becomes something that reads a value from an event."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from difflib import get_close_matches
from enum import Enum
from typing import TypeAlias

from lanner.event import MISSING, AuditEvent, Missing

Value: TypeAlias = "str | int | bool | list[str]"
"""What a field yields: text, a number (times in nanoseconds), a truth value, or several texts (never an empty list:
no values is MISSING)."""

Getter: TypeAlias = Callable[[AuditEvent], "Value | Missing"]


class ValueType(Enum):
    """The type of a field's values; the words are Falco's."""

    STRING = "CHARBUF"
    NUMBER = "UINT64"
    BOOL = "BOOL"
    ABSTIME = "ABSTIME"
    RELTIME = "RELTIME"

    @property
    def numeric(self) -> bool:
        """Whether values are compared as numbers."""
        return self is not ValueType.STRING


class Argument(Enum):
    """What may stand in the brackets behind a field's name."""

    NONE = "none"
    KEY = "key"
    OPTIONAL_INDEX = "index"


LONGEST_INDEX = 19
"""Digits of an index: all of them fit into Falco's 64 bits."""


@dataclass(frozen=True, slots=True)
class FieldDef:
    """One field: a row of a table.

    `bind` takes the argument (a key's text, an index in digits, or None) and returns the getter. `needs_audit_id`:
    the field has no value in an event without a top-level auditID. `json`: where the value in `output_fields` is not
    the one that conditions and texts see (evt.time is a text here and nanoseconds there), the getter of the former.
    `digits`: a number is written with at least so many, zeros in front. `always`: every event that decode.py makes has
    a value, so that asking whether it exists is no question.
    """

    name: str
    description: str
    bind: Callable[[str | None], Getter]
    type: ValueType = ValueType.STRING
    is_list: bool = False
    argument: Argument = Argument.NONE
    needs_audit_id: bool = False
    json: Getter | None = None
    digits: int = 1
    always: bool = False

    def written(self, value: str | int | bool) -> str:
        """A value, or one of several, as texts show it."""
        match value:
            case str():
                return value
            case bool():
                return "true" if value else "false"
            case int():
                return f"{value:0{self.digits}d}"


class FieldErrorKind(Enum):
    UNKNOWN_FIELD = "unknown field"
    BAD_ARGUMENT = "bad argument"


class FieldError(Exception):
    """A field name or argument that cannot be used; `help` tells the way out."""

    def __init__(self, kind: FieldErrorKind, message: str, help: str = "") -> None:
        super().__init__(message)
        self.kind = kind
        self.message = message
        self.help = help


@dataclass(frozen=True, slots=True, eq=False)
class BoundField:
    """A field with its argument, ready to read. Get one from `Catalog.bind`: equal name and argument, same object."""

    definition: FieldDef
    argument: str | None
    getter: Getter

    @property
    def text(self) -> str:
        """The name as written in rules: `name` or `name[argument]`."""
        return self.definition.name if self.argument is None else f"{self.definition.name}[{self.argument}]"

    def value(self, event: AuditEvent) -> Value | Missing:
        """The value in this event, or MISSING. Never raises, whatever the event holds."""
        if self.definition.needs_audit_id and event.audit_id is MISSING:
            return MISSING
        return self.getter(event)


class Catalog:
    """The fields of one event source, by name.

    `helps` tells what to use instead of a name that people reach for although this source has no such field; empty
    if it does not know the name either.
    """

    def __init__(self, fields: Iterable[FieldDef], helps: Callable[[str], str] = lambda _: "") -> None:
        self._fields: dict[str, FieldDef] = {field.name: field for field in fields}
        self._helps = helps
        self._bound: dict[tuple[str, str | None], BoundField] = {}

    def __iter__(self) -> Iterator[FieldDef]:
        return iter(self._fields.values())

    def __contains__(self, name: object) -> bool:
        return name in self._fields

    def bind(self, name: str, argument: str | None = None) -> BoundField:
        """The field of that name and argument. Raises FieldError with a help text."""
        found = self._bound.get((name, argument))
        if found is None:
            found = self._bound[name, argument] = self._bind(name, argument)
        return found

    def _bind(self, name: str, argument: str | None) -> BoundField:
        definition = self._fields.get(name)
        if definition is None:
            raise FieldError(FieldErrorKind.UNKNOWN_FIELD, f"there is no field `{name}`", self._help(name))
        _check_argument(definition, argument)
        return BoundField(definition, argument, definition.bind(argument))

    def _help(self, name: str) -> str:
        near = get_close_matches(name, self._fields, n=1, cutoff=0.6)
        return self._helps(name) or (f"did you mean `{near[0]}`?" if near else "`lanner fields` lists all fields.")

    def longest_prefix(self, text: str) -> str | None:
        """The longest field name that the text begins with: outputs take `%ka.verbosity` for `%ka.verb` and a text.

        A field that needs an argument counts only with a bracket behind it, so `ka.uri.param` begins with `ka.uri`.
        """
        names = (name for name, field in self._fields.items() if text.startswith(name) and _is_usable(field, text))
        return max(names, key=len, default=None)


def _is_usable(field: FieldDef, text: str) -> bool:
    return field.argument is not Argument.KEY or text.startswith("[", len(field.name))


def _check_argument(definition: FieldDef, argument: str | None) -> None:
    """Falco's rules for arguments (libs `plugin_filtercheck.cpp`)."""
    name = definition.name
    match definition.argument:
        case Argument.NONE if argument is not None:
            raise FieldError(
                FieldErrorKind.BAD_ARGUMENT, f"field `{name}` takes no argument", f"write `{name}` without brackets."
            )
        case Argument.KEY if argument is None:
            raise FieldError(FieldErrorKind.BAD_ARGUMENT, f"field `{name}` needs an argument", f"write `{name}[key]`.")
        case Argument.OPTIONAL_INDEX if argument is not None:
            digits = argument.isascii() and argument.isdigit() and len(argument) <= LONGEST_INDEX
            if not digits or (argument[0] == "0" and argument != "0"):
                raise FieldError(
                    FieldErrorKind.BAD_ARGUMENT,
                    f"field `{name}` takes an index, and `{argument}` is none",
                    "an index is a number from 0, without leading zeros.",
                )
