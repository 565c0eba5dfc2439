# Two commands for a newcomer: `make demo` and `make test`. Each sets up what is missing.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
WHEEL_BUILD := build/wheel
BUILD_TESTS := OFF
BUILD_BENCHMARKS := OFF
KILLS := 1000
INPUTS := 1000000
SEED := 2
CXX_FILES := $(shell git ls-files 'cpp/*.cc' 'cpp/*.h' 'tests/*.cc' 'tests/*.h' 'benchmarks/*.cc' 'examples/*.cc')
SOURCE_DIRS := python tests tools examples benchmarks

# Checkouts in different folders share what ccache keeps.
export CCACHE_BASEDIR := $(CURDIR)
export CCACHE_NOHASHDIR := 1

.PHONY: help demo test test-cpp test-python install install-cpp example-cpp lint hooks format layers
.PHONY: soak fuzz bench sanitize asan tsan clean stubs stubs-check quick release-check

help:
	@echo "make demo      set up, then serve the two-graph, eight-rank model once"
	@echo "make test      set up, then run every test"
	@echo "make quick     builds and runs the C++ tests, with LAYER=... those of one layer"
	@echo "make install   $(VENV) with the package and the command 'pipeserve'"
	@echo "make install-cpp PREFIX=/opt/pipeserve   the package for CMake and pkg-config"
	@echo "make example-cpp   build examples/embed_cpp against that package, and run it"
	@echo "make lint      format, lint, type and layer checks"
	@echo "make format    rewrite the sources in the project's format"
	@echo "make hooks     have git run the lint checks on what a commit changes"
	@echo "make stubs     write the types of the native module from the built one"
	@echo "make sanitize  the C++ tests under AddressSanitizer and ThreadSanitizer"
	@echo "make soak      KILLS=1000 random kills of agents under load, every answer checked"
	@echo "make fuzz      INPUTS=1000000 damaged inputs for every parser, under AddressSanitizer"
	@echo "make bench     predict beside its limits, overload, the cost of a call"
	@echo "make docs      the site, in build/site; make docs-serve shows it while one writes"
	@echo "make wheel     dist/ with a manylinux wheel for each CPython at hand, or for PYTHONS=..."
	@echo "make wheel-check  every wheel of dist/ installs and serves in a clean root"
	@echo "make coexistence  the wheel beside torch, grpcio, protobuf and numpy, in every import order"
	@echo "make sdist     dist/ with the source distribution"
	@echo "make release-check  whether this commit can be released"
	@echo "make ascend-abi  compare our declarations of Ascend's runtime with published headers"
	@echo "make clean     remove what a build leaves"

soak: install
	PIPESERVE_SOAK_KILLS=$(KILLS) $(BIN)/python -m pytest -q -s --timeout 86400 \
	  tests/python/integration/test_failover.py -k random_kills

demo: install
	$(BIN)/python tools/demo.py

# The wheel's build tree holds the C++ tests too, so that they test the objects that are shipped.
test test-cpp: BUILD_TESTS := ON
test: test-cpp test-python stubs-check

# After an edit: a build with assertions of its own, only of what the tests of the layer need.
quick: $(VENV)/ready
	@test -f build/dev/build.ninja || cmake --preset dev
	cmake --build --preset dev $(if $(LAYER),--target pipeserve_$(LAYER)_test)
	ctest --preset dev $(if $(LAYER),-L '^$(LAYER)$$')

test-cpp: install
	ctest --test-dir $(WHEEL_BUILD) --output-on-failure --no-tests=error -j 2

test-python: install
	$(BIN)/python -m pytest tests/python

install: $(VENV)/ready
	@echo "Building and installing the package; the first time takes some minutes."
	$(BIN)/pip install -q --no-build-isolation --no-deps --force-reinstall \
	  --config-settings=build-dir=$(WHEEL_BUILD) \
	  --config-settings=cmake.define.PIPESERVE_BUILD_TESTS=$(BUILD_TESTS) \
	  --config-settings=cmake.define.PIPESERVE_BUILD_BENCHMARKS=$(BUILD_BENCHMARKS) .

install-cpp: install
	@test -n "$(PREFIX)" || { echo "where to? make install-cpp PREFIX=FOLDER" >&2; exit 2; }
	cmake --install $(WHEEL_BUILD) --component cpp --prefix $(abspath $(PREFIX)) --strip

example-cpp: install
	tools/check_cpp_package.sh $(WHEEL_BUILD)

$(VENV)/ready: requirements-dev.txt tools/debian-packages.txt
	tools/setup_system.sh
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install -q -r requirements-dev.txt
	touch $@

# The checks are those of .pre-commit-config.yaml; what a tool can mend it mends, and fails.
lint: $(VENV)/ready
	$(BIN)/pre-commit run --all-files

hooks: $(VENV)/ready
	$(BIN)/pre-commit install

format: $(VENV)/ready
	$(BIN)/ruff check --fix $(SOURCE_DIRS)
	$(BIN)/ruff format $(SOURCE_DIRS)
	@$(BIN)/clang-format -i $(CXX_FILES)

# _core.pyi is made from the built module; what is committed is held against it.
stubs: install
	$(BIN)/python tools/stubs.py --write

stubs-check: install
	$(BIN)/python tools/stubs.py

layers:
	$(PYTHON) tools/check_layers.py

# ThreadSanitizer sees the layers below gRPC: gRPC itself is not built for it and would be reported.
sanitize: asan tsan

# Parsers under AddressSanitizer: INPUTS for each test, another SEED for other ones.
fuzz: $(VENV)/ready
	cmake --preset asan
	cmake --build --preset asan --target pipeserve_graph_test pipeserve_wire_test \
	  pipeserve_agent_test pipeserve_server_test
	PIPESERVE_FUZZ_INPUTS=$(INPUTS) PIPESERVE_FUZZ_SEED=$(SEED) \
	  ctest --test-dir build/asan -R Damaged --output-on-failure --timeout 86400 -j 2

asan tsan: $(VENV)/ready
	cmake --workflow --preset $@

bench: BUILD_BENCHMARKS := ON
bench: install
	$(BIN)/python benchmarks/run.py --json build/bench.json

# The site. A warning, such as a link that leads nowhere, is an error (with --quiet none is).
.PHONY: docs docs-serve
docs docs-serve: export NO_MKDOCS_2_WARNING := 1
docs docs-serve: $(VENV)/docs-ready
docs:
	$(BIN)/mkdocs build --strict --clean
	$(BIN)/python tools/check_site.py build/site
	@echo "The site is in build/site."

docs-serve:
	$(BIN)/mkdocs serve --strict

$(VENV)/docs-ready: $(VENV)/ready requirements-docs.txt
	$(BIN)/pip install -q -r requirements-docs.txt
	touch $@

.PHONY: wheel wheel-check coexistence sdist

# A stale wheel of another version must not be taken for a new one, so dist/ is emptied first.
wheel: $(VENV)/ready
	rm -f dist/*.whl
	$(BIN)/python tools/build_wheels.py --build-dir $(WHEEL_BUILD) $(PYTHONS)

# RELEASES: Debian releases to make roots of; CHECK_FLAGS=--stripped needs none.
wheel-check: $(VENV)/ready
	$(BIN)/python tools/check_wheels.py $(addprefix --release ,$(RELEASES)) $(CHECK_FLAGS)

# TORCH= tries the others alone.
TORCH := torch==2.13.0
coexistence: $(VENV)/ready
	$(BIN)/python tools/check_coexistence.py --torch "$(TORCH)"

sdist: $(VENV)/ready
	rm -f dist/*.tar.gz
	$(BIN)/python -m build --sdist --no-isolation --outdir dist .

release-check: $(VENV)/ready
	$(BIN)/python tools/release_check.py

.PHONY: ascend-abi
ascend-abi: $(VENV)/ready
	$(BIN)/python tools/check_ascend_abi.py

clean:
	rm -rf build dist $(VENV)
