#!/usr/bin/env bash
# Formatting, lints, all tests, the quick ones first. Needs what setup.sh installs.
set -euo pipefail
cd "$(dirname "$0")/.."

# A failed test says enough in a line; a stack of frames buries it.
export RUST_BACKTRACE=0
# Where this machine's own Node is too old for Slack's clients, setup.sh has put another one here.
export PATH="$HOME/.cargo/bin:$PWD/demo/slack-fidelity/.node/bin:$PATH"

step() {
  printf '\n==> %s (%d min %02d s so far)\n' "$1" $((SECONDS / 60)) $((SECONDS % 60))
}

step "formatting"
cargo fmt --all --check
step "lints"
cargo clippy --locked --workspace --all-targets -- -D warnings
# A workspace of its own, which nothing else builds. Nothing is linked, so libFuzzer itself, and a C++ compiler for it, need
# not be there.
step "fuzz targets"
CUSTOM_LIBFUZZER_PATH=$PWD/fuzz/none/libfuzzer.a cargo check --locked --quiet --manifest-path fuzz/Cargo.toml --target-dir "${CARGO_TARGET_DIR:-target}"
step "dependencies"
scripts/dependencies.sh
step "tests: build"
cargo test --locked --workspace --no-run
step "tests"
cargo test --locked --workspace --no-fail-fast </dev/null
step "all good"
