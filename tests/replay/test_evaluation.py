"""Blocks through the engine."""

from __future__ import annotations

import pytest

from lanner.config import Config
from lanner.diagnostics.source import SourceFile
from lanner.engine.engine import Engine
from lanner.engine.loader import LoadResult, load_sources
from lanner.priority import Priority
from lanner.replay.evaluation import PLACES, Counts, depends_on_order, evaluate
from lanner.sources.files import Block
from tests.cli.builders import event, lines

RULE = "- rule: Made\n  desc: d\n  condition: {condition}\n  output: {output}\n  priority: INFO\n  source: k8s_audit\n"


def rules(condition: str = "ka.verb = create", output: str = "made", config: str = "") -> LoadResult:
    text = RULE.format(condition=condition, output=output)
    result = load_sources([SourceFile("rules.yaml", text)], Config.load(None, [config] if config else []))
    assert result.ok
    return result


def counted(block: Block, written: list[bytes]) -> Counts:
    counts = Counts()
    evaluate(Engine(rules().ruleset), block, counts, written.append)
    return counts


def test_a_block_is_counted_and_its_alerts_are_written() -> None:
    """Places are lines behind the one the block begins in; malformed items are all counted, the first few are told."""
    body = lines(event("one"), *["{broken"] * 7, event("two", "get"), event("three"), "[1, 2]")
    written: list[bytes] = []
    counts = counted(Block(11, body, None, 0), written)
    assert [line.rpartition(b" ")[2] for line in written] == [b"made\n"] * 2
    assert (counts.events, counts.malformed) == (3, 9)
    assert counts.alerts == {(Priority.INFORMATIONAL, "Made"): 2}
    assert [line for line, _ in counts.places] == [1, 2, 3, 4, 5][:PLACES]
    assert counts.lines == 11


def test_pieces_that_were_not_kept_count_as_malformed() -> None:
    """A body of very many pieces is counted in full."""
    body = b"[" + b"1," * 49_999 + b"1]"
    assert counted(Block(1, body, None, 0), []).malformed == 50_000


def test_an_empty_block() -> None:
    """It holds nothing."""
    assert counted(Block(1, b"", None, 0), []) == Counts()


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, False),
        ({"condition": "evt.time exists"}, False),
        ({"condition": "evt.num > 3"}, True),
        ({"condition": "ka.verb = create and not evt.reltime.s = 0"}, True),
        ({"output": "made number %evt.num"}, True),
        ({"output": "made after %evt.reltime.s"}, True),
        ({"config": "append_output[]={extra_output: ' (%evt.num)'}"}, True),
        ({"config": "append_output[]={extra_fields: [evt.num]}"}, True),
        ({"config": "append_output[]={extra_fields: [{n: '%evt.reltime.ns'}]}"}, True),
        ({"config": "append_output[]={extra_fields: [{n: '%ka.verb'}]}"}, False),
    ],
)
def test_rules_that_depend_on_the_events_before(options: dict[str, str], expected: bool) -> None:
    """Fields that count events may stand in conditions, in outputs, and in what the configuration adds to them."""
    assert depends_on_order(rules(**options).ruleset) is expected
