# The one list of tasks that people, hooks and CI share.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin

# Whole lines and servers that are killed on purpose: minutes each.
FAULTS := tests/faults tests/up/test_running.py tests/up/test_ending.py tests/pipeline/test_search_resumes.py

# The packaged service as strangers and people meet it: abused, fuzzed, proven, opened in a browser.
SERVICE := tests/abuse tests/browser tests/pipeline/test_replay_prediction.py

.DEFAULT_GOAL := help
.PHONY: help env run test test-faults test-faults-long test-service lint types check bench bench-line bench-serve lock clean

help:            ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-17s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

env: $(VENV)/ready   ## make .venv from requirements.lock

# uv's own pins stand in the lock too, so even the installer is verified by its hash.
$(VENV)/ready: requirements.lock src/lockstep/activate.py
	@$(PYTHON) -c 'import sys; (3, 11) <= sys.version_info < (3, 14) or sys.exit("Lockstep needs Python 3.11 to 3.13; $(PYTHON) is " + sys.version.split()[0] + ". Name another: make env PYTHON=python3.12")'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@awk '/^uv==/ {on = 1} on {print} on && !/\\$$/ {exit}' requirements.lock > $(VENV)/uv.txt
	@test -x $(BIN)/uv || $(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r $(VENV)/uv.txt
	@env -u PYTHONDONTWRITEBYTECODE $(BIN)/uv pip sync --quiet --python $(BIN)/python --require-hashes --compile-bytecode requirements.lock || \
	  $(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock  # pip's own index settings
	@$(BIN)/python src/lockstep/activate.py
	@touch $@

run: env         ## run the whole line, then say what came out
	@$(BIN)/lockstep check
	@$(BIN)/dvc repro
	@$(BIN)/lockstep rebuild
	@$(BIN)/lockstep summary

test: env        ## lint, types, and every test
	@$(MAKE) --no-print-directory lint types
	@env -u PYTHONDONTWRITEBYTECODE $(BIN)/python -m pytest -q -n 2 --dist loadfile $(patsubst %,--ignore=%,$(FAULTS) $(SERVICE)) --cov --cov-report=term:skip-covered --cov-fail-under=90

test-faults: env ## what kills, full disks, damaged bytes and servers that are gone leave behind
	@env -u PYTHONDONTWRITEBYTECODE $(BIN)/python -m pytest -q -n 2 --dist loadfile --no-cov $(FAULTS)

test-faults-long: env   ## fifty random kills, twenty of a search, and whatever else takes long
	@env -u PYTHONDONTWRITEBYTECODE $(BIN)/python -m pytest -q -n 2 --dist load --no-cov -m long tests/faults tests/pipeline

test-service: env ## harm to running services, fuzzing, real tables, proofs, and the page in a browser
	@env -u PYTHONDONTWRITEBYTECODE $(BIN)/python -m pytest -q -n 2 --dist loadfile --no-cov $(firstword $(SERVICE))
	@env -u PYTHONDONTWRITEBYTECODE $(BIN)/python -m pytest -q -n 2 --dist loadfile --no-cov $(wordlist 2,9,$(SERVICE))

lint: env        ## ruff
	@$(BIN)/ruff check .

types: env       ## mypy, strict
	@$(BIN)/mypy

bench: env       ## measure the figures of docs/benchmarks.md anew; the better part of an hour
	@for subject in line flow tables door large search serve; do \
	  env -u PYTHONDONTWRITEBYTECODE $(BIN)/python benchmarks/$$subject.py --write || exit 1; done

bench-line: env  ## the line by dvc repro, by the flow and by one plain script, side by side
	@env -u PYTHONDONTWRITEBYTECODE $(BIN)/python benchmarks/flow.py --write

bench-serve: env ## the packaged service under load, and `mlflow models serve` beside it
	@env -u PYTHONDONTWRITEBYTECODE $(BIN)/python benchmarks/serve.py --write

lock:            ## solve requirements.lock again from pyproject.toml
	@uv pip compile pyproject.toml --group dev --universal --python-version 3.11 --generate-hashes \
	  --no-header --no-annotate --no-emit-index-url --quiet --output-file requirements.lock

clean:           ## remove the environment and caches, never data or state
	@rm -rf $(VENV) .pytest_cache .ruff_cache .mypy_cache .coverage*
