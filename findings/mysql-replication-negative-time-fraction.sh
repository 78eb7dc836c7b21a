#!/usr/bin/env bash
# Package: mysql-replication 1.0.17 (with PyMySQL 1.2.4), on MariaDB server 10.11.19 (Debian's).
#
# Behaviour: the binlog reader gives another fraction of a second for a negative TIME than was
# written. '-12:30:00.25' in a TIME(2) arrives as minus 12:30:00.75. Whole seconds and positive
# times arrive as they were written.
#
# A good guess: the value of the row. The server's own documentation of the format says how the
# fraction of a negative time is stored ("Date and Time Data Type Representation" in MySQL's
# internals manual), and the reader's README promises "events with their data".
#
# For a vector index in sync with SQL tables: who takes rows from the log, and not from the table,
# indexes times that no row has. A key of this type names another row.
set -euo pipefail

folder=$(mktemp -d)
server=
trap '[ -z "$server" ] || { kill "$server"; wait "$server" || true; }; rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install -q 'PyMySQL==1.2.4' 'mysql-replication==1.0.17'
[ "$(id -u)" != 0 ] || chown mysql "$folder"
as=$([ "$(id -u)" != 0 ] && id -un || echo mysql)

mariadb-install-db --no-defaults --datadir="$folder/data" --user="$as" --skip-test-db \
    --auth-root-authentication-method=normal >install.log 2>&1
mariadbd --no-defaults --datadir="$folder/data" --user="$as" --skip-networking --server-id=1 \
    --log-bin --binlog-format=ROW --binlog-row-metadata=FULL \
    --socket="$folder/s" --pid-file="$folder/pid" >server.log 2>&1 &
server=$!

venv/bin/python - <<'PY'
import time

import pymysql
from pymysqlreplication import BinLogStreamReader
from pymysqlreplication.row_event import WriteRowsEvent

SETTINGS = {"unix_socket": "s", "user": "root"}


def connected():
    deadline = time.monotonic() + 60
    while True:
        try:
            return pymysql.connect(autocommit=True, **SETTINGS).cursor()
        except pymysql.OperationalError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.2)


here = connected()
here.execute("CREATE DATABASE shop")
here.execute("CREATE TABLE shop.items (id INT PRIMARY KEY, t TIME(2))")
for number, text in enumerate(("12:30:00.25", "-12:30:00", "-12:30:00.25"), 1):
    here.execute("INSERT INTO shop.items VALUES (%s, %s)", (number, text))
here.execute("SELECT id, t FROM shop.items ORDER BY id")
table = dict(here.fetchall())

stream = BinLogStreamReader(
    SETTINGS,
    server_id=7,
    is_mariadb=True,
    only_events=[WriteRowsEvent],
    only_schemas=["shop"],
)
log = {row["values"]["id"]: row["values"]["t"] for event in stream for row in event.rows}
stream.close()

for number, value in table.items():
    told = f"{log[number].total_seconds():.2f}"
    print(f"the table has {value.total_seconds():.2f} seconds, the log is read as {told}")
wrong = [number for number in table if table[number] != log[number]]
seconds = [log[3].total_seconds(), table[3].total_seconds()]
raise SystemExit(not (wrong == [3] and seconds == [-45000.75, -45000.25]))
PY
