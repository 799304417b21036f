#!/usr/bin/env bash
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
echo "clippy: no warning in any target, and no unwrap, expect or panic in the core"

cargo clippy --locked --workspace --all-targets -- -D warnings
# `--lib` leaves the tests out, which may panic.
cargo clippy --locked --no-deps --lib -p arch -p qp-wire -p kv-core -- -D warnings \
    -D clippy::unwrap_used -D clippy::expect_used -D clippy::panic -D clippy::todo -D clippy::unimplemented
