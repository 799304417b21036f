#!/usr/bin/env bash
# What is built with the feature `dpdk`: its lints, its ports over virtual devices, and both sides over real frames in
# network namespaces. As root everything runs; for anybody else the tests that need a namespace or a device say so.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
echo "dpdk: ports over DPDK's virtual devices"

if ! pkg-config --atleast-version=22.11 libdpdk 2>/dev/null; then
    echo "dpdk: skipped: DPDK 22.11 or newer is not installed; ci/setup.sh installs it"
    exit 77
fi

packages=(-p shell-io -p shell-host -p shell-dpu -p dpukv)
cargo clippy --locked "${packages[@]}" --features "shell-io/dpdk,shell-host/dpdk,shell-dpu/dpdk,dpukv/dpdk" --all-targets -- -D warnings

run=(--locked -p shell-io -p shell-host --features "shell-io/dpdk,shell-host/dpdk" --lib --test dpdk)
log=$(mktemp)
trap 'rm -f "$log"' EXIT
status=0
if cargo nextest --version >/dev/null 2>&1; then
    cargo nextest run "${run[@]}" --no-fail-fast --success-output immediate 2>&1 | tee "$log" || status=$?
else
    # One at a time: devices that two tests make at once would share the two CPUs of a small machine.
    cargo test "${run[@]}" --no-fail-fast -- --nocapture --test-threads 1 2>&1 | tee "$log" || status=$?
fi
echo "dpdk: $(grep -c SKIPPED "$log" || true) tests skipped"
grep SKIPPED "$log" || true
exit "$status"
