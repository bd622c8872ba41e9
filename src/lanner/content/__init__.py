"""The rules files that ship with Lanner: every `.yaml` file of this folder, in the order of their names.

`k8s_audit.yaml` is the default ruleset for Kubernetes audit events; docs/default-rules.md describes it.
"""
