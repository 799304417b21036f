#!/usr/bin/env bash
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
echo "doc: the documentation builds without a warning"

RUSTDOCFLAGS="-D warnings" cargo doc --locked --workspace --no-deps
