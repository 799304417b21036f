#!/usr/bin/env bash
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
echo "fmt: every source file is formatted as rustfmt.toml says"

cargo fmt --all --check
cargo fmt --manifest-path ci/no-panic/Cargo.toml --check
