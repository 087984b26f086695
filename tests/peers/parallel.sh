# GNU parallel -j2. parallel.sh COUNT
[ -z "$CHECK" ] || { command -v parallel >/dev/null || { echo "not here: parallel"; exit 1; }; exit 0; }
. "$(dirname "$0")/common.sh"
# Asked to cite it, it would wait for an answer.
measure() { seq "$1" | parallel --will-cite -j2 /bin/true; }
twice "$1"
