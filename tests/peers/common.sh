# What the peers written for the shell share.

# now: seconds, with a fraction.
now() { date +%s.%N; }

# twice COUNT: calls measure COUNT two times, and says how many a second.
twice() {
    for when in cold warm; do
        begun=$(now)
        measure "$1"
        echo "$begun $(now) $1 $when" | awk '{ printf "%.1f /s tasks until the last result, %s\n", $3 / ($2 - $1), $4 }'
    done
}

free_port() {
    port=$((20000 + $$ % 10000))
    while (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; do port=$((port + 1)); done
    echo $port
}
