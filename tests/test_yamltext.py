"""YAML read as text with places: every scalar keeps what was written and knows where it stands."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lanner.diagnostics.codes import Code
from lanner.diagnostics.report import Report
from lanner.diagnostics.source import SourceFile
from lanner.yamltext import (
    MAX_ALIASED,
    MAX_DEPTH,
    MappingNode,
    Node,
    Scalar,
    SequenceNode,
    decode_source,
    documents,
    opening_key,
    read_source,
)


def read(text: str) -> list[Node]:
    """The documents of a text that is YAML."""
    report = Report()
    nodes = documents(SourceFile("f.yaml", text), report)
    assert report.diagnostics == ()
    return nodes


def problem(text: str) -> tuple[str, int, int]:
    """Code, line and column of the one problem of a text that is not YAML."""
    report = Report()
    assert documents(SourceFile("f.yaml", text), report) == []
    [diagnostic] = report.diagnostics
    assert diagnostic.span is not None
    return diagnostic.code.value, diagnostic.span.location.line, diagnostic.span.location.column


def plain(node: Node) -> object:
    """Just the texts of a node, null as None."""
    match node:
        case Scalar():
            return None if node.is_null else node.value
        case SequenceNode():
            return [plain(item) for item in node.items]
        case MappingNode():
            return {key: plain(value) for key, value in node.entries.items()}


def first(text: str) -> Scalar:
    """The value of the key `k` of the only document."""
    [node] = read(text)
    assert isinstance(node, MappingNode)
    value = node.entries["k"]
    assert isinstance(value, Scalar)
    return value


SCALARS: dict[str, tuple[str, str]] = {
    "plain": ("k: a b # c\n", "a b"),
    "plain with a word of YAML": ("k: yes\n", "yes"),
    "plain on two lines": ("k: a b\n   c\n\n   d\n", "a b c\nd"),
    "single-quoted": ("k: 'it''s # \"fine\"'\n", 'it\'s # "fine"'),
    "single-quoted on two lines": ("k: 'a ''b\n\n\n   c'\n", "a 'b\n\nc"),
    "double-quoted": ('k: "a\'b"\n', "a'b"),
    "double-quoted with escapes": (r'k: "a\x41\u00e9\U0001F600\n\\z"' + "\n", "aA\u00e9\U0001f600\n\\z"),
    "double-quoted on two lines": ('k: "a  b  \n\n   c \\\n   d"\n', "a  b\nc d"),
    "literal": ("k: |\n  a\n    b # c\n\n  d\n", "a\n  b # c\n\nd\n"),
    "literal that holds its own sign": ("k: |\n  |\n", "|\n"),
    "literal, stripped": ("k: |- # comment\n  a\n  b\n\n", "a\nb"),
    "literal, kept": ("k: |+\n  a\n\n", "a\n\n"),
    "literal with indentation": ("k: |2\n   a\n  b\n", " a\nb\n"),
    "folded": ("k: >\n  a\n  b\n\n  c\n    d\n  e\n", "a b\nc\n  d\ne\n"),
    "folded, stripped": ("k: >-\n\n  a\n  b\n", "\na b"),
    "with carriage returns": ("k: >\r\n  a\r\n  b\r\n", "a b\n"),
    "with an anchor and a tag": ("k: &x !!str\n  a\n  b\n", "a b"),
    "behind a byte order mark": ("\ufeffk: 'a''b'\n", "a'b"),
    "with the line ends of other standards": ("k: a\u2028b\x85c\n", "a\u2028b\x85c"),
    "behind characters of several bytes": ("\u00e4: \U0001f600\nk: 'a''\u00e9'\n", "a'\u00e9"),
    "empty in quotes": ("k: ''\n", ""),
    "empty block": ("k: |\n", ""),
}


@pytest.mark.parametrize("name", SCALARS)
def test_scalars_know_where_each_character_stands(name: str) -> None:
    """Each character of the value is found at its place, but for blanks and escapes, which are near."""
    text, value = SCALARS[name]
    scalar = first(text)
    assert scalar.value == value
    located = scalar.text()
    escaped = "\\" in text
    places = [located.span(index, index + 1).start for index in range(len(value))]
    assert places == sorted(places)
    for char, place in zip(value, places, strict=True):
        assert text[place] == char or char in " \n" or (escaped and text[place] == "\\")


@pytest.mark.parametrize("text", ["", "# nothing\n", "---\n", "---\n---\n", "~\n", "null\n...\n"])
def test_empty_documents_are_skipped(text: str) -> None:
    """Nothing is no document."""
    assert read(text) == []


def test_documents_behind_an_empty_one_are_read() -> None:
    """An empty document ends nothing, and behind `...` no `---` is needed."""
    assert [plain(node) for node in read("- a\n---\n---\n- b\n...\n- c\n...\n---\n- d\n")] == [
        ["a"],
        ["b"],
        ["c"],
        ["d"],
    ]


def test_null_is_only_what_is_not_quoted() -> None:
    """Four words and nothing are null, unless there is a quote or a tag."""
    [node] = read("[~, null, Null, NULL, '', '~', \"null\", nULL, !!str ~, '']\n")
    assert plain(node) == [None, None, None, None, "", "~", "null", "nULL", "~", ""]
    [node] = read("a:\nb: [x, ]\n? c\n")
    assert plain(node) == {"a": None, "b": ["x"], "c": None}


def test_the_first_of_equal_keys_counts_and_merge_keys_are_keys() -> None:
    """Nothing is merged, nothing is overwritten."""
    [node] = read("x: &x {b: 2}\na: 1\n'a': 2\n<<: *x\n")
    assert plain(node) == {"x": {"b": "2"}, "a": "1", "<<": {"b": "2"}}


BAD: dict[str, tuple[str, int, int]] = {
    "k: [a\n": ("LOAD_ERR_YAML_PARSE", 2, 1),
    "k: 'a\n": ("LOAD_ERR_YAML_PARSE", 2, 1),
    "a:\n\tb: c\n": ("LOAD_ERR_YAML_PARSE", 2, 1),
    "a: b\n c: d\n": ("LOAD_ERR_YAML_PARSE", 2, 3),
    "- *nope\n": ("LOAD_ERR_YAML_PARSE", 1, 3),
    "- &a [*a]\n": ("LOAD_ERR_YAML_PARSE", 1, 7),
    "- a\n---\n- *a\n": ("LOAD_ERR_YAML_PARSE", 3, 3),
    'k: "\\q"\n': ("LOAD_ERR_YAML_PARSE", 1, 5),
    "k: @x\n": ("LOAD_ERR_YAML_PARSE", 1, 4),
    "\u00e9\u00e9: a\x00b\n": ("LOAD_ERR_YAML_PARSE", 1, 6),
    "\u00e9\n...\n\u00e9: \x07\n": ("LOAD_ERR_YAML_PARSE", 3, 4),
    "\x00\ud800\n": ("LOAD_ERR_YAML_PARSE", 1, 2),
    "k: \ud800\n": ("LOAD_ERR_YAML_PARSE", 1, 4),
    "- *nope\n- @x\n": ("LOAD_ERR_YAML_PARSE", 1, 3),
    "- *nope \x07": ("LOAD_ERR_YAML_PARSE", 1, 3),
    "a\n...\n- *nope\n- @x\n": ("LOAD_ERR_YAML_PARSE", 3, 3),
}


@pytest.mark.parametrize("text", BAD, ids=range(len(BAD)))
def test_what_is_not_yaml_is_one_error_with_a_place(text: str) -> None:
    """Line and column are those of the file."""
    assert problem(text) == BAD[text]


NESTS: dict[str, tuple[str, int, int]] = {
    # (opens one level, line and column of level MAX_DEPTH + 1)
    "flow sequences": ("[", 1, MAX_DEPTH + 1),
    "flow sequences, a blank between": ("[ ", 1, 2 * MAX_DEPTH + 1),
    "flow sequences, a line each": ("[\n", MAX_DEPTH + 1, 1),
    "flow mappings": ("{", 1, MAX_DEPTH + 1),
    "flow mappings with keys": ("{a: ", 1, 4 * MAX_DEPTH + 1),
    "flow mappings with explicit keys": ("{? ", 1, 3 * MAX_DEPTH + 1),
    "flow, both kinds": ("[{a: ", 1, 5 * MAX_DEPTH // 2 + 1),
    "single pairs in flow": ("[a: ", 1, 2 * MAX_DEPTH + 1),
    "block sequences on one line": ("- ", 1, 2 * MAX_DEPTH + 1),
    "explicit keys on one line": ("? ", 1, 2 * MAX_DEPTH + 1),
    "both on one line": ("- ? ", 1, 2 * MAX_DEPTH + 1),
    "anchors and tags": ("&a !t [", 1, 7 * MAX_DEPTH + 1),
}


@pytest.mark.parametrize("before", ["", "- a\n---\n", "a\n...\n"])
@pytest.mark.parametrize("nest", NESTS)
def test_deep_nesting_is_one_error_with_every_libyaml(nest: str, before: str) -> None:
    """The first level too many is the place, whatever libyaml says of the text after it: since 0.2.6 it has a limit
    of its own, and it reads ahead."""
    opening, line, column = NESTS[nest]
    for levels in (MAX_DEPTH + 1, 999, 1_000, 1_001, 30_000):
        for end in ("", "@", "\x07", "\ud800"):
            report = Report()
            assert documents(SourceFile("f.yaml", before + opening * levels + end), report) == []
            [diagnostic] = report.diagnostics
            assert diagnostic.span is not None
            place = diagnostic.span.location.line - before.count("\n"), diagnostic.span.location.column
            assert (diagnostic.code, diagnostic.message, place) == (
                Code.ERR_YAML_PARSE,
                f"nested deeper than {MAX_DEPTH} levels",
                (line, column),
            ), (levels, end)


def test_block_nesting_over_many_lines_is_bounded() -> None:
    """Indentation nests as brackets do."""
    for item in ("a:", "-", "?"):
        lines = [" " * level + item for level in range(1_200)]
        assert problem("\n".join(lines)) == ("LOAD_ERR_YAML_PARSE", MAX_DEPTH + 1, MAX_DEPTH + 1)


@pytest.mark.parametrize(("opening", "closing"), [("[", "]"), ("{a: ", "}"), ("- ", ""), ("? ", "")])
def test_nesting_within_the_limit_is_read(opening: str, closing: str) -> None:
    """Exactly MAX_DEPTH levels are allowed; aliases do not add to them."""
    [node] = read(opening * MAX_DEPTH + closing * MAX_DEPTH)
    assert isinstance(node, SequenceNode | MappingNode)
    [node] = read("- &a " + "[" * (MAX_DEPTH - 1) + "]" * (MAX_DEPTH - 1) + "\n- [*a]\n")
    assert isinstance(node, SequenceNode)


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("a: b", "a"),
        ("# c\n--- {'a b': c}", "a b"),
        ("a: [\n@", "a"),
        ("a:\n\tb", "a"),
        ("{}", ""),
        ("[a]: b", ""),
        ("{a: " + "[" * 1_001, "a"),
        ("{" * 1_001, ""),
        ("- a: b", None),
        ("a", None),
        ("", None),
        ("---\n---\na: b", None),
        ("[" * 1_001, None),
        ("@", None),
        ("a\ud800: b", None),
    ],
)
def test_the_opening_key_needs_only_the_beginning(text: str, key: str | None) -> None:
    """What comes after the first key may be anything, deep or broken."""
    assert opening_key(SourceFile("f", text)) == key


def test_the_line_of_an_error_counts_from_the_top_of_the_file() -> None:
    """Also where the text was parsed from `...` on."""
    report = Report()
    assert documents(SourceFile("f", "a\n...\nb: 'c\n\n"), report) == []
    assert "(begun on line 3)" in report.diagnostics[0].message


def test_aliases_are_shared_and_bounded() -> None:
    """An alias is the node itself; a file that would grow beyond all measure is refused."""
    [node] = read("[&a [x], *a]\n")
    assert isinstance(node, SequenceNode)
    assert node.items[0] is node.items[1]
    lines = ["- &l0 [" + ", ".join("x" * 9) + "]"]
    lines += [f"- &l{i} [{', '.join([f'*l{i - 1}'] * 9)}]" for i in range(1, 9)]
    report = Report()
    assert documents(SourceFile("f", "\n".join(lines)), report) == []
    assert f"{MAX_ALIASED:,}" in report.diagnostics[0].message


def test_bytes_that_are_not_utf8_are_pointed_at() -> None:
    """The column counts characters, not bytes."""
    report = Report()
    assert decode_source("f", "é: é\n".encode() + b"a\xff", report) is None
    [diagnostic] = report.diagnostics
    assert diagnostic.code.value == "LOAD_ERR_FILE_READ"
    assert diagnostic.span is not None
    assert diagnostic.span.location[1:3] == (2, 2)


def test_files_that_cannot_be_read_are_an_error(tmp_path: Path) -> None:
    """A folder or nothing at all is no file; a byte order mark is no text."""
    report = Report()
    assert read_source(tmp_path, report) is None
    assert read_source(tmp_path / "none", report) is None
    assert [diagnostic.code.value for diagnostic in report.diagnostics] == ["LOAD_ERR_FILE_READ"] * 2
    file = tmp_path / "f"
    file.write_bytes(b"\xef\xbb\xbfa")
    source = read_source(file, report)
    assert source is not None
    assert source.text == "a"


YAMLISH = st.text(st.sampled_from("ab-:?[]{},#&*!|>'\"%@`~<=. \n\t\r\\é\u2028\ufeff\U0001f600\x00\ud800"), max_size=60)


@pytest.mark.property
@given(YAMLISH)
def test_any_text_gives_nodes_or_one_error(text: str) -> None:
    """Never a traceback, and all places lie within the file."""
    report = Report()
    work = documents(SourceFile("f", text), report)
    assert len(report.diagnostics) <= 1
    assert not (work and report.diagnostics)
    for diagnostic in report.diagnostics:
        assert diagnostic.span is not None
        assert 0 <= diagnostic.span.start <= len(text)
    while work:
        node = work.pop()
        assert 0 <= node.span.start <= node.span.end <= len(text)
        match node:
            case Scalar():
                located = node.text()
                for index in range(len(node.value)):
                    assert 0 <= located.span(index, index + 1).start < max(1, len(text))
            case SequenceNode():
                work.extend(node.items)
            case MappingNode():
                work.extend(part for pair in node.pairs for part in pair)


WORDS = st.text(st.sampled_from("abcé#:=(),"), min_size=1, max_size=6).filter(lambda word: not word.endswith(":"))
LINES = st.lists(st.tuples(st.sampled_from(["", "", "  ", "\t"]), st.lists(WORDS, max_size=4)), min_size=1, max_size=5)


@pytest.mark.property
@given(LINES, st.sampled_from(["|", ">", "|-", ">-", "|+", ">+"]), st.sampled_from(["\n", "\r\n"]))
def test_every_word_of_a_block_is_found_in_the_file(
    lines: list[tuple[str, list[str]]], header: str, line_end: str
) -> None:
    """Whatever is folded, indented and chomped, each character that is no blank maps to itself."""
    body = "".join(
        f"  {indent if number else ''}{' '.join(words)}{line_end}" for number, (indent, words) in enumerate(lines)
    )
    text = f"x: y{line_end}k: {header}{line_end}{body}z: w{line_end}"
    report = Report()
    nodes = documents(SourceFile("f", text), report)
    if report.diagnostics:
        return
    [node] = nodes
    assert isinstance(node, MappingNode)
    scalar = node.entries["k"]
    assert isinstance(scalar, Scalar)
    located = scalar.text()
    for index, char in enumerate(scalar.value):
        if char not in " \n\t\r":
            assert text[located.span(index, index + 1).start] == char
