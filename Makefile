# Each target sets up what it needs by itself: the virtual environment, the packages, and for `test` the Debian servers.

VENV    := .venv
BIN     := $(VENV)/bin
STAMP   := $(VENV)/.installed
PYTHON  ?= $(firstword $(foreach name,python3 python3.13 python3.12 python3.11,$(shell $(name) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $(name))))
# bench: which systems, and options of bench/run.sh
SYSTEMS ?= floor-b node-red python-typical gateway
ARGS    ?= --profile short --repeats 3

.PHONY: help demo test lint bench campaign lock clean

help:
	@echo 'make demo [SECONDS=60]  the whole product on this machine: broker, gateway, simulators; without SECONDS until Ctrl-C'
	@echo 'make test               every test but the long ones'
	@echo 'make lint               ruff, mypy --strict, import contracts'
	@echo 'make bench              side by side with the floor and the peers (SYSTEMS="…" ARGS="--profile short --repeats 3")'
	@echo 'make campaign           the long kills, fuzzing and load'
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

demo: $(STAMP)
	@$(BIN)/gateway demo $(if $(SECONDS),--seconds $(SECONDS))

test: $(STAMP)
	@tools/servers
	@$(BIN)/pytest $(PYTEST)

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(STAMP)
	bench/run.sh $(ARGS) $(SYSTEMS)

campaign: $(STAMP)
	@tools/servers
	@$(BIN)/pytest -m campaign $(PYTEST)

lock:
	tools/lock

clean:
	rm -rf $(VENV) .venv-lock build *.egg-info .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
