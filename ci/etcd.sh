#!/usr/bin/env bash
# Registrations in a real etcd, by its v2 and its v3 API: refreshed, left to expire, and through a kill of the etcd. Then
# whole servers do, and clients find them.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
echo "etcd: servers register in a real etcd and leave it"

if ! command -v etcd >/dev/null; then
    echo "SKIPPED etcd: it is not installed; ci/setup.sh installs it"
    exit 77
fi

if cargo nextest --version >/dev/null 2>&1; then
    cargo nextest run --locked -p directory -p dpukv --test etcd --run-ignored all --no-fail-fast
else
    cargo test --locked -p directory -p dpukv --test etcd --no-fail-fast -- --ignored
fi
