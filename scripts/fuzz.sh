#!/usr/bin/env bash
# Lets libFuzzer look for bytes that break a parser, FUZZ_SECONDS for each target (default 20). Names as
# arguments: those alone; `masks` is a grammar of queries, not bytes. Fails on the first finding of each, and says where it lies. What was tried
# before and took a new way is kept in target/fuzz/corpus, beside the seeds in fuzz/corpus.
set -euo pipefail
cd "$(dirname "$0")/.."
export PATH="$HOME/.cargo/bin:$PATH"
seconds=${FUZZ_SECONDS:-20}
found=$PWD/target/fuzz

echo "==> building the targets"
# From its folder, as Cargo.lock and the workspace are its own; built beside all else.
(cd fuzz && RUSTC_WRAPPER=$PWD/rustc.sh CARGO_TARGET_DIR=$PWD/../target cargo build --locked)

[ $# -gt 0 ] || set -- $(cd fuzz/corpus && echo *) masks
failed=()
for name in "$@"; do
  if [ "$name" = masks ]; then
    # Queries from a grammar, against a real server: what is classified must not leave. Some hundred a second.
    seed=${FUZZ_SEED:-$(date +%s)}
    printf '==> masks, from seed %s on: ' "$seed"
    if COUNTERSIGN_MASK_SEED=$seed COUNTERSIGN_MASK_QUERIES=$((seconds * 100)) cargo test --locked --quiet \
      --package countersign-tests --test stories masking::invented -- --nocapture >"$found/masks.log" 2>&1; then
      grep ' queries from seed ' "$found/masks.log" | paste -s -d ';'
    else
      echo FAILED
      tail -n 40 "$found/masks.log"
      failed+=("$name")
    fi
    continue
  fi
  [ -d "fuzz/corpus/$name" ] || { echo "fuzz: there is no target $name" >&2; exit 2; }
  mkdir -p "$found/corpus/$name"
  options=(-max_total_time="$seconds" -timeout=10 -rss_limit_mb=2048 -max_len=4096 -artifact_prefix="$found/$name-")
  case $name in classify* | shape) options+=(-dict=fuzz/sql.dict) ;; esac
  printf '==> %s, %s s: ' "$name" "$seconds"
  if FUZZ_TARGET=$name target/debug/countersign-fuzz "${options[@]}" "$found/corpus/$name" "fuzz/corpus/$name" \
    >"$found/$name.log" 2>&1; then
    tail -n 1 "$found/$name.log"
  else
    echo FAILED
    grep -v '^#' "$found/$name.log" | tail -n 40
    failed+=("$name")
  fi
done

[ ${#failed[@]} -eq 0 ] || { echo "fuzz: findings in ${failed[*]}; the inputs are in $found" >&2; exit 1; }
