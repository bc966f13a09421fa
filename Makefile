PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.DEFAULT_GOAL := help
.PHONY: help demo test quick check fix schemas bench clean

help:  ## prints this list
	@awk -F ':.*## *' '/^[a-z]+:.*## / { printf "make %-7s  %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: $(VENV)/installed  ## installs, serves an example, submits over HTTP and by dropping a file
	$(BIN)/python contrib/examples/demo.py

test: $(VENV)/installed  ## installs, runs the whole suite; ARGS="tests/unit/spool -x" goes to pytest
	$(BIN)/python -m pytest $(ARGS)

quick: $(VENV)/installed  ## runs the unit tests, in less than a minute; ARGS="-k claim" goes to pytest
	$(BIN)/python -m pytest tests/unit $(ARGS)

check: $(VENV)/installed  ## lint and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

fix: $(VENV)/installed  ## mends what ruff can mend, and formats; `make check` says what is left
	$(BIN)/ruff check --fix --exit-zero .
	$(BIN)/ruff format .

schemas: $(VENV)/installed  ## writes the JSON Schemas in spool/ from the code; a test compares them
	$(BIN)/python -m treadle_spool.schemas spool

bench: $(VENV)/installed  ## measures, prints ratios; ARGS="--cases peers" chooses
	$(BIN)/python -m tests.bench $(ARGS)

clean:  ## removes .venv
	rm -rf $(VENV)

# pip reads dependency groups from version 25.1 on, hence its upgrade.
$(VENV)/installed: pyproject.toml
	test -d $(VENV) || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade "pip>=25.1"
	$(BIN)/python -m pip install --quiet --editable . --group test --group check
	touch $@
