#!/usr/bin/env bash
# Package: adbc-driver-sqlite 1.13.0 (with pyarrow 26.0.1), where it meets SQLite's own clock.
#
# Behaviour: the driver binds a datetime as a text with a "T" between date and time. SQLite's
# CURRENT_TIMESTAMP writes a blank there, and a blank sorts before "T". So `updated_at > ?` with
# 09:00 does not find a row of 12:00 on the same day. It finds the rows of later days only.
# A datetime with a zone is shifted to UTC, and its text carries no zone.
#
# A good guess: the text that SQLite itself writes. The page "Date And Time Functions" of SQLite
# gives YYYY-MM-DD HH:MM:SS for CURRENT_TIMESTAMP. Python's sqlite3 binds a blank too, as shown.
#
# For a vector index in sync with SQL tables: a loader that asks for rows changed since the last
# run misses the rest of that day. No error and no empty result on the next day tells of it.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install -q 'adbc-driver-sqlite==1.13.0' 'pyarrow==26.0.1'

venv/bin/python - <<'PY'
import sqlite3
import warnings
from datetime import datetime, timedelta, timezone

import adbc_driver_sqlite.dbapi as adbc

cut = datetime(2026, 7, 1, 9)
in_berlin = cut.replace(tzinfo=timezone(timedelta(hours=2)))

with adbc.connect(":memory:") as connection, connection.cursor() as cursor:

    def ask(query, *values):
        cursor.execute(query, values)
        return [row[0] for row in cursor.fetchall()]

    cursor.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, updated_at DEFAULT CURRENT_TIMESTAMP)")
    cursor.execute("INSERT INTO t (id) VALUES (0)")
    separator = ask("SELECT substr(updated_at, 11, 1) FROM t")
    cursor.execute("DELETE FROM t")
    cursor.execute(
        "INSERT INTO t VALUES (1, '2026-07-01 08:00:00'), (2, '2026-07-01 12:00:00'),"
        " (3, '2026-07-02 08:00:00')"
    )
    found = ask("SELECT id FROM t WHERE updated_at > ? ORDER BY id", cut)
    bound = ask("SELECT ?", cut)
    zoned = ask("SELECT ?", in_berlin)

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)
    by_python = sqlite3.connect(":memory:").execute("SELECT ?", (cut,)).fetchone()[0]

print("CURRENT_TIMESTAMP has between date and time:", separator)
print("changed after 2026-07-01 09:00:", found, "(rows 2 and 3 were)")
print("ADBC binds:           ", bound)
print("ADBC binds with +02:00:", zoned)
print("Python's sqlite3 binds:", [by_python])

assert separator == [" "], "CURRENT_TIMESTAMP changed"
assert found == [3], "the rows found changed"
assert bound == ["2026-07-01T09:00:00.000000"], "the bound text changed"
assert zoned == ["2026-07-01T07:00:00.000000"], "the bound text with a zone changed"
assert by_python == "2026-07-01 09:00:00", "Python's text changed"
PY
