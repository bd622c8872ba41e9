# Every target sets up .venv first, so on a fresh clone `make demo` or `make test` alone is enough.

PYTHON ?= python3
CASES ?=
BENCH ?=

BIN := .venv/bin
STAMP := .venv/.installed

.DEFAULT_GOAL := help
.PHONY: help setup demo test check format bench docs conformance torture

help:  ## list the targets
	@sed -n 's/^\([a-z]*\):[^#]*## /  \1\t/p' $(MAKEFILE_LIST) | expand -t 16

setup: $(STAMP)  ## create .venv with the project and its tools in it

$(STAMP): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make PYTHON=python3.11")'
	@echo "setting up .venv (once)" >&2
	@$(PYTHON) -m venv .venv
	@$(BIN)/python -m pip install -qq --disable-pip-version-check --root-user-action ignore --upgrade 'pip>=25.1'
	@$(BIN)/python -m pip install -qq --disable-pip-version-check --root-user-action ignore --editable . --group dev
	@touch $@

demo: $(STAMP)  ## replay a small recorded attack under the rules that ship
	$(BIN)/lanner replay examples/attack.jsonl

test: $(STAMP)  ## run the tests
	$(BIN)/python -m pytest -n auto

check: $(STAMP)  ## check format, lint and types
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

format: $(STAMP)  ## format the code and apply safe lint fixes
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: $(STAMP)  ## measure events per second; BENCH holds more options
	$(BIN)/python -m bench.run $(BENCH)

docs: $(STAMP)  ## write the generated parts of docs/ again
	$(BIN)/python docs/generate.py

conformance: $(STAMP)  ## run a folder of conformance cases: make conformance CASES=FOLDER
	@test -n "$(CASES)" || { echo "say which folder: make conformance CASES=FOLDER" >&2; exit 2; }
	$(BIN)/python -m lanner.testing.conformance "$(CASES)"

torture: $(STAMP)  ## run the property tests with many more random inputs
	HYPOTHESIS_PROFILE=thorough $(BIN)/python -m pytest -n auto -m property
