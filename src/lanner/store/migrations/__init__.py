"""The migrations of the store, in the folder layout of Alembic; `lanner.store.migrate` runs them."""
