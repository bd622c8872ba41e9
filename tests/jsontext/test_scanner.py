"""The tolerant scanner: what it takes, what it refuses and where, at any depth and size."""

from __future__ import annotations

import pytest

from lanner.jsontext.scanner import (
    ScanError,
    scan_elements,
    scan_members,
    skip_blanks,
    skip_flat_elements,
    skip_value,
    validate,
)

ACCEPTED = [
    b"null",
    b" \t\r\n[ ] ",
    b"-0",
    b"1E+5",
    b"9" * 5000,
    b"1e999999999999999999",
    b'"\\u00AF\\/\\b"',
    b'"\x7f"',
    b'{"a" : [ { } , [ [ ] , 1 ] , { "b" : { "c" : [ ] } } ] , "d" : "]}" }',
    b'{"[{":[{"}]":[{}]}]}',
    b'{"requests":["a"],"b":{"c":["d",{"e":1}]}}',
    b'{"x\\"":["a"]}',
    # where msgspec refuses and the API server does not
    b'"\\ud800"',
    b'["\\udc00\\ud800x"]',
    b'{"\\ud800":"\xff"}',
    b'"\xed\xa0\x80"',
    b"[" * 5000 + b"]" * 5000,
]


@pytest.mark.parametrize("text", ACCEPTED, ids=lambda text: repr(text[:30]))
def test_takes_json_and_what_the_api_server_takes(text: bytes) -> None:
    """Strict JSON, lone surrogates, invalid UTF-8 and any depth are read."""
    validate(text)


REFUSED = [
    (b"", "the text ends where a value should stand at byte 0", True),
    (b" ", "the text ends where a value should stand at byte 1", True),
    (b"nul", "the text ends inside a value at byte 3", False),
    (b"nope", "unexpected `n` where a value should stand at byte 0", False),
    (b"\xef\xbb\xbf{}", "unexpected byte 0xef where a value should stand at byte 0", False),
    (b"01", "unexpected `1` behind the end of the value at byte 1", False),
    (b"-", "unexpected `-` where a value should stand at byte 0", False),
    (b"[1.]", "unexpected `.` where `,` or `]` should stand at byte 2", False),
    (b"\x0c1", "unexpected byte 0x0c where a value should stand at byte 0", False),
    (b'"abc', "the text ends inside a string at byte 4", False),
    (b'"a\tb"', "control character 0x09 inside a string at byte 2", False),
    (b'{"a":"\\x"}', "invalid escape inside a string at byte 6", False),
    (b'{"a":"\\u12"}', "invalid escape inside a string at byte 6", False),
    (b"[,1]", "unexpected `,` where a value should stand at byte 1", False),
    (b"[1,2,,]", "unexpected `,` where a value should stand at byte 5", False),
    (b"[1 2]", "unexpected `2` where `,` or `]` should stand at byte 3", False),
    (b"[1,2", "the text ends where `,` or `]` should stand at byte 4", True),
    (b"[[],[1,,2]]", "unexpected `,` where a value should stand at byte 7", False),
    (b"[[1],x]", "unexpected `x` where a value should stand at byte 5", False),
    (b"[1]]", "unexpected `]` behind the end of the value at byte 3", False),
    (b"[1,{}}", "unexpected `}` where `,` or `]` should stand at byte 5", False),
    (b'{"a":[}', "unexpected `}` where a value should stand at byte 6", False),
    (b'[1,{"b":[1,2}]', "unexpected `}` where `,` or `]` should stand at byte 12", False),
    (b"{a:1}", "unexpected `a` where a key in double quotes should stand at byte 1", False),
    (b'{"a" 1}', "unexpected `1` where `:` should stand at byte 5", False),
    (b'{"a":1,}', "unexpected `}` where a key in double quotes should stand at byte 7", False),
    (b'{"a":1,"b"', "the text ends where `:` should stand at byte 10", True),
    (b'{"a":1 x', "unexpected `x` where `,` or `}` should stand at byte 7", False),
    (b'{"a":{},x', "unexpected `x` where a key in double quotes should stand at byte 8", False),
    (b'[{"a":1},{"b" 2}]', "unexpected `2` where `:` should stand at byte 14", False),
    (b'{"a":{"b":1,"c":nope}}', "unexpected `n` where a value should stand at byte 16", False),
    (b'{"a":[1,{"b":"c', "the text ends inside a string at byte 15", False),
]


@pytest.mark.parametrize(("text", "message", "incomplete"), REFUSED, ids=lambda part: repr(part)[:30])
def test_refuses_with_the_exact_place(text: bytes, message: str, incomplete: bool) -> None:
    """What is not JSON is refused where it breaks, and a text that could go on says so."""
    with pytest.raises(ScanError) as caught:
        validate(text)
    assert (str(caught.value), caught.value.incomplete) == (message, incomplete)


@pytest.mark.parametrize(
    ("start", "middle", "end", "fine"),
    [
        (b"[", b"1", b"]", True),
        (b'{"a":', b"1", b"}", True),
        (b'[ {"]}" : ', b"{ }", b" } ]\n", True),
        (b"[", b"", b"", False),
        (b'[{"a":', b"1", b"]}", False),
        (b"[", b"{", b"]", False),
    ],
)
def test_any_depth(start: bytes, middle: bytes, end: bytes, fine: bool) -> None:
    """300,000 levels are scanned without recursion."""
    text = start * 300_000 + middle + end * 300_000
    if fine:
        validate(text)
    else:
        with pytest.raises(ScanError):
            validate(text)


def test_members_and_elements() -> None:
    """The parts of a container come with their positions, without the blanks around them."""
    text = b' {"a" : [1 , "x"] ,"a":{"b":[]}, "\\u0063": null } '
    start = skip_blanks(text)
    found = [(key, text[begin:end]) for key, begin, end in scan_members(text, start)]
    assert found == [(b'"a"', b'[1 , "x"]'), (b'"a"', b'{"b":[]}'), (b'"\\u0063"', b"null")]
    assert skip_value(text, start) == len(text) - 1
    array = b'[ [ 1 ] ,"," , {"x":[{}]} ]'
    assert [array[begin:end] for begin, end in scan_elements(array, 0)] == [b"[ 1 ]", b'","', b'{"x":[{}]}']


def test_parts_before_the_break_are_given() -> None:
    """A broken array gives the elements before the place where it breaks."""
    text = b'[1,{"a":[2]},[3,}]'
    elements = []
    with pytest.raises(ScanError) as caught:  # noqa: PT012 - raised in the middle of the loop
        for begin, end in scan_elements(text, 0):
            elements.append(text[begin:end])
    assert elements == [b"1", b'{"a":[2]}']
    assert caught.value.position == 16


@pytest.mark.parametrize(
    ("text", "count", "rest"),
    [
        (b"1,2 , 3", 2, b"3"),
        (b'",", "\\",\\"" ,null,[],1,', 3, b"[],1,"),
        (b'{},{ } ,{"a":1},', 2, b'{"a":1},'),
        (b"true,-0.5e+3,x", 2, b"x"),
        (b"1]", 0, b"1]"),
        (b"", 0, b""),
        (b"1," * 150_000, 100_000, b"1," * 50_000),
    ],
)
def test_flat_elements_are_counted(text: bytes, count: int, rest: bytes) -> None:
    """Those without parts, that have a comma behind them, up to a limit."""
    found, end = skip_flat_elements(text, 0)
    assert (found, text[end:]) == (count, rest)


@pytest.mark.parametrize("depth", range(9))
@pytest.mark.parametrize(
    ("start", "end"), [(b"[", b"]"), (b'{"":', b"}"), (b'[{" ]":[1 ,', b" ] } ]"), (b'[[],"",', b",{}]")]
)
def test_small_and_large_values_side_by_side(depth: int, start: bytes, end: bytes) -> None:
    """Values are taken whole or refused where they break, whichever pattern takes them."""
    value = start * depth + b"1" + end * depth
    for around in (b"[%b , 2,%b]", b'{"a":%b,"b":[[[[%b]]]]}', b"[[[[[[%b],[%b]]]]]]"):
        validate(around % (value, value))
        for damage, offset, reason in ((b"7,,8", 2, "`,`"), (b"7 8", 2, "`8`"), (b"nope", 0, "`n`")):
            broken = around % (value, start * depth + damage + end * depth)
            with pytest.raises(ScanError, match=f"unexpected {reason} where") as caught:
                validate(broken)
            assert caught.value.position == broken.index(damage) + offset
