#!/bin/sh
# Three servers on one graph, on this machine, without containers: write through one, read through another, lose one.
# Usage: examples/three-servers.sh [path of the amadeus binary]. Needs PostgreSQL's programs (Debian: postgresql); uses Redis
# where there is one. Everything is in a folder of its own, and gone at the end.
set -eu
amadeus=$(realpath "${1:-target/release/amadeus}")
place=$(mktemp -d)
chmod 755 "$place"
pids=
stop() {
    # The servers first.
    for pid in $pids; do
        kill "$pid" 2>/dev/null || true
        wait "$pid" || true
    done
    rm -rf "$place"
}
trap stop EXIT
trap 'exit 1' INT TERM

patiently() {
    tries=0
    until "$@" >/dev/null 2>&1; do
        tries=$((tries + 1))
        test $tries -lt 300 || { echo "it did not start: $*" >&2; exit 1; }
        sleep 0.1
    done
}

# PostgreSQL refuses to run as root.
as() { if [ "$(id -u)" = 0 ]; then runuser -u postgres -- "$@"; else "$@"; fi; }
for bin in /usr/lib/postgresql/*/bin "$(dirname "$(command -v postgres || echo nowhere/postgres)")"; do
    test ! -x "$bin/initdb" || test ! -x "$bin/pg_isready" || break
done
test -x "$bin/pg_isready" || { echo "PostgreSQL is not installed (Debian: apt-get install postgresql)" >&2; exit 1; }
mkdir "$place/data"
[ "$(id -u)" != 0 ] || chown postgres "$place/data"
cd "$place"
as "$bin/initdb" --auth=trust --username=amadeus --pgdata="$place/data" >/dev/null
as "$bin/postgres" -D "$place/data" -p 50432 -c listen_addresses=127.0.0.1 -c unix_socket_directories= 2>/dev/null &
pids=$!
patiently "$bin/pg_isready" -q -h 127.0.0.1 -p 50432
"$bin/psql" -q -h 127.0.0.1 -p 50432 -U amadeus -d postgres -c 'CREATE DATABASE amadeus'

redis=
if command -v redis-server >/dev/null; then
    redis-server --bind 127.0.0.1 --port 50379 --save '' --appendonly no >/dev/null &
    pids="$! $pids"
    redis='--redis redis://127.0.0.1:50379'
fi

serve() {
    # shellcheck disable=SC2086
    "$amadeus" serve --store postgres://amadeus@127.0.0.1:50432/amadeus $redis \
        --listen "127.0.0.1:5015$1" --http "127.0.0.1:919$1" --log warn &
    pids="$! $pids"
    last=$!
    patiently "$amadeus" status --addr "http://127.0.0.1:5015$1"
}
on() { port=$1; shift; "$amadeus" "$@" --addr "http://127.0.0.1:5015$port"; }
serve 1
serve 2
serve 3

echo "== written through the first"
on 1 service register checkout --dependency cart
on 1 service register cart
echo "== read through the second"
on 2 deps checkout
echo "== the third is gone; the others go on"
kill "$last"
wait "$last" || true
on 2 entity put team/storefront --property chat=#storefront
on 1 deps checkout
