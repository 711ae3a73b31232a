# Each target sets up what it needs by itself: the virtual environment, the packages, and for `test` the Debian servers.

VENV    := .venv
BIN     := $(VENV)/bin
STAMP   := $(VENV)/.installed
ROADS   := $(VENV)/.roads
PYTHON  ?= $(firstword $(foreach name,python3 python3.13 python3.12 python3.11,$(shell $(name) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $(name))))
# test: how many files at once; they mostly wait for real servers, so one more than there are cores
WORKERS ?= $(shell expr $$(nproc) + 1)
# test: a failure is told and its test tried once more, five times in a run (docs/decisions/0033)
AGAIN   ?= --reruns 1 --max-suite-reruns 5 -r fER
# bench: which systems, and options of bench/run.sh
SYSTEMS ?= floor-b node-red python-typical gateway
ARGS    ?= --profile short --repeats 3

.PHONY: help demo test lint screenshots bench campaign package sbom audit lock clean

help:
	@echo 'make demo [SECONDS=60]  the whole product on this machine: broker, gateway, simulators; without SECONDS until Ctrl-C'
	@echo 'make demo SCENARIO=NAME  one scenario alone, in real time: names by .venv/bin/simulate --list'
	@echo 'make test               every test but the long ones'
	@echo 'make lint               ruff, mypy --strict, import contracts'
	@echo 'make screenshots [OUT=build/console]  every screen of the console, both languages, two sizes, light and dark; says what is cut off'
	@echo 'make bench              side by side with the floor and the peers (SYSTEMS="…" ARGS="--profile short --repeats 3")'
	@echo 'make campaign           the long kills, fuzzing and load'
	@echo 'make package            build/gateway-12349_VERSION_ARCHITECTURE.deb for this Debian; apt install ./… needs no package index'
	@echo 'make sbom               build/sbom.cdx.json: what the gateway is made of (CycloneDX), with licences and hashes'
	@echo 'make audit [ADVISORIES=DIR]  is something known against a pinned package? DIR: advisories in OSV form, without a network'
	@echo 'make lock               write constraints.txt anew'
	@echo 'make clean              remove what the targets made'

# pip takes no editable install among hashed ones: first everything pinned and hashed, then ourselves without dependencies.
$(STAMP): constraints.txt pyproject.toml
	@[ -n "$(PYTHON)" ] || { echo 'Python 3.11 or newer is needed: install it, or name it with make PYTHON=/path/to/python3.11' >&2; exit 1; }
	@[ -x $(BIN)/python ] || $(PYTHON) -m venv $(VENV) || \
	  { rm -rf $(VENV); echo 'python3 -m venv failed; on Debian: apt-get install python3-venv' >&2; exit 1; }
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r constraints.txt
	PYTHONWARNINGS=ignore $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

# What builds and reads the roads of a map: half a gigabyte that only the tests need.
$(ROADS): $(STAMP) constraints-roads.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r constraints-roads.txt
	@touch $@

demo: $(STAMP)
	@$(BIN)/gateway demo $(if $(SECONDS),--seconds $(SECONDS)) $(if $(SCENARIO),--scenario $(SCENARIO))

test: $(ROADS)
	@tools/servers
	@$(BIN)/pytest -n $(WORKERS) --dist loadfile --max-worker-restart=0 $(AGAIN) $(PYTEST)

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

screenshots: $(STAMP)
	@tools/servers
	@$(BIN)/python -m tests.console.screenshots $(if $(OUT),--out $(OUT))

bench: $(STAMP)
	bench/run.sh $(ARGS) $(SYSTEMS)
	$(BIN)/python bench/codec_cost.py
	$(BIN)/python bench/heartbeats.py
	$(BIN)/python bench/routing.py
	$(BIN)/python bench/roads.py
	$(BIN)/python bench/console.py

campaign: $(ROADS)
	@tools/servers
	@$(BIN)/pytest -m campaign --timeout=0 $(PYTEST)

package: $(STAMP)
	@tools/package build

sbom: $(STAMP)
	@$(BIN)/python tools/sbom

audit: $(STAMP)
	@$(BIN)/python tools/audit $(if $(ADVISORIES),--advisories $(ADVISORIES))

lock:
	tools/lock

clean:
	rm -rf $(VENV) .venv-lock build *.egg-info .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
