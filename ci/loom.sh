#!/usr/bin/env bash
# Each tests/*_loom.rs of the workspace is a set of models. They have a target directory of their own, since `--cfg loom`
# changes every crate.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
export LOOM_MAX_PREEMPTIONS=${LOOM_MAX_PREEMPTIONS:-3}
echo "loom: the models in every interleaving with up to $LOOM_MAX_PREEMPTIONS preemptions"

export RUSTFLAGS="--cfg loom" CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-target}/loom
# The explorer has to be fast, and a broken `debug_assert!` has to be seen.
export CARGO_PROFILE_RELEASE_LTO=off CARGO_PROFILE_RELEASE_CODEGEN_UNITS=16 CARGO_PROFILE_RELEASE_DEBUG_ASSERTIONS=true

log=$(mktemp)
trap 'rm -f "$log"' EXIT
models=0
for file in */tests/*_loom.rs; do
    if [[ ! -e $file ]]; then
        echo "loom: there is no tests/*_loom.rs" >&2
        exit 1
    fi
    cargo test --locked --release -p "${file%%/*}" --test "$(basename "$file" .rs)" | tee "$log"
    here=$(awk '/^test result: ok/ { count += $4 } END { print count + 0 }' "$log")
    if ((here == 0)); then
        echo "loom: $file ran no model" >&2
        exit 1
    fi
    models=$((models + here))
done
echo "loom: $models models ran"
