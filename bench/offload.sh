#!/usr/bin/env bash
# Measures what a request costs each core when no network and no client limit it: `cpu-only` on one core, `lat` with its
# communication engine on one core and its processing engine on the other. Frames are prepared and come from memory
# (`port.kind = "replay"`), the queue pair is in shared memory, keys and values have 8 bytes.
#   bench/offload.sh --json FILE [--keys COUNT] [--repeat COUNT] [--seconds SECONDS]
# On a machine with two CPUs that nobody else uses; no privileges, no network. The figures are the ticks of turns that
# found work, and the requests of the same time, both from the sides' counters.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

json="" keys=$((16 << 20)) repeat=7 seconds=1
# shellcheck source=bench/options.sh
source bench/options.sh
take_options "json:FILE keys:COUNT repeat:COUNT seconds:SECONDS" "$@"

cargo build --locked --release -p shell-host -p shell-dpu -p dpukv
programs=${CARGO_TARGET_DIR:-target}/release
# shellcheck source=bench/server.sh
source bench/server.sh
trap 'stop_servers; rm -rf "$scratch"' EXIT

# Writes a side's configuration.
#   configure SIDE DESIGN FRAMES ONCE
configure() {
    {
        cat <<TOML
[plan]
design = "$2"
host_cores = 1
dpu_cores = 1
partitions = 1
[network]
address = "10.0.0.1"
allow = ["10.0.0.0/8"]
[table]
memory = "$((keys * 30 / (1 << 20) + 16))MiB"
item_len_hint = 16
[idle]
power = "latency"
[counters]
file = "$scratch/$1.counters"
[log]
level = "warn"
[control]
TOML
        [[ $1 == dpu ]] && echo "listen = \"127.0.0.1:$control\"" || echo "connect = \"127.0.0.1:$control\""
        [[ -z $3 ]] || printf '[port]\nkind = "replay"\nframes = "%s"\nonce = %d\n' "$3" "$4"
    } >"$scratch/$1.toml"
}

# Starts a side on a CPU and waits until it serves.
#   start_side SIDE CPU
start_side() {
    start_server "$2" ready "$programs/dpukv-$1" --config "$scratch/$1.toml"
}

control=7599
for wire in "mica2 1" "mica2 16" "native 32"; do
    read -r name per_frame <<<"$wire"
    for gets in 1 0.95 0.5; do
        once=$("$programs/dpukv" bench prepare "$scratch/frames.pcap" --wire "$name" --requests-per-frame "$per_frame" \
            --keys "$keys" --gets "$gets" --requests "$((1 << 20))" | sed 's/^once = \([0-9]*\).*/\1/')
        for design in cpu-only lat; do
            if [[ $design == cpu-only ]]; then
                configure host cpu-only "$scratch/frames.pcap" "$once"
                start_side host 0
                measured=(host)
            else
                configure dpu lat "$scratch/frames.pcap" "$once"
                configure host lat "" 0
                start_side dpu 1
                start_side host 0
                measured=(host dpu)
            fi
            python3 - "$programs/dpukv" "$scratch" "$design" "$name" "$per_frame" "$gets" "$keys" "$repeat" "$seconds" \
                "${measured[@]}" <<'PYTHON'
import json, re, statistics, subprocess, sys, time
program, scratch, design, wire, per_frame, gets, keys, repeat, seconds, *sides = sys.argv[1:]

def read(side):
    text = subprocess.run([program, "counters", f"{scratch}/{side}.counters"], capture_output=True, text=True, check=True).stdout
    return {name: int(value) for name, value in re.findall(r"^dpukv_(\w+)\{[^}]*\} (\d+)$", text, re.M)}

# The store is full when the last key was written.
deadline = time.monotonic() + 300
while read("host")["writes_total"] < int(keys):
    assert time.monotonic() < deadline, f"{design}: the store was not filled within 300 s"
    time.sleep(0.2)
repetitions = []
for _ in range(int(repeat)):
    before, begin = {side: read(side) for side in sides}, time.monotonic()
    time.sleep(float(seconds))
    after, elapsed = {side: read(side) for side in sides}, time.monotonic() - begin
    grown = {side: {name: after[side][name] - before[side][name] for name in after[side]} for side in sides}
    requests = grown["host"]["requests_total"]
    ns = {side: grown[side]["busy_ticks_total"] / after[side]["tick_hz"] * 1e9 / requests for side in sides}
    repetitions.append({"mops": requests / elapsed / 1e6, **{f"{side}_ns": ns[side] for side in sides}})
    misses = grown["host"]["misses_total"]
    assert misses == 0, f"{design}: {misses} keys were not found"
run = {"design": design, "wire": wire, "requests_per_frame": int(per_frame), "gets": float(gets), "distribution": "uniform"}
for name in ("mops", "host_ns", "dpu_ns"):
    values = [repetition.get(name, 0.0) for repetition in repetitions]
    run |= {f"{name}_median": statistics.median(values), f"{name}_min": min(values), f"{name}_max": max(values)}
print("{design:<9} {wire:<7} {requests_per_frame:>2} a frame  GET {gets:.2f}  {mops_median:6.2f} Mops  host core "
      "{host_ns_median:6.1f} ns ({host_ns_min:.1f} to {host_ns_max:.1f})  DPU core {dpu_ns_median:6.1f} ns "
      "({dpu_ns_min:.1f} to {dpu_ns_max:.1f})".format(**run), flush=True)
with open(f"{scratch}/runs", "a") as runs:
    runs.write(json.dumps(run | {"repetitions": repetitions}) + "\n")
PYTHON
            stop_servers
        done
    done
done
python3 - "$json" "$scratch/runs" <<'PYTHON'
import json, sys
json.dump({"runs": [json.loads(line) for line in open(sys.argv[2])]}, open(sys.argv[1], "w"), indent=2)
PYTHON
echo "bench: wrote $json"
