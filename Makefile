# `make` lists the targets. All of them work in .venv, which `make install` creates.

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
DEMO   ?= demo
TORCH  := torch==2.13.0

.DEFAULT_GOAL := help
.PHONY: help install format lint types imports test test-fast test-gpu test-all golden cov check ci demo build smoke clean

help: ## List the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

install: $(VENV)/.installed ## Create .venv and install s2s with its development tools

$(VENV)/.installed: pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@# torch by itself first: a CPU build in pip's sources wins, and later runs reuse it.
	$(BIN)/python -m pip install --quiet '$(TORCH)'
	$(BIN)/python -m pip install --quiet --editable '.[dev]'
	touch $@

format: install ## Format the code
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix-only .

lint: install ## Check style
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: install ## Check types
	$(BIN)/mypy

imports: install ## Check the layers of imports
	$(BIN)/lint-imports

test-fast: install ## Run the tests that take seconds
	$(BIN)/pytest -q -n auto -m 'not slow and not learning'

test: install ## Run all tests but those that train for minutes
	$(BIN)/pytest -n auto -m 'not learning'

test-gpu: install ## Run the tests that need a GPU
	$(BIN)/pytest -m gpu

test-all: install ## Run all tests, also those that train for minutes
	$(BIN)/pytest

golden: install ## Rewrite the golden files and the table of options; read the diff
	REWRITE_GOLDEN=1 $(BIN)/pytest -q tests/cli/test_golden.py tests/cli/test_commands_page.py

cov: install ## Run the tests and list the lines they do not reach
	$(BIN)/coverage erase
	$(BIN)/coverage run -m pytest -q -m 'not learning'
	$(BIN)/coverage combine --quiet
	$(BIN)/coverage report

check: lint types imports test-fast ## Run the checks that must pass before a commit

ci: lint types imports test smoke ## Run what continuous integration runs

demo: install ## Train an English-French number translator and try it (about 2 minutes)
	@test -e $(DEMO)/s2s.toml || $(BIN)/s2s init --recipe numbers $(DEMO)
	$(BIN)/s2s run -d $(DEMO)
	@echo
	@echo 'Numbers it has never seen, with their translations:'
	@head -n 8 $(DEMO)/data/test.en > $(DEMO)/sample.en
	@$(BIN)/s2s translate -q -d $(DEMO) < $(DEMO)/sample.en | paste -d '|' $(DEMO)/sample.en - | sed 's/|/  ->  /'
	@echo
	@$(BIN)/s2s score -q -d $(DEMO)

build: install ## Build the wheel and the source distribution into dist/
	rm -rf dist
	rm -rf dist
	$(BIN)/python -m build

smoke: build ## Install the wheel into a fresh environment and use it outside the checkout
	TORCH='$(TORCH)' .ci/smoke dist/*.whl

clean: ## Remove what the other targets made, except .venv and the demo
	rm -rf build dist htmlcov .coverage .coverage.* .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache *.egg-info
	find s2scli pipelines tests -name __pycache__ -type d -prune -exec rm -rf {} +
