"""Condition text -> syntax tree, in one pass and without recursion.

Grammar (a quoted word stands for itself; `_` is one or more blanks, which may otherwise stand between any two tokens;
where blanks may not stand, the parts are joined by `~`):

    Condition  ::= Or
    Or         ::= And ( "or" ( _ And | "(" Or ")" ) )*
    And        ::= Not ( "and" ( _ Not | "(" Or ")" ) )*
    Not        ::= ( "not" ~ _ )* ( "not" ~ "(" Or ")" | Check )
    Check      ::= "(" Or ")" | Operand Comparison | MacroName
    Comparison ::= "exists"
                 | NumberOp ( RightSide | Number )
                 | StringOp ( Modifier ( List | ListName ) | RightSide | Value )
                 | ListOp ( List | RightSide | ListName )
    Operand    ::= Field | Call
    RightSide  ::= Call | "val" ~ "(" Field ")" Selector?
    Field      ::= FieldName Selector?
    Selector   ::= ~ "[" ~ ( Quoted | BareArgument ) ~ "]"
    Call       ::= Transformer ~ "(" Argument ( "," Argument )* ")" Selector?
    Argument   ::= Number | Quoted | Call | Field | "(" ( Item ( "," Item )* )? ")"
    Item       ::= Number | Quoted | Call | Field
    List       ::= "(" ( Value ( "," Value )* )? ")"
    Value      ::= Quoted | BareWord
    NumberOp   ::= "<=" | "<" | ">=" | ">"
    StringOp   ::= "==" | "=" | "!=" | ( "glob" | "iglob" | "contains" | "icontains" | "bcontains" | "startswith"
                 | "bstartswith" | "endswith" | "regex" ) ~ _
    ListOp     ::= "intersects" | "in" | "pmatch"
    Modifier   ::= "oneof" | "anyof" | "allof"
    Transformer::= "tolower" | "toupper" | "b64" | "basename" | "len" | "join" | "concat" | "getopt"
    MacroName, ListName  [a-zA-Z][a-zA-Z0-9_]*
    FieldName            MacroName ( "." MacroName )+
    Number               0x and hex digits; or digits with a sign, a point, and an exponent that has a sign
    BareWord             anything but blanks ( ) " ' = ,
    BareArgument         anything but blanks [ ] " '
    Quoted               between " or '; escapes \\b \\f \\n \\r \\t \\\\ \\/ \\xHH, the quote itself, and
                         backslash-blank, which gives a backslash

What follows from it and surprises:
- No word is reserved: `and`, `in` and the like are macro names where a check may stand.
- `exists` and list operators need no blank behind them: `a.b inx` is `a.b in x`.
- Behind `or(...)` only another `or` may follow: `a or(b)and c` is an error, `a or (b) and c` is not.
- A modifier that no list follows is an ordinary value: `a.b = oneof`.

Limits: parentheses and calls may nest `max_depth` deep; chains and `not not` are not deep.
Behaviour: Falco engine 0.63 (libs `filter/parser.cpp`); departures: a quoted string may end with an escaped backslash;
a bad escape in a list is an error; a word operator without its blank is an error.
"""

from __future__ import annotations

import re

from lanner.condition.ast import And, Call, Compare, Exists, Expr, FieldRef, ListLiteral, MacroRef, Not, Operand, Or
from lanner.condition.lexer import IDENTIFIER, NOTS, OPERATOR, ConditionError
from lanner.condition.operands import OperandReader, nearest
from lanner.condition.operators import MODIFIERS, OPERATORS, TRANSFORMERS, Operands
from lanner.diagnostics.source import Text

__all__ = ["MAX_DEPTH", "ConditionError", "parse", "parse_operand", "parse_operand_at"]

MAX_DEPTH = 1000


def parse(text: Text, max_depth: int = MAX_DEPTH) -> Expr:
    """The syntax tree of a condition. Raises ConditionError for its first problem."""
    return _Parser(text, 0, max_depth).condition()


def parse_operand(text: Text) -> FieldRef | Call:
    """A text that is one field or one transformer call, blanks around it aside. Raises ConditionError."""
    reader = OperandReader(text, 0, MAX_DEPTH)
    reader.cursor.skip_blank()
    operand = reader.operand()
    reader.cursor.skip_blank()
    if reader.cursor.position < len(text.value):
        raise reader.cursor.unexpected("Only one field or one transformer call may stand here.")
    return operand


def parse_operand_at(text: Text, start: int) -> tuple[FieldRef | Call, int]:
    """The field or transformer call that begins exactly at `start`, and the offset behind it.

    Raises ConditionError if neither begins there.
    """
    reader = OperandReader(text, start, MAX_DEPTH)
    return reader.operand(), reader.cursor.position


class _Group:
    """An `Or` being read: the whole condition, or what stands in a pair of parentheses.

    `opened`: the offset of its parenthesis, -1 for the whole condition. `start`: where the operand begins that the
    group becomes (at its `not`s or its parenthesis). `negated`: under an odd number of `not`s. `behind_or`: it is the
    right side of an `or(`. `ands`: the chain being read, `ors`: the chains before it; each with the offset of its
    begin. `end`: where the last operand ends. `after_or_group`: that operand is an `or(...)`, behind which no `and`
    may stand.
    """

    __slots__ = (
        "after_or_group",
        "and_start",
        "ands",
        "behind_or",
        "end",
        "negated",
        "opened",
        "or_start",
        "ors",
        "start",
    )

    def __init__(self, opened: int, start: int, negated: bool, behind_or: bool) -> None:
        self.opened = opened
        self.start = start
        self.negated = negated
        self.behind_or = behind_or
        self.ands: list[Expr] = []
        self.ors: list[Expr] = []
        self.and_start = -1
        self.or_start = -1
        self.end = -1
        self.after_or_group = False


class _Parser(OperandReader):
    # Condition, Or, And, Not: a stack of open groups

    def condition(self) -> Expr:
        """Condition: read operands and what joins them until the text ends."""
        cursor = self.cursor
        stack = [_Group(-1, 0, negated=False, behind_or=False)]
        while True:
            self._not(stack)
            # An operand is complete: close the groups that end behind it, until another operand is due.
            while True:
                cursor.skip_blank()
                group = stack[-1]
                if not group.after_or_group and cursor.take("and"):
                    if self._group_follows("and", group):
                        stack.append(self._open(cursor.position, negated=False))
                    break
                if cursor.take("or"):
                    if self._group_follows("or", group):
                        stack.append(self._open(cursor.position, negated=False, behind_or=True))
                    self._end_and(group)
                    break
                if group.opened < 0:
                    if cursor.position < len(self.value):
                        raise self._unexpected(group)
                    return self._end_or(group)
                if not cursor.take(")"):
                    raise self._not_closed(group)
                node = self._end_or(group)
                if group.negated:
                    node = self._negate(node, group.start)
                stack.pop()
                self.depth -= 1
                self._add(stack[-1], node, group.start, group.behind_or)

    def _not(self, stack: list[_Group]) -> None:
        """Not: open groups until a check is complete, and add that to the innermost."""
        cursor = self.cursor
        while True:
            cursor.skip_blank()
            start = cursor.position
            nots = cursor.match(NOTS)
            negated = bool(nots and nots[0].count("not") % 2)
            if self.value.startswith("not(", cursor.position):
                cursor.position += 3
                negated = not negated
            else:
                cursor.skip_blank()
            if not self.value.startswith("(", cursor.position):
                break
            stack.append(self._open(start, negated))
        node = self._check()
        self._add(stack[-1], self._negate(node, start) if negated else node, start)

    def _group_follows(self, word: str, group: _Group) -> bool:
        """Behind `and` or `or`: True for a parenthesis, False for a blank, behind which an operand follows."""
        cursor = self.cursor
        if cursor.skip_blank():
            return False
        if self.value.startswith("(", cursor.position):
            return True
        if cursor.position >= len(self.value):
            raise cursor.expected(f"a check behind `{word}`", _CHECK_HELP)
        cursor.position -= len(word)
        end = cursor.word_end(cursor.position)
        if end > cursor.position + len(word):
            raise self._unexpected(group)
        raise cursor.error(
            f"expected a blank or `(` behind `{word}`", cursor.position, end, f"Put a blank behind `{word}`."
        )

    def _open(self, start: int, negated: bool, behind_or: bool = False) -> _Group:
        """Enter the parenthesis at the cursor; the operand that the group becomes begins at `start`."""
        opened = self.cursor.position
        self.deeper(opened)
        self.cursor.position += 1
        return _Group(opened, start, negated, behind_or)

    def _negate(self, node: Expr, start: int) -> Expr:
        return node.child if isinstance(node, Not) else Not(node, self.span(start, self.cursor.position))

    def _add(self, group: _Group, node: Expr, start: int, behind_or: bool = False) -> None:
        """Add a complete operand, which ends at the cursor, to the chain that its group reads."""
        if not group.ands:
            group.and_start = start
        group.ands.append(node)
        group.end = self.cursor.position
        group.after_or_group = behind_or

    def _end_and(self, group: _Group) -> None:
        """And: the chain is complete and becomes an operand of the group's `or`."""
        node = group.ands[0]
        if len(group.ands) > 1:
            node = And(tuple(group.ands), self.span(group.and_start, group.end))
        if not group.ors:
            group.or_start = group.and_start
        group.ors.append(node)
        group.ands = []

    def _end_or(self, group: _Group) -> Expr:
        """Or: the group is complete."""
        self._end_and(group)
        return group.ors[0] if len(group.ors) == 1 else Or(tuple(group.ors), self.span(group.or_start, group.end))

    # Check, Comparison

    def _check(self) -> Expr:
        """Check, other than a group."""
        cursor = self.cursor
        start = cursor.position
        left = self.maybe_operand()
        if left is not None:
            return self._comparison(left, start)
        macro = cursor.match(IDENTIFIER)
        if macro:
            return MacroRef(macro[0], self.span(start, cursor.position))
        raise self._no_check()

    def _comparison(self, left: FieldRef | Call, start: int) -> Expr:
        """Comparison: the operator and what stands on its right."""
        cursor = self.cursor
        left_end = cursor.position
        cursor.skip_blank()
        found = cursor.match(OPERATOR)
        if found is None:
            raise self._no_operator(start, left_end)
        operator = "=" if found[0] == "==" else found[0]
        kind = OPERATORS[operator].right
        if kind is Operands.NONE:
            return Exists(left, self.span(start, cursor.position))
        cursor.skip_blank()
        modifier: str | None = None
        right: Operand
        if kind is Operands.NUMBER:
            right = self.right_side() or self.number(operator)
        elif kind is Operands.STRING:
            modifier, right = self.modified() or (None, self.right_side() or self.single(operator))
        else:
            right = self.list_literal() or self.right_side() or self.list_name() or self._no_list(operator)
        operator_span = self.span(found.start(), found.end())
        return Compare(left, operator, right, self.span(start, cursor.position), modifier, operator_span)

    # Problems

    def _no_check(self) -> ConditionError:
        cursor = self.cursor
        if not self.value.strip(" \t\b\r\n"):
            return cursor.error("the condition is empty", 0, 0, _CHECK_HELP)
        if self.value.startswith("!", cursor.position):
            return cursor.error("unexpected `!`", cursor.position, cursor.position + 1, "Write `not`.")
        return cursor.expected("a check", _CHECK_HELP)

    def _no_operator(self, left_start: int, left_end: int) -> ConditionError:
        cursor = self.cursor
        start = cursor.position
        left = cursor.shown(left_start, left_end)
        listing = f"Operators are {', '.join(OPERATORS)}."
        if start >= len(self.value) or self.value[start] in "),":
            return cursor.error(f"expected an operator behind {left}", left_end, left_end, listing)
        end = cursor.word_end(start)
        word = self.value[start:end]
        if word == "[":
            return cursor.error(
                f"a blank stands between {left} and its bracket", start, end, "Put `[` right behind the name."
            )
        if word == "not":
            return cursor.error("expected an operator, found `not`", start, end, f"Put `not` before {left}.")
        if word in OPERATORS:
            return cursor.error(f"`{word}` needs a blank behind it", start, end, f"Put a blank behind `{word}`.")
        return cursor.error(
            f"expected an operator, found {cursor.shown(start, end)}", start, end, nearest(word, OPERATORS) + listing
        )

    def _no_list(self, operator: str) -> Operand:
        raise self.cursor.expected(
            f"a list behind `{operator}`", f"Put the values in parentheses: {operator} (a, b); or name a list."
        )

    def _not_closed(self, group: _Group) -> ConditionError:
        if self.cursor.position < len(self.value):
            return self._unexpected(group)
        return self.cursor.error(
            "the parenthesis `(` is never closed", group.opened, group.opened + 1, "Add the closing `)`."
        )

    def _unexpected(self, group: _Group) -> ConditionError:
        """An operand of the group is complete, and neither `and` nor `or` nor the end of the group follows."""
        cursor = self.cursor
        start = cursor.position
        word = self.value[start : cursor.word_end(start)]
        last = group.ands[-1]
        if isinstance(last, Not):
            last = last.child
        if isinstance(last, MacroRef):
            problem = self._unexpected_behind_macro(last.name, group.end)
            if problem:
                return problem
        if word == ")":
            return cursor.unexpected("It closes nothing: remove it, or add the `(` it belongs to.")
        if word == "and":
            return cursor.unexpected("Put a blank between `or` and the parenthesis before this.")
        if word.lower() in _INSTEAD:
            return cursor.unexpected(f"Write `{_INSTEAD[word.lower()]}`.")
        if isinstance(last, Compare):
            right = last.right
            if word == "(" and isinstance(right, ListLiteral) and right.bare and right.items[0].value in MODIFIERS:
                return cursor.unexpected(f"`{last.operator}` takes its list without a modifier.")
            if OPERATORS[last.operator].right is not Operands.NUMBER:
                return cursor.unexpected(
                    "Join checks with `and` or `or`; put values that hold blanks or any of ( ) , = between quotes."
                )
        return cursor.unexpected("Join checks with `and` or `or`.")

    def _unexpected_behind_macro(self, name: str, end: int) -> ConditionError | None:
        """A word was read as a macro name; None if what follows does not tell that something else was meant."""
        cursor = self.cursor
        start = end - len(name)
        if self.value[start:end] != name:
            # The macro stands in parentheses, so it was meant as one.
            return None
        following = cursor.position
        if self.value.startswith("(", following):
            if following == end:
                return self.unknown_transformer(start, end)
            if name in TRANSFORMERS:
                return cursor.error(
                    f"a blank stands between `{name}` and its parenthesis",
                    start,
                    end,
                    f"Write {name}(...) without the blank.",
                )
            return None
        if name == "NOT":
            return cursor.error("`NOT` is a macro name", start, end, "Write `not`.")
        meant = _NAME_MEANT.match(self.value, start)
        if meant and meant.end() > end:
            return cursor.error(
                f"{cursor.shown(start, meant.end())} is neither a macro nor a field name",
                start,
                meant.end(),
                "Macro names are letters, digits and underscores; field names are such names joined by dots.",
            )
        operator = OPERATOR.match(self.value, following)
        if operator and not (operator[0].isalpha() and IDENTIFIER.match(self.value, operator.end())):
            return cursor.error(
                f"`{name}` is not a field, so `{operator[0]}` cannot follow it",
                start,
                end,
                "Field names hold a dot, as in `ka.verb`; a macro name stands alone.",
            )
        return None


_CHECK_HELP = "Write a check such as `ka.verb = create`, a macro name, or a condition in parentheses."

# Signs and spellings of other languages, and what is meant by them.
_INSTEAD = {"&&": "and", "&": "and", "||": "or", "|": "or", "and": "and", "or": "or"}

# What was probably meant as one name, where other characters stand right behind a macro name.
_NAME_MEANT = re.compile(r"[a-zA-Z0-9_.:/-]+")
