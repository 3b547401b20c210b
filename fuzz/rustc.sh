#!/bin/sh
# Compiles our own crates so that libFuzzer sees which way an input took through them, and all others
# as ever: they need not be built again for it. Cargo calls this with rustc's command line.
case " $* " in
*" --crate-name countersign_"*)
  exec "$@" -Cpasses=sancov-module \
    -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters \
    -Cllvm-args=-sanitizer-coverage-pc-table \
    -Cllvm-args=-sanitizer-coverage-trace-compares
  ;;
*) exec "$@" ;;
esac
