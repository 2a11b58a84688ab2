"""psycopg 3 against a server: parameters, cursors, COPY, transactions, errors, cancel. Usage: psycopg3.py PORT [postgres]

The same checks run against PostgreSQL, where the materialized view must be refreshed by hand.
"""

import datetime
import decimal
import sys
import threading
import uuid

import psycopg

PORT = int(sys.argv[1])
IS_POSTGRES = len(sys.argv) > 2
CONNECTION = f"host=127.0.0.1 port={PORT} user=meridian dbname=meridian"
passed = 0
failed = 0


def check(name, found, expected):
    global passed, failed
    if found == expected and isinstance(found, type(expected)):
        passed += 1
    else:
        failed += 1
        print(f"  FAILED {name}: found {found!r}, expected {expected!r}")


def refresh(connection):
    if IS_POSTGRES:
        connection.execute("REFRESH MATERIALIZED VIEW psycopg_daily")


def prepare(connection):
    connection.execute("DROP MATERIALIZED VIEW IF EXISTS psycopg_daily")
    connection.execute("DROP TABLE IF EXISTS psycopg_sales")
    connection.execute(
        "CREATE TABLE psycopg_sales (id bigint NOT NULL, region text, amount numeric(12,2), sale_date date, sold_at timestamp,"
        " seen_at timestamptz, paid boolean, weight double precision, key uuid, raw bytea)"
    )
    connection.execute(
        "CREATE MATERIALIZED VIEW psycopg_daily AS SELECT region, sale_date, sum(amount) AS revenue, count(*) AS orders"
        " FROM psycopg_sales GROUP BY region, sale_date"
    )


ROW = (
    1, "EMEA", decimal.Decimal("12.50"), datetime.date(2025, 1, 31), datetime.datetime(2025, 1, 31, 23, 59, 59, 999999),
    datetime.datetime(2025, 1, 31, 12, tzinfo=datetime.timezone.utc), True, 0.1,
    uuid.UUID("a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"), b"\x00\xff",
)


def parameters(connection):
    placeholders = ", ".join(["%s"] * len(ROW))
    connection.execute(f"INSERT INTO psycopg_sales VALUES ({placeholders})", ROW)
    connection.execute(f"INSERT INTO psycopg_sales VALUES ({placeholders})", (2,) + (None,) * 9)
    for binary in (False, True):
        row = connection.execute("SELECT * FROM psycopg_sales WHERE id = %s", (1,), binary=binary).fetchone()
        for found, expected in zip(row, ROW):
            check(f"value, binary={binary}", found, expected)
    row = connection.execute("SELECT id, region FROM psycopg_sales WHERE region IS NULL AND id = %s", (2,)).fetchone()
    check("null", row, (2, None))
    row = connection.execute(
        "SELECT sum(amount), avg(amount), count(*) FROM psycopg_sales WHERE sale_date >= %s AND amount < %s",
        (datetime.date(2025, 1, 1), decimal.Decimal("100")),
    ).fetchone()
    check("aggregates", row, (decimal.Decimal("12.50"), decimal.Decimal("12.5000000000000000"), 1))
    with connection.cursor() as cursor:
        cursor.executemany(
            "INSERT INTO psycopg_sales (id, region, amount, sale_date) VALUES (%s, %s, %s, %s)",
            [(n, "APAC", decimal.Decimal(n), datetime.date(2025, 2, n)) for n in range(3, 13)],
        )
        cursor.execute("SELECT id FROM psycopg_sales WHERE id > %(low)s ORDER BY id LIMIT %(limit)s", {"low": 2, "limit": 3})
        check("named parameters", cursor.fetchall(), [(3,), (4,), (5,)])
        check("description", [column.name for column in cursor.description], ["id"])
    # The same statement again and again is prepared by psycopg after a while.
    for n in range(8):
        row = connection.execute("SELECT %s::integer + 1", (n,)).fetchone()
        check("prepared", row, (n + 1,))
    refresh(connection)
    rows = connection.execute("SELECT region, sum(revenue) FROM psycopg_daily GROUP BY region ORDER BY region").fetchall()
    check("view", rows, [("APAC", decimal.Decimal("75.00")), ("EMEA", decimal.Decimal("12.50")), (None, None)])


def server_side_cursor(connection):
    with connection.transaction():
        with connection.cursor(name="walker") as cursor:
            cursor.itersize = 4
            cursor.execute("SELECT id FROM psycopg_sales WHERE id >= %s ORDER BY id", (3,))
            check("cursor", [row[0] for row in cursor], list(range(3, 13)))
        with connection.cursor(name="fetcher") as cursor:
            cursor.execute("SELECT id FROM psycopg_sales ORDER BY id")
            check("fetchone", cursor.fetchone(), (1,))
            check("fetchmany", cursor.fetchmany(3), [(2,), (3,), (4,)])
            check("fetchall", len(cursor.fetchall()), 8)


def copy(connection):
    with connection.cursor() as cursor:
        with cursor.copy("COPY psycopg_sales (id, region, amount, sale_date) FROM STDIN") as out:
            for n in range(100, 200):
                out.write_row((n, "AMER", decimal.Decimal(n) / 4, datetime.date(2025, 3, 1)))
        check("rows copied in", cursor.rowcount, 100)
        with cursor.copy("COPY psycopg_sales (id, region, amount) FROM STDIN WITH (FORMAT csv, HEADER)") as out:
            out.write("id,region,amount\n200,\"a, b\",1.00\n")
        with cursor.copy("COPY (SELECT id, region FROM psycopg_sales WHERE id >= 199 ORDER BY id) TO STDOUT") as rows:
            check("copy out", list(rows.rows()), [("199", "AMER"), ("200", "a, b")])
    refresh(connection)
    row = connection.execute("SELECT revenue, orders FROM psycopg_daily WHERE region = 'AMER'").fetchone()
    check("view after copy", row, (decimal.Decimal("3737.50"), 100))
    try:
        with connection.cursor() as cursor:
            with cursor.copy("COPY psycopg_sales (id, amount) FROM STDIN") as out:
                out.write("300\t1.00\n301\tmuch\n")
        check("a bad copy", "no error", "an error")
    except psycopg.Error as error:
        check("sqlstate of a bad copy", error.sqlstate, "22P02")
        context = 'COPY psycopg_sales, line 2, column amount: "much"'
        check("context of a bad copy", error.diag.context, context)
    try:
        with connection.cursor() as cursor:
            with cursor.copy("COPY psycopg_sales (id, amount) FROM STDIN") as out:
                out.write("300\t1.00\n")
                raise KeyError("the client gives up")
    except KeyError:
        pass
    check("nothing of either", connection.execute("SELECT count(*) FROM psycopg_sales WHERE id >= 300").fetchone(), (0,))


def transactions(connection):
    with connection.transaction():
        connection.execute("DELETE FROM psycopg_sales WHERE id >= 100")
        check("in the transaction", connection.execute("SELECT count(*) FROM psycopg_sales").fetchone(), (12,))
        with psycopg.connect(CONNECTION) as other:
            check("outside of it", other.execute("SELECT count(*) FROM psycopg_sales").fetchone(), (113,))
    try:
        with connection.transaction():
            connection.execute("TRUNCATE psycopg_sales")
            raise psycopg.Rollback()
    except psycopg.Error as error:
        check("rollback", error, None)
    check("after rollback", connection.execute("SELECT count(*) FROM psycopg_sales").fetchone(), (12,))
    with psycopg.connect(CONNECTION) as other:
        other.execute("INSERT INTO psycopg_sales (id) VALUES (13)")
        try:
            other.execute("SELECT 1 / 0")
        except psycopg.errors.DivisionByZero:
            pass
        try:
            other.execute("SELECT 1")
            check("a failed transaction", "no error", "an error")
        except psycopg.errors.InFailedSqlTransaction as error:
            check("a failed transaction", error.sqlstate, "25P02")
        other.rollback()
    check("after both", connection.execute("SELECT count(*) FROM psycopg_sales").fetchone(), (12,))


def errors(connection):
    cases = [
        ("SELECT regoin FROM psycopg_sales", psycopg.errors.UndefinedColumn, "8"),
        ("SELECT * FROM nowhere", psycopg.errors.UndefinedTable, "15"),
        ("SELEC 1", psycopg.errors.SyntaxError, "1"),
        ("SELECT 'x'::integer", psycopg.errors.InvalidTextRepresentation, "8"),
        ("INSERT INTO psycopg_sales (region) VALUES ('x')", psycopg.errors.NotNullViolation, None),
    ]
    for sql, kind, position in cases:
        try:
            connection.execute(sql)
            check(sql, "no error", kind)
        except psycopg.Error as error:
            check(sql, (type(error), error.diag.statement_position), (kind, position))
    try:
        connection.execute("SELECT regoin FROM psycopg_sales")
    except psycopg.Error as error:
        hint = 'Perhaps you meant to reference the column "psycopg_sales.region".'
        check("hint", error.diag.message_hint, hint)


def cancel(connection):
    def stop():
        connection.cancel()

    timer = threading.Timer(0.5, stop)
    timer.start()
    try:
        connection.execute(
            "SELECT sum(a.n * b.n) FROM generate_series(1, 100000) AS a (n), generate_series(1, 100000) AS b (n)"
        )
        check("cancel", "no error", "an error")
    except psycopg.errors.QueryCanceled as error:
        check("cancel", error.sqlstate, "57014")
    timer.cancel()
    check("after cancel", connection.execute("SELECT 1").fetchone(), (1,))


def pipeline(connection):
    with connection.pipeline():
        first = connection.execute("SELECT %s::integer", (1,))
        second = connection.execute("SELECT %s::text", ("two",))
    check("pipeline", (first.fetchone(), second.fetchone()), ((1,), ("two",)))


with psycopg.connect(CONNECTION, autocommit=True) as connection:
    connection.execute("SET TimeZone = 'UTC'")
    prepare(connection)
    for part in (parameters, server_side_cursor, copy, transactions, errors, cancel, pipeline):
        try:
            part(connection)
        except Exception as error:  # what one part meets must not hide the others
            failed += 1
            print(f"  FAILED {part.__name__}: {type(error).__name__}: {error}")
print(f"psycopg {psycopg.__version__}: {passed} passed, {failed} failed")
sys.exit(1 if failed else 0)
