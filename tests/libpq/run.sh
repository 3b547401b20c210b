#!/usr/bin/env bash
# libpq 18 signs in by itself (SASL OAUTHBEARER) at a running gateway. Installs that libpq into a folder here.
set -euo pipefail
cd "$(dirname "$0")/../.."
export PATH="$HOME/.cargo/bin:$PATH"
venv=tests/libpq/.venv
if [ "$(cat "$venv/.installed" 2>/dev/null || true)" != "$(sha256sum <tests/libpq/requirements.txt)" ]; then
  echo "==> installing libpq 18 into $venv"
  python3 -m venv "$venv"
  "$venv/bin/python" -m pip install --quiet --disable-pip-version-check --requirement tests/libpq/requirements.txt
  sha256sum <tests/libpq/requirements.txt >"$venv/.installed"
fi
cargo build --locked --quiet --package countersign-tests
timeout "${LIBPQ_LIMIT:-5m}" target/debug/through libpq "$venv/bin/python" tests/libpq/oauth.py
