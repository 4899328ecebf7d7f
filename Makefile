# Two commands do everything on a fresh machine: `make bench` and `make test`.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: help bench test setup readme notebooks docs clean

help: ## list what can be made
	@sed -n 's/^\([a-z]*\):[^#]*## /\1 /p' Makefile | while read -r target text; do \
		printf 'make %-10s %s\n' "$$target" "$$text"; done

bench: .venv/lightfer ## measure every shipped model on this machine, write out/results.json
	$(BIN)/lightfer bench --out out/results.json

test: setup ## lint, types, tests
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/pyright --project pyproject.toml
	$(BIN)/pytest -n 2

setup: .venv/installed ## install this package and all that developing it needs into .venv

.venv/lightfer: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable .
	touch $@

.venv/installed: .venv/lightfer
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[dev]"
	touch $@

readme: setup ## write the table and the figure of results.json into the README
	$(BIN)/lightfer table results.json --into README.md --figure docs/figures/trade-off.png

notebooks: setup ## run the notebooks on the data that LIGHTFER_DATA names, keep their outputs
	$(BIN)/python -m notebooks.execute

docs: setup ## build the documentation into out/site, warnings are errors
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

clean: ## remove .venv and all that was built; what was measured stays in out
	rm -rf .venv out/site build dist src/*.egg-info
	find src \( -name '*.so' -o -name '*.pyd' \) -delete
