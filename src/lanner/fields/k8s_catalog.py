"""All fields that a rule for Kubernetes audit events may use."""

from __future__ import annotations

from collections.abc import Mapping

from lanner.fields import json, k8s_audit
from lanner.fields.catalog import Catalog
from lanner.fields.foreign import help_for
from lanner.fields.generic import default_hostname, generic_fields, static_fields


def k8s_audit_catalog(static: Mapping[str, str] | None = None, hostname: str | None = None) -> Catalog:
    """The catalog of the source k8s_audit.

    `static`: the setting `static_fields`, each entry becomes a field `static.<key>`. `hostname`: the value of
    evt.hostname; without it, FALCO_HOSTNAME or the machine's name is read now, once.
    """
    host = default_hostname() if hostname is None else hostname
    fields = (*k8s_audit.FIELDS, *json.FIELDS, *generic_fields(host), *static_fields(static or {}))
    return Catalog(fields, help_for)
