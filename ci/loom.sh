#!/usr/bin/env bash
# Each tests/*_loom.rs of the workspace is a set of models. They have a target directory of their own, since
# `--cfg loom` changes every crate.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
export LOOM_MAX_PREEMPTIONS=${LOOM_MAX_PREEMPTIONS:-3}
# A panic that a model expects hangs while it prints the stack of one of loom's threads.
export RUST_BACKTRACE=0
echo "loom: the models in every interleaving with up to $LOOM_MAX_PREEMPTIONS preemptions"

export RUSTFLAGS="--cfg loom" CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-target}/loom
# The explorer has to be fast, and a broken `debug_assert!` has to be seen.
export CARGO_PROFILE_RELEASE_LTO=off CARGO_PROFILE_RELEASE_CODEGEN_UNITS=16 CARGO_PROFILE_RELEASE_DEBUG_ASSERTIONS=true

shopt -s nullglob
files=(*/tests/*_loom.rs)
if ((${#files[@]} == 0)); then
    echo "loom: there is no tests/*_loom.rs" >&2
    exit 1
fi
selection=()
for file in "${files[@]}"; do
    selection+=(-p "${file%%/*}" --test "$(basename "$file" .rs)")
done

log=$(mktemp)
trap 'rm -f "$log"' EXIT
# One build for all of them, so that the packages they share are built once.
cargo test --locked --release "${selection[@]}" | tee "$log"

read -r ran models < <(
    awk '/^test result: ok/ && $4 > 0 { ran++; models += $4 } END { print ran + 0, models + 0 }' "$log"
)
if ((ran != ${#files[@]})); then
    echo "loom: only $ran of ${#files[@]} files ran a model" >&2
    exit 1
fi
echo "loom: $models models ran, in ${files[*]}"
