#!/usr/bin/env bash
# PostgreSQL's own regression suite, straight and through the gateway, and what differs. A test that
# differs is fine only where expected-differences.txt names it. Usage: run.sh [TEST...]
set -euo pipefail
cd "$(dirname "$0")/../.."
export PATH="$HOME/.cargo/bin:$PATH"
# The server runs under an account of its own and must reach the files.
work=${TMPDIR:-/tmp}/countersign-regress
limit=${REGRESS_LIMIT:-60m}
tests/regress/fetch.sh "$work/suite"
cargo build --locked --quiet --package countersign-tests
rm -rf "$work/direct" "$work/through"
for way in DIRECT THROUGH; do
  echo "==> $way"
  timeout "$limit" target/debug/through regression tests/regress/leg.sh "$way" "$work/suite" "$work/${way,,}" "$@"
done
known=$(sed 's/#.*//' tests/regress/expected-differences.txt | awk '{print $1}' | sort -u)
# Tests alone: what they leave beside their output (largeobject writes a file) is not compared.
different=$(diff -rq --exclude='*.txt' "$work/direct/results" "$work/through/results" |
  sed -E 's/.*results\/?:? ?([a-z_0-9.]+)\.out.*/\1/' | sort -u || true)
new=$(comm -13 <(echo "$known") <(echo "$different") | sed '/^$/d')
echo "==> differ: $(echo "$different" | tr '\n' ' ')"
[ -z "$new" ] || { echo "not expected: $new; see diff -r $work/direct/results $work/through/results" >&2; exit 1; }
