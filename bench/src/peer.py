"""A database inside this process, asked by JSON lines on standard input, answering on standard output.

{"run": [statement, ...]}                 -> {"seconds": time of all, "rows": rows of the last, values as text}
{"insert": [row, ...], "clients": n}      -> {"seconds": time of all, "each": [time of one, ...]}
"""

import datetime
import decimal
import json
import sys
import threading
import time


class DuckDb:
    def __init__(self, directory):
        import duckdb

        self.connection = duckdb.connect(f"{directory}/bench.duckdb")

    def client(self):
        return self.connection.cursor()

    def run(self, client, statement):
        return client.execute(statement).fetchall()

    def insert(self, client, row):
        client.execute(f"INSERT INTO sales VALUES ({', '.join('?' * len(row))})", row)


class ClickHouse:
    def __init__(self, directory):
        from chdb import session

        self.session = session.Session(f"{directory}/bench.chdb")
        self.session.query("CREATE DATABASE IF NOT EXISTS bench ENGINE = Atomic")
        self.session.query("USE bench")

    def client(self):
        return self.session

    def run(self, client, statement):
        if statement.lstrip().upper().startswith(("SELECT", "WITH")):
            text = client.query(statement, "TabSeparated").data()
            lines = text.splitlines()
            return [[None if value == "\\N" else value for value in line.split("\t")] for line in lines]
        client.query(statement)
        return []

    def insert(self, client, row):
        values = ", ".join("'" + value.replace("'", "''") + "'" for value in row)
        client.query(f"INSERT INTO sales VALUES ({values})")


class DataFusion:
    def __init__(self, directory):
        from datafusion import SessionContext

        self.context = SessionContext()

    def client(self):
        return self.context

    def run(self, client, statement):
        columns = [column.to_pylist() for column in client.sql(statement).to_arrow_table().columns]
        return list(zip(*columns))

    def insert(self, client, row):
        raise NotImplementedError("DataFusion keeps no rows by itself")


def as_text(value):
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, decimal.Decimal):
        return format(value, "f")
    if isinstance(value, float):
        return repr(value)
    if isinstance(value, (datetime.date, datetime.datetime, int)):
        return str(value)
    raise TypeError(f"no text form for {type(value)}")


def run(database, client, request):
    started = time.perf_counter()
    for statement in request["run"]:
        rows = database.run(client, statement)
    seconds = time.perf_counter() - started
    return {"seconds": seconds, "rows": [[as_text(value) for value in row] for row in rows]}


def insert_share(database, client, rows, each, errors):
    try:
        for row in rows:
            started = time.perf_counter()
            database.insert(client, row)
            each.append(time.perf_counter() - started)
    except Exception as error:
        errors.append(error)


def insert(database, request):
    clients, rows, each, errors = request["clients"], request["insert"], [], []
    threads = [
        threading.Thread(target=insert_share, args=(database, database.client(), rows[first::clients], each, errors))
        for first in range(clients)
    ]
    started = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    seconds = time.perf_counter() - started
    if errors:
        raise errors[0]
    return {"seconds": seconds, "each": each}


def main():
    package, directory = sys.argv[1:3]
    database = {"duckdb": DuckDb, "chdb": ClickHouse, "datafusion": DataFusion}[package](directory)
    client = database.client()
    for line in sys.stdin:
        request = json.loads(line)
        try:
            answer = insert(database, request) if "insert" in request else run(database, client, request)
        except Exception as error:
            answer = {"error": str(error).strip() or repr(error)}
        print(json.dumps(answer), flush=True)


main()
