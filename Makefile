# From nothing to an answer: `make demo`. Needs Python >= 3.11, make and a package registry; everything goes into .venv.
#
# torch comes first and pinned, because what `pip install torch` fetches differs by registry (with or without gigabytes of CUDA libraries).
# For the small processor-only build: make demo TORCH="torch==2.13.0 --index-url URL" with the address that pytorch.org names for it.
TORCH ?= torch==2.13.0
PYTHON ?= $(shell for python in python3 python3.13 python3.12 python3.11; do $$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$python && break; done)
VENV ?= .venv
# Test processes, each with one thread.
JOBS ?= 2
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check -qq
STAMPS := $(VENV)/stamps
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help demo test quick lint format docs bench clean

help: ## this list
	@sed -n 's/^\([a-z]*\):.*## /  make \1@/p' Makefile | column -t -s @

demo: $(STAMPS)/demo $(STAMPS)/kernels ## collect, fit and gap on a real language model; a few minutes after installation
	@$(BIN)/sparsegap demo

test: lint docs $(STAMPS)/kernels ## lint, types, documentation and every test, the slow ones too
	@$(BIN)/python -m pytest -n $(JOBS) -m "slow or not slow"

quick: $(STAMPS)/dev $(STAMPS)/kernels ## the tests without the slow ones
	@$(BIN)/python -m pytest -n $(JOBS)

lint: $(STAMPS)/dev ## ruff and mypy
	@$(BIN)/ruff check .
	@$(BIN)/mypy

format: $(STAMPS)/dev ## ruff puts the sources into shape
	@$(BIN)/ruff check --fix --quiet . ; $(BIN)/ruff format .

docs: $(STAMPS)/docs ## the documentation, strictly, into site/
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

bench: $(STAMPS)/bench ## compare with the peers, in encoder passes; BENCH="--sae DIR --activations FILE" adds a real dictionary
	@$(BIN)/sparsegap bench $(BENCH)

# Before the tests too: two processes that compile one kernel at once may get code that differs in the last bit of its sums.
$(STAMPS)/kernels: $(STAMPS)/sparsegap $(wildcard src/sparsegap/kernels/*.py)
	@echo "compiling the kernels (once)"
	@$(BIN)/python -m sparsegap.warm_up
	@touch $@

clean: ## remove the environment and everything built
	@rm -rf $(VENV) site build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis

$(STAMPS)/torch:
	@test -n "$(PYTHON)" || { echo "error: Python 3.11 or newer is needed; name one: make PYTHON=/path/to/python" >&2; exit 1; }
	@echo "making $(VENV) and installing $(firstword $(TORCH)) (once)"
	@$(PYTHON) -m venv $(VENV)
	@$(PIP) install $(TORCH)
	@mkdir -p $(STAMPS) && touch $@

$(STAMPS)/sparsegap: $(STAMPS)/torch pyproject.toml
	@echo "installing sparsegap (once)"
	@$(PIP) install --editable .
	@touch $@

# One stamp an extra. The install is editable: new code needs no new install, a changed pyproject.toml does.
$(STAMPS)/%: $(STAMPS)/torch pyproject.toml
	@echo "installing sparsegap[$*] (once)"
	@$(PIP) install --editable ".[$*]"
	@touch $@
