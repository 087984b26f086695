# gearmand, in memory; two workers that run /bin/true for each job, two clients that submit one after another and wait for each.
# gearman.sh COUNT
[ -z "$CHECK" ] || {
    for program in gearmand gearman; do
        command -v $program >/dev/null || { echo "not here: $program"; exit 1; }
    done
    exit 0
}
. "$(dirname "$0")/common.sh"
port=$(free_port)
gearmand --listen=127.0.0.1 --port="$port" --log-file="$DIR/gearmand.log" &
server=$!
stop() { kill $server $workers 2>/dev/null; wait 2>/dev/null; }
workers=
trap stop EXIT
sleep 1
for _ in 1 2; do
    gearman -h 127.0.0.1 -p "$port" -w -f command -- /bin/true &
    workers="$workers $!"
done
client() { seq "$1" | gearman -h 127.0.0.1 -p "$port" -n -f command >/dev/null; }
measure() {
    client $(($1 / 2)) & first=$!
    client $(($1 - $1 / 2)) & second=$!
    wait $first $second
}
twice "$1"
