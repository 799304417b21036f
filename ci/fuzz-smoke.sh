#!/usr/bin/env bash
# The properties run over the corpus as plain tests too, in ci/unit.sh; here they meet new inputs for a moment.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# A search that finds something new says nothing about the change that it ran on, so by default the targets only replay
# their corpus, with the address sanitizer. FUZZ_SECONDS=60 searches, a minute for each target.
seconds=${FUZZ_SECONDS:-0}
if ((seconds > 0)); then
    limit=-max_total_time=$seconds
else
    limit=-runs=0
fi
echo "fuzz-smoke: each fuzz target over its corpus, then for $seconds seconds"

if ! cargo fuzz --version >/dev/null 2>&1; then
    echo "SKIPPED fuzz-smoke: no cargo-fuzz; run: cargo install --locked cargo-fuzz"
    exit 77
fi
if ! cargo +nightly --version >/dev/null 2>&1; then
    echo "SKIPPED fuzz-smoke: no nightly; run: rustup toolchain install nightly"
    exit 77
fi

options=(--features libfuzzer --target-dir "${CARGO_TARGET_DIR:-target}/fuzz")

mapfile -t targets < <(cargo +nightly fuzz list)
if ((${#targets[@]} == 0)); then
    echo "fuzz-smoke: there is no target" >&2
    exit 1
fi
# What is found lands in a scratch directory, so that the corpus of the repository grows by decision only.
found=$(mktemp -d)
trap 'rm -rf "$found"' EXIT
cargo +nightly fuzz build "${options[@]}"
for target in "${targets[@]}"; do
    mkdir "$found/$target"
    cargo +nightly fuzz run "${options[@]}" "$target" "$found/$target" "fuzz/corpus/$target" -- \
        "$limit" -print_final_stats=1 -verbosity=0
done
echo "fuzz-smoke: ${#targets[@]} targets found nothing"
