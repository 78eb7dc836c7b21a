#!/usr/bin/env bash
# Package: duckdb 1.5.5 with its extension ducklake (duckdb-extension-ducklake 1.5.5), which writes
# DuckLake 1.0.
#
# Behaviour: `ducklake_rewrite_data_files` rewrites a file without its deleted rows. Where the
# deletions were few, DuckLake kept them in its catalog, and the change feed now reports them a
# second time. A key that was inserted again meanwhile is deleted by that. Each kept row is an
# update with equal values. A feed read from the start calls the same rows inserted.
#
# A good guess: maintenance changes no row, so it leaves no change. The page "Data Change Feed"
# (ducklake.select) says that `table_changes` returns the changes made between two snapshots.
#
# For a vector index in sync with SQL tables: an index that follows the feed loses rows which the
# table has, and one that adds what is called inserted gets rows twice.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install -q \
    'duckdb==1.5.5' 'duckdb-extensions==1.5.5' 'duckdb-extension-ducklake==1.5.5'

# DuckDB keeps its extensions below the home folder.
HOME="$folder" venv/bin/python - <<'PY'
from collections import Counter

import duckdb
from duckdb_extensions import import_extension

db = duckdb.connect()
import_extension("ducklake", con=db)
db.execute("LOAD ducklake")
db.execute("ATTACH 'ducklake:catalog.db' AS lake (DATA_PATH 'files')")
db.execute("USE lake")
db.execute("CREATE TABLE t (id INTEGER)")

read_until = 0
index = set()


def latest():
    return db.execute("SELECT max(snapshot_id) FROM ducklake_snapshots('lake')").fetchone()[0]


def changes(first, last):
    query = "SELECT change_type, id FROM ducklake_table_changes('lake', 'main', 't', ?, ?)"
    return db.execute(query, [first, last]).fetchall()


def step(statement):
    """Run the statement, and let the index follow the feed since its last reading."""
    global read_until
    db.execute(statement)
    new = changes(read_until + 1, latest())
    read_until = latest()
    for change, id in new:
        if change in ("delete", "update_preimage"):
            index.discard(id)
    for change, id in new:
        if change in ("insert", "update_postimage"):
            index.add(id)
    table = {id for (id,) in db.execute("SELECT id FROM t").fetchall()}
    counts = dict(Counter(change for change, _ in new))
    print(f"{statement}\n  feed {counts}\n  table {table}, index {index}")
    return table


assert step("INSERT INTO t SELECT unnest(range(12))") == index, "the insertion changed"
assert step("DELETE FROM t WHERE id < 7") == index, "the deletion changed"
assert step("INSERT INTO t VALUES (0)") == index, "the second insertion changed"
table = step("CALL ducklake_rewrite_data_files('lake', delete_threshold => 0.5)")
assert table == {0, 7, 8, 9, 10, 11}, "the table changed"
assert index == {7, 8, 9, 10, 11}, "the index is right now"

whole = Counter(id for change, id in changes(0, latest()) if change == "insert")
twice = sorted(id for id, times in whole.items() if times > 1)
print("inserted twice in the whole feed:", twice)
assert twice == [0, 7, 8, 9, 10, 11], "the whole feed changed"
PY
