#!/usr/bin/env bash
# Bans, licences and sources of dependencies, by deny.toml. Takes a second and no network. Known
# vulnerabilities are `make audit`: they appear on their own, and must not turn an old commit red.
set -euo pipefail
cd "$(dirname "$0")/.."
if command -v cargo-deny >/dev/null; then
  cargo deny --locked --log-level error check bans licenses sources
else
  echo "cargo-deny is not installed (cargo install --locked cargo-deny); dependencies were not checked"
fi
