"""How diagnostics look: as text, and as JSON in Falco's shape."""

from __future__ import annotations

import pytest

from lanner.diagnostics.codes import Code
from lanner.diagnostics.diagnostic import Context, Diagnostic
from lanner.diagnostics.render import MAX_COLUMNS, falco_json, render_summary, render_text
from lanner.diagnostics.source import SourceFile, Span


def at(text: str, word: str, name: str = "rules.yaml") -> Span:
    """The span of the first occurrence of a word."""
    start = text.index(word)
    return SourceFile(name, text).span(start, start + len(word))


def unknown(span: Span | None, help: str = "", context: tuple[Context, ...] = ()) -> Diagnostic:
    return Diagnostic(Code.ERR_VALIDATE, "there is no macro `modify`", span, help, context)


def test_a_whole_block() -> None:
    """Code, message, place, line, carets, context and help."""
    text = "- rule: Pod changed\n  condition: kevt and modify\n"
    span = at(text, "modify")
    context = (Context("rule", "Pod changed"), Context("rule condition", ""))
    assert render_text([unknown(span, "did you mean `kmodify`?", context)]) == (
        "error[LOAD_ERR_VALIDATE]: there is no macro `modify`\n"
        " --> rules.yaml:2:23\n"
        "  |\n"
        "2 |   condition: kevt and modify\n"
        "  |                       ^^^^^^\n"
        '  = in rule "Pod changed", rule condition\n'
        "  = help: did you mean `kmodify`?\n"
    )


def test_without_place_and_help_there_is_one_line() -> None:
    """Nothing is invented."""
    assert render_text([unknown(None)]) == "error[LOAD_ERR_VALIDATE]: there is no macro `modify`\n"


def test_blocks_are_apart_and_nothing_is_nothing() -> None:
    """A blank line stands between two."""
    assert render_text([]) == ""
    assert render_text([unknown(None), unknown(None)]).split("\n\n") == [
        "error[LOAD_ERR_VALIDATE]: there is no macro `modify`",
        "error[LOAD_ERR_VALIDATE]: there is no macro `modify`\n",
    ]


LINES: dict[str, tuple[str, str]] = {
    "tabs": ("\t\tmodify\tx\n", "modify"),
    "wide characters": ("漢字 modify\n", "modify"),
    "wide characters underlined": ("a 漢字 b\n", "漢字"),
    "combining characters": ("e\u0301e\u0301 modify\n", "modify"),
    "carriage return": ("a modify\r\nb\r\n", "modify"),
    "several lines": ("a: b\n  modify\n  x\n", "modify\n  x"),
}


@pytest.mark.parametrize("name", LINES)
def test_carets_stand_below_what_they_mean(name: str) -> None:
    """Tabs are blanks, wide characters take two columns, combining ones none."""
    text, word = LINES[name]
    *_, shown, carets = render_text([unknown(at(text, word))]).splitlines()
    columns = {"tabs": (8, 6), "wide characters": (5, 6), "wide characters underlined": (2, 4)}
    columns |= {"combining characters": (3, 6), "carriage return": (2, 6), "several lines": (2, 6)}
    start, width = columns[name]
    assert carets.split("|", 1)[1] == " " + " " * start + "^" * width
    assert "\t" not in shown
    assert "\r" not in shown


@pytest.mark.parametrize("place", [0, 50, 5000, 9990])
def test_long_lines_are_cropped_around_the_place(place: int) -> None:
    """The line shown is short, and the carets are still below the word."""
    text = "x" * place + "modify" + "y" * (10_000 - place)
    lines = render_text([unknown(at(text, "modify"))]).splitlines()
    shown, carets = (line.split("| ", 1)[1] for line in lines[-2:])
    assert len(shown) <= MAX_COLUMNS
    start = carets.index("^")
    assert shown[start : start + 6] == "modify"
    assert carets[start:] == "^^^^^^"


def test_a_very_long_word_is_underlined_as_far_as_it_is_shown() -> None:
    """The carets end with the line."""
    lines = render_text([unknown(at("a " + "m" * 1000, "m" * 1000))]).splitlines()
    assert len(lines[-1]) <= len(lines[-2]) <= MAX_COLUMNS + 10


def test_a_place_at_the_end_of_the_file_is_shown() -> None:
    """There is one caret behind the last character."""
    source = SourceFile("f", "a: [b")
    assert render_text([unknown(source.span(5, 6))]).endswith("1 | a: [b\n  |      ^\n")


def test_control_characters_never_reach_the_terminal() -> None:
    """Whatever a file, its name or a rule is called."""
    span = at("a \x1b[31m\u202emodify\n", "modify", "f\x1b.yaml")
    diagnostic = Diagnostic(Code.ERR_VALIDATE, "no `\x1b[2J`", span, "\x07", (Context("rule", "\x9b"),))
    text = render_text([diagnostic])
    assert text.isascii()
    assert all(char.isprintable() or char == "\n" for char in text)
    assert "\\u001b[31m\\u202emodify" in text


def test_colors_change_nothing_but_colors() -> None:
    """Without the escapes both texts are the same."""
    diagnostic = unknown(at("a modify\n", "modify"), "help", (Context("rule", "r"),))
    colored = render_text([diagnostic], color=True)
    assert "\x1b[1;31merror" in colored
    plain = colored
    for escape in ("\x1b[1;31m", "\x1b[1;34m", "\x1b[1m", "\x1b[0m"):
        plain = plain.replace(escape, "")
    assert plain == render_text([diagnostic])


def test_the_summary_counts() -> None:
    """Files, errors and warnings, with their plurals."""
    warning = Diagnostic(Code.UNUSED_LIST, "list `l` is not used")
    assert render_summary([("a", [unknown(None), warning, warning])]) == "1 file: 1 error, 2 warnings"
    assert render_summary([("a", []), ("b", [])]) == "2 files: 0 errors, 0 warnings"


def test_json_has_the_shape_of_falco() -> None:
    """Lines, columns and offsets count from 0; every item around the place is told, the file first."""
    text = "- rule: r\n  condition: modify\n"
    context = (Context("rule", "r", at(text, "r\n")), Context("rule condition", "", None))
    warning = Diagnostic(Code.UNUSED_LIST, "list `l` is not used")
    assert falco_json([("a.yaml", [unknown(at(text, "modify"), "x", context), warning]), ("b.yaml", [])]) == {
        "falco_load_results": [
            {
                "name": "a.yaml",
                "successful": False,
                "schema_valid": True,
                "schema_warnings": [],
                "errors": [
                    {
                        "code": "LOAD_ERR_VALIDATE",
                        "codedesc": Code.ERR_VALIDATE.title,
                        "message": "there is no macro `modify`",
                        "context": {
                            "locations": [
                                location("rules content", "", "a.yaml", 0, 0, 0),
                                location("rule", "r", "rules.yaml", 0, 8, 8),
                                location("rule condition", "", "a.yaml", 0, 0, 0),
                                location("condition expression", "", "rules.yaml", 1, 13, 23),
                            ],
                            "snippet": "  condition: modify\n             ^^^^^^\n",
                        },
                    }
                ],
                "warnings": [
                    {
                        "code": "LOAD_UNUSED_LIST",
                        "codedesc": "unused list",
                        "message": "list `l` is not used",
                        "context": {
                            "locations": [location("rules content", "", "a.yaml", 0, 0, 0)],
                            "snippet": "(no text)\n",
                        },
                    }
                ],
            },
            {
                "name": "b.yaml",
                "successful": True,
                "schema_valid": True,
                "schema_warnings": [],
                "errors": [],
                "warnings": [],
            },
        ]
    }


def location(kind: str, item: str, name: str, line: int, column: int, offset: int) -> dict[str, object]:
    position = {"name": name, "line": line, "column": column, "offset": offset}
    return {"item_type": kind, "item_name": item, "position": position}
