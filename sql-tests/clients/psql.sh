#!/usr/bin/env bash
# The session of a new user in real psql, against a server and, where there is one, against PostgreSQL: psql.sh PORT [POSTGRES_PORT]
# What psql prints must be the same for both, but for what is named below.
set -uo pipefail
here=$(cd "$(dirname "$0")" && pwd)
port=$1
reference=${2:-}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export PGCONNECT_TIMEOUT=10 PGUSER=meridian PGDATABASE=meridian PGHOST=127.0.0.1 PAGER=cat LC_ALL=C.UTF-8 PSQLRC=/dev/null
passed=0
failed=0

pass() { passed=$((passed + 1)); }
fail() { failed=$((failed + 1)); echo "  FAILED $1"; [ $# -lt 2 ] || sed 's/^/    /' <<<"$2"; }
expect() { # name, text, extended regular expression
  if grep -Eq -- "$3" <<<"$2"; then pass; else fail "$1: no line matches $3" "$2"; fi
}
ask() { psql -X -p "$port" -c "$1" 2>&1; }

cat >"$work/more.csv" <<'CSV'
transaction_id,sold_at,sale_date,region,product,status,amount
101,2025-06-30 10:00:00,2025-06-30,EMEA,tea,completed,12.50
102,2025-06-30 11:00:00,2025-06-30,EMEA,"coffee, black",completed,7.25
103,2025-07-01 09:30:00,2025-07-01,APAC,,cancelled,100.00
104,2025-07-01 09:31:00,2025-07-01,EMEA,tea,completed,1.00
CSV
sed -e 1d -e '3s/^102/x/' "$work/more.csv" >"$work/bad.csv"

for n in $(seq 1 30); do
  regions=(EMEA APAC AMER)
  [ $((n % 5)) = 0 ] && status=cancelled || status=completed
  day=$(date -u -d "2025-05-20 + $n days" +%F)
  echo "$n,$day 08:00:00,$day,${regions[$((n % 3))]},tea,$status,$((n * 125 / 100)).$(printf %02d $((n * 125 % 100)))"
done >"$work/seed.csv"

prepare() { # port, what follows CREATE TABLE
  psql -X -q -p "$1" -v ON_ERROR_STOP=1 2>"$work/prepare.log" <<SQL
DROP MATERIALIZED VIEW IF EXISTS daily;
DROP TABLE IF EXISTS sales;
CREATE TABLE sales (
  transaction_id bigint NOT NULL, sold_at timestamp NOT NULL, sale_date date NOT NULL, region text NOT NULL,
  product varchar(40), status text NOT NULL, amount numeric(12,2) NOT NULL
) $2;
\copy sales FROM $work/seed.csv WITH (FORMAT csv)
CREATE MATERIALIZED VIEW daily AS SELECT region, sale_date, sum(amount) AS revenue, count(*) AS orders, avg(amount) AS average
  FROM sales WHERE status = 'completed' GROUP BY region, sale_date;
SQL
}

session() { # port, refresh
  (cd "$work" && psql -X -p "$1" -v refresh="$2" -v ECHO=all <"$here/psql_session.sql" 2>&1)
}

# Ports and our own ways of storing differ by design, a relation's near name is shown here only, and PostgreSQL shows
# more zeros of small quotients, which moves columns.
normalised() {
  sed -E -e 's/(\.([0-9]*[1-9])?)0{6,}/\1/g' -e 's/ +/ /g' -e 's/-+/-/g' -e 's/port "[0-9]+"/port "PORT"/' -e '/^(Access method|Partition key|Partition by|Order by|Sort key|Number of partitions):/d' |
    grep -vE 'REFRESH MATERIALIZED VIEW|^HINT:  Perhaps you meant the relation "sales".'
}

if prepare "$port" "PARTITION BY (region, month(sale_date)) WITH (order_by = 'sale_date, sold_at')"; then pass; else
  fail "prepare" "$(cat "$work/prepare.log")"
fi
session "$port" "" >"$work/ours"
if [ -n "$reference" ]; then
  prepare "$reference" "" || fail "prepare PostgreSQL" "$(cat "$work/prepare.log")"
  session "$reference" "REFRESH MATERIALIZED VIEW daily;" >"$work/theirs"
  if diff -u <(normalised <"$work/theirs") <(normalised <"$work/ours") >"$work/diff"; then pass; else
    fail "the session differs from PostgreSQL's (-) here (+):" "$(cat "$work/diff")"
  fi
fi

answer=$(cat "$work/ours")
expect "\\d sales" "$answer" '^ amount +\| numeric\(12,2\) +\| +\| not null'
expect "a position" "$answer" '^LINE 1: SELECT regoin, sum\(amount\) FROM sales;'
expect "a caret" "$answer" '^ {15}\^'
expect "a hint" "$answer" '^HINT:  Perhaps you meant to reference the column "sales.region".'
expect "\\copy" "$answer" '^COPY 4'
expect "the view is fresh" "$answer" '^ EMEA +\| 2025-07-01 +\| +1\.00 \| +1 \|'
expect "a bad copy says where" "$answer" 'line 2, column transaction_id: "x"'

expect "\\l" "$(ask '\l')" '^ meridian +\|'
expect "\\du" "$(ask '\du')" '^ meridian'
expect "\\dn" "$(ask '\dn')" '^ public'
expect "\\dm" "$(ask '\dm')" '^ public \| daily \| materialized view'
expect "\\d+ daily shows the query" "$(ask '\d+ daily')" 'FROM +(public\.)?sales'
expect "\\d without a name" "$(ask '\d')" 'sales'
expect "\\d of what is not there" "$(ask '\d nowhere')" 'Did not find any relation named "nowhere"'
expect "EXPLAIN" "$(ask "EXPLAIN SELECT sum(amount) FROM sales WHERE region = 'EMEA' AND sale_date >= '2025-07-01'")" '[Pp]artition'
expect "EXPLAIN of a view" "$(ask "EXPLAIN SELECT * FROM daily WHERE region = 'EMEA'")" '.'
expect "several in one" "$(ask "SELECT 1 AS one; SELECT 2 AS two")" '^ two'
expect "single transaction" "$(psql -X -p "$port" -1 -c "DELETE FROM sales" -c "SELECT 1 / 0" 2>&1)" 'division by zero'
expect "which rolled back" "$(ask "SELECT 'rows', count(*) FROM sales")" 'rows +\| +34'

# Ctrl-C: psql sends a cancel, says so, and the next statement works.
interrupted=$(timeout --signal=INT 2 psql -X -p "$port" -c "SELECT sum((a.n * b.n) % 7) FROM generate_series(1, 100000) AS a (n), generate_series(1, 100000) AS b (n)" 2>&1)
expect "Ctrl-C" "$interrupted" 'canceling statement due to user request'
expect "after Ctrl-C" "$(ask "SELECT 'alive' AS state")" 'alive'

# FETCH_COUNT makes psql read through a cursor.
expect "FETCH_COUNT" "$(psql -X -p "$port" -v FETCH_COUNT=10 -At -c "SELECT transaction_id FROM sales ORDER BY 1" 2>&1 | tail -1)" '^104$'
completed=$(python3 "$here/psql_completion.py" "$port" 2>&1)
expect "tab completion" "$completed" 'completed'

echo "psql $(psql --version | grep -oE '[0-9]+\.[0-9]+' | head -1): $passed passed, $failed failed"
[ "$failed" = 0 ]
