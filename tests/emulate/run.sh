#!/usr/bin/env bash
# The app against an emulator of Slack that nobody here wrote (npm's emulate, with npm's own Node.js 22). Installs both into
# a folder here.
set -euo pipefail
cd "$(dirname "$0")/../.."
export PATH="$HOME/.cargo/bin:$PATH"
here=tests/emulate
if [ ! -x "$here/node_modules/node/bin/node" ] || ! cmp -s "$here/package-lock.json" "$here/node_modules/.installed"; then
  echo "==> installing emulate and Node.js 22 into $here/node_modules"
  npm ci --prefix "$here" --no-audit --no-fund
  cp "$here/package-lock.json" "$here/node_modules/.installed"
fi
COUNTERSIGN_EMULATE_NODE=$PWD/$here/node_modules/node/bin/node \
  cargo test --locked --package countersign-tests --test stories emulated:: -- --ignored --nocapture
