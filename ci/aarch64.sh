#!/usr/bin/env bash
# Under user-mode emulation with the oldest core that we serve: a Cortex-A72 has no LSE, so an instruction that a
# BlueField-2 does not know traps here. Emulation proves instructions and ABI and never the order of memory accesses;
# that is for ci/loom.sh.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
echo "aarch64: the tests of arch, qp-wire, kv-core and sim on an emulated Cortex-A72, and both sides as processes"

target=aarch64-unknown-linux-gnu
# Debian's toolchain by its paths, since it has this target's library and rustup's may not.
for file in /usr/bin/{cargo,rustc,aarch64-linux-gnu-gcc,qemu-aarch64} "/usr/lib/rustlib/$target"; do
    if [[ ! -e $file ]]; then
        echo "SKIPPED aarch64: $file is missing; ci/setup.sh installs it or says how"
        exit 77
    fi
done

target_dir=$(realpath -m "${CARGO_TARGET_DIR:-target}")/aarch64
built=$target_dir/$target/release
# Without `-L`: beside Debian's libc6:arm64 it would mix two C libraries, and starting a thread would spin for ever.
emulator="qemu-aarch64 -cpu cortex-a72"

cross() (
    unset RUSTFLAGS CARGO_ENCODED_RUSTFLAGS CARGO_BUILD_RUSTFLAGS CARGO_BUILD_TARGET RUSTC_WRAPPER RUSTC_WORKSPACE_WRAPPER
    export RUSTC=/usr/bin/rustc RUSTDOC=/usr/bin/rustdoc CARGO_TARGET_DIR=$target_dir
    export CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER=aarch64-linux-gnu-gcc
    export CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_RUNNER=$emulator
    /usr/bin/cargo "$@" --locked --target "$target"
)

cross test --no-fail-fast --lib --tests -p arch -p qp-wire -p kv-core -p sim

# The programs as package/build.sh makes them, which are there if ci/package.sh has run. And what stands in for DOCA's
# libraries, which asks no crate for more than the programs do, under their names.
cross build --release -p dpukv -p shell-host -p shell-dpu -p doca-stand-in-workq -p doca-stand-in-pe
libraries=$target_dir/doca
for generation in workq pe; do
    mkdir -p "$libraries/$generation"
    for name in libdoca_common.so libdoca_dma.so; do
        ln -sf "$built/libdoca_stand_in_$generation.so" "$libraries/$generation/$name"
    done
done

# The test stays a program of this machine, and starts the sides that it is told of: every design over shared memory
# and over both generations of DOCA's interface, in good weather and in bad.
two_processes() {
    timeout 900 cargo test --locked --no-fail-fast -p shell-host --test two_processes -- --nocapture
}
export DPUKV_TEST_DPU="$emulator $built/dpukv-dpu" DPUKV_TEST_DPU_LIBRARIES=$libraries
echo "aarch64: the DPU's side emulated, the host's of this machine"
two_processes
echo "aarch64: both sides emulated"
DPUKV_TEST_HOST="$emulator $built/dpukv-host" DPUKV_TEST_HOST_LIBRARIES=$libraries two_processes
