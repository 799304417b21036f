#!/usr/bin/env bash
# What a program takes before it does anything: the bytes of its file, stripped as in a package, and for each side the time
# from its start to the line that says that it serves, and its memory then.
#   bench/start.sh [--repeat COUNT] [DIRECTORY]      DIRECTORY: of the release binaries, target/release by default
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

repeat=21
if [[ ${1-} == --repeat ]]; then
    repeat=${2:?bench: --repeat takes a number}
    shift 2
fi
directory=${1:-${CARGO_TARGET_DIR:-target}/release}
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

printf '%-12s %12s\n' program 'bytes'
for program in dpukv dpukv-host dpukv-dpu; do
    strip --strip-unneeded -o "$scratch/stripped" "$directory/$program"
    printf '%-12s %12d\n' "$program" "$(stat --format %s "$scratch/stripped")"
done

# Starts a side `repeat` times: the median, least and greatest milliseconds to `ready`, and the KiB that it has then.
measure() {
    local label=$1 program=$2 config=$3 times=() resident=0 begin end pid output
    for ((run = 0; run < repeat; run++)); do
        begin=${EPOCHREALTIME/./}
        exec {output}< <(exec "$directory/$program" --config "$config" 2>/dev/null)
        pid=$!
        read -r -u "$output" _
        end=${EPOCHREALTIME/./}
        times+=($((end - begin)))
        resident=$(sed -n 's/^VmRSS:[^0-9]*\([0-9]*\) kB/\1/p' "/proc/$pid/status")
        kill "$pid"
        timeout 20 tail --pid="$pid" -f /dev/null
        exec {output}<&-
    done
    mapfile -t times < <(printf '%s\n' "${times[@]}" | sort -n)
    printf '%-34s %8d.%d %8d.%d %8d.%d %10d\n' "$label" \
        $((times[repeat / 2] / 1000)) $((times[repeat / 2] / 100 % 10)) $((times[0] / 1000)) $((times[0] / 100 % 10)) \
        $((times[repeat - 1] / 1000)) $((times[repeat - 1] / 100 % 10)) "$resident"
}

# A configuration of a design with so much memory for its table.
config() {
    local file=$scratch/$1-$2.toml
    printf '[plan]\ndesign = "%s"\n[network]\nbase_port = 0\n[table]\nmemory = "%s"\n%s\n' "$1" "$2" "${3-}" >"$file"
    echo "$file"
}

printf '\n%-34s %10s %10s %10s %10s\n' 'side, design, table' 'median ms' 'least' 'greatest' 'KiB'
listen=$'[control]\nlisten = "127.0.0.1:0"'
measure 'dpukv-host, cpu-only, 1 MiB' dpukv-host "$(config cpu-only 1MiB)"
measure 'dpukv-host, cpu-only, 256 MiB' dpukv-host "$(config cpu-only 256MiB)"
measure 'dpukv-host, cpu-only, 4 GiB' dpukv-host "$(config cpu-only 4GiB)"
measure 'dpukv-dpu, lat' dpukv-dpu "$(config lat 256MiB "$listen")"
