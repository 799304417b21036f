#!/usr/bin/env bash
# ci/no-panic links only when no panic can be reached from any decoder. The same library with an unbounded index planted
# has to fail.
#   ci/no-panic.sh              both, and that no decoder of qp-wire is left out
#   ci/no-panic.sh --self-test  only that the planted index is refused
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
echo "no-panic: the decoders link without a reachable panic"

# What the optimiser can prove must not depend on the flags of the user's own builds.
unset RUSTFLAGS CARGO_ENCODED_RUSTFLAGS CARGO_BUILD_RUSTFLAGS CARGO_BUILD_TARGET
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-target}/no-panic

# Prints module::Type::function of each public function of qp-wire that is called `decode` or makes a Result of bytes.
decoders() {
    local file module
    find qp-wire/src -name '*.rs' ! -name tests.rs | while read -r file; do
        module=${file#qp-wire/src/}
        module=${module%%/*}
        awk -v module="${module%.rs}" '
            /^impl/ { type = $0; sub(/^impl(<[^>]*>)? /, "", type); sub(/[ <{].*/, "", type); type = type "::" }
            /^}/ { type = "" }
            /^ *pub (const )?fn decode/ || (/^ *pub (const )?fn / && /&(.[a-z]+ )?\[u8\]/ && /-> Result</ && !/&mut/) {
                name = $0; sub(/^.*fn /, "", name); sub(/[<(].*/, "", name); print module "::" type name
            }' "$file"
    done | sort -u
}

cp Cargo.lock ci/no-panic/Cargo.lock
build=(cargo rustc --release --manifest-path ci/no-panic/Cargo.toml)
# In a shared library an undefined symbol is an error only on demand. The C library has `memcpy` and `memcmp`.
link=(-C "link-args=-Wl,--no-undefined -lc")

if [[ ${1-} != --self-test ]]; then
    "${build[@]}" -- "${link[@]}"
    count=0
    for decoder in $(decoders); do
        if ! grep -qw -- "$decoder" ci/no-panic/src/lib.rs; then
            echo "no-panic: $decoder is not in ci/no-panic/src/lib.rs" >&2
            exit 1
        fi
        count=$((count + 1))
    done
    ((count > 0))
    echo "no-panic: none of $count decoders can panic"
fi

log=$CARGO_TARGET_DIR/planted-panic.log
mkdir -p "$CARGO_TARGET_DIR"
if "${build[@]}" --features planted-panic -- "${link[@]}" 2>"$log"; then
    echo "no-panic: a planted slice[index] was not noticed" >&2
    exit 1
fi
if ! grep -q "undefined .*a_decoder_can_panic" "$log"; then
    echo "no-panic: the build with a planted slice[index] failed for another reason:" >&2
    cat "$log" >&2
    exit 1
fi
echo "no-panic: a planted slice[index] is refused"
