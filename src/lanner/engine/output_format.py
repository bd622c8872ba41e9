"""From the output of a rule to something that renders for an event.

In: the declared output, for example `user=%ka.user.name groups=%ka.user.groups`. Out: an `OutputFormat`: `render` gives
the message, `fields` the members of `output_fields`.

The notation (libs `eventformatter.cpp`, falco `formats.cpp`):

    output  := '*'? (text | '%' width? operand)*
    width   := digits            pads with blanks, or cuts, to that many bytes; 0 is no width
    operand := field | field '[' argument ']' | transformer '(' ... ')'

One leading `*` is dropped. There is no escape for `%`. Where the whole name is no field, the longest beginning of it
that is one is taken, and the rest is text. A missing value prints as `<NA>`, also before it is cut.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from operator import itemgetter

from lanner.alert import FieldOutput
from lanner.compiler.build import define
from lanner.compiler.evaluate import value as evaluate
from lanner.compiler.ir import Builder
from lanner.compiler.lower import Lowering
from lanner.condition.ast import Call, Exists, FieldRef, operands
from lanner.condition.parser import ConditionError, parse_operand_at
from lanner.condition.printer import print_operand
from lanner.config import AppendOutput
from lanner.diagnostics.codes import Code
from lanner.diagnostics.diagnostic import Context
from lanner.diagnostics.report import Report
from lanner.diagnostics.source import Span, Text
from lanner.engine.field_limit import FieldLimit
from lanner.engine.rendering import Reading, generate, to_text
from lanner.event import MISSING, AuditEvent, kept
from lanner.fields.catalog import BoundField, Catalog, FieldError, FieldErrorKind

CONTAINER_INFO = "%container.info"
"""Stands in old rules for what says which container; it is dropped, with a warning, as in Falco."""

MAX_WIDTH = 4096
MAX_ERRORS = 10
"""Problems reported of one output."""


@dataclass(frozen=True, slots=True)
class ExtraField:
    """A member of `output_fields` that the configuration adds: the text of a format, or the value of a field."""

    name: str
    format: Text
    raw: bool


@dataclass(frozen=True, eq=False)
class OutputFormat:
    """A compiled output. `template` is the text it was made from, `asks` the fields it is made of, `limit` bounds each
    value; the rest is for this module."""

    template: str
    asks: frozenset[BoundField]
    limit: FieldLimit
    _message: tuple[str | Reading, ...] = field(repr=False)
    _fields: Mapping[str, Reading] = field(repr=False)

    @kept
    def rendered(self) -> Callable[[AuditEvent], tuple[str, dict[str, FieldOutput]]]:
        """The message for an event, and the value of every field in it, also of those inside transformers, in the order
        of their names; None for a missing one.

        Together, since most values stand in both and reading them is what takes the time. The function is made when
        first asked for: most rules never raise an alert.
        """
        render: Callable[[AuditEvent], tuple[str, dict[str, FieldOutput]]]
        render = define(generate(self._message, sorted(self._fields.items(), key=itemgetter(0)), self.limit), "render")
        return render

    def render(self, event: AuditEvent) -> str:
        """The message alone."""
        return self.rendered(event)[0]

    def fields(self, event: AuditEvent) -> dict[str, FieldOutput]:
        """The fields alone."""
        return self.rendered(event)[1]


def _fitted(reading: Reading, width: int) -> Reading:
    """Pads or cuts the text of a value to a number of bytes; a character that is cut through becomes U+FFFD."""
    read = reading.value if isinstance(reading, BoundField) else reading

    def fitted(event: AuditEvent) -> str:
        text = to_text(read(event))
        if text.isascii():
            return text[:width].ljust(width)
        return text.encode()[:width].ljust(width).decode(errors="replace")

    return fitted


class _OutputError(Exception):
    """What is wrong with an output, and where. `unknown`: it asks for something that does not exist."""

    def __init__(self, message: str, span: Span, help: str, unknown: bool = False) -> None:
        super().__init__(message)
        self.message = message
        self.span = span
        self.help = help
        self.unknown = unknown


def compile_output(
    template: Text,
    catalog: Catalog,
    report: Report,
    limit: FieldLimit,
    context: tuple[Context, ...] = (),
    extra_fields: Sequence[ExtraField] = (),
    skip_if_unknown: bool = False,
) -> OutputFormat | None:
    """Compile an output with the fields that the configuration adds to it.

    What is wrong goes to the report as LOAD_ERR_COMPILE_OUTPUT, and then the answer is None. With `skip_if_unknown`,
    which rules ask for by `skip-if-unknown-filter`, an unknown field as the first problem is the only one told, and
    only a warning: LOAD_UNKNOWN_FILTER.
    """
    text = template.value.replace(CONTAINER_INFO, "")
    if text != template.value:
        start = template.value.index(CONTAINER_INFO)
        report.add(
            Code.DEPRECATED_ITEM,
            f"`{CONTAINER_INFO}` stands for nothing any more",
            template.span(start, start + len(CONTAINER_INFO)),
            "leave it out.",
            context,
        )
    errors: list[_OutputError] = []
    if not text:
        errors.append(
            _OutputError("the output is empty", template.span(0, 0), "say what happened: `%ka.user.name did %ka.verb`.")
        )
    asked: set[BoundField] = set()
    message, named = _compile(template, catalog, errors, asked)
    if skip_if_unknown and errors and errors[0].unknown:
        report.add(Code.UNKNOWN_FILTER, errors[0].message, errors[0].span, errors[0].help, context)
        return None
    fields = dict(named)
    for extra in extra_fields:
        extra_message, extra_named = _compile(extra.format, catalog, errors, asked)
        if extra.raw:
            fields[extra.name] = dict(extra_named).get(extra.name, _missing)
        else:
            fields[extra.name] = OutputFormat(extra.format.value, frozenset(asked), limit, extra_message, {}).render
    for error in errors[:MAX_ERRORS]:
        report.add(Code.ERR_COMPILE_OUTPUT, error.message, error.span, error.help, context)
    if errors:
        return None
    return OutputFormat(text, frozenset(asked), limit, message, fields)


def append_to_output(
    output: Text, rule: str, source: str, tags: Sequence[str], entries: Sequence[AppendOutput]
) -> tuple[Text, tuple[ExtraField, ...]]:
    """The output of a rule with what `append_output` adds to it: text, joined by a blank, and fields.

    An entry is for a rule if the source and the name are the same, where given, and the rule has all its tags. Of two
    entries for one field, the later one holds.
    """
    extra: dict[str, ExtraField] = {}
    for entry in entries:
        if (
            (entry.source and entry.source != source)
            or (entry.rule and entry.rule != rule)
            or not entry.tags.issubset(tags)
        ):
            continue
        if entry.extra_output is not None and entry.extra_output.value:
            output = output.joined(entry.extra_output)
        for name, template in entry.extra_fields:
            if template is None:
                extra[name.value] = ExtraField(name.value, Text.plain("%", "<append_output>").joined(name, ""), True)
            elif template.value:
                extra[name.value] = ExtraField(name.value, template, False)
    return output, tuple(extra.values())


def _missing(event: AuditEvent) -> object:
    return MISSING


def _compile(
    template: Text, catalog: Catalog, errors: list[_OutputError], asked: set[BoundField]
) -> tuple[tuple[str | Reading, ...], list[tuple[str, Reading]]]:
    """(texts and what reads the values between them, the fields by their keys); what is wrong goes to `errors`, every
    field to `asked`."""
    text = template.value
    position = 1 if text.startswith("*") else 0
    message: list[str | Reading] = []
    named: list[tuple[str, Reading]] = []
    while True:
        percent = text.find("%", position) if len(errors) < MAX_ERRORS else -1
        message.append(text[position : percent if percent >= 0 else len(text)])
        if percent < 0:
            return tuple(message), named
        if text.startswith(CONTAINER_INFO, percent):
            position = percent + len(CONTAINER_INFO)
            continue
        start = percent + 1
        while start < len(text) and text[start] in "0123456789":
            start += 1
        try:
            width = _width(template, percent, start)
            reading, operand, position = _operand(template, start, catalog)
        except _OutputError as error:
            errors.append(error)
            position = start + text.startswith("%", start)
            continue
        message.append(_fitted(reading, width) if width else reading)
        parts = [part for part in operands(Exists(operand, operand.span)) if isinstance(part, FieldRef)]
        fields = [_bind(part, catalog) for part in parts]
        named += [
            (print_operand(part), field.definition.json or field) for part, field in zip(parts, fields, strict=True)
        ]
        asked.update(fields)


def _width(template: Text, percent: int, end: int) -> int:
    """The width between a `%` and the end of its digits."""
    if end == len(template.value):
        raise _OutputError(
            f"the output ends with `{template.value[percent:]}`",
            template.span(percent, end),
            "a `%` begins a field, and there is no escape for it: leave it out, or write `percent`.",
        )
    digits = template.value[percent + 1 : end].lstrip("0")
    if len(digits) > len(str(MAX_WIDTH)) or int(digits or "0") > MAX_WIDTH:
        span = template.span(percent + 1, end)
        raise _OutputError(f"`{digits}` is too wide", span, f"a value may be {MAX_WIDTH} wide at most.")
    return int(digits or "0")


def _operand(template: Text, start: int, catalog: Catalog) -> tuple[Reading, FieldRef | Call, int]:
    """(what reads it, the tree, the offset behind it) of the field or call that begins at an offset."""
    first: _OutputError | None = None
    for operand, end in _candidates(template, start, catalog):
        if isinstance(operand, _OutputError):
            first = first or operand
            continue
        try:
            return _reading(operand, catalog), operand, end
        except _OutputError as error:
            first = first or error
    assert first is not None
    raise first


def _candidates(template: Text, start: int, catalog: Catalog) -> Iterator[tuple[FieldRef | Call | _OutputError, int]]:
    """What may be meant at an offset, the longest first; an error in the place of what does not parse."""
    text = template.value
    try:
        operand, end = parse_operand_at(template, start)
    except ConditionError as error:
        yield _unparsable(template, start, error), start
    else:
        yield operand, end
        if isinstance(operand, Call) and operand.argument is not None:
            # Brackets behind a transformer that takes none are text.
            opening = text.rindex("[", start, end)
            yield parse_operand_at(Text.plain(text[:opening]), start)
    name = catalog.longest_prefix(text[start:])
    while name:
        end = start + len(name)
        yield FieldRef(name, None, template.span(start, end)), end
        name = catalog.longest_prefix(name[:-1])


def _unparsable(template: Text, start: int, error: ConditionError) -> _OutputError:
    text = template.value
    if not (text[start].isascii() and text[start].isalpha()):
        return _OutputError(
            f"`{text[start - 1 : start + 1]}` begins no field",
            template.span(start - 1, start + 1),
            "a `%` begins a field, and there is no escape for it: leave it out, or write `percent`.",
        )
    return _OutputError(error.message, error.span, error.help, unknown=True)


def _reading(operand: FieldRef | Call, catalog: Catalog) -> Reading:
    """What reads a value as it stands in a message: numbers as their field writes them, the rest as it is."""
    if isinstance(operand, FieldRef):
        field = _bind(operand, catalog)
        return _written(field) if field.definition.type.numeric else field
    trial = Report()
    lowered = Lowering(catalog, Builder(), trial, unknown_field=Code.UNKNOWN_FILTER).operand(operand)
    if lowered is None:
        problem = trial.diagnostics[0]
        unknown = problem.code is Code.UNKNOWN_FILTER
        raise _OutputError(problem.message, problem.span or operand.span, problem.help, unknown)
    return lambda event: evaluate(lowered, event)


def _bind(operand: FieldRef, catalog: Catalog) -> BoundField:
    try:
        return catalog.bind(operand.name, operand.argument)
    except FieldError as error:
        unknown = error.kind is FieldErrorKind.UNKNOWN_FIELD
        raise _OutputError(error.message, operand.span, error.help, unknown) from None


def _written(number: BoundField) -> Reading:
    def written(event: AuditEvent) -> object:
        value = number.value(event)
        return MISSING if value is MISSING or isinstance(value, list) else number.definition.written(value)

    return written
