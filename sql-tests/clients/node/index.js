// node-postgres against a server: parameters, types, transactions, errors, streams. Usage: node index.js PORT [postgres]
'use strict';
const assert = require('node:assert');
const { Client, Pool } = require('pg');
const QueryStream = require('pg-query-stream');

const port = Number(process.argv[2]);
const isPostgres = process.argv.length > 3;
const config = { host: '127.0.0.1', port, user: 'meridian', database: 'meridian' };
let passed = 0;
let failed = 0;

function check(name, found, expected) {
  try {
    assert.deepStrictEqual(found, expected);
    passed += 1;
  } catch {
    failed += 1;
    console.log(`  FAILED ${name}: found ${JSON.stringify(found)}, expected ${JSON.stringify(expected)}`);
  }
}

async function errorOf(client, sql, values) {
  try {
    await client.query(sql, values);
    return { code: 'no error' };
  } catch (error) {
    return error;
  }
}

const parts = {
  async parameters(client) {
    await client.query(
      'INSERT INTO node_sales VALUES ($1, $2, $3, $4, $5, $6, $7, $8)',
      [1, 'EMEA', '12.50', '2025-01-31', new Date(Date.UTC(2025, 0, 31, 12)), true, 0.1, Buffer.from([0, 255])]);
    await client.query('INSERT INTO node_sales (id) VALUES ($1)', [2]);
    const { rows, rowCount, fields } = await client.query(
      'SELECT id, region, amount, sale_date::text AS day, seen_at, paid, weight, raw FROM node_sales WHERE id = $1', [1]);
    check('rowCount', rowCount, 1);
    check('types', fields.map((field) => field.dataTypeID), [20, 25, 1700, 25, 1184, 16, 701, 17]);
    check('row', rows[0], {
      id: '1', region: 'EMEA', amount: '12.50', day: '2025-01-31', seen_at: new Date(Date.UTC(2025, 0, 31, 12)), paid: true,
      weight: 0.1, raw: Buffer.from([0, 255]),
    });
    const nulls = await client.query({ text: 'SELECT region, amount FROM node_sales WHERE id = $1', values: [2], rowMode: 'array' });
    check('nulls', nulls.rows, [[null, null]]);
    for (let n = 0; n < 3; n += 1) {
      const named = await client.query({ name: 'plus', text: 'SELECT $1::int + 1 AS next', values: [n] });
      // The sum is a bigint in Meridian, which node-postgres gives as text; POSTGRES.md says why.
      check('named', Number(named.rows[0].next), n + 1);
    }
  },
  async statements(client) {
    const several = await client.query('SELECT 1 AS one; SELECT 2 AS two');
    check('several', several.map((result) => result.rows), [[{ one: 1 }], [{ two: 2 }]]);
    const deleted = await client.query('DELETE FROM node_sales WHERE id = $1', [2]);
    check('tag', [deleted.command, deleted.rowCount], ['DELETE', 1]);
    if (isPostgres) await client.query('REFRESH MATERIALIZED VIEW node_daily');
    const view = await client.query('SELECT * FROM node_daily');
    check('view', view.rows, [{ region: 'EMEA', revenue: '12.50', orders: '1' }]);
  },
  async transactions(client) {
    await client.query('BEGIN');
    await client.query('DELETE FROM node_sales');
    await client.query('ROLLBACK');
    const { rows } = await client.query('SELECT count(*)::int AS n FROM node_sales');
    check('rolled back', rows, [{ n: 1 }]);
  },
  async errors(client) {
    const column = await errorOf(client, 'SELECT regoin FROM node_sales');
    check('column', [column.code, column.position, column.hint],
      ['42703', '8', 'Perhaps you meant to reference the column "node_sales.region".']);
    const zero = await errorOf(client, 'SELECT 1 / $1::int', [0]);
    check('zero', [zero.code, zero.severity], ['22012', 'ERROR']);
    const missing = await errorOf(client, 'INSERT INTO node_sales (region) VALUES ($1)', ['x']);
    check('not null', [missing.code, missing.detail], ['23502', 'Failing row contains (null, x, null, null, null, null, null, null).']);
  },
  async stream(client) {
    let count = 0;
    let sum = 0;
    const stream = client.query(new QueryStream('SELECT n FROM generate_series(1, 2000) AS s (n) WHERE n <= $1::int', [1000], { batchSize: 64 }));
    for await (const row of stream) {
      count += 1;
      sum += Number(row.n);
    }
    check('stream', [count, sum], [1000, 500500]);
  },
  async pool() {
    const pool = new Pool({ ...config, max: 4 });
    const answers = await Promise.all(Array.from({ length: 20 }, (_, n) => pool.query('SELECT $1::int AS n', [n])));
    check('pool', answers.map(({ rows }) => rows[0].n), Array.from({ length: 20 }, (_, n) => n));
    await pool.end();
  },
};

async function main() {
  const client = new Client(config);
  await client.connect();
  await client.query('DROP MATERIALIZED VIEW IF EXISTS node_daily');
  await client.query('DROP TABLE IF EXISTS node_sales');
  await client.query(`CREATE TABLE node_sales (id bigint NOT NULL, region text, amount numeric(12,2), sale_date date,
    seen_at timestamptz, paid boolean, weight double precision, raw bytea)`);
  await client.query(`CREATE MATERIALIZED VIEW node_daily AS
    SELECT region, sum(amount) AS revenue, count(*) AS orders FROM node_sales GROUP BY region`);
  for (const [name, part] of Object.entries(parts)) {
    try {
      await part(client);
    } catch (error) {
      failed += 1;
      console.log(`  FAILED ${name}: ${error.stack}`);
    }
  }
  await client.end();
  console.log(`node-postgres ${require('pg/package.json').version}: ${passed} passed, ${failed} failed`);
  process.exitCode = failed ? 1 : 0;
}

main();
