# shellcheck shell=bash
# The server that a benchmark measures: one at a time, on CPU 0. For scripts, which have to source it.

# What it leaves behind, its output among it.
scratch=$(mktemp -d)
# What stands before a program: nothing, or the network namespace that it runs in.
within=()
server=""

stop_server() {
    [[ -z $server ]] || kill "$server" 2>/dev/null || true
    [[ -z $server ]] || wait "$server" 2>/dev/null || true
    server=""
}

# Starts a server and waits until it has said that it is ready, or listens at a port over TCP.
#   start_server ready|PORT COMMAND...
start_server() {
    local sign=$1
    shift
    stop_server
    : >"$scratch/out"
    "${within[@]}" taskset -c 0 "$@" >"$scratch/out" 2>&1 &
    server=$!
    for _ in {1..300}; do
        if [[ $sign == ready ]]; then
            grep -q '^ready' "$scratch/out" && return
        else
            (: <"/dev/tcp/127.0.0.1/$sign") 2>/dev/null && return
        fi
        kill -0 "$server" 2>/dev/null || break
        sleep 0.1
    done
    echo "bench: $1 does not start:" >&2
    cat "$scratch/out" >&2
    exit 1
}
