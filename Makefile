# `make` alone says what there is. Needs Python 3.11 and GNU make; everything else goes into .venv.

PYTHON ?= $(firstword $(shell command -v python3.11) $(shell command -v python3))
VENV := .venv
BIN := $(VENV)/bin
INSTALLED = $(VENV)/.installed$(TORCH:%=-%)
# Arguments for the target's program: make unit ARGS="tests/data -k fox"
ARGS ?=
# Version of PyTorch for .venv, where pip's index has it: make demo TORCH=2.14.1+cpu. Which index pip asks is its own setting.
TORCH ?=
# Run of `make notebook`.
RUN ?= runs/stilllife
# Processes of `make unit` and `make check`, of one thread and up to 2 GB each.
JOBS ?= 2

# Whatever a recipe or a test starts by name comes from .venv.
export PATH := $(CURDIR)/$(BIN):$(PATH)

.DEFAULT_GOAL := help
.PHONY: help venv demo notebook check test docs lint format types unit web webtest webspeed wheel clean ios android schema

help:  ## This list
	@sed -n 's/^\([a-z]*\):.*## /  make \1|/p' $(MAKEFILE_LIST) | awk -F'|' '{ printf "%-16s %s\n", $$1, $$2 }'

demo: venv  ## The whole way on the embedded scene: photos to verified bundles, a report and the viewer
	@$(BIN)/python -m tools.web build || \
	  echo '*** The demo goes on without the web viewer; "make web" builds it later, for nelf view. ***' >&2
	$(BIN)/nelf demo $(ARGS)

notebook: venv  ## Run the notebook of a run's PSNR (RUN=runs/NAME), which is left in the run's folder
	@test -f $(RUN)/eval/metrics.json || { \
	  echo 'make notebook: $(RUN) is not measured; run "nelf eval $(RUN)", or name another run by RUN=runs/NAME' >&2; exit 2; }
	NELF_RUN=$(abspath $(RUN)) $(BIN)/jupyter execute --output=$(abspath $(RUN))/psnr_evaluation notebooks/psnr_evaluation.ipynb

test: lint types webtest android unit  ## Everything that CI runs: lint, types, the viewers, tests

check: lint types  ## For every edit, in under 2 minutes: lint, types, the tests that are not marked slow
	$(BIN)/python -m pytest -n $(JOBS) --dist worksteal -m "not slow" $(ARGS)

docs: venv  ## Build the site into build/site: documents, settings, every public name; a dead link is an error
	$(BIN)/python -m tools.docs

lint: venv  ## Style and formatting (ruff)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

format: venv  ## Put right what `make lint` can put right by itself
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

types: venv  ## Type check (mypy)
	$(BIN)/mypy

android: venv  ## Check android_app/: compiled, linted, tested, packed (fetches 230 MB of tools once)
	$(BIN)/python -m tools.android.check

unit: venv  ## The tests: units, every configuration, the wheel, a tiny run end to end
	$(BIN)/python -m pytest -n $(JOBS) --dist worksteal $(ARGS)

web: venv  ## Build the web viewer into nelf/viewer/assets; where there is no Node.js, .venv gets one
	$(BIN)/python -m tools.web build

webtest: venv  ## Check the web viewer in Chromium
	$(BIN)/python -m tools.web check

webspeed: venv  ## Measure the web viewer, on a machine that does nothing else
	$(BIN)/python -m tools.web speed

ios: venv  ## Check ios_app/: Swift built and tested, the app type-checked (sets its tools up once: 2.7 GB)
	$(BIN)/python -m pytest tests/viewers/test_ios.py $(ARGS)

schema: venv  ## Write nelf/bundle/manifest.schema.json and tables in docs/ from the pydantic classes
	$(BIN)/python -m tools.schema

wheel: web  ## Build dist/nelf-VERSION-py3-none-any.whl, with the web viewer
	$(BIN)/python -m build --wheel --no-isolation

clean:  ## Remove .venv, caches and built packages; runs/ stays
	rm -rf $(VENV) dist build nelf/viewer/assets web_app/node_modules .pytest_cache .mypy_cache .ruff_cache
	find nelf tests datasets -name __pycache__ -type d -prune -exec rm -rf {} +

venv: $(INSTALLED)  ## Make .venv and install nelf in it, editable, with what development needs

# PyTorch first and by its exact version, so that what comes after cannot choose another.
$(INSTALLED): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 12))' || { \
	  echo 'nelf needs Python 3.11 or 3.12; name one: make PYTHON=/path/to/python3.11' >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -c constraints.txt torch$(TORCH:%===%) torchvision || { test -z '$(TORCH)' || echo \
	  'make: pip has no torch==$(TORCH): take a build of the version in constraints.txt, from an index named in pip.conf or PIP_EXTRA_INDEX_URL; or leave TORCH out' >&2; \
	  exit 1; }
	$(BIN)/python -m pip install -c constraints.txt -e '.[dev]'
	@touch $(VENV)/.installed $@
