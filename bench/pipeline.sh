#!/usr/bin/env bash
# Measures ways of batching: the paper's stop and wait, several batches in flight, and the adaptive flush beside fixed ones.
#   bench/pipeline.sh --json FILE [--added-us US] [--repeat COUNT] [--seconds SECONDS]
# First in virtual time, with the costs of a BlueField-3, the same on every machine. Then on this machine, both sides of a
# queue pair in one process, without a network: in turn on one core by its CPU time, which other work does not falsify, and
# on two cores, which nobody else must use. Medians of 7. As any user; about a minute, after the build.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

json="" added_us=2 repeat=7 seconds=0.3
while (($#)); do
    case $1 in
    --json) json=$2 ;;
    --added-us) added_us=$2 ;;
    --repeat) repeat=$2 ;;
    --seconds) seconds=$2 ;;
    *)
        echo "bench: $1: expected --json FILE, --added-us US, --repeat COUNT or --seconds SECONDS" >&2
        exit 2
        ;;
    esac
    shift 2
done
[[ -n $json ]] || { echo "bench: --json FILE is missing" >&2; exit 2; }

cargo build --locked --release -p dpukv
cargo build --locked --release -p sim --examples
programs=${CARGO_TARGET_DIR:-target}/release
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

echo "virtual time:"
"$programs/examples/stop_and_wait" "$added_us"
"$programs/examples/flush_sweep" "$scratch/sweep.json"

for cores in 1 2; do
    echo "this machine, $cores core(s):"
    options=(--added-us "$added_us" --repeat "$repeat" --seconds "$seconds" --json "$scratch/$cores.json")
    ((cores == 2)) || options+=(--one-core)
    timeout 600 "$programs/dpukv" bench queue-pair "${options[@]}"
done

python3 - "$json" "$scratch" <<'PYTHON'
import json, sys
def runs(name, **more):
    return [{**more, **run} for run in json.load(open(f"{sys.argv[2]}/{name}.json"))["runs"]]
both = runs("1", time="cpu") + runs("2", time="wall")
json.dump({"runs": both, "sweep": runs("sweep", time="virtual")}, open(sys.argv[1], "w"), indent=2)
PYTHON
echo "bench: wrote $json"
