#!/usr/bin/env bash
# Package: sqlite-vec 0.1.9, loaded by apsw 3.54.1.0.
#
# Behaviour: a nearest-neighbour query with `price >= 90` returns the five rows asked for. The
# same condition written `NOT price < 90` returns none, without an error. So does `id >= 90` on
# the primary key. These conditions are applied after the nearest five were chosen.
#
# A good guess: an SQL condition means the same in each of its forms, or a form that the index
# cannot use raises an error. `LIKE` on such a column raises one. The notes of release 0.1.6 say
# that metadata columns may appear in the WHERE clause of such queries.
#
# For a vector index in sync with SQL tables: query builders rewrite conditions freely, and
# "newer than row N" is a usual filter. A search then shows nothing though rows match.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install -q 'sqlite-vec==0.1.9' 'apsw==3.54.1.0'

venv/bin/python - <<'PY'
import struct

import apsw
import sqlite_vec

db = apsw.Connection(":memory:")
db.enable_load_extension(True)
db.load_extension(sqlite_vec.loadable_path())
db.execute("CREATE VIRTUAL TABLE v USING vec0(id INTEGER PRIMARY KEY, price INTEGER, e float[2])")
for number in range(100):
    vector = struct.pack("<2f", number, 0.0)
    db.execute("INSERT INTO v (id, price, e) VALUES (?, ?, ?)", (number, number, vector))


def nearest(condition):
    query = f"SELECT id FROM v WHERE e MATCH ? AND k = 5 AND {condition} ORDER BY distance"
    ids = [row[0] for row in db.execute(query, (struct.pack("<2f", 0.0, 0.0),))]
    print(f"{condition:15} {ids}")
    return ids


assert nearest("price >= 90") == [90, 91, 92, 93, 94], "price >= 90 changed"
assert nearest("NOT price < 90") == [], "NOT price < 90 changed"
assert nearest("id >= 90") == [], "id >= 90 changed"
try:
    nearest("price LIKE '9%'")
    like = "accepted"
except apsw.SQLError:
    like = "SQLError"
print("price LIKE '9%'", like)
assert like == "SQLError", "price LIKE changed"
PY
