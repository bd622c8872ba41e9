"""Where audit events come from: one module per kind of source."""
