#!/usr/bin/env bash
# Under user-mode emulation with the oldest core that we serve: a Cortex-A72 has no LSE, so an instruction that a
# BlueField-2 does not know traps here. Emulation proves instructions and ABI and never the order of memory accesses;
# that is for ci/loom.sh.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
echo "aarch64: the tests of arch, qp-wire, kv-core and sim on an emulated Cortex-A72"

target=aarch64-unknown-linux-gnu
# Debian's toolchain by its paths, since it has this target's library and rustup's may not.
for file in /usr/bin/{cargo,rustc,aarch64-linux-gnu-gcc,qemu-aarch64} "/usr/lib/rustlib/$target"; do
    if [[ ! -e $file ]]; then
        echo "SKIPPED aarch64: $file is missing; ci/setup.sh installs it or says how"
        exit 77
    fi
done

unset RUSTFLAGS CARGO_ENCODED_RUSTFLAGS CARGO_BUILD_RUSTFLAGS CARGO_BUILD_TARGET RUSTC_WRAPPER RUSTC_WORKSPACE_WRAPPER
export RUSTC=/usr/bin/rustc RUSTDOC=/usr/bin/rustdoc CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-target}/aarch64
export CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER=aarch64-linux-gnu-gcc
# Without `-L`: beside Debian's libc6:arm64 it would mix two C libraries, and starting a thread would spin for ever.
export CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_RUNNER="qemu-aarch64 -cpu cortex-a72"

/usr/bin/cargo test --locked --no-fail-fast --target "$target" --lib --tests -p arch -p qp-wire -p kv-core -p sim
