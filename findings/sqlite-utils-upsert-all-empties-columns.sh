#!/usr/bin/env bash
# Package: sqlite-utils 4.2.1.
#
# Behaviour: `upsert_all` with two rows that name different columns sets to NULL what each of them
# does not name. The same two rows given to `upsert` one after the other leave the other columns as
# they are. With `batch_size=1` a row still loses each column that an earlier row named.
#
# A good guess: what a row does not name stays. The page "Python API" (Upserting data) says that
# columns not in the dictionary are unchanged, and that `upsert_all` performs upserts. Its docstring
# calls it `upsert` for a list of records.
#
# For a vector index in sync with SQL tables: change messages often carry only the changed columns.
# A copy of the table that applies them in batches loses texts, and the index embeds what is left.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install -q 'sqlite-utils==4.2.1'

venv/bin/python - <<'PY'
import sqlite_utils

stored = [{"id": 1, "name": "tea", "price": 3}, {"id": 2, "name": "rice", "price": 4}]
changes = [{"id": 1, "name": "green tea"}, {"id": 2, "price": 5}]
wanted = [(1, "green tea", 3), (2, "rice", 5)]
emptied = [(1, "green tea", None), (2, None, 5)]


def applied(name, apply):
    goods = sqlite_utils.Database(memory=True)["goods"]
    goods.insert_all(stored, pk="id")
    apply(goods)
    rows = [tuple(row.values()) for row in goods.rows]
    print(f"{name:26} {rows}")
    return rows


def one_by_one(goods):
    for change in changes:
        goods.upsert(change, pk="id")


singly = applied("upsert for each row", one_by_one)
batch = applied("upsert_all", lambda goods: goods.upsert_all(changes, pk="id"))
ones = applied(
    "upsert_all, batch_size=1", lambda goods: goods.upsert_all(changes, pk="id", batch_size=1)
)

assert singly == wanted, "upsert changed"
assert batch == emptied, "upsert_all changed"
assert ones == [(1, "green tea", 3), (2, None, 5)], "upsert_all in batches of one changed"
PY
