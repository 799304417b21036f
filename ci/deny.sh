#!/usr/bin/env bash
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
echo "deny: licences, sources and known weaknesses of all dependencies, by deny.toml"

if ! cargo deny --version >/dev/null 2>&1; then
    echo "SKIPPED deny: no cargo-deny; run: cargo install --locked cargo-deny"
    exit 77
fi

cargo deny --locked check --hide-inclusion-graph bans licenses sources
# The database of advisories comes from the network; without it the rest still counts.
if timeout 120 cargo deny fetch db; then
    cargo deny --locked check --disable-fetch advisories
else
    echo "SKIPPED advisories: the database of RustSec cannot be fetched"
fi
