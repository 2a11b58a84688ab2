#!/usr/bin/env bash
# Runs a command beside a PostgreSQL 15 of its own: with-postgres.sh COMMAND …
# The server lives in a temporary folder and on a free port, and ends with the command. The command finds it through
# MERIDIAN_POSTGRES, a connection string without a password. Status 77: there is no PostgreSQL on this machine.
set -euo pipefail

for folder in "${POSTGRES_BIN:-}" /usr/lib/postgresql/15/bin /usr/lib/postgresql/*/bin; do
  [ -n "$folder" ] && [ -x "$folder/initdb" ] && bin=$folder && break
done
if [ -z "${bin:-}" ]; then
  echo "no PostgreSQL here; 'apt-get install postgresql-15' brings one, or set POSTGRES_BIN" >&2
  exit 77
fi

home=$(mktemp -d)
port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
# PostgreSQL refuses to run as root.
as_user() {
  if [ "$(id -u)" = 0 ]; then (cd "$home" && setpriv --reuid=65534 --regid=65534 --clear-groups "$@"); else "$@"; fi
}
if [ "$(id -u)" = 0 ]; then chown 65534:65534 "$home"; fi
stop() {
  as_user "$bin/pg_ctl" -D "$home/data" -m immediate stop >/dev/null 2>&1 || true
  rm -rf "$home"
}
trap stop EXIT

as_user "$bin/initdb" -D "$home/data" -U meridian --auth=trust -E UTF8 --locale=C.UTF-8 >"$home/initdb.log"
as_user "$bin/pg_ctl" -D "$home/data" -w -l "$home/log" start \
  -o "-p $port -k $home -c listen_addresses=127.0.0.1 -c fsync=off -c timezone=UTC" >/dev/null
as_user "$bin/createdb" -h 127.0.0.1 -p "$port" -U meridian meridian
export MERIDIAN_POSTGRES="host=127.0.0.1 port=$port user=meridian dbname=meridian"
export MERIDIAN_POSTGRES_PORT=$port
"$@"
