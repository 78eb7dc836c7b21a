#!/usr/bin/env bash
# Package: MariaDB server 10.11.19 (Debian's mariadb-server), asked by PyMySQL 1.2.4.
#
# Behaviour: `update_time` in information_schema.tables is when the transaction began that
# committed last. After a commit it may lie before the last look at the table. It goes back when a
# long transaction commits after a short one, and TRUNCATE leaves it alone.
#
# A good guess: the time of the last commit. MySQL's worklog 6658, which brought the value to
# InnoDB, says of such a table that it "was last updated at 13:30, by the commit".
#
# For a vector index in sync with SQL tables: "nothing changed since my last look" is the cheapest
# sync there is. With this time, a transaction that was open at the last look is missed for ever
# when another one had begun in the same second.
set -euo pipefail

folder=$(mktemp -d)
server=
trap '[ -z "$server" ] || { kill "$server"; wait "$server" || true; }; rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install -q 'PyMySQL==1.2.4'
[ "$(id -u)" != 0 ] || chown mysql "$folder"
as=$([ "$(id -u)" != 0 ] && id -un || echo mysql)

mariadb-install-db --no-defaults --datadir="$folder/data" --user="$as" --skip-test-db \
    --auth-root-authentication-method=normal >install.log 2>&1
mariadbd --no-defaults --datadir="$folder/data" --user="$as" --skip-networking \
    --socket="$folder/s" --pid-file="$folder/pid" >server.log 2>&1 &
server=$!

venv/bin/python - <<'PY'
import time

import pymysql


def connected():
    deadline = time.monotonic() + 60
    while True:
        try:
            return pymysql.connect(unix_socket="s", user="root", autocommit=True).cursor()
        except pymysql.OperationalError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.2)


short, long = connected(), connected()
for statement in (
    "CREATE DATABASE shop",
    "CREATE TABLE shop.items (id INT PRIMARY KEY, v TEXT) ENGINE = InnoDB",
    "INSERT INTO shop.items VALUES (1, 'a'), (2, 'b')",
):
    short.execute(statement)


def look(what):
    short.execute(
        "SELECT CAST(update_time AS CHAR), CAST(NOW() AS CHAR) FROM information_schema.tables"
        " WHERE table_schema = 'shop'"
    )
    changed, now = short.fetchone()
    print(f"{now[11:]}  {what:41} update_time {changed[11:]}")
    return changed


time.sleep(1 - time.time() % 1)  # both begin in one second
long.execute("START TRANSACTION")
long.execute("UPDATE shop.items SET v = 'late' WHERE id = 1")
short.execute("UPDATE shop.items SET v = 'early' WHERE id = 2")
time.sleep(3)
seen = look("the short one has committed")
time.sleep(2)
long.execute("COMMIT")
after = look("the long one has committed")
short.execute("TRUNCATE shop.items")
emptied = look("the table was emptied")
raise SystemExit(not seen == after == emptied)
PY
