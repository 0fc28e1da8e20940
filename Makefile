# `make demo` and `make test` need Python 3.11 or 3.12 and nothing else: they make .venv and fill it.
PYTHON ?= $(shell command -v python3.11 || command -v python3.12 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
SOURCES ?=
RESTORE ?=
export OMP_NUM_THREADS ?= 1
export HF_HUB_OFFLINE ?= 1
export PYTHONWARNINGS ?= ignore

.PHONY: demo test lint fast serve clean bench-sampler bench-degrade bench-train bench-curation bench-stc bench-restore

demo: $(READY)  ## the main job on the sample set, or on SOURCES=folder
	$(BIN)/python -m flows.pipeline --sources "$(SOURCES)" --restore "$(RESTORE)"

test: $(READY) lint  ## everything that must hold
	$(BIN)/python -m pytest -q -n 2 --dist loadfile --durations=10

fast: $(READY)  ## the tests that take seconds
	$(BIN)/python -m pytest -q -n 2 --dist loadfile -m "not slow"

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

serve: $(READY)  ## the flows as scheduled deployments
	$(BIN)/python -m flows.serve

bench-sampler: $(READY)
	$(BIN)/python -m benchmarks.sampler

bench-degrade: $(READY)
	$(BIN)/python -m benchmarks.degrade

bench-train: $(READY)
	$(BIN)/python -m benchmarks.train

bench-curation: $(READY)
	$(BIN)/python -m benchmarks.curation
	$(BIN)/python -m benchmarks.curation_memory

bench-stc: $(READY)
	$(BIN)/python -m benchmarks.stc

bench-restore: $(READY)
	$(BIN)/python -m benchmarks.restore

$(READY): pyproject.toml constraints.txt
	@test -n "$(PYTHON)" || { echo "error: no Python found: install Python 3.11 or 3.12" >&2; exit 2; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info[:2] not in ((3, 11), (3, 12)))' || \
	  { echo "error: $$($(PYTHON) --version) found, 3.11 or 3.12 needed: make PYTHON=/path/to/python3.11" >&2; exit 2; }
	@$(PYTHON) -c 'import ensurepip, venv' || \
	  { echo "error: this Python has no venv module: apt-get install python3-venv" >&2; exit 2; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt uv
	UV_COMPILE_BYTECODE=1 $(BIN)/uv pip install --python $(BIN)/python -c constraints.txt -e '.[dev,serve]'
	@touch $@

clean:  ## removes what runs have made, not the environment
	rm -rf data models reports restored cache mlruns mlartifacts mlflow.db
