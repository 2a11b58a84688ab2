"""Rows of a csv file into `sales` by psycopg's executemany, in one transaction; prints the seconds to its durable end.

Arguments: connection string, csv file. Values have the types that an application would have them in.
"""

import csv
import datetime
import decimal
import sys
import time

import psycopg

READERS = {
    "int2": int,
    "int4": int,
    "int8": int,
    "numeric": decimal.Decimal,
    "date": datetime.date.fromisoformat,
    "timestamp": datetime.datetime.fromisoformat,
    "timestamptz": datetime.datetime.fromisoformat,
    "bool": lambda text: text in ("t", "true"),
}


def main(connection_string, path):
    with psycopg.connect(connection_string) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT * FROM sales LIMIT 0")
        names = [psycopg.adapters.types.get(column.type_code).name for column in cursor.description]
        readers = [READERS.get(name, str) for name in names]
        with open(path, newline="") as file:
            lines = csv.reader(file)
            rows = [[read(text) if text else None for read, text in zip(readers, line)] for line in lines]
        connection.commit()
        statement = f"INSERT INTO sales VALUES ({', '.join(['%s'] * len(readers))})"
        started = time.perf_counter()
        cursor.executemany(statement, rows)
        connection.commit()
        print(time.perf_counter() - started)


main(*sys.argv[1:])
