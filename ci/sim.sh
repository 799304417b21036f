#!/usr/bin/env bash
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
export SIM_SEEDS=${SIM_SEEDS:-2000}
echo "sim: every design, and $SIM_SEEDS seeds of faults, in the simulator"

cargo test --locked --release --no-fail-fast -p sim
