"""What keeps `lanner run` from starting with a configuration: `run` and `check` report it in the same words."""

from __future__ import annotations

from lanner.config import Config
from lanner.diagnostics.diagnostic import Diagnostic
from lanner.service.named_files import named_file_problems
from lanner.service.wiring import Wiring, wire


def judge(config: Config) -> tuple[Wiring, tuple[Diagnostic, ...]]:
    """(the sources, what is wrong beyond `config.diagnostics`). With an error among these, nothing may be started."""
    wiring = wire(config.service)
    return wiring, (*wiring.diagnostics, *named_file_problems(config.service))
