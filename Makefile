SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:
.NOTPARALLEL:
MAKEFLAGS += --no-builtin-rules
.DEFAULT_GOAL := help

BIN := $(CURDIR)/.venv/bin
PYTHON := $(BIN)/python
STACK := $(PYTHON) deploy/local/stack.py
# Tests wait more than they compute, browsers less. Those of a file share what is slow to start.
BESIDE := --dist loadfile -n
# What waits for other programs can be too late on a busy machine: one more try, which is told.
AGAIN := --reruns 1 -rR
# protoc finds its plug-ins there.
export PATH := $(BIN):$(PATH)

.PHONY: help setup up down status logs psql fmt lint types contracts proto openapi lock hooks \
	test test-unit test-integration test-web test-chaos test-e2e chaos bench clean chromium database docker

help:
	@awk 'BEGIN { FS = ":.*## " } \
		/^##@ / { printf "\n%s\n", substr($$0, 5) } \
		/^[a-z0-9-]+:.*## / { printf "  make %-17s %s\n", $$1, $$2 }' Makefile
	@echo

##@ Run it

up: setup ## Start everything; POWERS="shell files docker commands", or none, is what the console may do here
	@$(STACK) up $(if $(POWERS),--powers "$$POWERS")
export POWERS

down: .venv/.installed ## Stop everything; the data stays
	@$(STACK) down

status: .venv/.installed ## What runs
	@$(STACK) status

logs: .venv/.installed ## Last lines of the logs; NAME=edge for one
	@$(STACK) logs $(NAME)

psql: .venv/.installed ## A prompt on the database; SQL='…' for one statement
	@$(STACK) psql $(if $(SQL),-c "$$SQL")
export SQL

##@ Work on it

setup: .venv/.installed web/dist/index.html build/agent/.built ## Tools, dependencies, the console's and the agent's build

fmt: .venv/.installed web/node_modules/.installed ## Format all code
	ruff check --fix-only --quiet .
	ruff format .
	npm --prefix web run fmt

proto: .venv/.installed ## Generate Python from the contract
	$(call generate,.)

openapi: .venv/.installed web/node_modules/.installed ## Write the HTTP contract and the console's client
	flotilla openapi > web/openapi.json.new
	mv web/openapi.json.new web/openapi.json
	npm --prefix web run openapi

lock: .venv/.installed ## Resolve requirements/*.in anew
	for name in uv dev bench; do \
		uv pip compile --quiet --universal --generate-hashes --no-header --no-annotate --upgrade \
			--no-emit-index-url --python-version 3.11 \
			--output-file requirements/$$name.txt requirements/$$name.in; \
	done

hooks: .venv/.installed ## Check each commit before it is made
	pre-commit install

clean: ## Remove what can be made again; the stack's data stays
	@if [ -x $(PYTHON) ]; then $(STACK) down; fi
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .cache
	rm -rf web/node_modules web/dist build
	find agent deploy proto services tests -name __pycache__ -prune -exec rm -rf {} +

##@ Prove it

test: lint types contracts test-unit test-web test-integration test-chaos test-e2e ## All of the below

lint: setup ## Format, style, spelling, imports, contract, current OpenAPI
	ruff format --check .
	ruff check .
	git ls-files -z --cached --others --exclude-standard | xargs -0 codespell
	lint-imports
	buf lint proto
	npm --prefix web run lint
	flotilla openapi | diff --unified web/openapi.json - || { echo "run: make openapi"; exit 1; }
	npm --prefix web run openapi:check

types: setup ## mypy and tsc
	mypy
	mypy deploy/local tests
	npm --prefix web run types

contracts: .venv/.installed ## No breaking change of the contract; generated code current
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

test-unit: .venv/.installed docker ## Parts alone; the agent's Docker collector on an engine of its own
	pytest $(BESIDE) 4 tests/unit

test-integration: setup database docker ## On real NATS and TimescaleDB
	pytest $(BESIDE) 4 $(AGAIN) tests/integration

test-web: web/node_modules/.installed ## The console's own tests
	npm --prefix web run test

test-e2e: setup database chromium ## The whole stack in a real browser
	pytest $(BESIDE) 2 $(AGAIN) tests/e2e

test-chaos: setup database ## The short form of `make chaos`
	pytest tests/chaos

chaos: setup database ## Break everything under load, and count; ARGS=--short for the short form
	@$(PYTHON) tests/chaos/run.py $(ARGS)

bench: setup database docker ## Measure this machine and revision; see docs/benchmarks
	@$(PYTHON) tests/bench/run.py $(ARGS)

# --- what the targets above stand on ---

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

# Not `npm ci`: it refuses a lock that lacks the optional binaries of platforms not at hand.
web/node_modules/.installed: web/package.json web/package-lock.json
	@echo "installing npm packages"
	@npm --prefix web install --no-save --no-audit --no-fund --no-update-notifier --loglevel=error
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
