#!/usr/bin/env bash
# Copies by DOCA's interface, through libraries that stand in for it: the shells as two processes with both generations,
# and seeds of faults. DOCA_SEEDS says how many.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
export DOCA_SEEDS=${DOCA_SEEDS:-1000}
echo "doca: every offloaded design over both generations, and $DOCA_SEEDS seeds of faults"

cargo test --locked --no-fail-fast -p shell-io --test doca -- --include-ignored --nocapture
cargo test --locked --no-fail-fast -p shell-host --test two_processes -- --nocapture doca::
# Where the SDK is installed, our declarations are compared with its headers; elsewhere it says that they are not.
cargo check --locked -p doca-sys --features verify-bindgen
