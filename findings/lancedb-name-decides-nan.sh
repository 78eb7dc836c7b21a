#!/usr/bin/env bash
# Package: lancedb 0.40.0 (with pyarrow 26.0.1).
#
# Behaviour: two tables differ in nothing but the name of their one vector column. Where the column
# is called `vector`, `merge_insert` refuses a NaN, drops the row or fills it, as `on_bad_vectors`
# asks. Where it is called `vec`, `merge_insert` stores the NaN with each of the three settings.
#
# A good guess: the column's type, a fixed-size list of floats, decides what a vector is.
# The reference of `LanceMergeInsertBuilder.execute` says what happens to "any of the vectors".
# It says that the default is an error, and it names no column.
#
# For a vector index in sync with SQL tables: an index whose column has another name loses the
# guard. A model that once returns NaN writes a row that counts as synced and is never found.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install -q 'lancedb==0.40.0' 'pyarrow==26.0.1'

venv/bin/python - <<'PY'
import lancedb
import pyarrow as pa

db = lancedb.connect("store")
rows = [[1.0, 0.0], [float("nan"), 0.0]]


def upsert(column, setting):
    """Rows stored by one merge_insert of a sound vector and a NaN, or the error's name."""
    vectors = pa.array(rows, pa.list_(pa.float32(), 2))
    table = db.create_table(
        f"{column}_{setting}",
        schema=pa.schema([("id", pa.int64()), (column, vectors.type)]),
    )
    merge = table.merge_insert("id").when_not_matched_insert_all()
    try:
        merge.execute(pa.table({"id": [1, 2], column: vectors}), on_bad_vectors=setting)
    except (RuntimeError, ValueError) as error:
        return type(error).__name__
    found = [row["id"] for row in table.search([1.0, 0.0]).to_list()]
    return f"{table.count_rows()} stored, {len(found)} found"


outcome = {}
for column in ("vector", "vec"):
    for setting in ("error", "drop", "fill"):
        outcome[column, setting] = upsert(column, setting)
        print(f"{column:6}  on_bad_vectors={setting:5}  {outcome[column, setting]}")

assert outcome["vector", "error"] in ("RuntimeError", "ValueError"), "vector, error changed"
assert outcome["vector", "drop"] == "1 stored, 1 found", "vector, drop changed"
assert outcome["vector", "fill"] == "2 stored, 2 found", "vector, fill changed"
for setting in ("error", "drop", "fill"):
    assert outcome["vec", setting] == "2 stored, 1 found", f"vec, {setting} changed"
PY
