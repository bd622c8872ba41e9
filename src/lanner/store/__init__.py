"""Where alerts, counters and positions are kept: SQLite by default, PostgreSQL by URL.

`records` says what goes in and comes out, `store` opens a store and is the door to it, `committer` is the one writer
of a process.
"""
