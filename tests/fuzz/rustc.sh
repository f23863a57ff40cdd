#!/bin/sh
# What cargo calls in place of rustc for this crate alone: a counter at each edge, and checks of arithmetic. The crates that
# it uses are built as ever.
exec "$@" -C passes=sancov-module -C llvm-args=-sanitizer-coverage-level=4 \
    -C llvm-args=-sanitizer-coverage-inline-8bit-counters -C llvm-args=-sanitizer-coverage-pc-table \
    -C llvm-args=-sanitizer-coverage-trace-compares -C debug-assertions=on -C overflow-checks=on \
    -C opt-level=2 -C codegen-units=16
