-- The session of a new user, typed into psql. What PostgreSQL answers to it stands beside it when both are asked.
\pset pager off
\set VERBOSITY default
\d sales
SELECT region, sum(amount) FROM sales WHERE sale_date >= '2025-06-01' GROUP BY region ORDER BY 2 DESC;
SELECT regoin, sum(amount) FROM sales;
SELECT * FROM nowhere;
SELECT region sum(amount) FROM sales;
\dt
\dm
\d daily
\copy sales FROM more.csv WITH (FORMAT csv, HEADER)
:refresh
SELECT * FROM daily WHERE region = 'EMEA' ORDER BY sale_date DESC LIMIT 7;
\x
SELECT * FROM daily WHERE region = 'APAC' ORDER BY sale_date LIMIT 1;
\x
BEGIN;
DELETE FROM sales WHERE region = 'EMEA';
SELECT count(*) FROM sales;
ROLLBACK;
SELECT count(*) FROM sales;
\copy (SELECT region, count(*) FROM sales GROUP BY region ORDER BY region) TO STDOUT WITH (FORMAT csv, HEADER)
\copy sales FROM bad.csv WITH (FORMAT csv)
SELECT transaction_id, amount FROM sales ORDER BY amount DESC, transaction_id LIMIT 2 \gx
\gdesc
SELECT transaction_id, sold_at, region, amount FROM sales ORDER BY transaction_id LIMIT 3 \g
\echo :ROW_COUNT
SELECT 1 / 0;
\echo :LAST_ERROR_SQLSTATE :LAST_ERROR_MESSAGE
\df
\dv
\di
\conninfo
