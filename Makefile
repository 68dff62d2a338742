# The two commands of the README are `make demo` and `make test`; the others build on the same environment.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes

.PHONY: demo serve test test-full load chaos lint docs lock clean audit sbom mutations fuzz bench scale latency

demo: $(VENV)/base.stamp  ## Start a back-end on synthetic data, use it as a client does, leave pictures in demo-output/
	$(BIN)/python process_graphs/demo.py

serve: $(VENV)/base.stamp  ## Serve the demo archive until Ctrl+C
	$(BIN)/openeo-backend serve --demo

# Many tests wait for servers: more processes than cores finish sooner. Tests of one file share its servers.
SHARES ?= -n 3 --dist loadfile

test: $(VENV)/dev.stamp $(VENV)/oidc.stamp lint  ## Everything that must hold before a change lands
	$(BIN)/python -m pytest -m "not full" -q $(SHARES)

test-full: $(VENV)/dev.stamp $(VENV)/oidc.stamp lint  ## Also the long checks
	$(BIN)/python -m pytest -q $(SHARES)

load: $(VENV)/base.stamp  ## Measure a back-end under load (some minutes); docs/load.md records a run
	$(BIN)/python tests/load/measure.py

MINUTES ?= 20
SEED ?= 7
chaos: $(VENV)/dev.stamp  ## Have each part of a back-end fail in turn under load (MINUTES=20, SEED=7); renews docs/chaos.md
	$(BIN)/python tests/chaos/chaos.py --minutes $(MINUTES) --seed $(SEED) --output docs/chaos.md

lint: $(VENV)/dev.stamp
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

$(VENV)/bin/python:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed")'
	$(PYTHON) -m venv $(VENV)

$(VENV)/base.stamp: $(VENV)/bin/python requirements/base.txt requirements/build.txt pyproject.toml
	@echo "Installing the locked packages into $(VENV) (a few minutes the first time) ..."
	$(PIP) -r requirements/build.txt
	$(PIP) -r requirements/base.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

$(VENV)/dev.stamp: $(VENV)/base.stamp requirements/dev.txt requirements/suite.txt
	$(PIP) -r requirements/dev.txt
	$(PIP) --no-deps -r requirements/suite.txt
	@touch $@

# A real OpenID Connect provider for tests, run by the node of the development packages. Without it they are skipped.
$(VENV)/oidc.stamp: $(VENV)/dev.stamp tests/oidc/package.json tests/oidc/package-lock.json
	@mkdir -p $(VENV)/oidc && cp tests/oidc/package.json tests/oidc/package-lock.json $(VENV)/oidc/
	@if cd $(VENV)/oidc && ../bin/npm ci --ignore-scripts --no-audit --no-fund --loglevel=error >npm.log 2>&1; \
	then touch ../oidc.stamp; \
	else cat npm.log; echo "npm cannot install the provider, so the tests in tests/oidc are skipped."; fi

audit: $(VENV)/dev.stamp  ## Look up known vulnerabilities of the locked packages (needs PyPI); licences and hashes
	$(BIN)/python -m pytest -q tests/security/test_supply_chain.py -k "licences or hashes"
	$(BIN)/python tests/security/audit.py

sbom: $(VENV)/dev.stamp  ## Write the list of components of what is served (CycloneDX) into build/sbom.json
	mkdir -p build
	$(BIN)/cyclonedx-py requirements --of JSON -o build/sbom.json requirements/base.txt

mutations: $(VENV)/dev.stamp  ## Take away each defence against a threat in turn, and see its test fail (long)
	$(BIN)/python tests/security/mutations.py

fuzz: $(VENV)/dev.stamp  ## Random requests, graphs and input for parsers, for OPENEO_FUZZ_SECONDS (60) each; see docs/fuzzing.md
	OPENEO_FUZZ_SECONDS=$${OPENEO_FUZZ_SECONDS:-60} $(BIN)/python -m pytest -q --timeout=0 tests/fuzz

docs: $(VENV)/base.stamp  ## Renew the pages that follow from the code
	$(BIN)/python docs/generate.py

bench: $(VENV)/dev.stamp  ## Compare with the floor and with peers (an hour); ARGS="--size 1024 --rounds 1" for less
	$(BIN)/python tests/bench/bench.py $(ARGS)

scale: $(VENV)/dev.stamp  ## Each process on 100 x 100 km at 10 m within 4 GB, how time grows, one core and two (90 minutes, 10 GB); renews docs/scale.md
	$(BIN)/python tests/scale/cores.py
	$(BIN)/python tests/scale/scale.py $(ARGS)

latency: $(VENV)/dev.stamp  ## Read a season from a server 50 ms away, beside an odc-stac script; renews docs/remote-data.md
	$(BIN)/python tests/bench/latency.py --page $(ARGS)

LOCK := uv pip compile -q --generate-hashes --no-header --no-annotate --python-version 3.11

lock:  ## Renew the locks (needs uv); both hold the same versions
	$(LOCK) --upgrade --extra dev -o requirements/dev.txt pyproject.toml
	$(LOCK) --upgrade -c requirements/dev.txt -o requirements/base.txt pyproject.toml
	$(LOCK) --upgrade --no-deps -o requirements/suite.txt requirements/suite.in
	echo setuptools | $(LOCK) --upgrade -o requirements/build.txt -

clean:
	rm -rf $(VENV) build dist demo-output *.egg-info
