//! Parameters whose types the client leaves open: what ParameterDescription says of them, and arrays in binary.

use crate::wire::Fixture;
use bytes::Buf;
use sql_tests::wire::Wire;
use tokio_postgres::types::{FromSql, IsNull, Kind, ToSql, Type, to_sql_checked};

type Failure = Box<dyn std::error::Error + Sync + Send>;

const TABLES: &str = "CREATE TABLE t (b boolean, i2 smallint, i integer, l bigint, r real, d double precision, \
                      n numeric(12,2), s text, v varchar(10), day date, tm time, ts timestamp, tz timestamptz, u uuid, \
                      raw bytea);
                      CREATE TABLE w (k bigint, s text, day date)";

/// Statements, and what PostgreSQL 15 says when it prepares them: the types of `$1`, `$2`, … or an SQLSTATE.
#[rustfmt::skip]
const STATEMENTS: &[(&str, &str)] = &[
    ("SELECT $1", "text"),
    ("SELECT $1, $2", "text text"),
    ("SELECT $2", "42P18"),
    ("SELECT $1 AS a, 1 AS b", "text"),
    ("SELECT i FROM t LIMIT $1", "int8"),
    ("SELECT i FROM t LIMIT $1 OFFSET $2", "int8 int8"),
    ("SELECT i FROM t OFFSET $1", "int8"),
    ("SELECT i FROM t FETCH FIRST $1 ROWS ONLY", "int8"),
    ("SELECT i FROM t LIMIT $1 + 1", "int4"),
    ("SELECT i FROM t LIMIT $1::int", "int4"),
    ("SELECT i FROM t WHERE $1", "bool"),
    ("SELECT i FROM t WHERE NOT $1", "bool"),
    ("SELECT i FROM t WHERE $1 AND i = $2", "bool int4"),
    ("SELECT i FROM t WHERE b = $1 OR $2", "bool bool"),
    ("SELECT NOT $1", "bool"),
    ("SELECT i FROM t WHERE $1 IS TRUE", "bool"),
    ("SELECT i FROM t WHERE $1 IS NOT FALSE", "bool"),
    ("SELECT i FROM t WHERE $1 IS UNKNOWN", "bool"),
    ("SELECT i FROM t WHERE $1 IS NULL", "42P18"),
    ("SELECT i FROM t WHERE $1 IS NOT NULL", "42P18"),
    ("SELECT i FROM t WHERE $1 IS NULL OR i = $1", "42P08"),
    ("SELECT i FROM t WHERE i = $1 OR $1 IS NULL", "int4"),
    ("SELECT i FROM t WHERE $1::int IS NULL OR i = $1", "int4"),
    ("SELECT i FROM t WHERE i = $1", "int4"),
    ("SELECT i FROM t WHERE $1 = i", "int4"),
    ("SELECT i FROM t WHERE i2 = $1 AND i < $2 AND l > $3 AND r <= $4 AND d >= $5 AND n <> $6 AND s = $7 AND v = \
      $8", "int2 int4 int8 float4 float8 numeric text text"),
    ("SELECT i FROM t WHERE day = $1 AND tm = $2 AND ts = $3 AND tz = $4 AND u = $5 AND raw = $6 AND b = $7",
      "date time timestamp timestamptz uuid bytea bool"),
    ("SELECT i FROM t WHERE i = ANY($1)", "_int4"),
    ("SELECT i FROM t WHERE i2 = ANY($1) AND l = ANY($2) AND d = ANY($3) AND n = ANY($4) AND s = ANY($5) AND v = \
      ANY($6)", "_int2 _int8 _float8 _numeric _text _text"),
    ("SELECT i FROM t WHERE day = ANY($1) AND ts = ANY($2) AND tz = ANY($3) AND u = ANY($4) AND raw = ANY($5) AND \
      b = ANY($6)", "_date _timestamp _timestamptz _uuid _bytea _bool"),
    ("SELECT i FROM t WHERE i <> ALL($1)", "_int4"),
    ("SELECT i FROM t WHERE i > ALL($1)", "_int4"),
    ("SELECT i FROM t WHERE NOT (s = ANY($1))", "_text"),
    ("SELECT i FROM t WHERE $1 = ANY($2)", "text _text"),
    ("SELECT i FROM t WHERE $1 = ANY(ARRAY[1, 2])", "int4"),
    ("SELECT i FROM t WHERE i = ANY(ARRAY[$1, $2])", "42883"),
    ("SELECT i FROM t WHERE i = ANY($1::bigint[])", "_int8"),
    ("SELECT i FROM t WHERE i = SOME($1)", "_int4"),
    ("SELECT ARRAY[$1, $2]", "text text"),
    ("SELECT ARRAY[$1, 2]", "int4"),
    ("SELECT ARRAY[i, $1] FROM t", "int4"),
    ("SELECT $1 + 1", "int4"),
    ("SELECT 1 + $1", "int4"),
    ("SELECT $1 + 1.5", "numeric"),
    ("SELECT $1 + $2", "42725"),
    ("SELECT i + $1, i2 * $2, l - $3, r / $4, d + $5, n * $6, i % $7 FROM t", "int4 int2 int8 float4 float8 \
      numeric int4"),
    ("SELECT $1 + i, $2 * i2, $3 - l, $4 / r, $5 + d, $6 * n FROM t", "int4 int2 int8 float4 float8 numeric"),
    ("SELECT - $1", "42725"),
    ("SELECT -($1 + 1)", "int4"),
    ("SELECT abs($1)", "float8"),
    ("SELECT day + $1 FROM t", "42725"),
    ("SELECT day - $1 FROM t", "date"),
    ("SELECT $1 + day FROM t", "42725"),
    ("SELECT $1 - day FROM t", "date"),
    ("SELECT ts + $1 FROM t", "interval"),
    ("SELECT ts - $1 FROM t", "timestamp"),
    ("SELECT $1 + ts FROM t", "interval"),
    ("SELECT $1 - ts FROM t", "timestamp"),
    ("SELECT tz + $1 FROM t", "interval"),
    ("SELECT tz - $1 FROM t", "timestamptz"),
    ("SELECT tm + $1 FROM t", "interval"),
    ("SELECT tm - $1 FROM t", "time"),
    ("SELECT interval '1 day' * $1", "float8"),
    ("SELECT $1 * interval '1 day'", "float8"),
    ("SELECT interval '1 day' / $1", "float8"),
    ("SELECT interval '1 day' + $1", "interval"),
    ("SELECT interval '1 day' - $1", "interval"),
    ("SELECT $1 - interval '1 day'", "interval"),
    ("SELECT $1 + interval '1 day'", "interval"),
    ("SELECT i FROM t WHERE ts > now() - $1", "42883"),
    ("SELECT i FROM t WHERE ts > $1 - interval '1 day'", "42883"),
    ("SELECT i FROM t WHERE tz > now() - $1 * interval '1 day'", "float8"),
    ("SELECT i FROM t WHERE tz >= current_date - $1", "42883"),
    ("SELECT i FROM t WHERE day >= current_date - $1", "42883"),
    ("SELECT i FROM t WHERE ts BETWEEN $1 AND $2", "timestamp timestamp"),
    ("SELECT i FROM t WHERE i BETWEEN $1 AND $2", "int4 int4"),
    ("SELECT i FROM t WHERE $1 BETWEEN i AND l", "int4"),
    ("SELECT i FROM t WHERE i NOT BETWEEN $1 AND $2", "int4 int4"),
    ("SELECT i FROM t WHERE i BETWEEN SYMMETRIC $1 AND $2", "int4 int4"),
    ("SELECT i FROM t WHERE i IN ($1, $2)", "int4 int4"),
    ("SELECT i FROM t WHERE i NOT IN ($1, 3)", "int4"),
    ("SELECT i FROM t WHERE v IN ($1, $2)", "varchar varchar"),
    ("SELECT i FROM t WHERE $1 IN (1, 2)", "int4"),
    ("SELECT i FROM t WHERE $1 IN (1, 2.5)", "numeric"),
    ("SELECT i FROM t WHERE $1 IN ('a', 'b')", "text"),
    ("SELECT i FROM t WHERE i IN ($1, l)", "int4"),
    ("SELECT i FROM t WHERE i IN ($1, 2.5)", "numeric"),
    ("SELECT i FROM t WHERE (i, s) IN (($1, $2))", "int4 text"),
    ("SELECT i FROM t WHERE (i, s) = ($1, $2)", "int4 text"),
    ("SELECT i FROM t WHERE (l, day) > ($1, $2)", "int8 date"),
    ("SELECT i FROM t WHERE s LIKE $1", "text"),
    ("SELECT i FROM t WHERE v NOT ILIKE $1", "text"),
    ("SELECT i FROM t WHERE $1 LIKE 'a%'", "text"),
    ("SELECT i FROM t WHERE s LIKE $1 ESCAPE $2", "text text"),
    ("SELECT i FROM t WHERE s SIMILAR TO $1", "text"),
    ("SELECT i FROM t WHERE s ~ $1 AND v ~* $2", "text text"),
    ("SELECT $1 || 'x'", "text"),
    ("SELECT s || $1 FROM t", "text"),
    ("SELECT $1 || $2", "text text"),
    ("SELECT $1 || i FROM t", "text"),
    ("SELECT i || $1 FROM t", "text"),
    ("SELECT s || '%' || $1 || '%' FROM t", "text"),
    ("SELECT i FROM t WHERE s LIKE '%' || $1 || '%'", "text"),
    ("SELECT i FROM t WHERE s ILIKE concat('%', $1, '%')", "42P18"),
    ("SELECT i FROM t WHERE s ILIKE concat('%', $1::text, '%')", "text"),
    ("SELECT coalesce($1, i) FROM t", "int4"),
    ("SELECT coalesce(s, $1) FROM t", "text"),
    ("SELECT coalesce($1, $2)", "text text"),
    ("SELECT coalesce($1, 'x')", "text"),
    ("SELECT coalesce(i, $1, 2.5) FROM t", "numeric"),
    ("SELECT coalesce(n, $1) FROM t", "numeric"),
    ("SELECT i FROM t WHERE i = coalesce($1, i)", "int4"),
    ("SELECT nullif($1, i) FROM t", "int4"),
    ("SELECT nullif(i, $1) FROM t", "int4"),
    ("SELECT nullif($1, '')", "text"),
    ("SELECT nullif($1, $2)", "text text"),
    ("SELECT greatest($1, i), least(day, $2) FROM t", "int4 date"),
    ("SELECT CASE WHEN $1 THEN 1 ELSE 2 END", "bool"),
    ("SELECT CASE WHEN i > $1 THEN $2 ELSE s END FROM t", "int4 text"),
    ("SELECT CASE WHEN i > 1 THEN $1 ELSE $2 END FROM t", "text text"),
    ("SELECT CASE WHEN i > 1 THEN $1 ELSE 0 END FROM t", "int4"),
    ("SELECT CASE i WHEN $1 THEN 'a' WHEN $2 THEN 'b' END FROM t", "int4 int4"),
    ("SELECT CASE $1 WHEN 1 THEN 'a' ELSE 'b' END", "42883"),
    ("SELECT CASE $1 WHEN 'x' THEN 1 ELSE $2 END", "text int4"),
    ("SELECT sum(CASE WHEN s = $1 THEN n ELSE $2 END) FROM t", "text numeric"),
    ("SELECT * FROM generate_series($1, $2)", "42725"),
    ("SELECT * FROM generate_series(1, $1)", "int4"),
    ("SELECT * FROM generate_series($1::int, $2::int)", "int4 int4"),
    ("SELECT * FROM generate_series(1::bigint, $1)", "int8"),
    ("SELECT * FROM generate_series(timestamp '2024-01-01', $1, $2)", "timestamp interval"),
    ("SELECT * FROM generate_series($1::date, $2::date, interval '1 day')", "date date"),
    ("SELECT generate_series(1, $1)", "int4"),
    ("SELECT * FROM unnest($1::int[])", "_int4"),
    ("SELECT unnest($1::text[])", "_text"),
    ("SELECT date_trunc($1, ts) FROM t", "text"),
    ("SELECT date_trunc('month', $1)", "42725"),
    ("SELECT date_trunc('month', $1::timestamp)", "timestamp"),
    ("SELECT date_part($1, tz) FROM t", "text"),
    ("SELECT date_part('year', $1)", "42725"),
    ("SELECT date_bin($1, ts, $2) FROM t", "interval timestamp"),
    ("SELECT extract(year FROM $1)", "42725"),
    ("SELECT extract(year FROM $1::date)", "date"),
    ("SELECT age($1, ts) FROM t", "timestamp"),
    ("SELECT age($1, $2)", "timestamptz timestamptz"),
    ("SELECT to_char($1, 'YYYY')", "42725"),
    ("SELECT to_char(ts, $1) FROM t", "text"),
    ("SELECT to_char(i, $1) FROM t", "text"),
    ("SELECT to_date($1, $2), to_timestamp($3, $4), to_number($5, $6)", "text text text text text text"),
    ("SELECT to_timestamp($1)", "float8"),
    ("SELECT make_date($1, $2, $3)", "int4 int4 int4"),
    ("SELECT make_interval(days => $1)", "int4"),
    ("SELECT ts AT TIME ZONE $1, tz AT TIME ZONE $2 FROM t", "text text"),
    ("SELECT $1 AT TIME ZONE 'UTC'", "timestamptz"),
    ("SELECT round(n, $1) FROM t", "int4"),
    ("SELECT round(d::numeric, $1) FROM t", "int4"),
    ("SELECT round($1)", "float8"),
    ("SELECT round($1, 2)", "numeric"),
    ("SELECT round($1, $2)", "numeric int4"),
    ("SELECT trunc(n, $1) FROM t", "int4"),
    ("SELECT floor($1), ceil($2), sqrt($3), power($4, $5)", "float8 float8 float8 float8 float8"),
    ("SELECT power(d, $1), power(n, $2), mod(i, $3), mod(n, $4) FROM t", "float8 numeric int4 numeric"),
    ("SELECT 2 ^ $1", "float8"),
    ("SELECT log($1), ln($2), exp($3), sign($4)", "float8 float8 float8 float8"),
    ("SELECT upper($1), lower($2), length($3), trim($4), substring($5, 1, 2), substr($6, $7), left($8, $9), \
      replace($10, $11, $12)", "text text text text text text int4 text int4 text text text"),
    ("SELECT substring(s FROM $1 FOR $2), position($3 IN s), overlay(s PLACING $4 FROM $5), trim(both $6 from s) \
      FROM t", "text text text text int4 text"),
    ("SELECT split_part(s, $1, $2), strpos(s, $3), lpad(s, $4, $5), repeat(s, $6), regexp_replace(s, $7, $8), \
      starts_with(s, $9) FROM t", "text int4 text int4 text int4 text text text"),
    ("SELECT concat($1, $2)", "42P18"),
    ("SELECT concat_ws($1, s, $2) FROM t", "42P18"),
    ("SELECT format($1, $2)", "42P18"),
    ("SELECT md5($1), sha256($2), encode($3, $4), decode($5, $6)", "text bytea bytea text text text"),
    ("SELECT greatest($1, $2)", "text text"),
    ("SELECT count($1) FROM t", "42P18"),
    ("SELECT sum($1) FROM t", "42725"),
    ("SELECT max($1) FROM t", "text"),
    ("SELECT min(coalesce(i, $1)) FROM t", "int4"),
    ("SELECT string_agg(s, $1) FROM t", "text"),
    ("SELECT array_agg($1) FROM t", "42725"),
    ("SELECT avg(i + $1) FROM t", "int4"),
    ("SELECT percentile_cont($1) WITHIN GROUP (ORDER BY d) FROM t", "float8"),
    ("SELECT sum(i) FILTER (WHERE s = $1) FROM t", "text"),
    ("SELECT lag(i, $1) OVER (ORDER BY i), ntile($2) OVER (ORDER BY i), nth_value(i, $3) OVER (ORDER BY i) FROM \
      t", "int4 int4 int4"),
    ("SELECT lag(i, 1, $1) OVER (ORDER BY i) FROM t", "int4"),
    ("SELECT sum(i) OVER (ORDER BY i ROWS $1 PRECEDING) FROM t", "int8"),
    ("SELECT sum(i) OVER (ORDER BY i ROWS BETWEEN $1 PRECEDING AND $2 FOLLOWING) FROM t", "int8 int8"),
    ("SELECT sum(i) OVER (ORDER BY i RANGE $1 PRECEDING) FROM t", "int4"),
    ("SELECT sum(i) OVER (ORDER BY day RANGE $1 PRECEDING) FROM t", "interval"),
    ("SELECT sum(i) OVER (PARTITION BY s = $1 ORDER BY i + $2) FROM t", "text int4"),
    ("SELECT $1::int", "int4"),
    ("SELECT cast($1 AS numeric(10,2))", "numeric"),
    ("SELECT $1::varchar(5), $2::date, $3::timestamptz, $4::uuid, $5::interval, $6::json, $7::bytea, $8::bool, \
      $9::time", "varchar date timestamptz uuid interval json bytea bool time"),
    ("SELECT $1::int[], $2::text[]", "_int4 _text"),
    ("SELECT $1::text::int", "text"),
    ("SELECT ($1)::int, (($2)) + 1", "int4 int4"),
    ("SELECT i FROM t WHERE i = $1 AND l = $1", "int4"),
    ("SELECT i FROM t WHERE l = $1 AND i = $1", "int8"),
    ("SELECT i FROM t WHERE i = $1 AND s = $1", "42883"),
    ("SELECT i FROM t WHERE s = $1 AND i = $1", "42883"),
    ("SELECT $1::int, $1::text", "int4"),
    ("SELECT $1, $1::int", "42P08"),
    ("SELECT $1::int, $1", "int4"),
    ("SELECT $1::int FROM t WHERE l = $1", "int4"),
    ("SELECT i FROM t WHERE ts = $1 AND day = $1", "timestamp"),
    ("SELECT i FROM t WHERE ts >= $1 AND ts < $1 + interval '1 day'", "timestamp"),
    ("SELECT i FROM t WHERE day = $1 AND ts = $1", "date"),
    ("SELECT coalesce($1, $1, 3)", "int4"),
    ("SELECT coalesce($1, i), $1 || 'x' FROM t", "int4"),
    ("SELECT i FROM t WHERE $1 = $2", "text text"),
    ("SELECT i FROM t WHERE $1 < $2 AND $1 = i", "42883"),
    ("SELECT i FROM t WHERE $1 = $1", "text"),
    ("SELECT i + $1 FROM t GROUP BY i + $1", "int4"),
    ("SELECT $1, count(*) FROM t GROUP BY 1", "text"),
    ("SELECT $1, count(*) FROM t GROUP BY $1", "text"),
    ("SELECT s, count(*) FROM t GROUP BY s HAVING count(*) > $1", "int8"),
    ("SELECT s, sum(n) FROM t GROUP BY s HAVING sum(n) > $1 ORDER BY sum(i) + $2", "numeric int8"),
    ("SELECT i FROM t ORDER BY $1", "text"),
    ("SELECT DISTINCT $1", "text"),
    ("SELECT DISTINCT ON ($1) i FROM t", "text"),
    ("SELECT $1 UNION SELECT $2", "text text"),
    ("SELECT $1 UNION SELECT 1", "int4"),
    ("SELECT 1 UNION ALL SELECT $1", "int4"),
    ("SELECT i FROM t UNION ALL SELECT $1", "int4"),
    ("SELECT $1 UNION ALL SELECT day FROM t", "date"),
    ("SELECT i FROM t EXCEPT SELECT $1", "int4"),
    ("VALUES ($1)", "text"),
    ("VALUES ($1, 1), (2, $2)", "int4 int4"),
    ("VALUES ($1, $2), (1, 'x')", "int4 text"),
    ("SELECT * FROM (VALUES ($1, 1), (2, $2)) AS v (a, b)", "int4 int4"),
    ("SELECT * FROM (VALUES ($1, $2), ($3, $4)) AS v (a, b)", "text text text text"),
    ("SELECT i FROM t JOIN (VALUES ($1), (2)) AS v (k) ON t.i = v.k", "int4"),
    ("SELECT x FROM (SELECT $1 AS x) q", "text"),
    ("SELECT x + 1 FROM (SELECT $1 AS x) q", "42883"),
    ("SELECT x || 'a' FROM (SELECT $1 AS x) q", "text"),
    ("SELECT x FROM (SELECT $1 + 1 AS x) q WHERE x = $2", "int4 int4"),
    ("SELECT x FROM (SELECT $1::bigint AS b, $1 + 1 AS x) q WHERE x = $2", "int8 int8"),
    ("WITH q AS (SELECT i FROM t WHERE i > $1) SELECT * FROM q WHERE i < $2", "int4 int4"),
    ("WITH q AS (SELECT $1 AS a) SELECT a FROM q WHERE a = $2", "text text"),
    ("SELECT i FROM t WHERE i = (SELECT $1)", "42883"),
    ("SELECT i FROM t WHERE i = (SELECT max(i) FROM t WHERE s = $1)", "text"),
    ("SELECT i FROM t WHERE i IN (SELECT $1)", "42883"),
    ("SELECT i FROM t WHERE $1 IN (SELECT i FROM t)", "int4"),
    ("SELECT i FROM t WHERE i IN (SELECT i FROM t WHERE l > $1)", "int8"),
    ("SELECT i FROM t WHERE EXISTS (SELECT 1 FROM w WHERE w.k = t.l AND w.s = $1)", "text"),
    ("SELECT i FROM t WHERE $1 = ANY (SELECT i FROM t)", "int4"),
    ("SELECT (SELECT $1), (SELECT $2 + 1)", "text int4"),
    ("SELECT i FROM t JOIN w ON t.l = w.k AND w.s = $1 WHERE t.i = $2", "text int4"),
    ("SELECT i FROM t LEFT JOIN w ON w.k = $1", "int8"),
    ("SELECT i FROM t JOIN w ON $1", "bool"),
    ("SELECT i IS DISTINCT FROM $1 FROM t", "int4"),
    ("SELECT $1 IS NOT DISTINCT FROM s FROM t", "text"),
    ("SELECT $1::int & $2", "int4 int4"),
    ("SELECT (ts, ts) OVERLAPS ($1, $2) FROM t", "timestamp timestamp"),
    ("INSERT INTO t (i) VALUES ($1)", "int4"),
    ("INSERT INTO t (i, s, day) VALUES ($1, $2, $3), ($4, $5, $6)", "int4 text date int4 text date"),
    ("INSERT INTO t (i, l) VALUES ($1 + 1, $2 * 2)", "int4 int4"),
    ("INSERT INTO t (i, l) VALUES ($1, $1)", "42P08"),
    ("INSERT INTO t (n, v) VALUES (coalesce($1, 1.5), $2 || 'x')", "numeric text"),
    ("INSERT INTO t (i, s) SELECT $1, $2", "int4 text"),
    ("INSERT INTO t (i, s) SELECT $1, s FROM t WHERE l = $2", "int4 int8"),
    ("INSERT INTO t (day, n) SELECT $1, $2 UNION ALL SELECT day, n FROM t", "date numeric"),
    ("INSERT INTO t (day, n) SELECT $1, $2 UNION ALL SELECT $3, $4", "42804"),
    ("INSERT INTO w SELECT k, $1, $2 FROM w", "text date"),
    ("INSERT INTO w VALUES ($1, $2)", "int8 text"),
    ("INSERT INTO w (k, s, day) SELECT * FROM (SELECT $1, $2, $3) q", "42804"),
    ("INSERT INTO w (k) SELECT $1 LIMIT $2", "int8 int8"),
    ("INSERT INTO w (k) VALUES ($1) RETURNING $2, k + $3", "int8 text int8"),
    ("UPDATE w SET s = $1 WHERE k = $2 RETURNING $3 || s", "text int8 text"),
    ("DELETE FROM w RETURNING $1::date", "date"),
    ("DELETE FROM t WHERE i = $1", "int4"),
    ("EXPLAIN SELECT i FROM t WHERE l = $1", "int8"),
    ("EXPLAIN ANALYZE DELETE FROM t WHERE i = $1", "int4"),
    ("EXPLAIN UPDATE t SET n = $1 WHERE day = $2", "numeric date"),
    ("EXPLAIN INSERT INTO w VALUES ($1, $2)", "int8 text"),
    ("DELETE FROM t WHERE i = ANY($1)", "_int4"),
    ("DELETE FROM t WHERE $1", "bool"),
    ("DELETE FROM t WHERE i IN (SELECT k FROM w WHERE s = $1)", "text"),
    ("DELETE FROM t USING w WHERE t.i = w.k AND w.s = $1", "text"),
    ("SELECT i FROM t WHERE i = $1 AND s = $3", "42P18"),
    ("SELECT i FROM t WHERE i = $0", "42P02"),
    ("SELECT set_config($1, $2, $3)", "text text bool"),
    ("SELECT array_length($1, 1)", "42804"),
    ("SELECT array_length($1::int[], $2)", "_int4 int4"),
    ("SELECT array_position(ARRAY[1,2], $1)", "int4"),
    ("SELECT array_append(ARRAY[1,2], $1)", "int4"),
    ("SELECT array_to_string(ARRAY[1,2], $1)", "text"),
    ("SELECT string_to_array($1, $2)", "text text"),
    ("SELECT ARRAY[1,2] || $1", "_int4"),
    ("SELECT ARRAY[1,2] @> $1", "_int4"),
    ("SELECT cardinality($1)", "42804"),
    ("SELECT width_bucket(d, $1, $2, $3) FROM t", "float8 float8 int4"),
    ("SELECT random() < $1", "float8"),
    ("SELECT i FROM t WHERE i::text = $1 AND v::int = $2", "text int4"),
    ("SELECT i FROM t WHERE lower(s) = lower($1) AND length(s) > $2", "text int4"),
    ("SELECT i FROM t WHERE date_trunc('day', ts) = $1", "timestamp"),
    ("SELECT i FROM t WHERE extract(year FROM ts) = $1", "numeric"),
    ("SELECT i FROM t WHERE day > (now() - $1)::date", "42846"),
    ("SELECT i FROM t WHERE tz BETWEEN now() - $1 AND now()", "42883"),
    ("SELECT i FROM t WHERE s COLLATE \"C\" = $1", "text"),
    ("SELECT i FROM t WHERE n > $1 * 1.5 AND d > $2 * 2", "numeric int4"),
    ("SELECT i FROM t TABLESAMPLE bernoulli ($1)", "float4"),
    ("SELECT c.relname FROM pg_class c WHERE c.relname = $1 AND c.oid = $2", "name oid"),
    ("SELECT c.relname FROM pg_class c WHERE c.oid = ANY($1)", "_oid"),
];

/// What a server says of a statement's parameters.
async fn described(wire: &mut Wire, statement: &str) -> String {
    wire.send(b'P', &[b"\0", statement.as_bytes(), b"\0\0\0"].concat()).await.unwrap();
    wire.send(b'D', b"S\0").await.unwrap();
    wire.send(b'S', b"").await.unwrap();
    let mut answer = String::new();
    loop {
        let frame = wire.receive().await.unwrap();
        match frame.kind {
            b't' => {
                let mut body = frame.body.clone();
                let count = body.get_u16();
                let names = (0..count).map(|_| {
                    let oid = body.get_u32();
                    Type::from_oid(oid).map_or_else(|| oid.to_string(), |known| known.name().to_string())
                });
                answer = names.collect::<Vec<_>>().join(" ");
            }
            b'E' => {
                let code = frame.fields().into_iter().find(|(kind, _)| *kind == b'C');
                answer = code.map(|(_, code)| code).unwrap_or_default();
            }
            b'Z' => return answer,
            _ => {}
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn open_parameters_have_the_types_that_postgres_gives_them() {
    let fixture = Fixture::start();
    fixture.client().await.batch_execute(TABLES).await.unwrap();
    let mut wire = fixture.ready_wire().await;
    let mut different = Vec::new();
    for (statement, expected) in STATEMENTS {
        let answer = described(&mut wire, statement).await;
        if answer != *expected {
            different.push(format!("{statement}\n    {answer}\n    PostgreSQL: {expected}"));
        }
    }
    assert!(different.is_empty(), "{} statements differ:\n{}", different.len(), different.join("\n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn arrays_bind_in_binary() {
    let fixture = Fixture::start();
    let client = fixture.client().await;
    client.batch_execute(TABLES).await.unwrap();
    client
        .batch_execute(
            "INSERT INTO t (i2, i, l, r, d, s, v, b) VALUES (1, 1, 10, 1.5, 2.5, 'one', 'eins', true), \
             (2, 2, 20, 2.5, 3.5, 'two', 'zwei', false), (3, 3, 30, 3.5, 4.5, NULL, NULL, NULL)",
        )
        .await
        .unwrap();
    let rows = |condition: &'static str| format!("SELECT i FROM t WHERE {condition} ORDER BY i");
    let numbers = |rows: Vec<tokio_postgres::Row>| rows.iter().map(|row| row.get(0)).collect::<Vec<i32>>();

    let found = client.query(&rows("i = ANY($1)"), &[&vec![1_i32, 3, 7]]).await.unwrap();
    assert_eq!(numbers(found), [1, 3]);
    let found = client.query(&rows("i2 = ANY($1) AND l = ANY($2)"), &[&vec![1_i16, 2], &vec![20_i64]]).await.unwrap();
    assert_eq!(numbers(found), [2]);
    let found = client.query(&rows("r = ANY($1) OR d = ANY($2)"), &[&vec![1.5_f32], &vec![3.5_f64]]).await.unwrap();
    assert_eq!(numbers(found), [1, 2]);
    let found = client.query(&rows("s = ANY($1) OR v <> ALL($2)"), &[&vec!["two"], &vec!["zwei"]]).await.unwrap();
    assert_eq!(numbers(found), [1, 2]);
    let found = client.query(&rows("b = ANY($1)"), &[&vec![true]]).await.unwrap();
    assert_eq!(numbers(found), [1]);
    let found = client.query(&rows("s <> ALL($1)"), &[&vec![Some("one"), None]]).await.unwrap();
    assert_eq!(numbers(found), [0_i32; 0]);
    let found = client.query(&rows("i = ANY($1)"), &[&Vec::<i32>::new()]).await.unwrap();
    assert_eq!(numbers(found), [0_i32; 0]);
    let items = client.query("SELECT unnest($1::text[])", &[&vec!["a", "b c"]]).await.unwrap();
    assert_eq!(items.iter().map(|row| row.get(0)).collect::<Vec<String>>(), ["a", "b c"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_planner_reads_can_be_a_parameter() {
    let fixture = Fixture::start();
    let client = fixture.client().await;
    let series = client.prepare("SELECT g::text FROM generate_series($1::int, $2::int) AS g ORDER BY g").await.unwrap();
    for last in [3_i32, 5] {
        let rows = client.query(&series, &[&2_i32, &last]).await.unwrap();
        let expected: Vec<String> = (2..=last).map(|number| number.to_string()).collect();
        assert_eq!(rows.iter().map(|row| row.get(0)).collect::<Vec<String>>(), expected);
    }
    let frame = "SELECT (sum(g) OVER (ORDER BY g ROWS $1 PRECEDING))::text FROM generate_series(1, 4) AS g ORDER BY g";
    let sums = client.prepare(frame).await.unwrap();
    assert_eq!(sums.params(), [Type::INT8]);
    for (before, expected) in [(0_i64, ["1", "2", "3", "4"]), (1, ["1", "3", "5", "7"])] {
        let rows = client.query(&sums, &[&before]).await.unwrap();
        assert_eq!(rows.iter().map(|row| row.get(0)).collect::<Vec<String>>(), expected);
    }
    let page = "SELECT g::text FROM generate_series(1, 9) AS g ORDER BY g LIMIT $1 OFFSET $2";
    let rows = client.query(page, &[&2_i64, &Some(3_i64)]).await.unwrap();
    assert_eq!(rows.iter().map(|row| row.get(0)).collect::<Vec<String>>(), ["4", "5"]);
    let all = client.query(page, &[&None::<i64>, &0_i64]).await.unwrap();
    assert_eq!(all.len(), 9);
}

/// A label as drivers send and read one: its text.
#[derive(Debug, PartialEq)]
struct Label(String);

impl ToSql for Label {
    fn to_sql(&self, _: &Type, out: &mut bytes::BytesMut) -> Result<IsNull, Failure> {
        out.extend_from_slice(self.0.as_bytes());
        Ok(IsNull::No)
    }

    fn accepts(known: &Type) -> bool {
        matches!(known.kind(), Kind::Enum(_))
    }

    to_sql_checked!();
}

impl FromSql<'_> for Label {
    fn from_sql(_: &Type, raw: &[u8]) -> Result<Self, Failure> {
        Ok(Self(std::str::from_utf8(raw)?.to_string()))
    }

    fn accepts(known: &Type) -> bool {
        matches!(known.kind(), Kind::Enum(_))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn enums_bind_and_answer_in_binary() {
    let fixture = Fixture::start();
    let client = fixture.client().await;
    client
        .batch_execute("CREATE TYPE mood AS ENUM ('sad', 'ok', 'happy'); CREATE TABLE m (i int, m mood)")
        .await
        .unwrap();
    let insert = client.prepare("INSERT INTO m VALUES ($1, $2)").await.unwrap();
    let labels = vec!["sad".to_string(), "ok".into(), "happy".into()];
    assert_eq!(insert.params()[1].kind(), &Kind::Enum(labels));
    for (number, label) in [(1, "ok"), (2, "sad"), (3, "happy")] {
        client.execute(&insert, &[&number, &Label(label.into())]).await.unwrap();
    }
    let refused = client.execute(&insert, &[&4, &Label("angry".into())]).await.unwrap_err();
    assert_eq!(refused.code().map(|code| code.code()), Some("22P02"));
    let rows = client.query("SELECT i, m FROM m WHERE m >= $1 ORDER BY m", &[&Label("ok".into())]).await.unwrap();
    let found: Vec<(i32, Label)> = rows.iter().map(|row| (row.get(0), row.get(1))).collect();
    assert_eq!(found, [(1, Label("ok".into())), (3, Label("happy".into()))]);
    let typed = client.prepare_typed("SELECT $1::text, $1", &[insert.params()[1].clone()]).await.unwrap();
    let row = client.query_one(&typed, &[&Label("sad".into())]).await.unwrap();
    assert_eq!((row.get::<_, String>(0), row.get::<_, Label>(1)), ("sad".into(), Label("sad".into())));
}

#[tokio::test(flavor = "multi_thread")]
async fn arrays_of_enums_bind_and_answer_in_binary() {
    let fixture = Fixture::start();
    let client = fixture.client().await;
    client
        .batch_execute("CREATE TYPE mood AS ENUM ('sad', 'ok', 'happy'); CREATE TABLE m (i int, ms mood[])")
        .await
        .unwrap();
    let labels = |names: &[&str]| names.iter().map(|name| Label((*name).into())).collect::<Vec<_>>();
    let insert = client.prepare("INSERT INTO m VALUES ($1, $2)").await.unwrap();
    client.execute(&insert, &[&1, &labels(&["ok", "sad"])]).await.unwrap();
    client.execute(&insert, &[&2, &labels(&["happy"])]).await.unwrap();
    let select =
        client.prepare("SELECT ms, $1::mood[] FROM m WHERE 'sad' = ANY (ms) AND ms[1] = ANY ($1)").await.unwrap();
    let row = client.query_one(&select, &[&labels(&["ok", "happy"])]).await.unwrap();
    assert_eq!(
        (row.get::<_, Vec<Label>>(0), row.get::<_, Vec<Label>>(1)),
        (labels(&["ok", "sad"]), labels(&["ok", "happy"]))
    );
    let refused = client.query(&select, &[&labels(&["angry"])]).await.unwrap_err();
    assert_eq!(refused.code().map(|code| code.code()), Some("22P02"));
}

/// A time with a zone in PostgreSQL's binary form: microseconds, and seconds west of Greenwich.
#[derive(Debug, PartialEq)]
struct ZonedTime(i64, i32);

impl FromSql<'_> for ZonedTime {
    fn from_sql(_: &Type, mut raw: &[u8]) -> Result<Self, Failure> {
        Ok(Self(raw.get_i64(), raw.get_i32()))
    }

    fn accepts(known: &Type) -> bool {
        *known == Type::TIMETZ
    }
}

impl ToSql for ZonedTime {
    fn to_sql(&self, _: &Type, out: &mut bytes::BytesMut) -> Result<IsNull, Failure> {
        out.extend_from_slice(&self.0.to_be_bytes());
        out.extend_from_slice(&self.1.to_be_bytes());
        Ok(IsNull::No)
    }

    fn accepts(known: &Type) -> bool {
        *known == Type::TIMETZ
    }

    to_sql_checked!();
}

#[tokio::test(flavor = "multi_thread")]
async fn times_with_a_zone_bind_and_answer_in_binary() {
    let fixture = Fixture::start();
    let client = fixture.client().await;
    client.batch_execute("CREATE TABLE t (i int, z timetz)").await.unwrap();
    let insert = client.prepare("INSERT INTO t VALUES ($1, $2)").await.unwrap();
    let noon = 43_200_000_000;
    for (number, west) in [(1, -7200), (2, 0), (3, 57_599)] {
        client.execute(&insert, &[&number, &ZonedTime(noon, west)]).await.unwrap();
    }
    let wrong = [ZonedTime(noon, 57_600), ZonedTime(86_400_000_001, 0), ZonedTime(-1, 0)];
    for (value, code) in wrong.iter().zip(["22009", "22008", "22008"]) {
        let refused = client.execute(&insert, &[&4, value]).await.unwrap_err();
        assert_eq!(refused.code().map(|code| code.code()), Some(code), "{value:?}");
    }
    let rows =
        client.query("SELECT i, z, z::text FROM t WHERE z >= $1 ORDER BY z", &[&ZonedTime(noon, 0)]).await.unwrap();
    let found: Vec<(i32, ZonedTime, String)> = rows.iter().map(|row| (row.get(0), row.get(1), row.get(2))).collect();
    let last = (3, ZonedTime(noon, 57_599), "12:00:00-15:59:59".into());
    assert_eq!(found, [(2, ZonedTime(noon, 0), "12:00:00+00".into()), last]);
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_are_told_the_base_type_of_a_domain() {
    let fixture = Fixture::start();
    let client = fixture.client().await;
    client
        .batch_execute("CREATE DOMAIN odd AS int CHECK (VALUE % 2 = 1); CREATE TABLE t (n odd, m odd DEFAULT 7)")
        .await
        .unwrap();
    let insert = client.prepare("INSERT INTO t VALUES ($1)").await.unwrap();
    assert_eq!(insert.params(), [Type::INT4]);
    client.execute(&insert, &[&3]).await.unwrap();
    let refused = client.execute(&insert, &[&4]).await.unwrap_err();
    let error = refused.as_db_error().unwrap();
    assert_eq!((error.code().code(), error.constraint()), ("23514", Some("odd_check")));
    let select = client.prepare("SELECT n, m, $1::odd FROM t WHERE n = $2").await.unwrap();
    assert!(select.columns().iter().all(|column| *column.type_() == Type::INT4));
    let row = client.query_one(&select, &[&5, &3]).await.unwrap();
    assert_eq!((0..3).map(|index| row.get::<_, i32>(index)).collect::<Vec<_>>(), [3, 7, 5]);
    let refused = client.query(&select, &[&6, &3]).await.unwrap_err();
    assert_eq!(refused.code().map(|code| code.code()), Some("23514"));
}

/// Of the same INSERT the first execution resolves it, and the others have only their values read.
#[tokio::test(flavor = "multi_thread")]
async fn a_prepared_insert_is_the_same_however_often_it_runs() {
    let fixture = Fixture::start();
    let client = fixture.client().await;
    client
        .batch_execute("CREATE TABLE t (id bigint NOT NULL, s text, v varchar(5), d double precision)")
        .await
        .unwrap();
    let insert = client.prepare("INSERT INTO t VALUES ($1, $2, $3, $4)").await.unwrap();
    let long = "a text that is longer than its view";
    let rows = [(1_i64, Some("short"), Some("abc")), (2, Some(long), None), (3, None, Some("abcde"))];
    for (id, s, v) in rows {
        assert_eq!(client.execute(&insert, &[&id, &s, &v, &1.5_f64]).await.unwrap(), 1);
    }
    let code = |refused: tokio_postgres::Error| refused.code().map(|code| code.code().to_string());
    let refused = client.execute(&insert, &[&None::<i64>, &long, &"abc", &1.5_f64]).await.unwrap_err();
    assert_eq!(code(refused).as_deref(), Some("23502"));
    let refused = client.execute(&insert, &[&4_i64, &long, &"abcdef", &1.5_f64]).await.unwrap_err();
    assert_eq!(code(refused).as_deref(), Some("22001"));
    client.batch_execute("SET default_transaction_read_only = on").await.unwrap();
    let refused = client.execute(&insert, &[&5_i64, &long, &"abc", &1.5_f64]).await.unwrap_err();
    assert_eq!(code(refused).as_deref(), Some("25006"));
    client.batch_execute("SET default_transaction_read_only = off").await.unwrap();
    client.batch_execute("ALTER TABLE t ADD COLUMN more int DEFAULT 7").await.unwrap();
    client.execute(&insert, &[&6_i64, &long, &"abc", &1.5_f64]).await.unwrap();
    for end in ["ROLLBACK", "COMMIT"] {
        client.batch_execute("BEGIN").await.unwrap();
        client.execute(&insert, &[&7_i64, &end, &"abc", &1.5_f64]).await.unwrap();
        client.execute(&insert, &[&8_i64, &end, &"abc", &1.5_f64]).await.unwrap();
        client.batch_execute(end).await.unwrap();
    }
    let found = client.query("SELECT id, s, v, more FROM t ORDER BY id", &[]).await.unwrap();
    let found: Vec<(i64, Option<&str>, Option<&str>, i32)> =
        found.iter().map(|row| (row.get(0), row.get(1), row.get(2), row.get(3))).collect();
    let expected = [
        (1, Some("short"), Some("abc"), 7),
        (2, Some(long), None, 7),
        (3, None, Some("abcde"), 7),
        (6, Some(long), Some("abc"), 7),
        (7, Some("COMMIT"), Some("abc"), 7),
        (8, Some("COMMIT"), Some("abc"), 7),
    ];
    assert_eq!(found, expected);
}
