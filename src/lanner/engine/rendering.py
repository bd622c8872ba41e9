"""From the parts of an output to the source of the function that renders it.

`render(e)` gives the message and the members of `output_fields`, and reads each value once. Texts, names and getters go
in as globals, never as text: outputs of one shape have the same source.

No value is longer than the limit says. What is read out of a body is kept with the event, in its bounded form: several
alerts on one event often show the same, and to read it may take much longer than to write it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TypeAlias

from lanner.compiler.codegen import RESPONSE_CODE, Source
from lanner.engine.field_limit import FieldLimit
from lanner.event import MISSING, AuditEvent
from lanner.fields.catalog import BoundField
from lanner.fields.paths import Attribute, cut

NOT_AVAILABLE = "<NA>"

Reading: TypeAlias = BoundField | Callable[[AuditEvent], object]
"""What a value is read by: a field, or any function."""


def generate(message: Sequence[str | Reading], fields: Iterable[tuple[str, Reading]], limit: FieldLimit) -> Source:
    """The source for a message, of texts and of values, and for fields by their names, in the order given."""
    namespace: dict[str, object] = {
        "M": MISSING,
        "N": NOT_AVAILABLE,
        "cut": cut,
        "text": to_text,
        "free": limit.free_characters,
        "bounded": limit.value,
        "bounded_text": limit.text,
    }
    values: dict[Reading, str] = {}
    lines: list[str] = []

    def constant(prefix: str, thing: object) -> str:
        name = f"{prefix}{len(namespace)}"
        namespace[name] = thing
        return name

    def value(reading: Reading) -> str:
        name = values.get(reading)
        if name is None:
            name = values[reading] = f"v{len(values)}"
            lines.extend(f"    {line}" for line in reads(name, reading))
        return name

    def reads(name: str, reading: Reading) -> Iterator[str]:
        needs_audit_id = isinstance(reading, BoundField) and reading.definition.needs_audit_id
        if path := _text_at(reading):
            yield f"{name} = e.{'.'.join(path)}{' if known else M' * needs_audit_id}"
            yield f"if {name}:"
            yield f'    if "\\0" in {name}: {name} = cut({name})'
            yield f"    if len({name}) > free: {name} = bounded_text({name})"
        elif isinstance(reading, BoundField) and needs_audit_id:
            # Such a field says something of the event alone; others may count the events of the engine.
            key, get = constant("f", reading), constant("get", reading.getter)
            yield f"{name} = seen.get({key}) if known else M"
            yield f"if {name} is None: {name} = seen[{key}] = bounded({get}(e))"
        else:
            get = constant("get", reading.getter if isinstance(reading, BoundField) else reading)
            yield f"{name} = bounded({get}(e))"

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
    head = ["def render(e):", "    known = e.audit_id is not M"]
    if any("seen" in line for line in lines):
        head.append("    seen = e.__dict__.setdefault('output_values', {})")
    return Source("\n".join([*head, *lines, f'    return "".join([{pieces}]), {{{members}}}', ""]), namespace)


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
