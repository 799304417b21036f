#!/usr/bin/env bash
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
echo "sim: every design and the seeds of faults.rs in the simulator, optimised"

cargo test --locked --release -p sim
