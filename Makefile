# `make demo` and `make test` set themselves up; nothing else is needed than Python 3.11 or 3.12.
PYTHON ?= $(firstword $(foreach python,python3.11 python3.12 python3,$(shell command -v $(python))))
VENV := .venv
BIN := $(VENV)/bin

.PHONY: help setup demo test lint types check lock clean

help:  ## what can be made
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/'

setup: $(VENV)/installed  ## .venv from the lock, with this project in it

$(VENV)/installed: requirements.txt setup.py
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r requirements.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

demo: setup  ## makes a corpus of real photos, embeds it, says what came out and where
	$(BIN)/embed-images demo --output demo-output

test: setup  ## every test that needs no cluster
	$(BIN)/python -m pytest

lint: setup  ## ruff: rules and format
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: setup  ## mypy, strict
	$(BIN)/mypy

check: lint types test  ## what .ci/run checks

lock: setup  ## resolves setup.py anew into requirements.txt
	$(BIN)/uv pip compile --quiet setup.py --universal --python-version 3.11 --extra demo --extra dev \
		--generate-hashes --no-header --upgrade --output-file requirements.txt

clean:  ## removes what these targets made
	rm -rf $(VENV) demo-output build *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
