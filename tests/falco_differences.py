"""Where the values and texts recorded from a real Falco differ from Lanner's on purpose.

Each entry stands in docs/differences.md. The tests compare everything else for equality.
"""

from __future__ import annotations

import re

# Fields whose recorded values come from a defect of the plugin, with the reason. `[...]` behind a name: with an index.
FIELDS: dict[str, str] = {
    "ka.req.binding.subject.has_name": "always `true` in Falco",
    "ka.sourceips": "always missing in Falco: it looks in the rules of a role",
    **{
        f"ka.req.pod.{containers}.{field}": reason
        for containers in ("containers", "initContainers", "ephemeralContainers")
        for field, reason in (
            ("eff_run_as_user", "Falco skips the security contexts"),
            ("eff_run_as_group", "Falco skips the security contexts"),
            ("add_capabilities", "one JSON text per container in Falco"),
            ("image.repository", "cut at the first colon in Falco"),
        )
    },
    "ka.req.container.image.repository": "cut at the first colon in Falco",
    "ka.req.service.ports": "one text with the whole array in Falco",
}

# Rules whose recorded message differs, with the reason. Only these alerts may have another text.
MESSAGES: dict[str, str] = {}

_ARGUMENT = re.compile(r"\[.*\]$", re.DOTALL)


def is_fixed(field: str) -> bool:
    """Whether a field, written with or without an argument, may have another value than Falco recorded."""
    return _ARGUMENT.sub("", field) in FIELDS
