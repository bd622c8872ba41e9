"""The list of fields, and help with names."""

from __future__ import annotations

from collections import Counter

import pytest

from lanner.fields import foreign, generic, json, k8s_audit
from lanner.fields.catalog import Argument, Catalog, FieldDef, FieldError, FieldErrorKind

ROWS = (*k8s_audit.FIELDS, *json.FIELDS, *generic.generic_fields("host"))


def test_names_are_unique() -> None:
    """No two rows have one name."""
    assert [name for name, count in Counter(row.name for row in ROWS).items() if count > 1] == []


def test_numbers_of_fields() -> None:
    """All fields of the plugins and of libs are there."""
    families = Counter(row.name.partition(".")[0] for row in ROWS)
    assert families == {"ka": 100, "json": 3, "jevt": 3, "evt": 18}


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_rows(row: FieldDef) -> None:
    """Every row describes itself in a sentence, and says that it needs an audit id exactly if it is a ka.* field."""
    assert row.description.endswith((".", ")."))
    assert "{" not in row.description
    assert "([" not in row.description
    assert row.needs_audit_id is row.name.startswith("ka.")


def test_argument_kinds(catalog: Catalog) -> None:
    """Keys are needed by few; only lists take an index."""
    keyed = {field.name for field in catalog if field.argument is Argument.KEY}
    assert keyed == {
        "ka.uri.param",
        "ka.req.binding.subject.has_name",
        "ka.req.volume.hostpath",
        "json.value",
        "jevt.value",
    }
    assert all(field.is_list for field in catalog if field.argument is Argument.OPTIONAL_INDEX)


def test_listing_keeps_the_order_of_the_tables(catalog: Catalog) -> None:
    """Fields are listed as the tables have them."""
    assert [field.name for field in catalog] == [*(row.name for row in ROWS), "static.team"]


def test_equal_fields_are_one_object(catalog: Catalog) -> None:
    """Binding twice gives the same object."""
    assert catalog.bind("ka.uri.param", "a") is catalog.bind("ka.uri.param", "a")
    assert catalog.bind("ka.uri.param", "a") is not catalog.bind("ka.uri.param", "b")


@pytest.mark.parametrize(
    ("name", "argument", "kind"),
    [
        ("ka.nope", None, FieldErrorKind.UNKNOWN_FIELD),
        ("", None, FieldErrorKind.UNKNOWN_FIELD),
        ("static.other", None, FieldErrorKind.UNKNOWN_FIELD),
        ("ka.verb", "x", FieldErrorKind.BAD_ARGUMENT),
        ("ka.user.groups", "0", FieldErrorKind.BAD_ARGUMENT),
        ("ka.uri.param", None, FieldErrorKind.BAD_ARGUMENT),
        ("ka.sourceips", "", FieldErrorKind.BAD_ARGUMENT),
        ("ka.sourceips", "01", FieldErrorKind.BAD_ARGUMENT),
        ("ka.sourceips", "-1", FieldErrorKind.BAD_ARGUMENT),
        ("ka.sourceips", "٣", FieldErrorKind.BAD_ARGUMENT),
        ("ka.sourceips", "9" * 10_000, FieldErrorKind.BAD_ARGUMENT),
    ],
)
def test_refused(name: str, argument: str | None, kind: FieldErrorKind, catalog: Catalog) -> None:
    """Names and arguments that cannot be used say why, and what to do."""
    with pytest.raises(FieldError) as error:
        catalog.bind(name, argument)
    assert error.value.kind is kind
    assert error.value.help


@pytest.mark.parametrize(
    ("name", "instead"),
    [
        ("k8s.ns.name", "`ka.target.namespace`"),
        ("k8s.pod.name", "`ka.target.name`"),
        ("user.name", "`ka.user.name`"),
        ("container.image.repository", "`ka.req.pod.containers.image.repository`"),
        ("evt.type", "`ka.verb`"),
        ("proc.pname", "system call"),
        ("ka.user.nam", "`ka.user.name`"),
        ("ka.target.ressource", "`ka.target.resource`"),
        ("zzz", "lanner fields"),
    ],
)
def test_help_with_names(name: str, instead: str, catalog: Catalog) -> None:
    """Fields of system call events and slips of the pen lead to the field that was meant."""
    with pytest.raises(FieldError) as error:
        catalog.bind(name)
    assert instead in error.value.help


@pytest.mark.parametrize("instead", sorted(set(foreign.INSTEAD.values())))
def test_help_names_real_fields(instead: str, catalog: Catalog) -> None:
    """What the help recommends exists, and no foreign name hides a field of ours."""
    assert instead.partition("[")[0] in catalog
    assert not any(name in catalog for name in foreign.INSTEAD)


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("ka.verb", "ka.verb"),
        ("ka.verbosity", "ka.verb"),
        ("ka.uri.param", "ka.uri"),
        ("ka.uri.param[x] y", "ka.uri.param"),
        ("ka.req.pod.containers.image.repository[0]", "ka.req.pod.containers.image.repository"),
        ("evt.time.iso8601", "evt.time.iso8601"),
        ("evt.time.is", "evt.time"),
        ("static.teams", "static.team"),
        ("ka.", None),
        ("", None),
    ],
)
def test_longest_prefix(text: str, name: str | None, catalog: Catalog) -> None:
    """Outputs take the longest name that a text begins with."""
    assert catalog.longest_prefix(text) == name
