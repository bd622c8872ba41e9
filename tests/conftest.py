"""How property tests run: `make test` takes the usual profile, `make torture` the thorough one."""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

# No deadline: machines are shared, and no test may depend on how fast one is.
settings.register_profile("usual", deadline=None)
settings.register_profile("thorough", deadline=None, max_examples=5_000, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "usual"))
