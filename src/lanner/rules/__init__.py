"""Rules files: YAML text -> definitions -> a rule book of all files -> resolved rules, with names put in.

Rules know nothing of fields, so files for sources that are not loaded still read.
"""
