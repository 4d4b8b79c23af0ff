SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:
.NOTPARALLEL:
MAKEFLAGS += --no-builtin-rules
.DEFAULT_GOAL := help

BIN := $(CURDIR)/.venv/bin
PYTHON := $(BIN)/python
STACK := $(PYTHON) deploy/local/stack.py
# Tests mostly wait, so several run at once. The tests of a file share fixtures that start slowly.
BESIDE := --dist loadfile -n
# The edition of TimescaleDB with compression. Debian has no package of it.
COMMUNITY := tests/fixtures/timescaledb_community
# protoc finds its plug-ins in PATH.
export PATH := $(BIN):$(PATH)

.PHONY: help setup up down status logs psql demo fmt lint types contracts proto openapi lock hooks \
	test test-unit test-integration test-web test-chaos test-e2e chaos fuzz bench clean chromium database docker

help:
	@awk 'BEGIN { FS = ":.*## " } \
		/^##@ / { printf "\n%s\n", substr($$0, 5) } \
		/^[a-z0-9-]+:.*## / { printf "  make %-17s %s\n", $$1, $$2 }' Makefile
	@echo

##@ Run it

up: setup ## Start everything; POWERS="shell files docker commands" (or none) lists what the console may do here
	@$(STACK) up $(if $(POWERS),--powers "$$POWERS")
export POWERS

down: .venv/.installed ## Stop everything; the data stays
	@$(STACK) down

status: .venv/.installed ## Show which processes run
	@$(STACK) status

logs: .venv/.installed ## Show the last lines of the logs; NAME=edge selects one program
	@$(STACK) logs $(NAME)

psql: .venv/.installed ## Open psql on the database; SQL='…' runs one statement
	@$(STACK) psql $(if $(SQL),-c "$$SQL")
export SQL

demo: .venv/.installed ## Add 40 simulated servers with 30 days of history to the running stack; ARGS=--no-live or ARGS=--remove
	@PYTHONPATH=. $(PYTHON) tests/demo/run.py $(ARGS)

##@ Work on it

setup: .venv/.installed web/dist/index.html build/agent/.built ## Install dependencies, and build the console and the agent

fmt: .venv/.installed web/node_modules/.installed ## Format all code
	ruff check --fix-only --quiet .
	ruff format .
	npm --prefix web run fmt

proto: .venv/.installed ## Generate Python from proto/
	$(call generate,.)

openapi: .venv/.installed web/node_modules/.installed ## Write the OpenAPI document and generate the console's API types
	flotilla openapi > web/openapi.json.new
	mv web/openapi.json.new web/openapi.json
	npm --prefix web run openapi

lock: .venv/.installed ## Update the pinned versions in requirements/*.txt
	for name in uv dev bench; do \
		uv pip compile --quiet --universal --generate-hashes --no-header --no-annotate --upgrade \
			--no-emit-index-url --python-version 3.11 \
			--output-file requirements/$$name.txt requirements/$$name.in; \
	done

hooks: .venv/.installed ## Install checks that run before each commit
	pre-commit install

clean: ## Remove all build results and installed packages; the stack's data stays
	@if [ -x $(PYTHON) ]; then $(STACK) down; fi
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .cache
	rm -rf web/node_modules web/dist build $(COMMUNITY)/node_modules
	find agent deploy proto services tests -name __pycache__ -prune -exec rm -rf {} +

##@ Test it

test: lint types contracts test-unit test-web test-integration test-chaos test-e2e ## Run all checks and tests below

lint: setup ## Check format, style, spelling, imports, proto/ and the OpenAPI document
	ruff format --check .
	ruff check .
	git ls-files -z --cached --others --exclude-standard | xargs -0 codespell
	lint-imports
	buf lint proto
	npm --prefix web run lint
	flotilla openapi | diff --unified web/openapi.json - || { echo "run: make openapi"; exit 1; }
	npm --prefix web run openapi:check

types: setup ## Check types with mypy and tsc
	mypy
	mypy deploy/local tests
	npm --prefix web run types

contracts: .venv/.installed ## Check that proto/ has no breaking change and that generated code is current
	@scratch=$$(mktemp -d); trap 'rm -rf "$$scratch"' EXIT; \
	$(call generate,$$scratch); \
	for made in "$$scratch"/flotilla/v1/*; do \
		diff --brief "proto/flotilla/v1/$${made##*/}" "$$made" || { echo "run: make proto"; exit 1; }; \
	done; \
	landed=$$(git rev-parse --verify --quiet origin/main || git rev-parse --verify --quiet HEAD || true); \
	if [ -n "$$landed" ] && git cat-file -e "$$landed:proto/buf.yaml" 2>/dev/null; then \
		mkdir "$$scratch/landed"; \
		git archive "$$landed" proto | tar --extract --directory "$$scratch/landed"; \
		buf breaking proto --against "$$scratch/landed/proto"; \
	fi

test-unit: .venv/.installed ## Test single modules, without network, services and Docker
	pytest $(BESIDE) 4 tests/unit

test-integration: setup database docker $(COMMUNITY)/node_modules/.installed ## Test services with real NATS and TimescaleDB, and the agent with a real Docker engine
	pytest $(BESIDE) 4 tests/integration

test-web: web/node_modules/.installed ## Run the console's own tests
	npm --prefix web run test

test-e2e: setup database chromium ## Test the whole product in a real browser
	pytest $(BESIDE) 2 tests/e2e

test-chaos: setup database ## Run the short form of `make chaos`
	pytest tests/chaos

chaos: setup database ## Stop and break services under load, and count lost data; ARGS=--short for the short form
	@$(PYTHON) tests/chaos/run.py $(ARGS)

fuzz: setup database ## Send arbitrary requests to the API, for about ten minutes
	FUZZ_EXAMPLES=100 pytest tests/integration/api/test_fuzz.py

bench: setup database docker chromium $(COMMUNITY)/node_modules/.installed ## Measure this revision on this machine; see docs/benchmarks
	@$(PYTHON) tests/bench/run.py $(ARGS)

# --- prerequisites of the targets above ---

database: .venv/.installed
	@$(STACK) prepare

docker:
	@{ command -v dockerd && [ -x /bin/busybox ]; } >/dev/null \
		|| deploy/local/apt-install.sh docker.io busybox-static

chromium:
	@command -v chromium >/dev/null || deploy/local/apt-install.sh chromium

.venv/.installed: requirements/uv.txt requirements/dev.txt pyproject.toml proto/pyproject.toml agent/pyproject.toml
	@python3 -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Flotilla needs Python 3.11 or newer")'
	@python3 -c 'import ensurepip, venv' 2>/dev/null || deploy/local/apt-install.sh python3-venv
	@[ -x $(PYTHON) ] || python3 -m venv .venv
	@echo "installing Python packages"
	@$(PYTHON) -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/uv.txt
	@uv pip install --quiet --python $(PYTHON) --require-hashes -r requirements/dev.txt
	@uv pip install --quiet --python $(PYTHON) --no-deps --no-build-isolation -e proto -e agent -e .
	@touch $@

# `npm ci` is not used: it fails if the lock file lacks optional binaries of other platforms.
web/node_modules/.installed: web/package.json web/package-lock.json
	@echo "installing npm packages"
	@npm --prefix web install --no-save --no-audit --no-fund --no-update-notifier --loglevel=error
	@touch $@

$(COMMUNITY)/node_modules/.installed: $(COMMUNITY)/package.json $(COMMUNITY)/package-lock.json
	@echo "installing TimescaleDB's Community edition for tests"
	@npm --prefix $(COMMUNITY) install --no-save --no-audit --no-fund --no-update-notifier --loglevel=error
	@touch $@

web/dist/index.html: web/node_modules/.installed web/index.html web/vite.config.ts $(shell find web/src web/public -type f 2>/dev/null)
	@echo "building the console"
	@said=$$(npm --prefix web run --silent build 2>&1) || { echo "$$said"; exit 1; }
	@touch $@

build/agent/.built: .venv/.installed deploy/agent/build.sh $(shell find agent proto -name '*.py' 2>/dev/null)
	@echo "building the agent"
	@deploy/agent/build.sh >/dev/null
	@touch $@

# Generated Python into folder $(1), relative to proto/.
define generate
(cd proto && python -m grpc_tools.protoc -I. --python_out=$(1) --mypy_out=quiet:$(1) flotilla/v1/*.proto \
	&& python -m grpc_tools.protoc -I. --grpc_python_out=$(1) --mypy_grpc_out=quiet:$(1) flotilla/v1/agent.proto)
endef
