#!/usr/bin/env bash
# x86_64-unknown-none has no `std`, so what builds for it needs none; ci/no-std puts the crates into a library without
# an allocator, so they need no `alloc` either. The same build with `alloc` planted has to fail.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
echo "no-std: arch, qp-wire and kv-core build for x86_64-unknown-none and need no allocator"

target=x86_64-unknown-none
# Flags and wrappers of the user's own builds are for another target.
unset RUSTFLAGS CARGO_ENCODED_RUSTFLAGS CARGO_BUILD_RUSTFLAGS CARGO_BUILD_TARGET RUSTC_WRAPPER RUSTC_WORKSPACE_WRAPPER
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-target}/no-std

if rustup target list --installed 2>/dev/null | grep -qx "$target"; then
    build=(cargo build)
elif [[ -x /usr/bin/cargo && -e /usr/lib/rustlib/src/rust/library/core/Cargo.toml ]]; then
    # Debian has the sources of `core`, so the target can be built. By their paths these two are not rustup's proxies.
    export RUSTC_BOOTSTRAP=1 RUSTC=/usr/bin/rustc
    build=(/usr/bin/cargo build -Zbuild-std=core)
else
    echo "SKIPPED no-std: needs 'rustup target add $target', or Debian's cargo-web and rust-web-src"
    exit 77
fi

cp Cargo.lock ci/no-std/Cargo.lock
build+=(--manifest-path ci/no-std/Cargo.toml --target "$target")
"${build[@]}"

log=$CARGO_TARGET_DIR/planted-alloc.log
if "${build[@]}" --features planted-alloc 2>"$log"; then
    echo "no-std: a planted 'extern crate alloc' was not noticed" >&2
    exit 1
fi
if ! grep -qE "no global memory allocator found|can't find crate for .alloc." "$log"; then
    echo "no-std: the build with a planted 'extern crate alloc' failed for another reason:" >&2
    cat "$log" >&2
    exit 1
fi
echo "no-std: built with '${build[0]}'; a planted 'extern crate alloc' is refused"
