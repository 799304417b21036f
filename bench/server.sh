# shellcheck shell=bash
# The servers that a benchmark measures, each on a CPU: one, or the two sides of one. For scripts, which have to source it.

# What it leaves behind, the output of each by its CPU among it.
scratch=$(mktemp -d)
# What stands before a program: nothing, or the network namespace that it runs in.
within=()
# The processes, first started first.
servers=()

stop_servers() {
    local server
    for server in "${servers[@]}"; do
        kill "$server" 2>/dev/null || true
        wait "$server" 2>/dev/null || true
    done
    servers=()
}

# Starts a server on a CPU and waits until it has said that it is ready, or listens at a port over TCP.
#   start_server CPU ready|PORT COMMAND...
start_server() {
    local cpu=$1 sign=$2 out=$scratch/out-$1
    shift 2
    : >"$out"
    "${within[@]}" taskset -c "$cpu" "$@" >"$out" 2>&1 &
    servers+=($!)
    for _ in {1..600}; do
        if [[ $sign == ready ]]; then
            grep -q '^ready' "$out" && return
        else
            (: <"/dev/tcp/127.0.0.1/$sign") 2>/dev/null && return
        fi
        kill -0 "${servers[-1]}" 2>/dev/null || break
        sleep 0.1
    done
    echo "bench: $1 does not start:" >&2
    cat "$out" >&2
    exit 1
}
