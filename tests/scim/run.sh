#!/usr/bin/env bash
# Runs scim2-tester's checks against a running gateway. Installs it into a folder here.
set -euo pipefail
cd "$(dirname "$0")/../.."
export PATH="$HOME/.cargo/bin:$PATH"
venv=tests/scim/.venv
if [ "$(cat "$venv/.installed" 2>/dev/null || true)" != "$(sha256sum <tests/scim/requirements.txt)" ]; then
  echo "==> installing scim2-tester into $venv"
  python3 -m venv "$venv"
  "$venv/bin/python" -m pip install --quiet --disable-pip-version-check --requirement tests/scim/requirements.txt
  sha256sum <tests/scim/requirements.txt >"$venv/.installed"
fi
cargo build --locked --quiet --package countersign-tests
timeout "${SCIM_LIMIT:-10m}" target/debug/through scim "$venv/bin/python" tests/scim/check.py
