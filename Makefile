# `make demo` and `make test` set themselves up; nothing else is needed than Python 3.11 or 3.12.
PYTHON ?= $(firstword $(foreach python,python3.11 python3.12 python3,$(shell command -v $(python))))
VENV := .venv
BIN := $(VENV)/bin

# Tools that tests need beyond Python, outside of the repository; EMBED_IMAGES_CACHE_DIR moves it.
TOOLS := $(or $(EMBED_IMAGES_CACHE_DIR),$(HOME)/.cache/embed-images)/tools
FAKE_GCS_VERSION := v1.56.1
FAKE_GCS := $(TOOLS)/fake-gcs-server-$(FAKE_GCS_VERSION)/fake-gcs-server
AZURITE_VERSION := 3.35.0
AZURITE := $(TOOLS)/azurite-$(AZURITE_VERSION)/node_modules/.bin/azurite-blob

.PHONY: help setup demo test test-stores bench-fetch lint types check lock clean

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

test-stores: setup $(FAKE_GCS) $(AZURITE)  ## tests of stores whose servers are no Python packages: needs Go and npm
	FAKE_GCS_SERVER=$(FAKE_GCS) AZURITE=$(AZURITE) $(BIN)/python -m pytest -m stores

bench-fetch: setup $(FAKE_GCS)  ## fetching beside Beam's own ways, at 20 ms latency
	FAKE_GCS_SERVER=$(FAKE_GCS) $(BIN)/python benchmarks/fetch.py

$(FAKE_GCS):  # built from the Go module proxy, which checks it against Go's checksum database
	GOBIN=$(dir $@) go install github.com/fsouza/fake-gcs-server@$(FAKE_GCS_VERSION)

$(AZURITE):
	npm install --silent --no-audit --no-fund --no-save --prefix $(TOOLS)/azurite-$(AZURITE_VERSION) azurite@$(AZURITE_VERSION)

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
