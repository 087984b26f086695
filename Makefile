# The everyday commands. "make" alone lists them.

# Two JVMs, four services and a handful of tasks per test: more tests at once than this only make one another wait.
TEST_THREADS ?= 2

.DEFAULT_GOAL := help
.PHONY: help deps build demo test lint verify fix figures nemesis faults

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

deps: ## Install what is missing (ZooKeeper, a C linker); quiet when nothing is
	@scripts/install-deps

build: deps ## Build the binaries into target/debug
	cargo build --workspace --bins

demo: build ## Play a whole cluster's life, with crashes, on this machine
	@cargo run --quiet --package bellwether-tests --bin demo

test: build ## Run every test, the end-to-end ones on a real ZooKeeper
	cargo test --workspace --exclude bellwether-tests
	cargo test --package bellwether-tests -- --test-threads=$(TEST_THREADS)

lint: deps ## Check format, lints and documentation; writes nothing
	cargo fmt --all -- --check
	cargo clippy --workspace --all-targets -- -D warnings
	RUSTDOCFLAGS='-D warnings' cargo doc --workspace --no-deps --quiet

verify: lint test ## lint and test

fix: deps ## Format, apply what clippy can mend by itself, write the reference of metrics
	cargo fmt --all
	cargo clippy --workspace --all-targets --fix --allow-dirty --allow-staged
	cargo fmt --all
	cargo run --quiet --package bellwether-tests --bin metrics-reference > target/metrics.md
	mv target/metrics.md docs/reference/metrics.md

figures: build ## Measure takeovers and latencies, and print them
	@cargo run --quiet --package bellwether-tests --bin figures

# How long, and what is done.
SECONDS ?= 60
SEED ?= 1

nemesis: build ## Attack a whole cluster for SECONDS=60, with faults drawn from SEED=1
	@cargo run --quiet --package bellwether-tests --bin nemesis -- $(SECONDS) $(SEED)

# Which faults, of F1 to F37: none named means all.
ROWS ?=

faults: build ## Prove every fault that is survived, in its long form, and print the table; ROWS=F1,F11 for some
	@cargo run --quiet --package bellwether-tests --bin faults -- $(ROWS)
