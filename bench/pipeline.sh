#!/usr/bin/env bash
# Measures ways of batching: the paper's stop and wait, several batches in flight, and the adaptive flush beside fixed ones.
#   bench/pipeline.sh --json FILE [--added-us US] [--repeat COUNT] [--seconds SECONDS]
# First in virtual time, with the costs of a BlueField-3, the same on every machine. Then on this machine, both sides of a
# queue pair in one process, without a network: in turn on one core by its CPU time, which other work does not falsify, and
# on two cores, which nobody else must use. Medians of 7. As any user; about two minutes, after the build.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

json="" added_us=2 repeat=7 seconds=0.3
# shellcheck source=bench/options.sh
source bench/options.sh
take_options "json:FILE added-us:US repeat:COUNT seconds:SECONDS" "$@"

cargo build --locked --release -p dpukv
cargo build --locked --release -p sim --examples
programs=${CARGO_TARGET_DIR:-target}/release
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

echo "virtual time:"
"$programs/examples/stop_and_wait" "$added_us"
"$programs/examples/flush_sweep" "$scratch/sweep.json"

# What follows, on so many cores.
#   measure CORES NAME OPTION...
measure() {
    local cores=$1 name=$2
    shift 2
    ((cores == 2)) || set -- --one-core "$@"
    timeout 900 "$programs/dpukv" bench queue-pair --added-us "$added_us" --repeat "$repeat" --seconds "$seconds" \
        --json "$scratch/$name-$cores.json" "$@"
}
for cores in 1 2; do
    echo "this machine, $cores core(s):"
    measure "$cores" ways
done
echo "this machine, 1 core, one request to a frame:"
measure 1 flush --flush --requests-per-frame 1 --windows 1,2,4,8,16,64,256

python3 - "$json" "$scratch" <<'PYTHON'
import json, sys
def runs(name):
    return json.load(open(f"{sys.argv[2]}/{name}.json"))["runs"]
report = {"runs": runs("ways-1") + runs("ways-2"), "flush": runs("flush-1"), "virtual": runs("sweep")}
json.dump(report, open(sys.argv[1], "w"), indent=2)
PYTHON
echo "bench: wrote $json"
