#!/usr/bin/env bash
# Whether what `audit export --format ocsf` makes of a folder of records is valid against the schema that PyPI's
# ocsf-json-schema ships. Installs that into a folder here. Without a folder, a sample with an entry of each kind.
set -euo pipefail
cd "$(dirname "$0")/../.."
export PATH="$HOME/.cargo/bin:$PATH"
venv=tests/ocsf/.venv
if [ "$(cat "$venv/.installed" 2>/dev/null || true)" != "$(sha256sum <tests/ocsf/requirements.txt)" ]; then
  echo "==> installing ocsf-json-schema into $venv"
  python3 -m venv "$venv"
  "$venv/bin/python" -m pip install --quiet --disable-pip-version-check --requirement tests/ocsf/requirements.txt
  sha256sum <tests/ocsf/requirements.txt >"$venv/.installed"
fi
cargo build --locked --quiet --package countersign-tests
"${CARGO_TARGET_DIR:-target}/debug/countersign-under-test" audit export --format ocsf "${1:-tests/ocsf/sample}" |
  "$venv/bin/python" tests/ocsf/check.py
