PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: demo test check bench clean

demo: $(VENV)/installed  ## installs, serves an example, submits over HTTP and by dropping a file
	$(BIN)/python contrib/examples/demo.py

test: $(VENV)/installed  ## installs, runs the whole suite
	$(BIN)/python -m pytest $(ARGS)

check: $(VENV)/installed  ## lint and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: $(VENV)/installed  ## measures, prints ratios
	$(BIN)/python -m tests.bench $(ARGS)

clean:
	rm -rf $(VENV)

# pip reads dependency groups from version 25.1 on, hence its upgrade.
$(VENV)/installed: pyproject.toml
	test -d $(VENV) || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade "pip>=25.1"
	$(BIN)/python -m pip install --quiet --editable . --group test --group check
	touch $@
