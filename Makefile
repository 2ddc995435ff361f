# One command each, from a fresh clone: Python 3.11 or newer, git and make are all that must be there.
PYTHON ?= python3

VENV      := .venv
BIN       := $(VENV)/bin
INSTALLED := $(VENV)/.installed
SAMPLES   := $(VENV)/.samples
PEER      := build/peer

.PHONY: help install demo test test-slow bench lint types clean

help:
	@echo "make demo       install, then run the quickstart study on sample images"
	@echo "make test       install, then run the fast tests"
	@echo "make test-slow  the slow tests and those that start several Ray nodes or a database"
	@echo "make bench      speed and memory beside careamics, as a table of ratios: about 11 minutes"
	@echo "make lint       ruff: rules and format"
	@echo "make types      mypy"
	@echo "make clean      remove the environment and the tools' caches (no results)"
	@echo "PYTHON=python3.12 names another Python than python3."

install: $(INSTALLED)

demo: $(INSTALLED) $(SAMPLES)
	$(BIN)/usplit run search_spaces/quickstart.py

test: $(INSTALLED)
	@$(BIN)/python -m pytest -n auto --maxprocesses 4

# Exit code 5 says that no test carries these marks: nothing failed.
test-slow: $(INSTALLED)
	@$(BIN)/python -m pytest -m "(slow or multinode or postgres) and not gpu" || [ $$? -eq 5 ]

# The peer lies in a folder of its own, without its dependencies: some of them would replace ours.
bench: $(INSTALLED)
	@[ -d $(PEER)/careamics ] || $(BIN)/pip install --quiet --disable-pip-version-check --no-deps --target $(PEER) careamics==0.3.5
	$(BIN)/python -m benchmarks.bench --peer $(PEER)

lint: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(INSTALLED)
	$(BIN)/mypy

clean:
	rm -rf $(VENV) build *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis

# The stamps are written last, so that an interrupted installation is taken up again by the next call.
$(INSTALLED): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "Python 3.11 or newer is needed, and '$(PYTHON)' is not: $$($(PYTHON) --version 2>&1)." >&2; \
		echo "Name another one: make PYTHON=python3.12 $(MAKECMDGOALS)" >&2; exit 1; }
	@[ -x $(BIN)/pip ] || $(PYTHON) -m venv $(VENV) || { \
		echo "'$(PYTHON) -m venv' failed; on Debian and Ubuntu, install the package python3-venv." >&2; exit 1; }
	@echo "Installing into $(VENV): some minutes and gigabytes, once."
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[test]'
	@touch $@

# --no-deps: of this package only the images are used; its dependencies serve a viewer plugin.
$(SAMPLES): $(INSTALLED)
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps -c constraints.txt ndev-sampledata
	@touch $@
