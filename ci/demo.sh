#!/usr/bin/env bash
# Real processes over UDP and shared memory, as a stranger starts them, only smaller.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
echo "demo: all six designs answer real requests on this machine"

if ! command -v python3 >/dev/null; then
    echo "SKIPPED demo: no python3 to read its JSON"
    exit 77
fi

report=$(mktemp --suffix=.json)
trap 'rm -f "$report"' EXIT
cargo build --locked --release -p dpukv
timeout 300 cargo run --locked --release -p dpukv -- demo --seconds 1 --keys 100000 --json "$report"

python3 - "$report" <<'PYTHON'
import json
import sys

with open(sys.argv[1]) as file:
    runs = json.load(file)["runs"]

designs = {"cpu-only", "dpu-only", "lat", "sav", "dual", "shrd"}
# What scripts of users may rely on.
fields = (
    "design workload distribution ops seconds mops latency_us host_cpu_ns_per_op dpu_cpu_ns_per_op "
    "qp_request_bytes_per_op qp_response_bytes_per_op dma_copies_per_op hits misses lost errors"
).split()
failures = [f"design {design} is not in the report" for design in sorted(designs - {run["design"] for run in runs})]
for run in runs:
    name = f"{run['design']} {run['workload']}"
    failures += [f"{name}: no {field}" for field in fields if field not in run]
    if run["ops"] <= 0:
        failures.append(f"{name}: no operation was completed")
    if run["hits"] <= 0:
        failures.append(f"{name}: no key was found")
    if run["errors"] != 0:
        failures.append(f"{name}: {run['errors']} errors")
    if not 0 < run["latency_us"]["p50"] <= run["latency_us"]["p99"] <= run["latency_us"]["p999"]:
        failures.append(f"{name}: latencies out of order: {run['latency_us']}")
for failure in failures:
    print("demo:", failure, file=sys.stderr)
print(f"demo: {len(runs)} runs of {len(designs)} designs read, {len(failures)} findings")
sys.exit(bool(failures))
PYTHON
