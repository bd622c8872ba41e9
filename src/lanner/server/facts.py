"""What the server tells of: read only, from the parts of the service that know it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from lanner.engine.ruleset import CompiledRule
from lanner.regular_file import MAX_TEXT_BYTES, read_regular_file
from lanner.service.accounts import Accounts
from lanner.service.supervisor import Watched


@dataclass(frozen=True, slots=True)
class FileDigest:
    """A file that was read, by its bare name, and the SHA-256 of what was in it."""

    name: str
    sha256: str

    @classmethod
    def of(cls, path: Path) -> FileDigest | None:
        """None for a file that cannot be read."""
        try:
            return cls(path.name, sha256(read_regular_file(path, MAX_TEXT_BYTES)).hexdigest())
        except OSError:
            return None


@dataclass(frozen=True, slots=True)
class Facts:
    """`store`: which one it is, without any secret; `store_identity`: a mark to compare it with another, empty if there
    is none. `store_failure`: why the store does not work, empty while it does. `waiting`: (batches, bytes) that are
    accepted and not committed. `silence`: seconds since each source and cluster was heard; `silent`: those beyond their
    limit. `overloaded`: requests of each source and cluster that were refused for want of room in the last minute.
    """

    started_ns: int
    hostname: str
    rules: Sequence[CompiledRule]
    rules_files: Sequence[FileDigest]
    config_files: Sequence[FileDigest]
    accounts: Accounts
    sources: Sequence[Watched]
    store: str
    store_identity: Callable[[], str]
    store_failure: Callable[[], str]
    waiting: Callable[[], tuple[int, int]]
    in_flight: Callable[[], int]
    silence: Callable[[], Mapping[tuple[str, str], float]]
    silent: Callable[[], frozenset[tuple[str, str]]]
    overloaded: Callable[[], Mapping[tuple[str, str], int]]
    unwritten: Callable[[], int]
    log_dropped: Callable[[], int]
