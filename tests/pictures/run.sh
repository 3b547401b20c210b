#!/usr/bin/env bash
# A whole story on the workspace's page, in Debian's Chromium; takes the pictures in docs/images on the way.
set -euo pipefail
cd "$(dirname "$0")/../.."
export PATH="$HOME/.cargo/bin:$PWD/demo/slack-fidelity/.node/bin:$PATH"

COUNTERSIGN_PICTURES=$PWD/docs/images cargo test --locked --package countersign-tests --test stories picturing:: -- --ignored --test-threads=1
