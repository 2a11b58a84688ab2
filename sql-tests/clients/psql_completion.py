"""Types into an interactive psql and presses Tab: psql_completion.py PORT. Prints `completed` when names were completed."""

import os
import pty
import select
import sys
import time

LIMIT_S = 15


def read_until(terminal, wanted, limit_s=LIMIT_S):
    seen = ""
    end = time.monotonic() + limit_s
    while wanted not in seen and time.monotonic() < end:
        if select.select([terminal], [], [], 0.2)[0]:
            try:
                seen += os.read(terminal, 65536).decode(errors="replace")
            except OSError:
                break
    return seen


child, terminal = pty.fork()
if child == 0:
    os.environ.update(TERM="dumb", PAGER="cat", PSQLRC="/dev/null")
    os.execvp("psql", ["psql", "-X", "-h", "127.0.0.1", "-p", sys.argv[1], "-U", "meridian", "meridian"])
read_until(terminal, "=> ")
os.write(terminal, b"SELECT count(*) AS lines FROM sal\t")
seen = read_until(terminal, "sales")
os.write(terminal, b";\n")
seen += read_until(terminal, "(1 row)")
os.write(terminal, b"\\d dai\t")
seen += read_until(terminal, "daily")
os.write(terminal, b"\n")
seen += read_until(terminal, "revenue")
os.write(terminal, b"\\q\n")
complete = "FROM sales" in seen and "(1 row)" in seen and "revenue" in seen
print("completed" if complete else f"not completed: {seen}")
