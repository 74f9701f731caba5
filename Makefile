# Everything starts from a bare clone with Python 3.11 or newer and make.
.DEFAULT_GOAL := help
.PHONY: help run test check format lock clean

VENV ?= .venv
PYTHON ?= $(shell command -v python3.11 || command -v python3.12 || command -v python3.13 || command -v python3)
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --quiet --disable-pip-version-check --no-input

help: ## this list
	@awk -F':.*## ' '/^[a-z]+:.*## / {printf "  make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

run: $(VENV)/.run ## serve the gateway with an embedded Redis-compatible server, on 127.0.0.1
	@$(BIN)/gateway dev

test: $(VENV)/.dev ## install everything and run every test
	$(BIN)/python -m pytest

check: $(VENV)/.dev ## format, lint, strict types, module borders
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

format: $(VENV)/.dev ## put the code into its format
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

lock: $(VENV)/.dev ## pin the newest versions that fit (needs uv)
	uv pip compile --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-annotate --no-header \
	  --upgrade --extra gateway --extra embedded pyproject.toml -o deploy/requirements.lock
	uv pip compile --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-annotate --no-header \
	  --upgrade --extra gateway --extra embedded --extra dev -c deploy/requirements.lock pyproject.toml -o tests/requirements.lock

clean: ## remove what the other targets made
	rm -rf $(VENV) build dist .artifacts

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed; say which: make PYTHON=...")'
	$(PYTHON) -m venv $(VENV)

# .run holds what the service needs, .dev the tests' tools as well; both from the same pins.
$(VENV)/.run: deploy/requirements.lock pyproject.toml | $(BIN)/python
	$(PIP) install --require-hashes -r deploy/requirements.lock
	$(PIP) install hatchling editables
	$(PIP) install --no-deps --no-build-isolation --editable .
	@touch $@

$(VENV)/.dev: tests/requirements.lock pyproject.toml | $(BIN)/python
	$(PIP) install --require-hashes -r tests/requirements.lock
	$(PIP) install --no-deps --no-build-isolation --editable .
	@touch $@ $(VENV)/.run
