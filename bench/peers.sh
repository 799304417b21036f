#!/usr/bin/env bash
# Compares `cpu-only` over kernel sockets with Redis, Valkey and memcached, on loopback: one core for the server, one for
# the client, keys and values of 8 bytes.
#   bench/peers.sh --json FILE [--keys COUNT] [--repeat COUNT] [--seconds SECONDS] [--window COUNT]
# Three loads: each store at its best batching, in a mix of 100, 95 and 50 % GET, uniform and Zipf 0.99, with --window requests
# outstanding for ours in all rows alike; one request outstanding; 16 single requests outstanding. Beside them a bare echo
# of datagrams through the sockets that ours uses, as the limit, and Redis under redis-benchmark, which has keys of 12
# bytes, as a check of our own generator.
# It needs no privileges. Stores that are missing are installed from the distribution by root, and named to anybody else.
# It takes about seven minutes, and two CPUs that nobody else uses: figures are a scheduler's where others run.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

json="" keys=10000000 repeat=7 seconds=1 window=4096
# shellcheck source=bench/options.sh
source bench/options.sh
take_options "json:FILE keys:COUNT repeat:COUNT seconds:SECONDS window:COUNT" "$@"

# Installs a package if this is root and the distribution has it, or says how. Whatever fails, what is there is measured.
#   provide PROGRAM PACKAGE
provide() {
    command -v "$1" >/dev/null && return
    if ! apt-cache show "$2" 2>/dev/null | grep -q '^Package:'; then
        echo "bench: no package $2 in this distribution; going on without $1"
    elif ((EUID == 0)); then
        # Its service would take a core and a port.
        DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 apt-get -o DPkg::Lock::Timeout=900 install -q -y \
            --no-install-recommends "$2" >/dev/null || true
    else
        echo "bench: no $1; run: sudo apt-get install --no-install-recommends $2"
    fi
}
provide redis-server redis-server
provide redis-benchmark redis-tools
provide valkey-server valkey-server
provide memcached memcached

cargo build --locked --release -p shell-host -p dpukv
programs=${CARGO_TARGET_DIR:-target}/release
# The first port of a free pair, more or less.
port=$((20000 + $$ % 10000))

# shellcheck source=bench/server.sh
source bench/server.sh
cleanup() {
    stop_servers
    rm -rf "$scratch"
}
trap cleanup EXIT

reports=()
# A file for the next report, which is read as one of KIND about SUBJECT.
#   report KIND SUBJECT BATCH CONNECTIONS OUTSTANDING_REQUESTS
report() {
    path=$scratch/${#reports[@]}.json
    reports+=("$@" "$path")
}

client() {
    # A load is bounded, and so is the time to store all keys, at 20 us each.
    timeout $((60 + repeat * (${seconds%.*} + 1) * 8 + keys / 50000)) taskset -c 1 "$@"
}

# All repetitions of a load on ours, which is loaded.
#   measure_dpukv BATCH WINDOW GETS DISTRIBUTION
measure_dpukv() {
    for ((i = 0; i < repeat; i++)); do
        report dpukv dpukv "$1" 1 "$2"
        client "$programs/dpukv" --server "127.0.0.1:$port" bench --no-load --keys "$keys" --seconds "$seconds" \
            --requests-per-frame "$1" --window "$2" --gets "$3" --distribution "$4" --seed $((i + 1)) --json "$path"
    done
}

# The loads of the issue's three sections, on another store.
#   measure_peer SUBJECT PROTOCOL
measure_peer() {
    local peer=("$programs/dpukv" bench peer --protocol "$2" --address "127.0.0.1:$port" --keys "$keys"
        --repeat "$repeat" --seconds "$seconds" --subject "$1")
    report peer "$1" 64 1 256
    client "${peer[@]}" --batch 64 --depth 4 --json "$path"
    report peer "$1" 1 1 1
    client "${peer[@]}" --no-load --batch 1 --gets 1 --distribution uniform --json "$path"
    report peer "$1" 1 16 16
    client "${peer[@]}" --no-load --batch 1 --connections 16 --gets 1 --distribution uniform --json "$path"
}

# Redis under its own generator. A line of its CSV is a report.
#   measure_redis SUBJECT BATCH CONNECTIONS PIPELINE COUNT COMMAND KEY...
measure_redis() {
    local subject=$1 batch=$2 connections=$3 pipeline=$4 count=$5 words=$(($# - 6))
    shift 5
    for ((i = 0; i < repeat; i++)); do
        report redis-benchmark "$subject" "$batch" "$connections" $((connections * pipeline * words))
        client redis-benchmark -p "$port" -c "$connections" -P "$pipeline" -n "$count" -r "$keys" --csv "$@" \
            >"$path" 2>/dev/null
    done
    echo "$subject, batch $batch, $connections connections: $(tail -n 1 "$path" | cut -d '"' -f 4) commands a second"
}

measure_echo() {
    report echo echo "$1" 1 $(($1 * $3))
    client "$programs/dpukv" bench datagrams --to "127.0.0.1:$port" --len "$2" --window "$3" --repeat "$repeat" \
        --seconds "$seconds" --json "$path"
}

# 30 bytes for each item at the fill that the table is made for.
cat >"$scratch/host.toml" <<TOML
[plan]
design = "cpu-only"
host_cores = 1
partitions = 1
[network]
address = "127.0.0.1"
base_port = $port
[table]
memory = "$((keys * 30 / (1 << 20) + 16))MiB"
item_len_hint = 16
[cores]
pin = [0]
[idle]
spin_us = 50
yield_us = 50
[log]
level = "warn"
TOML
start_server 0 ready "$programs/dpukv-host" --config "$scratch/host.toml"
client "$programs/dpukv" --server "127.0.0.1:$port" bench --keys "$keys" --requests-per-frame 64 --seconds 0.1 >/dev/null
for distribution in uniform zipf; do
    for gets in 1 0.95 0.5; do
        measure_dpukv 64 "$window" "$gets" "$distribution"
    done
done
measure_dpukv 1 1 1 uniform
measure_dpukv 1 16 1 uniform

# Frames as long as those with one GET and with 64.
stop_servers
start_server 0 ready "$programs/dpukv" bench datagrams --serve "127.0.0.1:$port"
measure_echo 1 32 1
measure_echo 1 32 16
measure_echo 64 544 64

for store in redis valkey; do
    command -v $store-server >/dev/null || continue
    stop_servers
    start_server 0 "$port" $store-server --port "$port" --bind 127.0.0.1 --save "" --appendonly no --dir "$scratch"
    measure_peer $store redis || echo "bench: $store was not measured to the end" >&2
    if command -v redis-benchmark >/dev/null; then
        # It draws the keys that it stores, so that two thirds of them are there afterwards.
        client redis-benchmark -p "$port" -c 4 -P 64 -n "$keys" -r "$keys" -q set __rand_int__ 12345678 >/dev/null 2>&1
        names=$(printf '__rand_int__ %.0s' {1..64})
        # shellcheck disable=SC2086 # several words
        measure_redis $store:redis-benchmark-mget 64 4 4 20000 mget $names
        measure_redis $store:redis-benchmark-get 64 1 64 300000 get __rand_int__
        measure_redis $store:redis-benchmark-get 1 1 1 5000 get __rand_int__
        measure_redis $store:redis-benchmark-get 1 16 1 30000 get __rand_int__
    fi
done

if command -v memcached >/dev/null; then
    account=()
    ((EUID)) || account=(-u nobody)
    # 60 to 80 bytes of its own for each item.
    stop_servers
    start_server 0 "$port" memcached "${account[@]}" -p "$port" -l 127.0.0.1 -U 0 -t 1 -m $((keys / 8192 + 64)) \
        -o hashpower=24
    measure_peer memcached memcached || echo "bench: memcached was not measured to the end" >&2
fi

python3 - "$json" "${reports[@]}" <<'PYTHON'
import csv, json, os, statistics, sys

def read_benchmark(path):
    row = list(csv.DictReader(open(path)))[-1]
    names = row["test"].count("__rand_int__")
    us = lambda column: float(row[column]) * 1e3
    yield "uniform", 1.0, [float(row["rps"]) * names / 1e6], us("p50_latency_ms"), us("p99_latency_ms")

def read_dpukv(path):
    for run in json.load(open(path))["runs"]:
        assert run["errors"] == run["misses"] == 0, run
        latency = run["latency_us"]
        yield run["distribution"], float(run["workload"].split("%")[0]) / 100, [run["mops"]], latency["p50"], latency["p99"]

def read_peer(path):
    for run in json.load(open(path))["runs"]:
        assert run["errors"] == run["misses"] == 0, run
        yield run["distribution"], run["gets"], run["mops"], run["p50_us"], run["p99_us"]

def read_echo(path):
    for run in json.load(open(path))["runs"]:
        yield "none", None, run["mops"], run["p50_us"], run["p99_us"]

read = {"redis-benchmark": read_benchmark, "dpukv": read_dpukv, "peer": read_peer, "echo": read_echo}
groups = {}
for kind, subject, batch, connections, outstanding, path in zip(*[iter(sys.argv[2:])] * 6):
    if not os.path.exists(path) or not os.path.getsize(path):
        print(f"bench: no figures of {subject}, batch {batch}, {outstanding} outstanding")
        continue
    for distribution, gets, mops, p50, p99 in read[kind](path):
        # An echo counts datagrams; what it bounds are the requests in them.
        scale = int(batch) if kind == "echo" else 1
        group = groups.setdefault((subject, int(batch), int(connections), int(outstanding), distribution, gets), ([], [], []))
        group[0].extend(scale * sample for sample in mops)
        group[1].append(p50)
        group[2].append(p99)

runs = []
for (subject, batch, connections, outstanding, distribution, gets), (mops, p50, p99) in groups.items():
    runs.append({"subject": subject, "batch": batch, "connections": connections, "outstanding": outstanding,
                 "distribution": distribution, "gets": gets, "mops_median": statistics.median(mops),
                 "mops_min": min(mops), "mops_max": max(mops), "mops": mops,
                 "p50_us": statistics.median(p50), "p99_us": statistics.median(p99)})
json.dump({"runs": runs}, open(sys.argv[1], "w"), indent=2)

# The load of a run: at one's best batching, or so many single requests.
load = lambda run: "batches" if run["batch"] > 1 else f"{run['outstanding']} single"
for ours in (run for run in runs if run["subject"] == "dpukv"):
    mix = lambda run: (load(run), run["distribution"], run["gets"])
    gets = f"GET {ours['gets'] * 100:.0f} %"
    line = f"{load(ours):<10} {ours['distribution']:<9} {gets:<9} {ours['mops_median']:.3f} Mops" \
           f"  p50 {ours['p50_us']:.1f} us  p99 {ours['p99_us']:.1f} us"
    others = [run for run in runs if run["subject"] not in ("dpukv", "echo") and mix(run) == mix(ours)]
    if others:
        best = max(others, key=lambda run: run["mops_median"])
        line += f"   {ours['mops_median'] / best['mops_median']:.2f} x {best['subject']} ({best['mops_median']:.3f} Mops" \
                f"  p50 {best['p50_us']:.1f} us  p99 {best['p99_us']:.1f} us)"
    for echo in (run for run in runs if run["subject"] == "echo" and load(run) == load(ours)):
        line += f"   {ours['mops_median'] / echo['mops_median']:.2f} x the echo ({echo['mops_median']:.3f} Mops" \
                f"  p50 {echo['p50_us']:.1f} us)"
    print(line)
PYTHON
echo "bench: wrote $json"
