# shellcheck shell=bash
# The options of a benchmark, each of which has a value. For scripts, which have to source it.

# Sets the variable of each option on the command line.
#   take_options "NAME:WHAT..." ARGUMENT...
take_options() {
    local known=() spec name
    for spec in $1; do known+=("--${spec/:/ }"); done
    shift
    while (($#)); do
        name=${1#--}
        if [[ " ${known[*]}" != *" --$name "* || $1 != --* ]]; then
            name=$(printf ', %s' "${known[@]}")
            name=${name:2}
            echo "bench: $1: expected ${name%, *} or ${name##*, }" >&2
            exit 2
        fi
        printf -v "${name//-/_}" %s "${2:-}"
        shift $(($# < 2 ? $# : 2))
    done
    # shellcheck disable=SC2154 # the script has it
    [[ -n $json ]] || { echo "bench: --json FILE is missing" >&2; exit 2; }
}
