#!/usr/bin/env bash
# Every client against the server on a port, and against PostgreSQL on another: run-all.sh PORT [POSTGRES_PORT]
# The last line counts. A client that cannot be installed counts as failed.
set -uo pipefail
here=$(cd "$(dirname "$0")" && pwd)
port=$1
reference=${2:-}
passed=0
failed=0

count() { # what ran, its output
  printf '%s\n' "$2"
  local counts
  counts=$(grep -oE '[0-9]+ passed, [0-9]+ failed$' <<<"$2" | tail -1)
  if [ -z "$counts" ]; then
    echo "  FAILED $1 did not come to its end"
    failed=$((failed + 1))
  else
    passed=$((passed + ${counts%% *}))
    counts=${counts#*, }
    failed=$((failed + ${counts%% *}))
  fi
}

# Against PostgreSQL only failures are of interest: they say that an expectation is wrong.
verify() { # what runs, command …
  [ -n "$reference" ] || return 0
  local name=$1 answer
  shift
  if ! answer=$("$@" "$reference" postgres 2>&1); then
    echo "  FAILED $name against PostgreSQL itself:"
    sed 's/^/    /' <<<"$answer"
    failed=$((failed + 1))
  fi
}

count psql "$("$here/psql.sh" "$port" "$reference" 2>&1)"

if python=$("$here/python.sh" 'psycopg[binary]' asyncpg 2>&1); then
  python=$(tail -1 <<<"$python")
  for script in psycopg3 asyncpg_client; do
    verify "$script" "$python" "$here/$script.py"
    count "$script" "$("$python" "$here/$script.py" "$port" 2>&1)"
  done
else
  count "the Python clients" "$python"
fi

if command -v npm >/dev/null; then
  # Outside the repository, so that no node_modules stands in it.
  modules=${XDG_CACHE_HOME:-$HOME/.cache}/meridian-clients/node
  mkdir -p "$modules" && cp "$here"/node/* "$modules/"
  (cd "$modules" && npm install --silent --no-audit --no-fund --no-package-lock 2>&1)
  verify node-postgres node "$modules/index.js"
  count node-postgres "$(node "$modules/index.js" "$port" 2>&1)"
else
  echo "node is not here: node-postgres was left out"
fi

echo "clients: $passed passed, $failed failed"
[ "$failed" = 0 ]
