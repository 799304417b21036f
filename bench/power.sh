#!/usr/bin/env bash
# Measures what an idle server costs, how fast it wakes up, and what a steady load pays for it: `power` as "latency", "balanced"
# and "saving".
#   bench/power.sh --json FILE [--keys COUNT] [--seconds SECONDS] [--pauses COUNT] [--repeat COUNT]
# For `cpu-only` over UDP, and for `lat` with one core on either side, over UDP and queue pairs in shared memory: the CPU time
# of each process without a request (heartbeats included), as the kernel's scheduler counts it, as a share of one CPU; the
# latency of single requests after pauses of a second, beside a bare echo's that sleeps in poll; then, as steady loads, one
# request after the other, and frames of 64 requests with 4096 outstanding, medians of repetitions.
# It needs no privileges. It takes about nine minutes, and two CPUs that nobody else uses; for "latency" in `lat` a third one,
# since neither of its cores ever sleeps.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

json="" keys=1000000 seconds=1 pauses=60 repeat=7
# shellcheck source=bench/options.sh
source bench/options.sh
take_options "json:FILE keys:COUNT seconds:SECONDS pauses:COUNT repeat:COUNT" "$@"

cargo build --locked --release -p shell-host -p shell-dpu -p dpukv
programs=${CARGO_TARGET_DIR:-target}/release
# The first port of a free pair, more or less.
port=$((20000 + $$ % 10000))

# shellcheck source=bench/server.sh
source bench/server.sh
trap 'stop_servers; rm -rf "$scratch"' EXIT

# Nanoseconds of CPU time of a process so far.
cpu_ns() {
    awk '{ sum += $1 } END { printf "%.0f", sum }' "/proc/$1/task/"*/schedstat
}

# Both sides, or the host alone, with keys stored.
#   serve DESIGN POWER
serve() {
    stop_servers
    local side
    for side in host dpu; do
        cat >"$scratch/$side.toml" <<TOML
[plan]
design = "$1"
host_cores = 1
dpu_cores = 1
partitions = 1
[network]
address = "127.0.0.1"
base_port = $port
[control]
$([[ $side == host ]] && echo connect || echo listen) = "127.0.0.1:$((port + 1))"
[table]
memory = "$((keys * 30 / (1 << 20) + 16))MiB"
item_len_hint = 16
[idle]
power = "$2"
[log]
level = "warn"
TOML
    done
    if [[ $1 == lat ]]; then
        start_server 1 ready "$programs/dpukv-dpu" --config "$scratch/dpu.toml"
    fi
    start_server 0 ready "$programs/dpukv-host" --config "$scratch/host.toml"
    client --keys "$keys" --requests-per-frame 64 --seconds 0.1 >/dev/null
}

# Beside the host's CPU where that is the only other one that is taken.
client() {
    local cpus=1
    ((${#servers[@]} == 1)) || cpus=0,1
    timeout $((120 + keys / 50000)) taskset -c $cpus "$programs/dpukv" --server "127.0.0.1:$port" bench --gets 1 --distribution uniform "$@"
}

# CPU time of each process over some seconds, as shares of one CPU, in the order of their starts.
idle_shares() {
    local pid begin=() span=5
    sleep 1
    for pid in "${servers[@]}"; do begin+=("$(cpu_ns "$pid")"); done
    sleep $span
    for pid in "${servers[@]}"; do
        echo "$(cpu_ns "$pid") ${begin[0]} $span" | awk '{ printf "%.5f ", ($1 - $2) / $3 / 1e9 }'
        begin=("${begin[@]:1}")
    done
}

# What any server that sleeps takes to wake up and to send as much back.
start_server 0 ready "$programs/dpukv" bench datagrams --serve "127.0.0.1:$port" --sleep
timeout $((60 + pauses)) taskset -c 1 "$programs/dpukv" bench datagrams --to "127.0.0.1:$port" --pause 1 --repeat 1 \
    --seconds "$pauses" --json "$scratch/echo.json"

reports=()
for design in cpu-only lat; do
    for power in latency balanced saving; do
        serve $design $power
        reports+=("$design" "$power" "$(idle_shares)")
        reports+=("$scratch/${#reports[@]}.json")
        client --keys "$keys" --no-load --window 1 --requests-per-frame 1 --pause 1 --seconds "$pauses" \
            --json "${reports[-1]}" >/dev/null
        reports+=("$scratch/${#reports[@]}.json")
        client --keys "$keys" --no-load --window 1 --requests-per-frame 1 --seconds 2 --json "${reports[-1]}" >/dev/null
        loads=""
        for ((i = 0; i < repeat; i++)); do
            loads+=" $scratch/${#reports[@]}.$i.json"
            client --keys "$keys" --no-load --window 4096 --requests-per-frame 64 --seconds "$seconds" \
                --json "$scratch/${#reports[@]}.$i.json" >/dev/null
        done
        reports+=("${loads# }")
        echo "bench: $design, $power: done"
    done
done

python3 - "$json" "$scratch/echo.json" "${reports[@]}" <<'PYTHON'
import json, statistics, sys

def read(path):
    run = json.load(open(path))["runs"][0]
    assert run["misses"] == run["errors"] == 0, run
    return run

echo = json.load(open(sys.argv[2]))["runs"][0]
runs = []
for design, power, shares, after_pause, single, loads in zip(*[iter(sys.argv[3:])] * 6):
    after_pause, single, loads = read(after_pause), read(single), [read(path) for path in loads.split()]
    *dpu, host = map(float, shares.split())
    dpu = dpu[0] if dpu else None
    mops = [run["mops"] for run in loads]
    runs.append({
        "design": design, "power": power, "idle_host_share": host, "idle_dpu_share": dpu,
        "requests_after_pause": after_pause["ops"], "first_p50_us": after_pause["latency_us"]["p50"],
        "first_max_us": after_pause["latency_us"]["p999"],
        "first_of_echo": after_pause["latency_us"]["p50"] / echo["p50_us"],
        "single_mops": single["mops"], "single_p50_us": single["latency_us"]["p50"], "single_p99_us": single["latency_us"]["p99"],
        "lost": after_pause["lost"] + single["lost"] + sum(run["lost"] for run in loads),
        "mops_median": statistics.median(mops), "mops_min": min(mops), "mops_max": max(mops), "mops": mops,
        "p50_us": statistics.median(run["latency_us"]["p50"] for run in loads),
    })
    idle = f"{host * 100:.2f} %" + (f" and {dpu * 100:.2f} %" if dpu is not None else "")
    run = runs[-1]
    print(f"{design:<8} {power:<8} idle {idle:<18}"
          f" after a pause p50 {run['first_p50_us']:.0f} us, {run['first_of_echo']:.2f} of the echo's,"
          f" max {run['first_max_us']:.0f} us of {run['requests_after_pause']}"
          f"   one by one p50 {run['single_p50_us']:.1f} us, p99 {run['single_p99_us']:.1f} us"
          f"   batches {run['mops_median']:.2f} Mops ({run['mops_min']:.2f} to {run['mops_max']:.2f}), p50 {run['p50_us']:.0f} us")
json.dump({"echo": echo, "runs": runs}, open(sys.argv[1], "w"), indent=2)
PYTHON
echo "bench: wrote $json"
