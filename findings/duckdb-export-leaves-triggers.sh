#!/usr/bin/env bash
# Package: duckdb 2.0.1.
#
# Behaviour: three triggers write each change of a table into an outbox. `EXPORT DATABASE` followed
# by `IMPORT DATABASE` brings the table, its key, the rows and the outbox, and no trigger. So does
# `COPY FROM DATABASE`. Neither says so. In the copy a change leaves nothing in the outbox.
# The same triggers are there when the file is closed and opened again, or copied as a file.
#
# A good guess: triggers are part of what a database contains. The page "EXPORT and IMPORT DATABASE
# Statements" says that the command exports the "full contents of the database". For compacting a
# database, the page "Reclaiming Space" advises a copy with `COPY FROM DATABASE`.
#
# For a vector index in sync with SQL tables: a follower of the outbox reads on without an error,
# finds nothing more, and looks idle. The index stays as it was on the day of the copy.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install -q 'duckdb==2.0.1'

venv/bin/python - <<'PY'
import shutil

import duckdb

EVENTS = {"insert": "NEW", "update": "NEW", "delete": "OLD"}

with duckdb.connect("shop.db") as shop:
    shop.execute("CREATE TABLE items (id INTEGER PRIMARY KEY, name VARCHAR)")
    shop.execute("CREATE TABLE outbox (id INTEGER, event VARCHAR)")
    for event, side in EVENTS.items():
        shop.execute(
            f"CREATE TRIGGER after_{event} AFTER {event} ON items "
            f"REFERENCING {side} TABLE AS touched FOR EACH STATEMENT "
            f"INSERT INTO outbox SELECT id, '{event}' FROM touched"
        )
    shop.execute("INSERT INTO items VALUES (1, 'tea')")

shutil.copy("shop.db", "file.db")
with duckdb.connect("shop.db") as shop:
    shop.execute("EXPORT DATABASE 'exported' (FORMAT parquet)")
    shop.execute("ATTACH 'copied.db' AS copied")
    shop.execute("COPY FROM DATABASE shop TO copied")
with duckdb.connect("imported.db") as imported:
    imported.execute("IMPORT DATABASE 'exported'")


def told(name):
    """Return the rows, the triggers and the outbox of a database after one change of each kind."""
    with duckdb.connect(name) as shop:
        keys = shop.execute("SELECT count(*) FROM duckdb_constraints()").fetchone()[0]
        assert keys > 0, f"{name} has lost its primary key"
        shop.execute("INSERT INTO items VALUES (2, 'rice')")
        shop.execute("UPDATE items SET name = 'green tea' WHERE id = 1")
        shop.execute("DELETE FROM items WHERE id = 2")
        rows = shop.execute("FROM items").fetchall()
        triggers = shop.execute("SELECT count(*) FROM duckdb_triggers()").fetchone()[0]
        events = [event for (event,) in shop.execute("SELECT event FROM outbox").fetchall()]
    print(f"{name:12} rows {rows}, triggers {triggers}, outbox {events}")
    assert rows == [(1, "green tea")], f"the rows of {name} changed"
    return triggers, events


whole = 3, ["insert", "insert", "update", "delete"]
without = 0, ["insert"]
for name, expected in {
    "shop.db": whole,
    "file.db": whole,
    "imported.db": without,
    "copied.db": without,
}.items():
    assert told(name) == expected, f"{name} changed"
PY
