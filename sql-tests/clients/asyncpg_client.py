"""asyncpg against a server: prepared statements in binary, cursors, transactions, errors. Usage: asyncpg_client.py PORT [postgres]"""

import asyncio
import datetime
import decimal
import sys
import uuid

import asyncpg

PORT = int(sys.argv[1])
IS_POSTGRES = len(sys.argv) > 2
passed = 0
failed = 0


def check(name, found, expected):
    global passed, failed
    if found == expected and isinstance(found, type(expected)):
        passed += 1
    else:
        failed += 1
        print(f"  FAILED {name}: found {found!r}, expected {expected!r}")


ROW = (
    1, "EMEA", decimal.Decimal("12.50"), datetime.date(2025, 1, 31), datetime.datetime(2025, 1, 31, 23, 59, 59, 999999),
    datetime.datetime(2025, 1, 31, 12, tzinfo=datetime.timezone.utc), True, 0.1, 3, 1.5,
    uuid.UUID("a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"), b"\x00\xff",
)


async def prepare(connection):
    await connection.execute("DROP MATERIALIZED VIEW IF EXISTS asyncpg_daily")
    await connection.execute("DROP TABLE IF EXISTS asyncpg_sales")
    await connection.execute(
        "CREATE TABLE asyncpg_sales (id bigint NOT NULL, region varchar(20), amount numeric(12,2), sale_date date,"
        " sold_at timestamp, seen_at timestamptz, paid boolean, weight double precision, small smallint, single real,"
        " key uuid, raw bytea)"
    )
    await connection.execute(
        "CREATE MATERIALIZED VIEW asyncpg_daily AS SELECT region, sum(amount) AS revenue, count(*) AS orders"
        " FROM asyncpg_sales GROUP BY region"
    )


async def statements(connection):
    insert = await connection.prepare("INSERT INTO asyncpg_sales VALUES ($1,$2,$3,$4,$5,$6,$7,$8,$9,$10,$11,$12)")
    check(
        "types of parameters",
        [parameter.name for parameter in insert.get_parameters()],
        ["int8", "varchar", "numeric", "date", "timestamp", "timestamptz", "bool", "float8", "int2", "float4", "uuid", "bytea"],
    )
    await insert.fetch(*ROW)
    await insert.fetch(2, *([None] * 11))
    select = await connection.prepare("SELECT * FROM asyncpg_sales WHERE id = $1")
    row = await select.fetchrow(1)
    for found, expected in zip(row.values(), ROW):
        check("value", found, expected)
    check("nulls", list((await select.fetchrow(2)).values())[1:], [None] * 11)
    check("names", [attribute.name for attribute in select.get_attributes()][:3], ["id", "region", "amount"])
    await connection.executemany(
        "INSERT INTO asyncpg_sales (id, region, amount) VALUES ($1, $2, $3)",
        [(n, "APAC", decimal.Decimal(n)) for n in range(3, 23)],
    )
    total = await connection.fetchval(
        "SELECT sum(amount) FROM asyncpg_sales WHERE region = $1 AND amount BETWEEN $2 AND $3",
        "APAC", decimal.Decimal(3), decimal.Decimal(5),
    )
    check("a filtered total", total, decimal.Decimal("12.00"))
    arrays = await connection.fetchrow("SELECT $1::int[], $2::text[], $3::numeric[]", [1, None], ["a"], [decimal.Decimal("1.5")])
    check("arrays", tuple(arrays), ([1, None], ["a"], [decimal.Decimal("1.5")]))
    check("tag", await connection.execute("DELETE FROM asyncpg_sales WHERE id > $1", 20), "DELETE 2")
    if IS_POSTGRES:
        await connection.execute("REFRESH MATERIALIZED VIEW asyncpg_daily")
    rows = [tuple(row) for row in await connection.fetch("SELECT * FROM asyncpg_daily ORDER BY region")]
    expected = [("APAC", decimal.Decimal("207.00"), 18), ("EMEA", decimal.Decimal("12.50"), 1), (None, None, 1)]
    check("view", rows, expected)


async def cursors(connection):
    async with connection.transaction():
        ids = [row["id"] async for row in connection.cursor("SELECT id FROM asyncpg_sales WHERE id > $1 ORDER BY id", 2, prefetch=5)]
        check("cursor", ids, list(range(3, 21)))
        cursor = await connection.cursor("SELECT id FROM asyncpg_sales ORDER BY id")
        check("fetch", [row["id"] for row in await cursor.fetch(4)], [1, 2, 3, 4])
        check("fetchrow", (await cursor.fetchrow())["id"], 5)
        check("forward", await cursor.forward(3), 3)
        check("behind it", [row["id"] for row in await cursor.fetch(2)], [9, 10])
        check("forward to the end", await cursor.forward(100), 10)
        check("after the end", await cursor.fetch(1), [])
        cursor = await connection.cursor("SELECT id FROM asyncpg_sales WHERE id > $1 ORDER BY id", 2)
        check("forward at first", await cursor.forward(2), 2)
        check("the first row then", (await cursor.fetchrow())["id"], 5)


async def transactions(connection):
    count = "SELECT count(*) FROM asyncpg_sales"
    try:
        async with connection.transaction():
            await connection.execute("DELETE FROM asyncpg_sales")
            check("inside", await connection.fetchval(count), 0)
            raise KeyError
    except KeyError:
        pass
    check("rolled back", await connection.fetchval(count), 20)
    async with connection.transaction(isolation="repeatable_read", readonly=True):
        check("read only", await connection.fetchval(count), 20)
        try:
            await connection.execute("DELETE FROM asyncpg_sales")
            check("a write in it", "no error", "an error")
        except asyncpg.ReadOnlySQLTransactionError:
            check("a write in it", True, True)


async def errors(connection):
    cases = [
        ("SELECT regoin FROM asyncpg_sales", asyncpg.UndefinedColumnError, "8"),
        ("SELECT * FROM nowhere", asyncpg.UndefinedTableError, "15"),
        ("SELECT 1 / (id - id) FROM asyncpg_sales", asyncpg.DivisionByZeroError, None),
    ]
    for sql, kind, position in cases:
        try:
            await connection.fetch(sql)
            check(sql, "no error", kind)
        except asyncpg.PostgresError as error:
            check(sql, (type(error), error.position), (kind, position))
    try:
        await connection.fetchval("SELECT $1::integer", "not a number")
        check("a wrong argument", "no error", "an error")
    except asyncpg.DataError:
        check("a wrong argument", True, True)
    try:
        await connection.fetch(
            "SELECT count(*) FROM generate_series(1, 100000) AS a (n), generate_series(1, 100000) AS b (n)", timeout=0.5
        )
        check("timeout", "no error", "an error")
    except asyncio.TimeoutError:
        check("timeout", True, True)
    check("afterwards", await connection.fetchval("SELECT 1"), 1)


async def main():
    global failed
    connection = await asyncpg.connect(host="127.0.0.1", port=PORT, user="meridian", database="meridian")
    await prepare(connection)
    for part in (statements, cursors, transactions, errors):
        try:
            await part(connection)
        except Exception as error:  # what one part meets must not hide the others
            failed += 1
            print(f"  FAILED {part.__name__}: {type(error).__name__}: {error}")
    await connection.close()


asyncio.run(main())
print(f"asyncpg {asyncpg.__version__}: {passed} passed, {failed} failed")
sys.exit(1 if failed else 0)
