#!/usr/bin/env bash
# Package: daft 0.7.26, reading SQLite through connectorx 0.4.6.
#
# Behaviour: `read_sql` with `partition_col` reckons the bounds of its parts as floats. It puts
# them into the WHERE clauses, the lowest one too. For keys beyond 2**53 that bound may lie above
# the smallest key, and the rows below it are in no part. Of 1,000 rows 829 come back.
#
# A good guess: `partition_col` decides how rows are read, and never which ones. The docstring of
# `daft.read_sql` says that the query is cut into equal ranges between minimum and maximum.
#
# For a vector index in sync with SQL tables: keys of 18 digits with the time in front are common.
# The oldest rows never reach the index, or a comparison of keys takes them for deleted.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install -q 'daft==0.7.26' 'connectorx==0.4.6' 'sqlalchemy==2.0.51' 'sqlglot==30.30.0'

DAFT_PROGRESS_BAR=0 venv/bin/python - <<'PY'
import os
import sqlite3

import daft


def rows_read(first_key, parts):
    """Return how many of 1,000 rows with consecutive keys are read in the given parts."""
    with sqlite3.connect("posts.db") as db:
        db.execute("DROP TABLE IF EXISTS posts")
        db.execute("CREATE TABLE posts (id INTEGER PRIMARY KEY)")
        keys = range(first_key, first_key + 1000)
        db.executemany("INSERT INTO posts VALUES (?)", [(key,) for key in keys])
    url = f"sqlite:///{os.path.abspath('posts.db')}"
    ids = daft.read_sql(
        "SELECT id FROM posts", url, partition_col="id", num_partitions=parts
    ).to_pydict()["id"]
    lowest = min(ids) - first_key
    print(f"keys from {first_key}, {parts} parts: {len(ids)} rows, the first {lowest} are missing")
    assert len(set(ids)) == len(ids), "a row came twice"
    return len(ids)


assert rows_read(1, 4) == 1000, "small keys changed"
assert rows_read(1_790_000_000_000_000_129, 1) == 1000, "one part changed"
assert rows_read(1_790_000_000_000_000_129, 4) == 829, "four parts changed"
PY
