"""The condition language: operators, syntax tree, parser and printer."""
