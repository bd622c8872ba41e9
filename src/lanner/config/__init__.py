"""The configuration: falco.yaml and its overrides, as one immutable object.

In: a file with Falco's keys, the files that it includes, `-o` options, the environment. Out: a `Config`, with whatever
is wrong in it as diagnostics. settings.py is the table of all keys.
"""

from __future__ import annotations

from lanner.config.config import AppendOutput, Config, RuleSelection
from lanner.config.files import ConfigError
from lanner.config.settings import SETTINGS, Kind, Setting

__all__ = ["SETTINGS", "AppendOutput", "Config", "ConfigError", "Kind", "RuleSelection", "Setting"]
