# `make demo` and `make test` set themselves up; nothing else is needed than Python 3.11 or 3.12.
PYTHON ?= $(firstword $(foreach python,python3.11 python3.12 python3,$(shell command -v $(python))))
VENV := .venv
BIN := $(VENV)/bin

# What tests and benchmarks need beyond this project's Python, outside of the repository.
CACHE := $(or $(EMBED_IMAGES_CACHE_DIR),$(HOME)/.cache/embed-images)
TOOLS := $(CACHE)/tools
PEERS := $(CACHE)/benchmarks/peers
FAKE_GCS_VERSION := v1.56.1
FAKE_GCS := $(TOOLS)/fake-gcs-server-$(FAKE_GCS_VERSION)/fake-gcs-server
AZURITE_VERSION := 3.35.0
AXE_VERSION := 4.14.1
AXE := $(TOOLS)/axe-core-$(AXE_VERSION)/node_modules/axe-core/axe.min.js
CHROMIUM ?= $(shell command -v chromium)
AZURITE := $(TOOLS)/azurite-$(AZURITE_VERSION)/node_modules/.bin/azurite-blob
BEAM_VERSION := $(shell sed -n 's/^apache-beam.*==\([0-9.]*\).*/\1/p' requirements.txt)
SCHEDULERS := $(TOOLS)/schedulers
PRISM := $(TOOLS)/prism-v$(BEAM_VERSION)/prism
FLINK_OPERATOR_VERSION := 1.10.0
FLINK_OPERATOR_SHA256 := b1f44814e17514fa8395c61b329a3ee9087123a5bda5b21fe1a495d5182c30b6
FLINK_OPERATOR := $(TOOLS)/flink-kubernetes-operator-api-$(FLINK_OPERATOR_VERSION).jar
BOOT := $(TOOLS)/boot-v$(BEAM_VERSION)/container
# A worker pool of Beam's takes this one only; Prism takes any that is free, and that one too, unless it is reserved.
POOL_PORT := 50000
FLINK := $(TOOLS)/flink-1.20.3
FLINK_CLUSTER := $(BIN)/python -m tests.integration.runners.flink_command
FLINK_FOLDER := $(CACHE)/flink

.PHONY: help setup demo test test-whole test-fuzz test-stores test-kills test-corpora test-exports test-browser test-schedulers \
	test-dockerfile test-prism test-jobs \
	test-flink flink-up flink-run flink-down prism prism-location boot boot-location docs docs-serve bench bench-quick bench-stages \
	bench-fidelity bench-scaling bench-fetch bench-listing bench-exports bench-containers bench-search bench-cores bench-plan \
	template-metadata formats lint types check lock clean

help:  ## what can be made
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/'

setup: $(VENV)/installed  ## .venv from the lock, with this project in it

$(VENV)/installed: requirements.txt setup.py
	$(PYTHON) -m venv $(VENV)
	@echo "installing what requirements.txt locks, TensorFlow and Beam among it: some minutes without a word"
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r requirements.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

demo: setup  ## makes a corpus of real photos, embeds it, says what came out and where
	$(BIN)/embed-images demo --output demo-output

test: setup  ## every test that needs no cluster and little time, two at a time
	$(BIN)/python -m pytest -n 2 --dist loadfile

test-fuzz: setup  ## mutations of images through the decoder, most of a minute
	$(BIN)/python -m tests.transforms.images.fuzzing --seconds 45

test-whole: setup  ## long runs of the whole pipeline: every format, trained weights, memory, random nights
	$(BIN)/python -m pytest -m whole -n 2 --dist loadfile

test-stores: setup $(FAKE_GCS) $(AZURITE)  ## runs over object stores, some of whose servers are built: needs Go and npm
	FAKE_GCS_SERVER=$(FAKE_GCS) AZURITE=$(AZURITE) $(BIN)/python -m pytest -m stores -n 2 --dist loadfile

test-kills: setup  ## runs that are killed at random moments, for some minutes
	$(BIN)/python -m pytest -m kills

test-corpora: setup $(PRISM)  ## whole runs over tars, TFRecords, Parquet and zips, night after night, in stores and on Prism
	PRISM=$(PRISM) $(BIN)/python -m pytest -m corpora -n 2 --dist loadfile

test-exports: setup $(PRISM)  ## exports, read by DuckDB, LanceDB, FAISS, TensorBoard and others, and killed
	PRISM=$(PRISM) $(BIN)/python -m pytest -m exports -n 2 --dist loadfile

test-browser: setup $(AXE)  ## pages of reports and searches in Chromium (Debian's package): needs npm
	CHROMIUM=$(CHROMIUM) AXE=$(AXE) $(BIN)/python -m pytest -m browser tests/browser

test-schedulers: $(SCHEDULERS)/installed $(FLINK_OPERATOR)  ## schedulers/ and flink/ as Airflow and Kubernetes read them
	AIRFLOW_HOME=$(SCHEDULERS)/home $(SCHEDULERS)/bin/python tests/run_configs/check_schedulers.py
	$(SCHEDULERS)/bin/python tests/run_configs/check_kubernetes.py $(FLINK_OPERATOR)

test-dockerfile: setup $(PRISM) $(BOOT)  ## each line of the Dockerfile, and what starts in its image: needs root
	image=$$(mktemp -d) && trap "rm -rf $$image" EXIT && \
		$(BIN)/python -m tests.run_configs.image_folder --boot $(BOOT) $$image && \
		PRISM=$(PRISM) IMAGE=$$image unshare --net sh -c "ip link set lo up && \
		echo $(POOL_PORT) >/proc/sys/net/ipv4/ip_local_reserved_ports && $(BIN)/python -m pytest -m image"

test-prism: setup $(PRISM) $(BOOT)  ## the pipeline on Beam's Prism runner, workers in processes of their own: needs Go
	PRISM=$(PRISM) BOOT=$(BOOT) $(BIN)/python -m pytest -m prism

test-jobs: setup $(PRISM)  ## launchers beside jobs that outlive them, on Beam's job server of Python and on Prism
	PRISM=$(PRISM) $(BIN)/python -m pytest -m jobs

test-flink: setup $(FLINK)/installed  ## the pipeline on a Flink cluster on loopback: needs Java 17; docs/operations.md
	jar=$$($(FLINK_CLUSTER) jar) || true; FLINK=$(FLINK) FLINK_JOB_SERVER_JAR="$$jar" $(BIN)/python -m pytest -m flink

flink-up: setup $(FLINK)/installed  ## starts one, with Beam's job server: fetched, or what FLINK_JOB_SERVER_JAR names
	$(FLINK_CLUSTER) up $(FLINK_FOLDER) --flink $(FLINK)

FLINK_ARGS ?= --model builtin:mobilenet_v2_130_224 --input demo-output/images --output flink-output
flink-run: setup  ## `embed-images run` on it, with FLINK_ARGS
	$(BIN)/embed-images run --config run_configs/flink.yaml --job_endpoint localhost:8099 $(FLINK_ARGS)

flink-down:  ## ends it
	$(FLINK_CLUSTER) down $(FLINK_FOLDER)

prism: $(PRISM)  ## builds Beam's Prism runner, of the locked version of Beam

prism-location:
	@echo $(PRISM)

boot: $(BOOT)  ## builds the program that starts a worker in Beam's Python containers, likewise

boot-location:
	@echo $(BOOT)

docs: setup  ## the documentation as a site, in site/; any warning fails
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

docs-serve: setup  ## shows it, and every change of it
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs serve

bench: setup $(PEERS)/installed  ## throughput beside other systems, three rounds: most of an hour; needs Java 17
	$(BIN)/python benchmarks/roofline.py
	$(BIN)/python benchmarks/throughput.py

bench-quick: setup $(PEERS)/installed  ## the same with a tenth of the images, one round
	$(BIN)/python benchmarks/throughput.py --quick

bench-stages: setup  ## where the core-milliseconds of one image go
	$(BIN)/python benchmarks/stages.py

bench-fidelity: setup  ## what bf16 and int8 lose with trained weights, by the layers left in f32
	$(BIN)/python benchmarks/fidelity.py

bench-scaling: setup  ## listing, ledger and publishing without a model, 1,000 to 100,000 images in four forms
	$(BIN)/python -m benchmarks.scaling

bench-fetch: setup $(FAKE_GCS)  ## fetching beside Beam's own ways, and containers beside loose files, at 20 ms latency
	FAKE_GCS_SERVER=$(FAKE_GCS) $(BIN)/python -m benchmarks.fetch
	FAKE_GCS_SERVER=$(FAKE_GCS) $(BIN)/python -m benchmarks.members

bench-listing: setup  ## listing 200,000 objects of one prefix, beside page by page, at 50 ms a page
	$(BIN)/python -m benchmarks.listing

bench-exports: setup  ## exporting 100,000 vectors, beside reading the same bytes with pyarrow
	$(BIN)/python -m benchmarks.exports

bench-containers: setup $(FAKE_GCS)  ## the members of a tar: header to header, beside streaming it, at 20 ms latency
	FAKE_GCS_SERVER=$(FAKE_GCS) $(BIN)/python -m benchmarks.containers

bench-search: setup  ## searching exports of 50,000 vectors, beside NumPy and pyarrow reading the same bytes
	$(BIN)/python -m benchmarks.search

bench-cores: setup  ## images/s of one process by cores, until its interpreter lock is busy; cores are sleeping threads
	$(BIN)/python -m benchmarks.cores

bench-plan: setup  ## what a plan says that a run takes, beside what it takes
	$(BIN)/python -m benchmarks.plan

template-metadata: setup  ## the Flex Template's metadata.json, from the options of a run
	$(BIN)/python -m pipeline.options.flex_template > run_configs/dataflow/metadata.json

formats: setup  ## the table of formats in docs/output-format.md, from the tests of the decoder
	$(BIN)/python -m tests.transforms.images.truth.table

$(FAKE_GCS):  # built from the Go module proxy, which checks it against Go's checksum database
	GOBIN=$(dir $@) go install github.com/fsouza/fake-gcs-server@$(FAKE_GCS_VERSION)

$(PRISM):  # likewise; Beam's own download of it would not be checked
	GOFLAGS=-mod=mod GOBIN=$(dir $@) go install github.com/apache/beam/sdks/v2/go/cmd/prism@v$(BEAM_VERSION)

$(BOOT):  # likewise
	GOFLAGS=-mod=mod GOBIN=$(dir $@) go install github.com/apache/beam/sdks/v2/python/container@v$(BEAM_VERSION)

$(FLINK_OPERATOR):  # for the definition of its resources in it; its digest is checked before it is believed
	rm -rf $@.part
	mvn --quiet --batch-mode dependency:copy -DoutputDirectory=$@.part \
		-Dartifact=org.apache.flink:flink-kubernetes-operator-api:$(FLINK_OPERATOR_VERSION)
	cd $@.part && echo "$(FLINK_OPERATOR_SHA256)  $(notdir $@)" | sha256sum --check --quiet
	mv $@.part/$(notdir $@) $@ && rmdir $@.part

# Of the package, which is an archive of Flink's distribution, only the jars of a cluster.
$(FLINK)/installed: tests/integration/runners/flink-requirements.txt
	@mkdir -p $(FLINK)
	$(BIN)/python -m pip download --quiet --disable-pip-version-check --no-deps --no-build-isolation \
		--no-binary :all: --require-hashes --requirement $< --dest $(FLINK)
	tar -xzf $(FLINK)/apache-flink-libraries-*.tar.gz -C $(FLINK) --strip-components 3 --wildcards \
		'*/deps/lib/flink-dist-*.jar' '*/deps/lib/log4j-*.jar'
	@rm $(FLINK)/apache-flink-libraries-*.tar.gz
	@touch $@

$(AZURITE):
	npm install --silent --no-audit --no-fund --no-save --prefix $(TOOLS)/azurite-$(AZURITE_VERSION) azurite@$(AZURITE_VERSION)

$(AXE):
	npm install --silent --no-audit --no-fund --no-save --prefix $(TOOLS)/axe-core-$(AXE_VERSION) axe-core@$(AXE_VERSION)

$(SCHEDULERS)/installed: tests/run_configs/schedulers-requirements.txt
	$(PYTHON) -m venv $(SCHEDULERS)
	$(SCHEDULERS)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r $<
	@touch $@

$(PEERS)/installed: benchmarks/peers-requirements.txt
	$(PYTHON) -m venv $(PEERS)
	$(PEERS)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r $<
	@touch $@

lint: setup  ## ruff: rules and format; the order of the chapters
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports

types: setup  ## mypy, strict
	$(BIN)/mypy

check: lint types test  ## what .ci/run checks

lock: setup  ## resolves setup.py, the benchmark's peers, and the schedulers' checks anew
	$(BIN)/uv pip compile --quiet setup.py --universal --python-version 3.11 --extra demo --extra dev \
		--generate-hashes --no-header --upgrade --output-file requirements.txt
	$(BIN)/uv pip compile --quiet setup.py --python-version 3.11 --python-platform x86_64-manylinux_2_28 \
		--extra openvino --extra heif --extra jxl --extra simd --constraint requirements.txt --generate-hashes --no-header \
		--output-file run_configs/dataflow/requirements.txt
	$(BIN)/uv pip compile --quiet setup.py --python-version 3.11 --python-platform x86_64-manylinux_2_28 \
		--extra cuda --extra heif --extra jxl --extra simd --constraint requirements.txt --generate-hashes --no-header \
		--output-file run_configs/dataflow/requirements-gpu.txt
	$(BIN)/uv pip compile --quiet benchmarks/peers-requirements.in --universal --python-version 3.11 \
		--generate-hashes --no-header --upgrade --output-file benchmarks/peers-requirements.txt
	$(BIN)/uv pip compile --quiet tests/run_configs/schedulers-requirements.in --python-version 3.11 \
		--generate-hashes --no-header --upgrade --output-file tests/run_configs/schedulers-requirements.txt

clean:  ## removes what these targets made
	rm -rf $(VENV) demo-output flink-output build *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
