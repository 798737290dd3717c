# Two commands: `make demo` and `make test`. Both set up what they need in .venv; no root.
PYTHON ?= python3
VENV ?= .venv
WHAT ?= ecg
BIN := $(VENV)/bin

.PHONY: demo test check legacy openvino clean

demo: $(VENV)/all.stamp
	$(BIN)/edge-run demo $(WHAT)

test: check
	$(BIN)/python -m pytest

check: $(VENV)/dev.stamp
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# The backends on runtimes that cannot share an environment with the default ones.
legacy openvino:
	PYTHON=$(PYTHON) tests/runtimes.sh $@ .venv-$@

$(VENV)/%.stamp: setup.cfg pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip setuptools
	$(BIN)/python -m pip install --quiet --editable '.[$*]'
	touch $@

clean:
	rm -rf .venv .venv-* build dist *.egg-info
