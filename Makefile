# `make run` and `make test` work on a fresh clone; they set up what is missing.

CARGO ?= cargo
PYTHON ?= python3
LISTEN ?= 127.0.0.1:8080
# Seconds of traffic, and of fuzzing each target.
DURATION ?= 600
FUZZ_TIME ?= 600

.PHONY: help run build test bench soak fuzz contract clients lint fmt setup tools docker docker-test manifests-test

help:
	@echo "make run             fetch libtorch, build, and serve the shipped models on $(LISTEN)"
	@echo "make test            run all tests"
	@echo "make bench           measure speed against what this machine allows, and a Python server (PEER=no: without)"
	@echo "make soak            ten minutes of mixed traffic at the binary (DURATION=60 for less)"
	@echo "make fuzz            fuzz pictures, uploads and manifests, FUZZ_TIME=600 seconds each"
	@echo "make contract        ask what the description allows and forbids (schemathesis)"
	@echo "make clients         run the clients of Triton, KServe and TorchServe against the binary"
	@echo "make lint            check formatting and lints"
	@echo "make docker          build the image nin-serve"
	@echo "make docker-test     build it, run it, kill and drain replicas behind the proxy"
	@echo "make manifests-test  check the Kubernetes manifests against published schemas"

run: build
	@echo "Once it is ready, try in another terminal:"
	@echo "  curl --data-binary @models/nin-mnist/digit.png 'http://$(LISTEN)/classify?model=nin-mnist&top_k=3'"
	@exec target/release/nin-serve serve --listen $(LISTEN)

build: setup
	$(CARGO) build --release --locked

# The release profile throughout: libtorch's bindings take minutes to compile, so they are
# compiled once.
test: setup
	$(CARGO) test --release --locked

# Progress goes to the terminal, the tables to bench.md as well. PEER=no leaves out the Python server,
# which is 3 GB to download.
bench: build
	PYTHON=$(PYTHON) scripts/bench.sh | tee bench.md

soak: build
	$(PYTHON) scripts/soak --duration $(DURATION)

# Needs nightly Rust and cargo-fuzz, and says how to get them. `make test` runs the same checks on
# fewer inputs without them.
fuzz: setup
	scripts/fuzz.sh $(FUZZ_TIME)

contract: build
	scripts/schemathesis.sh 40

# Needs PyPI, for the clients.
clients: build
	$(PYTHON) tests/clients/run.py

lint: setup
	$(CARGO) fmt --check
	$(CARGO) clippy --release --locked --all-targets -- -D warnings

docker:
	docker/build.sh

# Passes where no engine runs, and says so.
docker-test:
	$(PYTHON) docker/tests

manifests-test:
	$(PYTHON) docker/tests/manifests.py

setup: tools
	@$(PYTHON) scripts/libtorch.py

tools:
	@command -v $(CARGO) >/dev/null || { echo "cargo is missing. Install Rust 1.89 or later: https://rustup.rs"; exit 1; }
	@command -v c++ >/dev/null || { echo "A C++ compiler is missing. Install it with: sudo apt-get install g++"; exit 1; }
	@command -v $(PYTHON) >/dev/null || { echo "Python 3 is missing. Install it with: sudo apt-get install python3 python3-pip"; exit 1; }
