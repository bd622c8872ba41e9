# Every target sets up .venv first, so on a fresh clone `make demo` or `make test` alone is enough.

PYTHON ?= python3
CASES ?=
BENCH ?=
WEBHOOK ?=

BIN := .venv/bin
STAMP := .venv/.installed

.DEFAULT_GOAL := help
.PHONY: help setup demo test test-real check format bench docs conformance torture postgresql kube

help:  ## list the targets
	@sed -n 's/^\([a-z-]*\):[^#]*## /  \1\t/p' $(MAKEFILE_LIST) | expand -t 16

setup: $(STAMP)  ## create .venv with the project and its tools in it

$(STAMP): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make PYTHON=python3.11")'
	@echo "setting up .venv (once)" >&2
	@$(PYTHON) -m venv .venv
	@$(BIN)/python -m pip install -qq --disable-pip-version-check --root-user-action ignore --upgrade 'pip>=25.1'
	@$(BIN)/python -m pip install -qq --disable-pip-version-check --root-user-action ignore --editable . --group dev
	@touch $@

demo: $(STAMP)  ## start the service, post a recorded attack to its webhook, show what it found
	$(BIN)/python examples/demo.py

test: $(STAMP)  ## run the tests that need nothing else
	$(BIN)/python -m pytest -n auto -m "not postgres and not kube"

test-real: $(STAMP)  ## run those on a real PostgreSQL and a real API server, where they are installed
	$(BIN)/python -m pytest -n auto -m postgres -rs
	$(BIN)/python -m pytest -m kube -rs

check: $(STAMP)  ## check format, lint and types
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

format: $(STAMP)  ## format the code and apply safe lint fixes
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: $(STAMP)  ## measure events per second, of the engine and of the service; BENCH, WEBHOOK hold more options
	$(BIN)/python -m bench.run $(BENCH)
	$(BIN)/python -m bench.webhook $(WEBHOOK)

postgresql:  ## install PostgreSQL, for the tests on one (Debian or Ubuntu, as root)
	apt-get install --yes --no-install-recommends postgresql

kube:  ## install what a real API server needs, for the tests with one (Debian or Ubuntu, as root)
	apt-get update
	apt-get install --yes --no-install-recommends etcd-server zstd curl openssl iproute2

docs: $(STAMP)  ## write the generated parts of docs/ again
	$(BIN)/python docs/generate.py

conformance: $(STAMP)  ## run a folder of conformance cases: make conformance CASES=FOLDER
	@test -n "$(CASES)" || { echo "say which folder: make conformance CASES=FOLDER" >&2; exit 2; }
	$(BIN)/python -m lanner.testing.conformance "$(CASES)"

torture: $(STAMP)  ## run property and crash tests with many more random inputs, and for longer
	HYPOTHESIS_PROFILE=thorough $(BIN)/python -m pytest -n auto -m property
	LANNER_KILLS=200 $(BIN)/python -m pytest tests/store/test_crash.py
	LANNER_KILLS=200 LANNER_FUZZED_BODIES=1000000 LANNER_SLOW_CONNECTIONS=300 LANNER_ATTACK_SECONDS=60 \
		$(BIN)/python -m pytest -n auto tests/torture
	LANNER_CONNECTIONS=400 $(BIN)/python -m pytest tests/app/test_descriptors.py
	LANNER_KUBE_EVENTS=60000 LANNER_KUBE_KILLS=10 $(BIN)/python -m pytest tests/real
