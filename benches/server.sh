#!/bin/sh
# What the whole program takes on the graph of the benches: import, restart, memory, the impact of the hub, load.
# Usage: benches/server.sh [path of the amadeus binary]; from the root of the tree. Needs curl.
set -eu
amadeus=${1:-target/release/amadeus}
place=$(mktemp -d)
listen=127.0.0.1:50151 http=127.0.0.1:9190 hub=package/lib00000000
server=
trap 'test -z "$server" || kill "$server"; wait; rm -rf "$place"' EXIT

now() { date +%s%N | cut -c1-13; }
cpu() { awk '{ printf "%d ms of CPU  ", ($14 + $15) * 10 }' "/proc/$server/stat"; }
rss() { cpu; awk '/VmRSS|VmHWM/ { printf "%s %d MiB  ", $1, $2 / 1024 }' "/proc/$server/status"; echo; }
serve() {
    since=$(now)
    "$amadeus" serve --listen $listen --http $http --store "sqlite://$place/amadeus.db" >>"$place/log" 2>&1 &
    server=$!
    until curl -sf http://$http/readyz >/dev/null; do
        kill -0 $server || { cat "$place/log"; exit 1; }
        sleep 0.01
    done
    echo "ready after $(($(now) - since)) ms: $(rss)"
}
stop() { since=$(now); kill $server; wait $server; server=; echo "stopped after $(($(now) - since)) ms"; }
client() { "$amadeus" "$@" --addr http://$listen; }
impact() { curl -s http://$http/metrics | grep 'grpc_server_handling_seconds.*Impact' | grep -v ' 0$' || true; }

cargo run --quiet --release --package benches --example scale_free >"$place/graph.csv"
wc -lc "$place/graph.csv"
echo "== empty"; serve
echo "== import"; since=$(now); client import "$place/graph.csv"; echo "$(($(now) - since)) ms: $(rss)"
ls -l "$place"
echo "== restart"; stop; serve
echo "== impact of the hub, its first page"
for _ in 1 2 3 4 5 6 7 8 9 10; do client impact $hub --limit 1000 -o json >"$place/page"; done
impact
echo "== all pages"; since=$(now); client impact $hub --limit 100000 -o json >"$place/all"; echo "$(($(now) - since)) ms"
rss
echo "== load"; client bench --seconds 5
rss
