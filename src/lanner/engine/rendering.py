"""From the parts of an output to the source of the function that renders it.

`render(e)` gives the message and the members of `output_fields`, and reads each value once. Texts, names and getters go
in as globals, never as text: outputs of one shape have the same source.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TypeAlias

from lanner.compiler.codegen import RESPONSE_CODE, Source
from lanner.event import MISSING, AuditEvent
from lanner.fields.catalog import BoundField
from lanner.fields.paths import Attribute, cut

NOT_AVAILABLE = "<NA>"

Reading: TypeAlias = BoundField | Callable[[AuditEvent], object]
"""What a value is read by: a field, or any function."""


def generate(message: Sequence[str | Reading], fields: Iterable[tuple[str, Reading]]) -> Source:
    """The source for a message, of texts and of values, and for fields by their names, in the order given."""
    namespace: dict[str, object] = {"M": MISSING, "N": NOT_AVAILABLE, "cut": cut, "text": to_text}
    values: dict[Reading, str] = {}
    lines = ["def render(e):", "    known = e.audit_id is not M"]

    def constant(prefix: str, thing: object) -> str:
        name = f"{prefix}{len(namespace)}"
        namespace[name] = thing
        return name

    def value(reading: Reading) -> str:
        name = values.get(reading)
        if name is None:
            name = values[reading] = f"v{len(values)}"
            if path := _text_at(reading):
                read = f"e.{'.'.join(path)}"
            else:
                read = f"{constant('get', reading.getter if isinstance(reading, BoundField) else reading)}(e)"
            if isinstance(reading, BoundField) and reading.definition.needs_audit_id:
                read += " if known else M"
            lines.append(f"    {name} = {read}")
            if path:
                lines.append(f'    if {name} and "\\0" in {name}: {name} = cut({name})')
        return name

    def piece(part: str | Reading) -> str:
        if isinstance(part, str):
            return constant("t", part)
        name = value(part)
        return f"N if {name} is M else {name}" if _text_at(part) else f"text({name})"

    def member(name: str, reading: Reading) -> str:
        found = value(reading)
        return f"{constant('n', name)}: None if {found} is M else {found}"

    pieces = ", ".join(piece(part) for part in message if part != "")
    members = ", ".join(member(name, reading) for name, reading in fields)
    lines.append(f'    return "".join([{pieces}]), {{{members}}}')
    return Source("\n".join([*lines, ""]), namespace)


def to_text(value: object) -> str:
    """A value as it stands in a message."""
    match value:
        case str():
            return value
        case bool():
            return "true" if value else "false"
        case list():
            return f"({','.join(value)})"
        case _:
            return NOT_AVAILABLE if value is MISSING else str(value)


def _text_at(reading: Reading) -> tuple[str, ...]:
    """The path of the attribute that holds the very text, NUL characters aside; empty where there is none."""
    getter = reading.getter if isinstance(reading, BoundField) else reading
    return getter.path if isinstance(getter, Attribute) and getter.path != RESPONSE_CODE else ()
