#!/usr/bin/env bash
# Package: mysql-replication 1.0.17 (with PyMySQL 1.2.4), on MariaDB server 10.11.19 (Debian's).
#
# Behaviour: the binlog reader leaves rows and the end of statements out of files that were written
# while `binlog_checksum` was NONE, when the server has CRC32 by the time that they are read. It
# takes the last four bytes of each event for a checksum. Nothing raises.
#
# A good guess: what was written, as `mariadb-binlog` shows it. Each file says in its first event
# whether those behind it have a checksum ("Format Description Event" in MySQL's and MariaDB's
# documentation of the log), and the reader's README promises "insert, update, delete with their
# datas and raw SQL queries".
#
# For a vector index in sync with SQL tables: who sets checksums on, as MySQL and MariaDB have had by
# default since 5.6.6 and 10.2.1, loses changes that wait in the log. A TRUNCATE names another table.
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
    --log-bin=bin --binlog-format=ROW --binlog-row-metadata=FULL \
    --socket="$folder/s" --pid-file="$folder/pid" >server.log 2>&1 &
server=$!

venv/bin/python - <<'PY'
import time

import pymysql
from pymysqlreplication import BinLogStreamReader
from pymysqlreplication.event import QueryEvent
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
here.execute("CREATE TABLE shop.items (id TINYINT PRIMARY KEY)")
for setting in ("NONE", "CRC32"):
    here.execute("SET GLOBAL binlog_checksum = %s", (setting,))
    here.execute("TRUNCATE TABLE shop.items")
    here.execute("INSERT INTO shop.items VALUES (1), (2), (3)")

stream = BinLogStreamReader(
    SETTINGS,
    server_id=7,
    is_mariadb=True,
    only_events=[WriteRowsEvent, QueryEvent],
    only_schemas=["shop"],
)
told = []
for event in stream:
    if isinstance(event, WriteRowsEvent):
        told.append([row["values"]["id"] for row in event.rows])
    elif event.query.startswith("TRUNCATE"):
        told.append(event.query)
stream.close()

print(f"written without checksums, read as {told[:2]}")
print(f"written with them, read as {told[2:]}")
cut, whole = ["TRUNCATE TABLE shop.i", [1]], ["TRUNCATE TABLE shop.items", [1, 2, 3]]
raise SystemExit(told != cut + whole)
PY
