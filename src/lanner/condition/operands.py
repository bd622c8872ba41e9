"""What stands left and right of an operator: fields, transformer calls, values, lists. Grammar: see parser.py.

Each method reads one production at the cursor and raises ConditionError if it is malformed; those that return None
read nothing where their production does not begin.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass, field

from lanner.condition.ast import Call, FieldRef, ListExpr, ListLiteral, Literal, Operand
from lanner.condition.lexer import (
    BARE_ARGUMENT,
    BARE_WORD,
    CALL,
    CALL_OR_VAL,
    FIELD_NAME,
    IDENTIFIER,
    MODIFIER,
    NUMBER,
    ConditionError,
    Cursor,
)
from lanner.condition.operators import TRANSFORMERS, VAL
from lanner.diagnostics.source import Text


@dataclass(slots=True)
class _OpenCall:
    """A call being read. `items` is the list among its arguments that is open, if any."""

    name: str
    start: int
    opened: int
    arguments: list[Operand] = field(default_factory=list)
    items: list[Operand] | None = None
    items_start: int = -1


class OperandReader:
    """Reads operands at `cursor`. `depth` counts the parentheses and calls that are open."""

    def __init__(self, text: Text, start: int, max_depth: int) -> None:
        self.cursor = Cursor(text, start)
        self.value = text.value
        self.span = text.span
        self.max_depth = max_depth
        self.depth = 0

    def deeper(self, offset: int) -> None:
        """Count the parenthesis or call that opens at `offset`."""
        self.depth += 1
        if self.depth > self.max_depth:
            raise self.cursor.error(
                f"nested too deep: more than {self.max_depth} levels",
                offset,
                self.cursor.word_end(offset),
                "Take parts out into macros.",
            )

    # Operand, RightSide

    def operand(self) -> FieldRef | Call:
        """Operand: a field or a call."""
        operand = self.maybe_operand()
        if operand is not None:
            return operand
        start = self.cursor.position
        word = IDENTIFIER.match(self.value, start)
        if word and self.value.startswith("(", word.end()):
            raise self.unknown_transformer(start, word.end())
        raise self.cursor.expected("a field or a transformer", "Write a field such as `ka.verb`, or tolower(ka.verb).")

    def maybe_operand(self) -> FieldRef | Call | None:
        """Operand, or None if neither a field nor a call begins here."""
        cursor = self.cursor
        start = cursor.position
        name = cursor.match(FIELD_NAME)
        if name:
            return self._field(name[0], start)
        if CALL.match(self.value, start):
            return self._call()
        return None

    def right_side(self) -> Call | None:
        """RightSide: `val(field)` or a call."""
        cursor = self.cursor
        start = cursor.position
        found = CALL_OR_VAL.match(self.value, start)
        if found is None:
            return None
        if found[1] != VAL:
            return self._call()
        cursor.position = found.end()
        cursor.skip_blank()
        field_start = cursor.position
        name = cursor.match(FIELD_NAME)
        if name is None:
            raise cursor.expected(
                f"a field in `{VAL}()`", f"Write a field without quotes, as in {VAL}(ka.target.name)."
            )
        argument = self._field(name[0], field_start)
        cursor.skip_blank()
        if not cursor.take(")"):
            raise self._call_not_closed(VAL, found.end() - 1)
        selector = self._selector()
        return Call(VAL, (argument,), selector, self.span(start, cursor.position))

    def _field(self, name: str, start: int) -> FieldRef:
        """Field, its name being read."""
        argument = self._selector()
        return FieldRef(name, argument, self.span(start, self.cursor.position))

    def _selector(self) -> str | None:
        """Selector: what stands in brackets right behind a field or call; None without brackets."""
        cursor = self.cursor
        opened = cursor.position
        if not cursor.take("["):
            return None
        if cursor.at_quote():
            argument = cursor.quoted()
        else:
            bare = cursor.match(BARE_ARGUMENT)
            if bare is None:
                raise cursor.expected("an argument in the brackets", "Write an index or a key; keys may be quoted.")
            argument = bare[0]
        if not cursor.take("]"):
            if cursor.position == len(self.value):
                raise cursor.error("the bracket `[` is never closed", opened, opened + 1, "Add the closing `]`.")
            raise cursor.expected(
                "`]`", "Close the bracket right behind the argument; quote arguments that hold blanks or brackets."
            )
        return argument

    # Call: a stack of open calls

    def _call(self) -> Call:
        """Call. The cursor stands on the name of the outermost."""
        stack: list[_OpenCall] = []
        self._open_call(stack)
        cursor = self.cursor
        while True:
            argument = self._argument(stack)
            # Close what ends behind a complete argument, until another argument is due.
            while argument is not None:
                call = stack[-1]
                (call.arguments if call.items is None else call.items).append(argument)
                cursor.skip_blank()
                if cursor.take(","):
                    break
                if not cursor.take(")"):
                    raise self._call_not_closed(call.name, call.opened if call.items is None else call.items_start)
                if call.items is not None:
                    argument = self._close_list(call)
                    continue
                argument = closed = self._close_call(stack)
                if not stack:
                    return closed

    def _argument(self, stack: list[_OpenCall]) -> Operand | None:
        """Argument or Item; None if what begins here is a call or a list, which is then open."""
        cursor = self.cursor
        cursor.skip_blank()
        start = cursor.position
        number = cursor.match(NUMBER)
        if number:
            return Literal(number[0], self.span(start, cursor.position))
        if cursor.at_quote():
            return Literal(cursor.quoted(), self.span(start, cursor.position), quoted=True)
        call = stack[-1]
        if call.items is None and cursor.take("("):
            call.items = []
            call.items_start = start
            cursor.skip_blank()
            return self._close_list(call) if cursor.take(")") else None
        if self._open_call(stack):
            return None
        name = cursor.match(FIELD_NAME)
        if name:
            return self._field(name[0], start)
        raise self._no_argument(call)

    def _open_call(self, stack: list[_OpenCall]) -> bool:
        cursor = self.cursor
        name = cursor.match(CALL)
        if name is None:
            return False
        self.deeper(name.start())
        stack.append(_OpenCall(name[1], name.start(), name.end() - 1))
        return True

    def _close_list(self, call: _OpenCall) -> ListExpr:
        items, call.items = tuple(call.items or ()), None
        return ListExpr(items, self.span(call.items_start, self.cursor.position))

    def _close_call(self, stack: list[_OpenCall]) -> Call:
        call = stack.pop()
        self.depth -= 1
        selector = self._selector()
        return Call(call.name, tuple(call.arguments), selector, self.span(call.start, self.cursor.position))

    # Number, Value, List, ListName, Modifier

    def number(self, operator: str) -> Literal:
        """Number, behind `operator`."""
        cursor = self.cursor
        start = cursor.position
        number = cursor.match(NUMBER)
        if number:
            return Literal(number[0], self.span(start, cursor.position))
        if cursor.at_quote():
            value = cursor.quoted()
            wanted = value if NUMBER.fullmatch(value) else "a number"
            raise cursor.error(
                f"`{operator}` compares numbers, not quoted text",
                start,
                cursor.position,
                f"Write {wanted} without quotes.",
            )
        raise cursor.expected(f"a number behind `{operator}`", "Write a number such as 10 or 0x1f, or val(a.field).")

    def single(self, operator: str) -> Literal:
        """Value, behind `operator`."""
        cursor = self.cursor
        if self.value.startswith("(", cursor.position):
            raise cursor.error(
                f"`{operator}` takes one value, not a list",
                cursor.position,
                cursor.position + 1,
                f"Write `{operator} anyof (...)`, or `in (...)` for equality with one of several values.",
            )
        return self._value()

    def _value(self) -> Literal:
        """Value: a quoted string or a bare word."""
        cursor = self.cursor
        start = cursor.position
        if cursor.at_quote():
            return Literal(cursor.quoted(), self.span(start, cursor.position), quoted=True)
        word = cursor.match(BARE_WORD)
        if word:
            return Literal(word[0], self.span(start, cursor.position))
        raise cursor.expected("a value", "Put values that hold blanks or any of ( ) , = between quotes.")

    def modified(self) -> tuple[str, ListLiteral] | None:
        """Modifier and its list. Without a list the word is a value, and nothing is read."""
        cursor = self.cursor
        start = cursor.position
        word = cursor.match(MODIFIER)
        if word is None:
            return None
        cursor.skip_blank()
        items = self.list_literal() or self.list_name()
        # `and` and `or` are no list names here: they join the check, whose value the word is, to the next one.
        if items is None or (items.bare and items.items[0].value in ("and", "or")):
            cursor.position = start
            return None
        return word[1], items

    def list_literal(self) -> ListLiteral | None:
        """List: values in parentheses."""
        cursor = self.cursor
        start = cursor.position
        if not cursor.take("("):
            return None
        items: list[Literal] = []
        cursor.skip_blank()
        if not cursor.take(")"):
            while True:
                if not (items or cursor.at_quote() or BARE_WORD.match(self.value, cursor.position)):
                    raise self._list_not_closed(start)
                items.append(self._value())
                cursor.skip_blank()
                if cursor.take(")"):
                    break
                if not cursor.take(","):
                    raise self._list_not_closed(start)
                cursor.skip_blank()
        return ListLiteral(tuple(items), self.span(start, cursor.position))

    def list_name(self) -> ListLiteral | None:
        """ListName: a list of the one word, which may name a list."""
        cursor = self.cursor
        start = cursor.position
        name = cursor.match(IDENTIFIER)
        if name is None:
            return None
        span = self.span(start, cursor.position)
        return ListLiteral((Literal(name[0], span),), span, bare=True)

    # Problems

    def unknown_transformer(self, start: int, end: int) -> ConditionError:
        """A name with a parenthesis right behind it that is no transformer, or none that may stand here."""
        cursor = self.cursor
        word = self.value[start:end]
        if word == VAL:
            return cursor.error(
                f"`{VAL}` may not stand here", start, end, "It marks a field on the right of an operator."
            )
        listing = f"Transformers are {', '.join(TRANSFORMERS)}."
        return cursor.error(
            f"unknown transformer {cursor.shown(start, end)}", start, end, nearest(word, TRANSFORMERS) + listing
        )

    def _no_argument(self, call: _OpenCall) -> ConditionError:
        start = self.cursor.position
        word = IDENTIFIER.match(self.value, start)
        if word and self.value.startswith("(", word.end()):
            return self.unknown_transformer(start, word.end())
        return self.cursor.expected(
            f"an argument for `{call.name}`",
            "Write a field, another transformer, a number or a quoted string"
            + (", or a list of them in parentheses." if call.items is None else "."),
        )

    def _call_not_closed(self, name: str, opened: int) -> ConditionError:
        cursor = self.cursor
        if cursor.position >= len(self.value):
            return cursor.error(f"`{name}(` is never closed", opened, opened + 1, "Add the closing `)`.")
        return cursor.expected(f"`,` or `)` in `{name}(...)`", "Close the call with `)`.")

    def _list_not_closed(self, opened: int) -> ConditionError:
        cursor = self.cursor
        if cursor.position >= len(self.value):
            return cursor.error("the list is never closed", opened, opened + 1, "Add the closing `)`.")
        return cursor.expected(
            "`,` or `)` in the list", "Put a comma between values; quote values that hold blanks or any of ( ) , =."
        )


_LONGEST_TYPO = 20


def nearest(word: str, known: Iterable[str]) -> str:
    """`Did you mean ...? ` with the known name that is most like the word, or nothing."""
    near = difflib.get_close_matches(word.lower(), list(known), 1) if len(word) <= _LONGEST_TYPO else []
    return f"Did you mean `{near[0]}`? " if near else ""
