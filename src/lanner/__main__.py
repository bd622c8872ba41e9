"""`python -m lanner` is `lanner`."""

from __future__ import annotations

from lanner.cli.main import main

if __name__ == "__main__":
    main()
