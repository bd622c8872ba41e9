"""Fixtures: an event from its members, and the value of a field in it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from lanner.event import MISSING, AuditEvent
from lanner.fields.catalog import Catalog
from tests.fields.builders import CATALOG, Found, bind, event_text, make_event


@pytest.fixture
def catalog() -> Catalog:
    return CATALOG


@pytest.fixture
def event() -> Callable[..., AuditEvent]:
    """event(verb="get", ...): an event with these members."""
    return lambda **members: make_event(event_text(members))


@pytest.fixture
def read() -> Callable[..., Found]:
    """read("ka.verb", verb="get", ...): the value of a field, None where it is missing.

    `text` gives the whole JSON of the event instead of its members.
    """

    def value(field: str, text: str | bytes | None = None, **members: Any) -> Found:
        found = bind(field).value(make_event(event_text(members) if text is None else text))
        return None if found is MISSING else found

    return value
