"""The stores of the tests of the store, for whole services."""

from __future__ import annotations

from tests.store.conftest import cluster, postgresql_url, url

__all__ = ["cluster", "postgresql_url", "url"]
