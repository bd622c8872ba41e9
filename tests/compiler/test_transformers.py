"""What transformers make of values."""

from __future__ import annotations

from typing import Any

import pytest

from lanner.compiler.transformers import FUNCTIONS, TransformerError, getopt_option, result_type
from lanner.event import MISSING
from lanner.fields.catalog import ValueType

TEXT = (ValueType.STRING, False)
TEXTS = (ValueType.STRING, True)
NUMBER = (ValueType.NUMBER, False)


@pytest.mark.parametrize(
    ("name", "arguments", "result"),
    [
        ("tolower", ["AbÉ"], "abÉ"),
        ("toupper", [["a", "b"]], ["A", "B"]),
        ("basename", ["/usr/bin/sh"], "sh"),
        ("basename", ["/usr/bin/"], ""),
        ("basename", ["plain"], "plain"),
        ("b64", ["dG9wIHNlY3JldA=="], "top secret"),
        ("b64", ["dG9wIHNlY3JldA"], "top secret"),
        ("b64", [""], ""),
        ("b64", ["="], MISSING),
        ("b64", ["=="], MISSING),
        ("b64", ["YQ=="], "a"),
        ("b64", ["YQ==="], MISSING),
        ("b64", ["create"], MISSING),
        ("b64", ["a"], MISSING),
        ("b64", ["a b="], MISSING),
        ("b64", ["YQBi"], "a"),
        ("b64", [["YQ", "!"]], MISSING),
        ("len", ["naïve"], 6),
        ("len", [["a", "b"]], 2),
        ("len", [[]], 0),
        ("join", [", ", ["a", "b"]], "a, b"),
        ("concat", ["a", "/", "b"], "a/b"),
        ("getopt", [["-n", "-t", "5", "rest", "-x"], "nt:"], ["n", "t", "5"]),
        ("getopt", [["-nt5"], "nt:"], ["n", "t", "5"]),
        ("getopt", [["-q", "--long", "-n"], "n"], ["?", "n"]),
        ("getopt", [["-t"], "t:"], [""]),
        ("getopt", [["--", "-n"], "n"], []),
        ("getopt", [["-"], "n"], []),
    ],
)
def test_functions(name: str, arguments: list[Any], result: object) -> None:
    """Each transformer on present values."""
    assert FUNCTIONS[name](*arguments) == result


@pytest.mark.parametrize(
    ("words", "option", "result"),
    [
        (["-t", "1", "-t2"], "t", "2"),
        (["-n"], "n", "n"),
        (["-t"], "t", ""),
        (["-n"], "t", MISSING),
    ],
)
def test_getopt_with_an_option(words: list[str], option: str, result: object) -> None:
    """The last value of the option; its own character if it takes none."""
    assert getopt_option(words, "nt:", option) == result


@pytest.mark.parametrize(
    ("name", "arguments", "option", "result"),
    [
        ("tolower", [TEXTS], None, TEXTS),
        ("len", [TEXTS], None, NUMBER),
        ("len", [TEXT], None, NUMBER),
        ("join", [TEXT, TEXTS], None, TEXT),
        ("concat", [TEXT, TEXT], None, TEXT),
        ("getopt", [TEXTS, TEXT], None, TEXTS),
        ("getopt", [TEXTS, TEXT], "a", TEXT),
    ],
)
def test_types(
    name: str, arguments: list[tuple[ValueType, bool]], option: str | None, result: tuple[ValueType, bool]
) -> None:
    """The type of a result follows from those of the arguments."""
    assert result_type(name, arguments, option) == result


@pytest.mark.parametrize(
    ("name", "arguments", "option"),
    [
        ("len", [NUMBER], None),
        ("tolower", [NUMBER], None),
        ("join", [TEXT, TEXT], None),
        ("join", [TEXTS, TEXTS], None),
        ("join", [TEXT], None),
        ("concat", [TEXT], None),
        ("concat", [TEXT, TEXTS], None),
        ("getopt", [TEXT, TEXT], None),
        ("getopt", [TEXTS, TEXT], "ab"),
        ("tolower", [TEXT], "a"),
    ],
)
def test_refused_arguments(name: str, arguments: list[tuple[ValueType, bool]], option: str | None) -> None:
    """Arguments of the wrong number or type are refused by the transformer's name."""
    with pytest.raises(TransformerError, match=name):
        result_type(name, arguments, option)
