#!/usr/bin/env bash
# Every check of this repository, one after the other, all of them even if one fails.
#   ci/test.sh              everything
#   ci/test.sh --quick      without the slow ones
#   ci/test.sh --only NAME  one of them
# A check is ci/NAME.sh. It exits with 0 (passed), 77 (skipped: this machine cannot run it) or anything else (failed).
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
echo "test: all checks"

# Cheap ones first. Those after `doc` are slow: they build more than the workspace's development profile.
quick=(shell one-cfg fmt clippy unit doc)
slow=(no-std no-panic loom sim doca demo package dpdk etcd aarch64 dpdk-aarch64 deny fuzz-smoke)

usage() {
    echo "usage: ci/test.sh [--quick | --only NAME], NAME one of: ${quick[*]} ${slow[*]}" >&2
    exit 2
}

checks=("${quick[@]}" "${slow[@]}")
case "${1-}" in
"") ;;
--quick) checks=("${quick[@]}") ;;
--only)
    [[ " ${checks[*]} " == *" ${2-} "* ]] || usage
    checks=("$2")
    ;;
*) usage ;;
esac

# A machine without a package skips the checks that need it, each with its reason.
bash ci/setup.sh || echo "test: not everything is there; the checks that need it will be skipped"

passed=0 failed=0 skipped=0
rows=()
for check in "${checks[@]}"; do
    printf '\n=== %s\n' "$check"
    started=$SECONDS
    status=0
    bash "ci/$check.sh" || status=$?
    case $status in
    0) result=passed passed=$((passed + 1)) ;;
    77) result=skipped skipped=$((skipped + 1)) ;;
    *) result=FAILED failed=$((failed + 1)) ;;
    esac
    left=$(df -m . | awk 'NR == 2 { print $4 }')
    rows+=("$(printf '%-12s %-8s %7d %9d' "$check" "$result" $((SECONDS - started)) "$left")")
done

printf '\n%-12s %-8s %7s %9s\n' check result seconds 'MiB left'
printf '%s\n' "${rows[@]}"
printf '\n%d passed, %d failed, %d skipped\n' "$passed" "$failed" "$skipped"
((failed == 0))
