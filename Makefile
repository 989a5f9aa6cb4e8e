# Everything a checkout needs. Relative paths only, so a directory with spaces in its name works.
PYTHON ?= python3
VENV := .venv
PY := $(VENV)/bin/python
export PIP_DISABLE_PIP_VERSION_CHECK := 1
# Threads: the machines we test on have two cores.
NATIVE := $(wildcard CMakeLists.txt native/CMakeLists.txt native/*/*.cpp native/*/*.h)
CMAKE := $(PY) -m cmake

.PHONY: help install quickstart test test-fast lint types native-test arm-test sanitize tsan docs wheel bench-peers bench-native bench clean

help:            ## this list
	@grep -hE '^[a-z-]+: .*##|^[a-z-]+:  +##' $(MAKEFILE_LIST) | sed 's/:.*##/  —/'

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 10) else "bitwright needs Python 3.10 or newer, this is " + sys.version.split()[0] + "; run: make PYTHON=python3.11")'
	$(PYTHON) -m venv $(VENV)

$(VENV)/.packages: requirements-dev.txt | $(VENV)/bin/python
	$(PY) -m pip install -q -r requirements-dev.txt
	@touch $@

$(VENV)/.installed: $(VENV)/.packages pyproject.toml $(NATIVE)
	PATH="$(CURDIR)/$(VENV)/bin:$$PATH" $(PY) -m pip install -q --no-build-isolation -e ".[all]"
	@touch $@

install: $(VENV)/.installed   ## make .venv and install the project into it (editable)

quickstart: install   ## train a 1-bit CNN on real images, compile it, run it, compare; ends with a table and a page
	$(PY) -m bitwright quickstart

test: install   ## the whole Python test suite
	$(PY) -m pytest

test-fast: install   ## without the slow tests
	$(PY) -m pytest -m "not slow"

lint: install   ## ruff: rules and format
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .

types: install   ## mypy
	$(PY) -m mypy

native-test: install   ## GoogleTest suites of kernels and engine (needs libgtest-dev)
	$(CMAKE) -S . -B build/native -G Ninja -DCMAKE_MAKE_PROGRAM="$(CURDIR)/$(VENV)/bin/ninja" -DCMAKE_BUILD_TYPE=Release -DBITWRIGHT_PYTHON=OFF -DBITWRIGHT_TESTS=ON
	$(CMAKE) --build build/native
	cd build/native && "$(CURDIR)/$(VENV)/bin/ctest" --output-on-failure --timeout 300

# qemu 7.2 aborts (an assertion of its own) when the child of a process with threads starts threads: the test that does it is left out.
ARM := qemu-aarch64 -L /usr/aarch64-linux-gnu
arm-test: install   ## the native tests on 64-bit ARM, cross-compiled, emulated with and without dot product (needs g++-aarch64-linux-gnu, qemu-user)
	$(CMAKE) -S . -B build/arm -G Ninja -DCMAKE_MAKE_PROGRAM="$(CURDIR)/$(VENV)/bin/ninja" -DCMAKE_TOOLCHAIN_FILE="$(CURDIR)/cmake/aarch64-linux-gnu.cmake" -DCMAKE_BUILD_TYPE=Release -DBITWRIGHT_TESTS=ON
	$(CMAKE) --build build/arm
	$(ARM) -cpu max build/arm/native/bitwright_tests --gtest_list_tests | grep -q bconv_neondot
	! $(ARM) -cpu cortex-a72 build/arm/native/bitwright_tests --gtest_list_tests | grep -q neondot
	$(ARM) -cpu max build/arm/native/bitwright_tests --gtest_brief=1 --gtest_filter=-Pool.AForkedChildRunsAlone
	$(ARM) -cpu cortex-a72 build/arm/native/bitwright_tests --gtest_brief=1 --gtest_filter='*Kernel*:*Epilogue*:*Golden*:Registry*'
	$(ARM) -cpu max build/arm/native/bitwright_fuzz native/fuzz/corpus --mutants 500

sanitize: install   ## the same, and the file fuzzer, under AddressSanitizer and UBSan
	$(CMAKE) -S . -B build/sanitize -G Ninja -DCMAKE_MAKE_PROGRAM="$(CURDIR)/$(VENV)/bin/ninja" -DCMAKE_BUILD_TYPE=RelWithDebInfo -DCMAKE_CXX_FLAGS_RELWITHDEBINFO="-O1 -g1" -DBITWRIGHT_PYTHON=OFF -DBITWRIGHT_TESTS=ON -DBITWRIGHT_SANITIZE=ON
	$(CMAKE) --build build/sanitize
	cd build/sanitize && "$(CURDIR)/$(VENV)/bin/ctest" --output-on-failure --timeout 300

tsan: install   ## the tests of threads under ThreadSanitizer
	$(CMAKE) -S . -B build/tsan -G Ninja -DCMAKE_MAKE_PROGRAM="$(CURDIR)/$(VENV)/bin/ninja" -DCMAKE_BUILD_TYPE=RelWithDebInfo -DCMAKE_CXX_FLAGS_RELWITHDEBINFO="-O1 -g1" -DBITWRIGHT_PYTHON=OFF -DBITWRIGHT_TESTS=ON -DBITWRIGHT_TSAN=ON
	$(CMAKE) --build build/tsan --target bitwright_threads_tests
	TSAN_OPTIONS=halt_on_error=1 build/tsan/native/bitwright_threads_tests

docs: export NO_MKDOCS_2_WARNING = 1
docs: install   ## build the documentation into site/ (warnings are errors)
	$(PY) -m mkdocs build --strict -q

wheel: install   ## a wheel in dist/, and its size
	PATH="$(CURDIR)/$(VENV)/bin:$$PATH" $(PY) -m build --wheel --no-isolation -o dist
	@ls -l dist/*.whl

.venv-bench/.packages: benchmarks/requirements-peers.txt
	$(PYTHON) -m venv .venv-bench && .venv-bench/bin/python -m pip install -q -r $<
	@touch $@

.venv-lce/.packages: benchmarks/requirements-lce.txt
	$(PYTHON) -m venv .venv-lce && .venv-lce/bin/python -m pip install -q -r $<
	@touch $@

bench-peers: .venv-bench/.packages .venv-lce/.packages   ## environments with onnxruntime, OpenVINO, torch, NumKong, faiss; larq-compute-engine

bench-native: install   ## the kernels' own benchmark, build/native/native/bitwright_bench (needs libbenchmark-dev, libgtest-dev)
	$(CMAKE) -S . -B build/native -G Ninja -DCMAKE_MAKE_PROGRAM="$(CURDIR)/$(VENV)/bin/ninja" -DCMAKE_BUILD_TYPE=Release -DBITWRIGHT_PYTHON=OFF -DBITWRIGHT_TESTS=ON
	$(CMAKE) --build build/native --target bitwright_bench

bench: install bench-peers bench-native   ## kernels, shapes, the engine against its peers: results/{kernels,grid,engine,targets,threads,throughput,cold_start}.csv, plots (about 30 minutes, quiet machine)
	$(PY) benchmarks/kernels.py
	$(PY) benchmarks/grid.py
	$(PY) benchmarks/threads.py
	$(PY) benchmarks/engine.py
	$(PY) benchmarks/throughput.py
	$(PY) benchmarks/cold_start.py

clean:   ## remove what was built (not .venv)
	rm -rf build dist site .pytest_cache .mypy_cache .ruff_cache .hypothesis
