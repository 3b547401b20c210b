#!/usr/bin/env bash
# Runs every driver's checks straight and through the gateway. Installs the drivers into a folder here.
set -euo pipefail
cd "$(dirname "$0")/../.."
export PATH="$HOME/.cargo/bin:$PATH"
venv=tests/drivers/.venv
if [ "$(cat "$venv/.installed" 2>/dev/null || true)" != "$(sha256sum <tests/drivers/requirements.txt)" ]; then
  echo "==> installing the drivers into $venv"
  python3 -m venv "$venv"
  "$venv/bin/python" -m pip install --quiet --disable-pip-version-check --requirement tests/drivers/requirements.txt
  sha256sum <tests/drivers/requirements.txt >"$venv/.installed"
fi
cargo build --locked --quiet --package countersign-tests
timeout "${DRIVERS_LIMIT:-15m}" target/debug/through drivers "$venv/bin/python" tests/drivers/compare.py
