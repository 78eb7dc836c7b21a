#!/usr/bin/env bash
# Package: lancedb 0.40.0 (with pyarrow 26.0.1).
#
# Behaviour: two handles of one table are open. The first upserts the new key 1. The second then
# upserts key 1 too and inserts it a second time, without an error. No two writes overlap in time.
# From then on each upsert of the key updates both rows, so the duplicate stays for good.
#
# A good guess: the second upsert updates the row of the first, or it fails with a conflict.
# The reference of `lancedb.connect` says so: the consistency setting is for reads alone, and
# "Write operations are always consistent".
#
# For a vector index in sync with SQL tables: two workers that keep their handles open can each
# insert the same row. A search returns it twice, and a count disagrees with the source.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install -q 'lancedb==0.40.0' 'pyarrow==26.0.1'

venv/bin/python - <<'PY'
import lancedb
import pyarrow as pa

schema = pa.schema([("id", pa.int64()), ("title", pa.string())])
first = lancedb.connect("store").create_table("books", schema=schema)
second = lancedb.connect("store").open_table("books")


def upsert(handle, title):
    merge = handle.merge_insert("id").when_matched_update_all().when_not_matched_insert_all()
    return merge.execute(pa.table({"id": [1], "title": [title]}, schema=schema))


def stored():
    rows = lancedb.connect("store").open_table("books").to_arrow().to_pylist()
    return sorted((row["id"], row["title"]) for row in rows)


upsert(first, "by the first")
result = upsert(second, "by the second")
twice = stored()
print("the second upsert inserted:", result.num_inserted_rows, "updated:", result.num_updated_rows)
print("stored:", twice)
upsert(second, "later")
later = stored()
print("stored after one more upsert:", later)

assert result.num_inserted_rows == 1 and result.num_updated_rows == 0, "the result changed"
assert twice == [(1, "by the first"), (1, "by the second")], "the duplicate is gone"
assert later == [(1, "later"), (1, "later")], "the later upsert changed"
PY
