# The everyday commands. "make" alone lists them.

# Two JVMs, four services and a handful of tasks per test: more tests at once than this only make one another wait.
TEST_THREADS ?= 2

.DEFAULT_GOAL := help
.PHONY: help deps build demo test lint verify fix figures nemesis faults fuzz bench bench-pictures audit-rate deb deb-test deploy-check dashboards dashboards-check dashboard-figures ticks pictures docs deny features sbom

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-17s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

deps: ## Install what is missing (ZooKeeper, Prometheus, a C linker); quiet when nothing is
	@scripts/install-deps

build: deps ## Build the binaries into target/debug
	cargo build --workspace --bins

demo: build ## Play a whole cluster's life, with crashes, on this machine
	@cargo run --quiet --package bellwether-tests --bin demo

# Always the whole workspace: what is chosen by package has other features, and everything would be compiled once more. The first line
# also builds the programs and examples that the last one runs.
test: deps dashboards-check ## Run every test, the end-to-end ones on a real ZooKeeper
	cargo build --workspace --all-targets
	cargo test --workspace --lib --bins
	cargo test --workspace --doc
	cargo test --workspace --test '*' -- --test-threads=$(TEST_THREADS)

lint: deps ## Check format, lints and documentation; writes nothing
	cargo fmt --all -- --check
	cargo clippy --workspace --all-targets -- -D warnings
	RUSTDOCFLAGS='-D warnings' cargo doc --workspace --no-deps --quiet

verify: lint test ## lint and test

fix: deps ## Format, apply what clippy can mend by itself, write the references
	cargo fmt --all
	cargo clippy --workspace --all-targets --fix --allow-dirty --allow-staged
	cargo fmt --all
	cargo run --quiet --package bellwether-tests --bin metrics-reference > target/metrics.md
	mv target/metrics.md docs/reference/metrics.md
	@if command -v node >/dev/null && [ -e $(NODE_MODULES) ]; then $(MAKE) --no-print-directory dashboards; fi
	UPDATE_REFERENCE=1 cargo test --quiet --package bellwether-client reference
	UPDATE_REFERENCE=1 cargo test --quiet --package bellwether-tests --test cli api

deb: deps ## Build the Debian packages into target/debian
	@scripts/deb

deb-test: deb ## Install, run, remove and purge them under a systemd of their own, which changes nothing of this machine
	@deploy/test-units packages

deploy-check: build ## Judge deploy/ with every verifier that is here or that pip can bring
	@scripts/deploy-check

figures: build ## Measure takeovers and latencies, and print them
	@cargo run --quiet --package bellwether-tests --bin figures

ticks: build ## Fire 10,000 ticks of schedules while 20 masters are killed, and count them in ZooKeeper's log
	@cargo run --quiet --package bellwether-tests --bin ticks

# How long, and what is done.
SECONDS ?= 60
SEED ?= 1

nemesis: build ## Attack a whole cluster for SECONDS=60, with faults drawn from SEED=1
	@cargo run --quiet --package bellwether-tests --bin nemesis -- $(SECONDS) $(SEED)

fuzz: build ## Give harmed inputs to every decoder for SECONDS=60, made from SEED=1
	@cargo run --quiet --package bellwether-tests --bin fuzz -- $(SECONDS) $(SEED)

# What is measured: a group's name, as in: make bench GROUPS="noop true". LONG=1 adds those that take long.
GROUPS ?=
ROUNDS ?= 5
DIVISOR ?= 1
LONG ?=
# How long the group retention takes, in seconds; ten minutes unless it is said.
LENGTH ?=

bench: deps ## Measure how fast everything is, beside ZooKeeper alone and other systems, in a release build; GROUPS="noop true" for some
	@scripts/install-peers
	cargo build --quiet --release --workspace --bins --examples
	@ROUNDS=$(ROUNDS) DIVISOR=$(DIVISOR) LONG=$(LONG) LENGTH=$(LENGTH) target/release/bench $(GROUPS)

bench-pictures: ## Copy the drawings of the last make bench into docs/pictures
	@for drawing in target/bench/*.svg; do cp "$$drawing" "docs/pictures/bench-$$(basename "$$drawing")"; done

audit-rate: deps ## Measure how many records bellwether audit reads a second, in a release build
	@cargo run --quiet --release --package bellwether-tests --bin audit-rate

# Which faults, of F1 to F37: none named means all.
ROWS ?=

faults: build ## Prove every fault that is survived, in its long form, and print the table; ROWS=F1,F11 for some
	@cargo run --quiet --package bellwether-tests --bin faults -- $(ROWS)

# Node, and the packages of dashboards/package.json. Nothing but these three targets needs them.
NODE_MODULES = dashboards/node_modules/.package-lock.json
$(NODE_MODULES): dashboards/package-lock.json
	cd dashboards && npm ci --no-audit --no-fund
	@touch $@

dashboards: $(NODE_MODULES) ## Write the dashboards' JSON from dashboards/src; needs node
	cd dashboards && npm run --silent build

dashboards-check: # Compare them, where node and its packages are there
	@if command -v node >/dev/null && [ -e $(NODE_MODULES) ]; then cd dashboards && npm run --silent check; \
	else echo "skipped: no node here, or no packages (make dashboards): the dashboards are not compared with dashboards/src"; fi

pictures: build $(NODE_MODULES) ## Live through some failovers and draw the dashboards into docs/pictures; needs node
	@mkdir -p target/pictures docs/pictures
	@cargo run --quiet --package bellwether-tests --bin dashboards -- target/pictures
	cd dashboards && npm run --silent draw -- $(addprefix ../target/pictures/,failover.json tasks.json zookeeper.json) ../docs/pictures

dashboard-figures: build ## Measure for how long nobody ruled, by the dashboard and by ZooKeeper's log
	@cargo run --quiet --package bellwether-tests --bin dashboards

deny: deps ## Judge licences, duplicates, sources and advisories of all dependencies (installs cargo-deny into target/tools)
	@scripts/deny

features: deps ## Check that every combination of features builds, and each library by itself
	@scripts/features

sbom: deps ## Write what the programs are made of, as CycloneDX, into target/sbom (installs cargo-cyclonedx into target/tools)
	@scripts/sbom

docs: ## Build the documentation into target/book (installs mdBook into target/tools)
	@[ -x target/tools/bin/mdbook ] || cargo install --quiet --locked --root target/tools mdbook
	target/tools/bin/mdbook build docs
