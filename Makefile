# Every target sets up .venv first, so on a fresh clone `make demo` or `make test` alone is enough.

PYTHON ?= python3
CASES ?=
BENCH ?=
WEBHOOK ?=

BIN := .venv/bin
STAMP := .venv/.installed
LATEST := .venv-latest/bin
PINS := constraints.txt
PIP_INSTALL := -m pip install -qq --disable-pip-version-check --root-user-action ignore
COMMA := ,
needs = $(PYTHON) -c 'import sys; sys.exit(not (sys.version_info[:2] $(1)) and "$(2)")'

.DEFAULT_GOAL := help
.PHONY: help setup latest lock demo test test-latest test-real test-pythons check format bench docs conformance \
	torture postgresql kube

help:  ## list the targets
	@sed -n 's/^\([a-z-]*\):[^#]*## /  \1\t/p' $(MAKEFILE_LIST) | expand -t 16

setup: $(STAMP)  ## create .venv with the project and its tools in it, in the versions of constraints.txt

$(STAMP): pyproject.toml $(PINS)
	@$(call needs,>= (3$(COMMA) 11),Python 3.11 or newer is needed: make PYTHON=python3.11)
	@echo "setting up .venv (once)" >&2
	@$(PYTHON) -m venv .venv
	@$(BIN)/python $(PIP_INSTALL) --constraint $(PINS) pip
	@$(BIN)/python $(PIP_INSTALL) --constraint $(PINS) --build-constraint $(PINS) --editable . --group dev
	@touch $@

latest:
	@$(call needs,>= (3$(COMMA) 11),Python 3.11 or newer is needed: make PYTHON=python3.11)
	@echo "setting up .venv-latest with the newest versions" >&2
	@$(PYTHON) -m venv --clear .venv-latest
	@$(LATEST)/python $(PIP_INSTALL) --upgrade pip
	@$(LATEST)/python $(PIP_INSTALL) --editable . --group dev

lock:  ## write constraints.txt again, with the newest versions
	@$(call needs,== (3$(COMMA) 11),the oldest Python has to choose: make lock PYTHON=python3.11)
	@$(MAKE) --no-print-directory latest
	@echo "# Every library and tool of the development environment, for all supported Pythons; \`make lock\` writes it." >.venv-latest/pins
	@$(LATEST)/python -m pip freeze --all --exclude-editable --exclude setuptools >>.venv-latest/pins
	@cp .venv-latest/pins $(PINS)

demo: $(STAMP)  ## start the service, post a recorded attack to its webhook, show what it found
	$(BIN)/python examples/demo.py

test: $(STAMP)  ## run the tests that need nothing else
	$(BIN)/python -m pytest -n auto -m "not postgres and not kube and not pythons"

test-latest: latest  ## run them with the newest versions of everything, in .venv-latest
	$(LATEST)/python -m pytest -n auto -m "not postgres and not kube and not pythons"

test-pythons: $(STAMP)  ## install a wheel into every other Python at hand and try it there
	$(BIN)/python -m pytest -n auto -m pythons -rs

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
	LANNER_RETENTIONS=500 $(BIN)/python -m pytest tests/store/test_shares.py
	LANNER_CONNECTIONS=400 $(BIN)/python -m pytest tests/app/test_descriptors.py
	LANNER_KUBE_EVENTS=60000 LANNER_KUBE_KILLS=10 $(BIN)/python -m pytest tests/real
