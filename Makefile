# Every command does its own set-up in a virtual environment of the project (.venv) and can be repeated.
# PYTHON=python3.13 VENV=.venv-3.13 make test   runs it on another Python.
PYTHON ?= python3
VENV ?= .venv
BUILD ?= build/$(notdir $(VENV))
BIN = $(VENV)/bin
PIP = $(BIN)/python -m pip --disable-pip-version-check --quiet
SOURCES = $(shell find native src meson.build meson.options pyproject.toml -type f -not -name '*.pyc')

.DEFAULT_GOAL := help
.PHONY: help setup demo test crash bench lint types native docs examples clean

help:  ## Show this list
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

$(VENV)/.ready: pyproject.toml
	$(PYTHON) ci/check_python.py
	$(PYTHON) -m venv $(VENV)
	$(PIP) install 'pip>=25.1'
	$(PIP) install --group dev numpy msgspec
	touch $@

# The library as users get it …
$(BUILD)/installed: $(VENV)/.ready $(SOURCES)
	@echo "building weft ($(BUILD)) …"
	mkdir -p $(BUILD)
	PATH=$(abspath $(BIN)):$$PATH $(PIP) install --no-build-isolation --no-deps -Cbuild-dir=$(BUILD)/release .
	touch $@

# … and with the points at which tests kill processes.
$(BUILD)/faults/installed: $(VENV)/.ready $(SOURCES)
	@echo "building weft with fault points ($(BUILD)/faults) …"
	mkdir -p $(BUILD)/faults
	PATH=$(abspath $(BIN)):$$PATH $(PIP) install --no-build-isolation --no-deps --upgrade --target $(BUILD)/faults/site \
		-Cbuild-dir=$(BUILD)/faults/build -Csetup-args=-Dfault_points=true . 
	touch $@

setup: $(BUILD)/installed  ## Make the virtual environment and build the library into it

demo: $(BUILD)/installed  ## The main job on real input: count the standard library's tokens with workers that die
	$(BIN)/python examples/token_count/demo.py

test: $(BUILD)/installed $(BUILD)/faults/installed  ## The whole default test suite
	PYTHONPATH=$(abspath $(BUILD)/faults/site) WEFT_TEST_BUILD=1 $(BIN)/python ci/run_tests.py $(ARGS)

crash: $(BUILD)/faults/installed  ## The long form of the tests that kill processes, cancel tasks and overwrite memory
	PYTHONPATH=$(abspath $(BUILD)/faults/site) WEFT_TEST_BUILD=1 $(BIN)/python -m pytest -m "slow or not slow" \
		tests/crash tests/async_ tests/unit/test_queue_hostile.py tests/unit/test_signals_storms.py $(ARGS)

bench: $(BUILD)/installed  ## Measure weft and its peers in one run (ARGS="--quick", ARGS="--only single-64")
	$(PIP) install -r benchmarks/requirements.txt
	$(BIN)/python -m benchmarks $(ARGS)

lint: $(VENV)/.ready  ## Style and layers
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/python ci/layers.py

types: $(BUILD)/installed  ## Strict type check, and the native stubs against what was built
	$(BIN)/mypy
	$(BIN)/python ci/check_stubs.py

native: $(VENV)/.ready  ## The C++ tests under the address, undefined and thread sanitizers
	PATH=$(abspath $(BIN)):$$PATH bash ci/native_tests.sh $(BUILD)

docs: $(BUILD)/installed  ## Build the documentation; run the code in its pages, compare the layout it draws
	$(BIN)/python -m sphinx -W --keep-going -q -b html docs docs/_build/html
	$(BIN)/python docs/check_layout.py
	PATH=$(abspath $(BIN)):$$PATH $(BIN)/python docs/check_pages.py

examples: $(BUILD)/installed  ## Run every example and compare what it prints
	$(BIN)/python ci/run_examples.py

clean:  ## Remove what was built
	rm -rf build docs/_build .venv .venv-*
