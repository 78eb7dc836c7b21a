#!/usr/bin/env bash
# Package: pyturso 0.8.3 (Turso, the rewrite of SQLite in Rust).
#
# Behaviour: `UPDATE OR REPLACE` deletes the row whose unique value it takes. Turso's change data
# capture writes the update and no deletion, in mode "full" as in the others. The same conflict in
# `INSERT OR REPLACE` writes the deletion, and so does a cascade of a foreign key.
#
# A good guess: each row that leaves a table leaves a record of change type -1. Turso's page
# "Change Data Capture" (docs.turso.tech/tursodb/cdc) says that all inserts, updates and deletes
# are tracked.
#
# For a vector index in sync with SQL tables: an index that replays the records keeps a row which
# the table no longer has. No later record names it, so it stays until somebody compares all keys.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install -q 'pyturso==0.8.3'

venv/bin/python - <<'PY'
import turso

DELETED = -1


def replay(statement):
    """Return the ids in the table and those in an index that replays the change records."""
    db = turso.connect(":memory:")
    db.execute("CREATE TABLE people (id INTEGER PRIMARY KEY, email TEXT UNIQUE)")
    db.execute("PRAGMA capture_data_changes_conn('full')")
    db.execute("INSERT INTO people VALUES (1, 'ann@x.org'), (2, 'bob@x.org')")
    db.execute(statement)
    changes = db.execute(
        "SELECT change_type, id FROM turso_cdc WHERE table_name = 'people' ORDER BY change_id"
    ).fetchall()
    index = set()
    for change, id in changes:
        if change == DELETED:
            index.discard(id)
        else:
            index.add(id)
    table = {id for (id,) in db.execute("SELECT id FROM people").fetchall()}
    print(statement)
    print("  changes", changes, "table", table, "index", index)
    return table, index


table, index = replay("INSERT OR REPLACE INTO people VALUES (3, 'ann@x.org')")
assert table == index == {2, 3}, "INSERT OR REPLACE changed"

table, index = replay("UPDATE OR REPLACE people SET email = 'ann@x.org' WHERE id = 2")
assert table == {2}, "the update changed"
assert index == {1, 2}, "the deletion is captured now"
PY
