#!/usr/bin/env bash
# Measures `cpu-only` over DPDK: one core for the server, one for the client, keys and values of 8 bytes.
#   bench/dpdk.sh --json FILE [--keys COUNT] [--repeat COUNT] [--seconds SECONDS]
# Over memif: MICA2's wire with one and 16 requests a frame and the native one with 32 and 64, uniform and Zipf 0.99, GET 100, 95
# and 50 %, medians of repetitions; then latency at a tenth of the peak and throughput at twice the peak; then what a bare
# echo costs at the same rate. Over AF_XDP, on a pair of virtual interfaces: latency, and the echo's. At the end, by
# bench/offload.sh: what each core of `lat` spends on a request, beside `cpu-only`.
# As root, on a machine with two CPUs that nobody else uses. It takes about a quarter of an hour. It reserves huge pages and leaves
# as many as there were.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

json="" keys=$((16 << 20)) repeat=7 seconds=1
# shellcheck source=bench/options.sh
source bench/options.sh
take_options "json:FILE keys:COUNT repeat:COUNT seconds:SECONDS" "$@"

cargo build --locked --release -p shell-host -p dpukv --features shell-host/dpdk,dpukv/dpdk
programs=${CARGO_TARGET_DIR:-target}/release

# 30 bytes for each item at the fill that the table is made for, and 64 MiB for the frames of each side.
table_mib=$((keys * 30 / (1 << 20) + 16))
pages=$(((table_mib + 256) / 2))
pages_before=$(cat /proc/sys/vm/nr_hugepages)
# shellcheck source=bench/server.sh
source bench/server.sh
namespace="dpukv-bench-$$"
cleanup() {
    stop_servers
    ip netns delete "$namespace" 2>/dev/null || true
    rm -rf "$scratch"
    # Whoever has changed it meanwhile needs it so.
    ((pages_before >= pages)) || [[ $(cat /proc/sys/vm/nr_hugepages) != "$pages" ]] ||
        echo "$pages_before" >/proc/sys/vm/nr_hugepages
}
trap cleanup EXIT
if ((pages_before < pages)); then
    echo "$pages" >/proc/sys/vm/nr_hugepages
fi

# A memif server does not always outlive its client, so each client has one of its own.
#   serve DEVICE COMMAND...
serve() {
    local device=$1
    shift
    stop_servers
    rm -f "$scratch/memif"
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
device = "$device"
[table]
memory = "${table_mib}MiB"
item_len_hint = 16
[cores]
pin = [0]
[idle]
power = "latency"
[log]
level = "warn"
TOML
    start_server 0 ready "$@"
}

reports=()
# One run of the client, whose report bears the device's kind and what is behind it.
#   measure KIND DEVICE DESIGN OPTION...
measure() {
    local kind=$1 device=$2 design=$3
    shift 3
    reports+=("$kind" "$scratch/${#reports[@]}.json")
    timeout 300 "${within[@]}" taskset -c 1 "$programs/dpukv" bench frames --port "dpdk:$device" \
        --endpoint 02:00:00:00:00:01/10.0.0.1/0 --partitions 1 --design "$design" --seconds "$seconds" \
        "$@" --json "${reports[-1]}"
}

# Millions of requests a second that the last report's light load offered.
light_rate() {
    python3 -c 'import json, sys
print([run["offered_mops"] for run in json.load(open(sys.argv[1]))["runs"] if run["load"] == "light"][0])' "${reports[-1]}"
}

# Latency under light load, and a bare echo's at the same rate.
#   measure_latency KIND SERVER_DEVICE CLIENT_DEVICE KEYS OPTION...
measure_latency() {
    local kind=$1 server_device=$2 client_device=$3 key_count=$4
    shift 4
    serve "$server_device" "$programs/dpukv-host" --config "$scratch/host.toml"
    measure "$kind" "$client_device" cpu-only --keys "$key_count" --repeat 3 --gets 1 --distribution uniform --latency "$@"
    local rate
    rate=$(light_rate)
    serve "$server_device" "$programs/dpukv" bench echo --port "dpdk:$server_device"
    measure "$kind" "$client_device" echo --wire echo --repeat 3 --gets 1 --distribution uniform --rate "$rate"
}

memif() {
    echo "net_memif0,role=$1,socket=$scratch/memif,socket-abstract=no${2:-}"
}
at_server=$(memif server ,mac=02:00:00:00:00:01)
at_client=$(memif client)

wires=("--wire mica2 --requests-per-frame 1" "--wire mica2 --requests-per-frame 16"
    "--wire native --requests-per-frame 32 --window 4096" "--wire native --requests-per-frame 64 --window 4096")
for wire in "${wires[@]}"; do
    serve "$at_server" "$programs/dpukv-host" --config "$scratch/host.toml"
    # shellcheck disable=SC2086 # several words
    measure memif "$at_client" cpu-only --keys "$keys" --repeat "$repeat" $wire
done
# What device and client allow: frames as long, sent back as they are.
for frames in "--requests-per-frame 1" "--requests-per-frame 16" "--requests-per-frame 32 --window 4096" \
    "--requests-per-frame 64 --window 4096"; do
    serve "$at_server" "$programs/dpukv" bench echo --port "dpdk:$at_server"
    # shellcheck disable=SC2086 # several words
    measure memif "$at_client" echo --wire echo --repeat "$repeat" --gets 1 --distribution uniform $frames
done
for wire in "${wires[@]}"; do
    # shellcheck disable=SC2086 # several words
    measure_latency memif "$at_server" "$at_client" "$keys" $wire --overload
done

ip netns add "$namespace"
within=(ip netns exec "$namespace")
"${within[@]}" ip link add kv0 address 02:00:00:00:00:01 type veth peer name cl0
for end in kv0 cl0; do
    "${within[@]}" sysctl -qw "net.ipv6.conf.$end.disable_ipv6=1" || true
    "${within[@]}" ip link set "$end" up
done
measure_latency af_xdp net_af_xdp0,iface=kv0 net_af_xdp0,iface=cl0 "$((keys < 1 << 20 ? keys : 1 << 20))" --wire mica2

within=()
stop_servers
bash bench/offload.sh --json "$scratch/offload.json" --keys "$keys" --repeat "$repeat" --seconds "$seconds"

python3 - "$json" "$scratch/offload.json" "${reports[@]}" <<'PYTHON'
import json, sys
pairs = zip(sys.argv[3::2], sys.argv[4::2])
runs = [{"device": kind, **run} for kind, path in pairs for run in json.load(open(path))["runs"]]
runs += [{"device": "replay", "p50_us": None, "p99_us": None, **run} for run in json.load(open(sys.argv[2]))["runs"]]
json.dump({"runs": runs}, open(sys.argv[1], "w"), indent=2)
PYTHON
echo "bench: wrote $json"
