#!/usr/bin/env bash
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
echo "unit: all tests of the workspace, and the examples in its documentation"

if cargo nextest --version >/dev/null 2>&1; then
    cargo nextest run --locked --workspace --no-fail-fast
else
    cargo test --locked --workspace --all-targets --no-fail-fast
fi
cargo test --locked --workspace --doc
