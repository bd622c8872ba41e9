"""A configuration out of plain values, by way of a file: the one way in that a configuration has."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

from lanner.config import Config


def config_of(settings: Mapping[str, object]) -> Config:
    """The configuration that a falco.yaml of these keys and values gives. JSON is YAML."""
    if not settings:
        return Config.default()
    with TemporaryDirectory() as folder:
        path = Path(folder) / "falco.yaml"
        path.write_text(json.dumps(settings, indent=1), "utf-8")
        return Config.load(path)
