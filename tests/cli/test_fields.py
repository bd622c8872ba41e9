"""`lanner fields`."""

from __future__ import annotations

import json

import pytest

from lanner.fields.k8s_catalog import k8s_audit_catalog
from tests.cli.conftest import Lanner

NAMES = [field.name for field in k8s_audit_catalog()]


def test_all_fields_are_listed_one_on_a_line(lanner: Lanner) -> None:
    """In a pipe every field has its own line, whole."""
    first_words = [line.split()[0] for line in lanner("fields").stdout.splitlines()]
    assert first_words == ["NAME", *NAMES]


@pytest.mark.parametrize("part", ["containers.image", "CONTAINERS.IMAGE", "containers.image[0]"])
def test_a_part_of_a_name_narrows_the_list(lanner: Lanner, part: str) -> None:
    """Case and arguments do not matter."""
    found = [field["name"] for field in json.loads(lanner("fields", part, "--json").stdout)]
    assert found == [name for name in NAMES if "containers.image" in name.lower()]
    assert found


def test_json_has_everything_about_a_field(lanner: Lanner) -> None:
    """One object for each field."""
    (field,) = json.loads(lanner("fields", "ka.uri.param", "--json").stdout)
    assert field.pop("description")
    assert field == {
        "name": "ka.uri.param",
        "type": "CHARBUF",
        "is_list": False,
        "argument": "key",
        "source": "k8s_audit",
    }


def test_json_and_format_json_are_the_same(lanner: Lanner) -> None:
    """--json is short for --format json."""
    assert lanner("fields", "--json").stdout == lanner("fields", "--format", "json").stdout


def test_markdown_has_a_row_for_each_field(lanner: Lanner) -> None:
    """The table that the documentation is made of."""
    result = lanner("fields", "--format", "markdown").stdout
    assert all(f"| `{name}` |" in result for name in NAMES)


@pytest.mark.parametrize(
    ("part", "hint"), [("ka.vreb", "did you mean `ka.verb`?"), ("zzzzzz", "no field has `zzzzzz`")]
)
def test_an_unknown_name_suggests_a_near_one(lanner: Lanner, part: str, hint: str) -> None:
    """Nothing found is exit code 1, and a hint where there is one."""
    result = lanner("fields", part)
    assert result.code == 1
    assert hint in result.stderr
    assert not result.stdout
