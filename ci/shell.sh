#!/usr/bin/env bash
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
echo "shell: shellcheck of every script"

if ! command -v shellcheck >/dev/null; then
    echo "SKIPPED shell: no shellcheck; ci/setup.sh installs it or says how"
    exit 77
fi

shellcheck ci/*.sh bench/*.sh package/*.sh package/p{ostinst,rerm} .ci/run
