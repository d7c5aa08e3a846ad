# `make` lists what there is. Everything happens in .venv, which `make install` makes.

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
DEMO   ?= demo

.DEFAULT_GOAL := help
.PHONY: help install format lint types imports test test-fast test-gpu test-all golden cov check ci demo build clean

help: ## List the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

install: $(VENV)/.installed ## Make .venv and install s2s with all it needs to develop

$(VENV)/.installed: pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@# A released CPU build of torch is found first where there is one.
	$(BIN)/python -m pip install --quiet 'torch==2.13.0'
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

imports: install ## Check that imports point down only
	$(BIN)/lint-imports

test-fast: install ## Run the tests that take seconds
	$(BIN)/pytest -q -n auto -m 'not slow and not learning'

test: install ## Run the tests (minutes)
	$(BIN)/pytest -n auto -m 'not learning'

test-gpu: install ## Run the tests that need a GPU
	$(BIN)/pytest -m gpu

test-all: install ## Run all tests, the ones that learn for long too
	$(BIN)/pytest

golden: install ## Write the golden files and the table of options anew: read the diff
	REWRITE_GOLDEN=1 $(BIN)/pytest -q tests/cli/test_golden.py tests/cli/test_commands_page.py

cov: install ## Run the tests and report the lines they do not reach
	$(BIN)/coverage erase
	$(BIN)/coverage run -m pytest -q -m 'not learning'
	$(BIN)/coverage combine --quiet
	$(BIN)/coverage report

check: lint types imports test-fast ## All that should pass before a commit

ci: lint types imports test ## What the continuous integration runs

demo: install ## Train an English-French number translator and try it (minutes)
	@test -e $(DEMO)/s2s.toml || $(BIN)/s2s init --recipe numbers $(DEMO)
	$(BIN)/s2s run -d $(DEMO)
	@echo
	@echo 'Numbers it has never seen, with their translations:'
	@head -n 8 $(DEMO)/data/test.en > $(DEMO)/sample.en
	@$(BIN)/s2s translate -q -d $(DEMO) < $(DEMO)/sample.en | paste -d '|' $(DEMO)/sample.en - | sed 's/|/  ->  /'
	@echo
	@$(BIN)/s2s score -q -d $(DEMO)

build: install ## Build the wheel and the source distribution
	$(BIN)/python -m build

clean: ## Remove what the other targets made, but not .venv and the demo
	rm -rf build dist htmlcov .coverage .coverage.* .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache *.egg-info
	find s2scli pipelines tests -name __pycache__ -type d -prune -exec rm -rf {} +
