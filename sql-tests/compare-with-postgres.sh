#!/usr/bin/env bash
# Asks PostgreSQL 15 whether the expected results of sqllogictest files are right:
#   compare-with-postgres.sh [--write] [FILE …]        without files: all; --write puts PostgreSQL's answers into them
# Records under `onlyif meridian` are skipped, materialized views are plain views, partitions are left out.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
arguments=()
files=()
for argument in "$@"; do
  if [ "$argument" = --write ]; then arguments+=(--write); else files+=("$argument"); fi
done
[ ${#files[@]} -gt 0 ] || files=("$here"/slt/*.slt)
cargo build --quiet --workspace --bin slt --manifest-path "$here/../Cargo.toml"
target=$(cargo metadata --format-version 1 --no-deps --manifest-path "$here/../Cargo.toml" |
  python3 -c 'import json, sys; print(json.load(sys.stdin)["target_directory"])')
export RUST_BACKTRACE=0
exec "$here/with-postgres.sh" bash -c '
  slt=$1; shift
  exec "$slt" --postgres "$MERIDIAN_POSTGRES" "$@"' compare "$target/debug/slt" "${arguments[@]}" "${files[@]}"
