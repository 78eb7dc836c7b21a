#!/usr/bin/env bash
# Package: dlt 1.31.0, with duckdb 2.0.1 and SQLAlchemy 2.1.9.
#
# Behaviour: `sql_table` loads the rows of a table by their time of update, each load from the last
# time on. A row changes, a load reads it, and the row changes again with the same time. The next
# load selects it and drops it, because its key is among those seen at that time. A new row with
# that time is loaded. `incremental(primary_key=())` loads both, and so does a table without a key.
#
# A good guess: what is dropped is what was loaded already, and a changed row is not. The docstring
# of `incremental` says that a key serves to "deduplicate overlapping items", and the page
# "Cursor-based incremental loading" speaks of "removing duplicates".
#
# For a vector index in sync with SQL tables: times with whole seconds are usual. Two updates in
# one second, with a load between them, leave the index with the first until the row changes again.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install -q 'dlt==1.31.0' 'duckdb==2.0.1' 'SQLAlchemy==2.1.9'
export RUNTIME__DLTHUB_TELEMETRY=false

venv/bin/python -W ignore - <<'PY'
import sqlite3
from contextlib import closing

import dlt
from dlt.sources.sql_database import sql_table

TIME = 1_767_268_800


def change(name, statement):
    with closing(sqlite3.connect(f"{name}.db")) as db, db:
        db.executescript(statement)


def loaded(name, key="PRIMARY KEY", merged_by="primary_key", **settings):
    """Return the rows that two loads bring, with one more update and one new row in between."""
    change(
        name,
        f"CREATE TABLE items (id INTEGER {key}, name TEXT, updated_at INTEGER);"
        f"INSERT INTO items VALUES (1, 'tea', {TIME}), (2, 'rice', {TIME})",
    )
    pipeline = dlt.pipeline(
        name,
        pipelines_dir="pipelines",
        destination=dlt.destinations.duckdb(f"{name}.duckdb"),
        dataset_name="index",
    )

    def load():
        table = sql_table(
            credentials=f"sqlite:///{name}.db",
            table="items",
            incremental=dlt.sources.incremental("updated_at", **settings),
        )
        table.apply_hints(write_disposition="merge", **{merged_by: "id"})
        pipeline.run(table)

    load()
    change(
        name,
        f"UPDATE items SET name = 'green tea', updated_at = {TIME} WHERE id = 1;"
        f"INSERT INTO items VALUES (3, 'salt', {TIME})",
    )
    load()
    with pipeline.sql_client() as client:
        return client.execute_sql("SELECT id, name FROM items ORDER BY id")


by_key = loaded("by_key")
no_check = loaded("no_check", primary_key=())
no_key = loaded("no_key", key="", merged_by="merge_key")
print(f"with a key:               {by_key}")
print(f"incremental(..., ()):     {no_check}")
print(f"a table without a key:    {no_key}")

new = [(2, "rice"), (3, "salt")]
assert by_key == [(1, "tea"), *new], "the load by key changed"
assert no_check == no_key == [(1, "green tea"), *new], "the loads without a key changed"
PY
