# xargs -P2: two processes at a time, one argument each. xargs.sh COUNT
[ -z "$CHECK" ] || { command -v xargs >/dev/null || { echo "not here: xargs"; exit 1; }; exit 0; }
. "$(dirname "$0")/common.sh"
measure() { seq "$1" | xargs -P2 -n1 /bin/true; }
twice "$1"
