#!/usr/bin/env bash
# Package: adbc-driver-sqlite 1.13.0 (with pyarrow 26.0.1).
#
# Behaviour: one text among the first 1,024 values of a column makes the whole column text. Each
# real in it is then written with seven digits: 123456789.25 and 123456789.5 both become
# "1.234568e+08". Without the text the same reals come exactly.
#
# A good guess: a text that gives the number back, at least the one of SQLite's own CAST, which
# has 15 digits. The recipe "Change the batch size of the result set" in ADBC's Python docs
# explains that the first rows decide the type. It tells of no loss.
#
# For a vector index in sync with SQL tables: SQLite lets a column hold both types. One stray text
# merges two keys into one, and a changed price can look unchanged.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install -q 'adbc-driver-sqlite==1.13.0' 'pyarrow==26.0.1'

venv/bin/python - <<'PY'
import adbc_driver_sqlite.dbapi as adbc


def column(cursor, query):
    cursor.execute(query)
    return cursor.fetch_arrow_table().column(0).to_pylist()


with adbc.connect(":memory:") as connection, connection.cursor() as cursor:
    cursor.execute("CREATE TABLE parts (number)")
    cursor.execute("INSERT INTO parts VALUES (123456789.25), (123456789.5)")
    alone = column(cursor, "SELECT number FROM parts")
    cursor.execute("INSERT INTO parts VALUES ('A-17')")
    beside_text = column(cursor, "SELECT number FROM parts")
    by_sqlite = column(cursor, "SELECT CAST(number AS TEXT) FROM parts")

print("reals alone:       ", alone)
print("beside one text:   ", beside_text)
print("SQLite's own texts:", by_sqlite)

assert alone == [123456789.25, 123456789.5], "reals alone changed"
assert beside_text == ["1.234568e+08", "1.234568e+08", "A-17"], "reals beside a text changed"
assert by_sqlite == ["123456789.25", "123456789.5", "A-17"], "SQLite's cast changed"
PY
