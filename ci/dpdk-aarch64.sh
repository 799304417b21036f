#!/usr/bin/env bash
# The DPU's program with DPDK's ports, for the DPU's CPU: built against Debian's DPDK for arm64, and started under
# emulation with a virtual device. That says that bindings, shim and linking are right for that CPU, and no more.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
echo "dpdk-aarch64: dpukv-dpu with the feature dpdk on an emulated Cortex-A72"

target=aarch64-unknown-linux-gnu
target_dir=$(realpath -m "${CARGO_TARGET_DIR:-target}")/aarch64

skip() {
    echo "SKIPPED dpdk-aarch64: $*"
    exit 77
}

for file in /usr/bin/{cargo,rustc,aarch64-linux-gnu-gcc,qemu-aarch64,pkg-config} "/usr/lib/rustlib/$target"; do
    [[ -e $file ]] || skip "$file is missing; ci/setup.sh installs it or says how"
done
command -v mmdebstrap >/dev/null || skip "mmdebstrap is missing; ci/setup.sh installs it or says how"

# In a root of its own: beside this machine's own DPDK, the one for arm64 would take packages away. It comes from where
# this machine's packages come from.
root=$target_dir/debian-arm64
if [[ ! -e $root ]]; then
    # shellcheck disable=SC2016  # the variables are apt's
    mapfile -t mirrors < <(apt-get indextargets --format 'deb $(SITE) $(RELEASE) $(COMPONENT)' 'Created-By: Packages' \
        'Origin: Debian' | sort -u)
    ((${#mirrors[@]})) || skip "no package source of Debian's"
    suite=$(sed -n 's/^VERSION_CODENAME=//p' /etc/os-release)
    rm -rf "$root.new"
    mkdir -p "$target_dir"
    timeout 600 mmdebstrap --quiet --architectures=arm64 --variant=extract --include=libdpdk-dev,libc6-dev \
        --skip=check/qemu "$suite" "$root.new" "${mirrors[@]}" || skip "no packages for arm64 are to be had"
    mv "$root.new" "$root"
fi

(
    unset RUSTFLAGS CARGO_ENCODED_RUSTFLAGS CARGO_BUILD_RUSTFLAGS CARGO_BUILD_TARGET RUSTC_WRAPPER RUSTC_WORKSPACE_WRAPPER
    # With the compiler of package/build.sh, where that builds: what is the same is built once.
    export RUSTC=/usr/bin/rustc CARGO_TARGET_DIR=$target_dir
    export CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER=aarch64-linux-gnu-gcc
    export CC_aarch64_unknown_linux_gnu=aarch64-linux-gnu-gcc BINDGEN_EXTRA_CLANG_ARGS=--sysroot=$root
    export PKG_CONFIG_ALLOW_CROSS=1 PKG_CONFIG_SYSROOT_DIR=$root
    export PKG_CONFIG_LIBDIR=$root/usr/lib/aarch64-linux-gnu/pkgconfig:$root/usr/share/pkgconfig
    /usr/bin/cargo rustc --locked --release --target "$target" -p shell-dpu --features dpdk --bin dpukv-dpu -- -C "link-arg=--sysroot=$root"
)

scratch=$(mktemp -d)
pid=""
finish() {
    [[ -z $pid ]] || kill "$pid" 2>/dev/null || true
    wait
    rm -rf "$scratch"
}
trap finish EXIT
fail() {
    echo "dpdk-aarch64: $*" >&2
    cat "$scratch"/{out,log} >&2
    exit 1
}

cat >"$scratch/dpu.toml" <<TOML
[plan]
design = "dpu-only"
dpu_cores = 1
[table]
memory = "8MiB"
[network]
address = "10.0.0.1"
[port]
kind = "dpdk"
device = "net_ring0"
[control]
listen = "127.0.0.1:0"
TOML
# The libraries are the root's, the C library included: two of them in one process do not get along.
qemu-aarch64 -cpu cortex-a72 -L "$root" "$target_dir/$target/release/dpukv-dpu" --config "$scratch/dpu.toml" \
    >"$scratch/out" 2>"$scratch/log" &
pid=$!
for ((attempt = 0; attempt < 600; attempt++)); do
    grep -q '^ready ' "$scratch/out" && break
    kill -0 "$pid" 2>/dev/null || fail "it ends before it is ready"
    sleep 0.1
done
grep '^ready ' "$scratch/out" || fail "it does not become ready"
kill "$pid"
status=0
timeout 60 tail --pid="$pid" -f /dev/null || fail "told to stop, it does not"
wait "$pid" || status=$?
pid=""
((status == 0)) || fail "told to stop, it ends with $status"
