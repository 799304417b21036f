#!/usr/bin/env bash
# Measures `cpu-only` over DPDK's memif and MICA2's wire: one core for the server, one for the client, keys and values of
# 8 bytes, uniform and Zipf 0.99, GET 100, 95 and 50 %, one and 16 requests a frame, medians of repetitions.
#   bench/dpdk.sh --json FILE [--keys COUNT] [--repeat COUNT] [--seconds SECONDS]
# As root, on a machine with two CPUs that nobody else uses. It reserves huge pages and leaves as many as there were.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

json="" keys=$((16 << 20)) repeat=7 seconds=1
while (($#)); do
    case $1 in
    --json) json=$2 ;;
    --keys) keys=$2 ;;
    --repeat) repeat=$2 ;;
    --seconds) seconds=$2 ;;
    *)
        echo "bench: $1: expected --json FILE, --keys COUNT, --repeat COUNT or --seconds SECONDS" >&2
        exit 2
        ;;
    esac
    shift 2
done
[[ -n $json ]] || { echo "bench: --json FILE is missing" >&2; exit 2; }

cargo build --locked --release -p shell-host -p dpukv --features shell-host/dpdk,dpukv/dpdk
programs=${CARGO_TARGET_DIR:-target}/release

# 30 bytes for each item at the fill that the table is made for, and 64 MiB for the frames of each side.
table_mib=$((keys * 30 / (1 << 20) + 16))
pages=$(((table_mib + 256) / 2))
pages_before=$(cat /proc/sys/vm/nr_hugepages)
scratch=$(mktemp -d)
server=""
cleanup() {
    [[ -z $server ]] || kill "$server" 2>/dev/null || true
    rm -rf "$scratch"
    echo "$pages_before" >/proc/sys/vm/nr_hugepages
}
trap cleanup EXIT
if ((pages_before < pages)); then
    echo "$pages" >/proc/sys/vm/nr_hugepages
fi

cat >"$scratch/host.toml" <<TOML
[plan]
design = "cpu-only"
host_cores = 1
partitions = 1
[network]
address = "10.0.0.1"
allow = ["10.0.0.0/8"]
[port]
kind = "dpdk"
device = "net_memif0,role=server,mac=02:00:00:00:00:01,socket=$scratch/memif,socket-abstract=no"
[table]
memory = "${table_mib}MiB"
item_len_hint = 16
[cores]
pin = [0]
[idle]
sleep_ms = 0
[log]
level = "warn"
TOML

reports=()
for requests in 1 16; do
    # A memif server does not always outlive its client, so each client has one of its own.
    rm -f "$scratch/ready" "$scratch/memif"
    "$programs/dpukv-host" --config "$scratch/host.toml" >"$scratch/ready" &
    server=$!
    for _ in {1..300}; do
        grep -q '^ready' "$scratch/ready" && break
        sleep 0.1
    done
    reports+=("$scratch/$requests.json")
    timeout 3600 taskset -c 1 "$programs/dpukv" bench frames \
        --port "dpdk:net_memif0,role=client,socket=$scratch/memif,socket-abstract=no" \
        --endpoint 02:00:00:00:00:01/10.0.0.1/0 --partitions 1 --design cpu-only \
        --keys "$keys" --requests-per-frame "$requests" --repeat "$repeat" --seconds "$seconds" \
        --json "$scratch/$requests.json"
    kill "$server" 2>/dev/null || true
    wait "$server" 2>/dev/null || true
    server=""
done

python3 - "$json" "${reports[@]}" <<'PYTHON'
import json, sys
runs = [run for path in sys.argv[2:] for run in json.load(open(path))["runs"]]
json.dump({"runs": runs}, open(sys.argv[1], "w"), indent=2)
PYTHON
echo "bench: wrote $json"
