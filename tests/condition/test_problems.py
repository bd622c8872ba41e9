"""Invalid conditions: the place each problem points at, what it says, and the way out it names."""

from __future__ import annotations

import pytest

from lanner.condition.parser import ConditionError, parse
from lanner.diagnostics.source import Text

# Each condition has the place of its problem between ⟦ and ⟧.
PROBLEMS: dict[str, tuple[str, str]] = {
    # nothing there
    "⟦⟧": ("the condition is empty", "Write a check"),
    "⟦⟧ \n ": ("the condition is empty", "Write a check"),
    "one and⟦⟧": ("expected a check behind `and`, found the end", "Write a check"),
    "one or⟦⟧ \n": ("expected a check, found the end", "Write a check"),
    "not⟦⟧ ": ("expected a check, found the end", "Write a check"),
    "(⟦)⟧": ("expected a check, found `)`", "Write a check"),
    # joining
    "one ⟦two⟧": ("unexpected `two`", "`and` or `or`"),
    "(one) ⟦(⟧two)": ("unexpected `(`", "`and` or `or`"),
    "one ⟦andtwo⟧": ("unexpected `andtwo`", "`and` or `or`"),
    "(one ⟦and⟧)": ("expected a blank or `(` behind `and`", "Put a blank behind `and`"),
    "one ⟦and⟧'x'": ("expected a blank or `(` behind `and`", "Put a blank behind `and`"),
    "one or(two)⟦and⟧ three": ("unexpected `and`", "Put a blank between `or` and the parenthesis"),
    "one ⟦&&⟧ two": ("unexpected `&&`", "Write `and`"),
    "one ⟦||⟧ two": ("unexpected `||`", "Write `or`"),
    "one ⟦AND⟧ two": ("unexpected `AND`", "Write `and`"),
    "⟦NOT⟧ one": ("`NOT` is a macro name", "Write `not`"),
    "⟦!⟧one": ("unexpected `!`", "Write `not`"),
    "one ⟦\f⟧and two": ("unexpected `\\x0c`", "`and` or `or`"),
    # parentheses
    "⟦(⟧one and (two)": ("never closed", "Add the closing `)`"),
    "one⟦)⟧": ("unexpected `)`", "remove it"),
    "a.b = x⟦)⟧": ("unexpected `)`", "remove it"),
    # names
    "⟦verb⟧ = create": ("`verb` is not a field, so `=` cannot follow it", "Field names hold a dot"),
    "⟦verb⟧ in (create)": ("`verb` is not a field", "Field names hold a dot"),
    "one and ⟦my-macro⟧": ("`my-macro` is neither a macro nor a field name", "letters, digits and underscores"),
    "⟦a.1⟧ = x": ("`a.1` is neither", "joined by dots"),
    "⟦1⟧ = 1": ("expected a check, found `1`", "Write a check"),
    "⟦'a.b'⟧ = x": ("expected a check, found `'a.b'`", "Write a check"),
    "⟦.a⟧ = x": ("expected a check, found `.a`", "Write a check"),
    # arguments of fields
    "a.b[⟦]⟧ = x": ("expected an argument in the brackets, found `]`", "an index or a key"),
    "a.b[x⟦[⟧0]] = x": ("expected `]`, found `[`", "quote arguments"),
    "a.b[x⟦ ⟧y] = x": ("expected `]`", "quote arguments"),
    "a.b⟦[⟧x": ("the bracket `[` is never closed", "Add the closing `]`"),
    "a.b ⟦[⟧0] = x": ("a blank stands between `a.b` and its bracket", "right behind the name"),
    # operators
    "a.b⟦⟧": ("expected an operator behind `a.b`", "Operators are exists"),
    "(a.b[0]⟦⟧ )": ("expected an operator behind `a.b[0]`", "Operators are exists"),
    "a.b ⟦like⟧ x": ("expected an operator, found `like`", "Operators are exists"),
    "a.b ⟦exist⟧": ("expected an operator, found `exist`", "Did you mean `exists`?"),
    "a.b ⟦startwith⟧ x": ("expected an operator, found `startwith`", "Did you mean `startswith`?"),
    "a.b ⟦CONTAINS⟧ x": ("expected an operator, found `CONTAINS`", "Did you mean `contains`?"),
    "a.b ⟦!⟧ x": ("expected an operator, found `!`", "Operators are"),
    "a.b ⟦not⟧ in (x)": ("expected an operator, found `not`", "Put `not` before `a.b`"),
    "a.b ⟦contains⟧'x'": ("`contains` needs a blank behind it", "Put a blank behind `contains`"),
    "a.b ⟦startswith⟧": ("`startswith` needs a blank behind it", "Put a blank"),
    "a.b ⟦globin⟧ (x)": ("expected an operator, found `globin`", "Did you mean `glob`?"),
    "a.b exists ⟦one⟧": ("unexpected `one`", "`and` or `or`"),
    # values
    "a.b =⟦⟧ ": ("expected a value, found the end", "between quotes"),
    "a.b == ⟦=⟧ x": ("expected a value, found `=`", "between quotes"),
    "a.b = ⟦,⟧": ("expected a value, found `,`", "between quotes"),
    "a.b = ⟦(⟧x, y)": ("`=` takes one value, not a list", "= anyof (...)"),
    "a.b = x ⟦y⟧": ("unexpected `y`", "between quotes"),
    "a.b = x⟦,⟧y": ("unexpected `,`", "between quotes"),
    "a.b = x⟦(⟧y)": ("unexpected `(`", "between quotes"),
    "a.b = 'x' ⟦'y'⟧": ("unexpected `'y'`", "`and` or `or`"),
    "a.b = ⟦'⟧x and one": ("the quote `'` is never closed", "Add a closing '"),
    'a.b = ⟦"⟧x\\"': ('the quote `"` is never closed', 'write \\" for the quote itself'),
    "a.b = 'x ⟦\\d⟧+'": ("unknown escape `\\d`", "Write \\\\d"),
    "a.b = '⟦\\\"⟧'": ("`\\\"` may not stand between ' quotes", 'Write " without a backslash'),
    "a.b = 'é⟦\\x4⟧g'": ("`\\x4` is not a complete escape", "two hex digits"),
    "a.b = '\\x41⟦\\x00⟧'": ("a value cannot hold a NUL character", "Remove the escape"),
    "a.b = 'x⟦\0⟧'": ("a value cannot hold a NUL character", "Remove the character"),
    # numbers
    "a.b > ⟦ten⟧": ("expected a number behind `>`, found `ten`", "such as 10"),
    "a.b > ⟦'10'⟧": ("`>` compares numbers, not quoted text", "Write 10 without quotes"),
    "a.b > ⟦'x'⟧": ("`>` compares numbers, not quoted text", "Write a number without quotes"),
    "a.b > 0⟦xG⟧": ("unexpected `xG`", "`and` or `or`"),
    "a.b > 1⟦e5⟧": ("unexpected `e5`", "`and` or `or`"),
    "a.b > ⟦.5⟧": ("expected a number", "such as 10"),
    "a.b >= ⟦oneof⟧ (1)": ("expected a number behind `>=`", "such as 10"),
    # lists
    "a.b in⟦⟧": ("expected a list behind `in`, found the end", "in (a, b)"),
    "a.b in ⟦'x'⟧": ("expected a list behind `in`, found `'x'`", "in (a, b)"),
    "a.b pmatch ⟦/x⟧": ("expected a list behind `pmatch`, found `/x`", "pmatch (a, b)"),
    "a.b in ⟦(⟧x, y": ("the list is never closed", "Add the closing `)`"),
    "a.b in (x,⟦⟧": ("expected a value, found the end", "between quotes"),
    "a.b in (x, ⟦)⟧": ("expected a value, found `)`", "between quotes"),
    "a.b in (⟦,⟧ x)": ("expected `,` or `)` in the list, found `,`", "a comma between values"),
    "a.b in (x ⟦y⟧)": ("expected `,` or `)` in the list, found `y`", "a comma between values"),
    "a.b in (⟦(⟧x))": ("expected `,` or `)` in the list, found `(`", "a comma between values"),
    "a.b in (tolower⟦(⟧c.d))": ("expected `,` or `)` in the list, found `(`", "a comma between values"),
    "a.b in ('⟦\\d⟧')": ("unknown escape `\\d`", "Write \\\\d"),
    "a.b in names⟦.x⟧": ("unexpected `.x`", "`and` or `or`"),
    "a.b in anyof ⟦(⟧x)": ("unexpected `(`", "`in` takes its list without a modifier"),
    "a.b in () ⟦(⟧x)": ("unexpected `(`", "`and` or `or`"),
    # calls
    "⟦tolower⟧ (a.b) = x": ("a blank stands between `tolower` and its parenthesis", "Write tolower(...)"),
    "⟦trim⟧(a.b) = x": ("unknown transformer `trim`", "Transformers are tolower"),
    "⟦lower⟧(a.b) = x": ("unknown transformer `lower`", "Did you mean `tolower`?"),
    "⟦val⟧(a.b) = x": ("`val` may not stand here", "on the right of an operator"),
    "a.b = tolower(⟦val⟧(c.d))": ("`val` may not stand here", "on the right of an operator"),
    "tolower(⟦upper⟧(a.b)) = x": ("unknown transformer `upper`", "Did you mean `toupper`?"),
    "tolower(⟦)⟧ = x": ("expected an argument for `tolower`, found `)`", "or a list of them"),
    "tolower(⟦verb⟧) = x": ("expected an argument for `tolower`, found `verb`", "Write a field"),
    "concat(a.b, ⟦)⟧ = x": ("expected an argument for `concat`", "Write a field"),
    "join('-', (a.b ⟦c.d⟧)) = x": ("expected `,` or `)` in `join(...)`, found `c.d`", "Close the call"),
    "join('-', (⟦(⟧a.b))) = x": ("expected an argument for `join`, found `(`", "a quoted string."),
    "tolower(a.b ⟦[⟧0]) = x": ("expected `,` or `)` in `tolower(...)`, found `[`", "Close the call"),
    "tolower⟦(⟧a.b": ("`tolower(` is never closed", "Add the closing `)`"),
    "a.b = val(⟦'c.d'⟧)": ("expected a field in `val()`, found `'c.d'`", "without quotes"),
    "a.b = val(c.d⟦,⟧ e.f)": ("expected `,` or `)` in `val(...)`", "Close the call"),
    "a.b = val⟦(⟧c.d": ("`val(` is never closed", "Add the closing `)`"),
}


@pytest.mark.parametrize("marked", PROBLEMS)
def test_a_problem_points_at_its_place(marked: str) -> None:
    """The span is exactly the offending text, the message says what is wrong, the help what to do."""
    text = marked.replace("⟦", "").replace("⟧", "")
    message, way_out = PROBLEMS[marked]
    with pytest.raises(ConditionError) as caught:
        parse(Text.plain(text))
    error = caught.value
    assert (
        text[: error.span.start] + "⟦" + text[error.span.start : error.span.end] + "⟧" + text[error.span.end :]
        == marked
    )
    assert message in error.message
    assert way_out in error.help


def test_long_words_are_shortened_in_messages() -> None:
    """A message quotes at most a piece of the text; the span covers all of the word."""
    with pytest.raises(ConditionError) as caught:
        parse(Text.plain("a.b " + "x" * 10_000))
    assert len(caught.value.message) < 100
    assert caught.value.span.end == 10_004
