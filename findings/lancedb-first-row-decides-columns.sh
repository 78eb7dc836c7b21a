#!/usr/bin/env bash
# Package: lancedb 0.40.0 (with pyarrow 26.0.1).
#
# Behaviour: a list of rows goes to `add`, and its first row does not name the column "note". All
# notes of the later rows are stored as NULL, though the table has that column. In `merge_insert`
# such a row keeps its old note and counts as updated. With the rows in another order the notes are
# stored. A column that the table lacks is refused in the first row and dropped in a later one.
#
# A good guess: each row's note is stored, or the uneven list is refused. The docstring of
# `Table.add` takes a list of dictionaries as data and names no first row.
#
# For a vector index in sync with SQL tables: rows made from JSON or from change messages leave out
# keys without a value. One such row at the head of a batch empties a column for the whole batch.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install -q 'lancedb==0.40.0' 'pyarrow==26.0.1'

venv/bin/python -W ignore - <<'PY'
import lancedb
import pyarrow as pa

db = lancedb.connect("db")
schema = pa.schema(
    [("id", pa.int64()), ("note", pa.string()), ("vector", pa.list_(pa.float32(), 2))]
)


def row(key, **columns):
    return {"id": key, "vector": [1.0, 0.0], **columns}


def notes(table):
    return {stored["id"]: stored["note"] for stored in table.to_arrow().to_pylist()}


def added(name, *rows):
    table = db.create_table(name, schema=schema)
    try:
        table.add(list(rows))
        outcome = notes(table)
    except ValueError as error:
        outcome = f"ValueError: {error}"
    print(f"{name:16} {outcome}")
    return outcome


bare_first = added("bare_first", row(1), row(2, note="sold"), row(3, note="new"))
bare_last = added("bare_last", row(2, note="sold"), row(3, note="new"), row(1))
unknown_first = added("unknown_first", row(1, colour="red"), row(2))
unknown_later = added("unknown_later", row(1), row(2, colour="red"))

merged = db.open_table("bare_last")
merge = merged.merge_insert("id").when_matched_update_all().when_not_matched_insert_all()
counted = merge.execute([row(4), row(3, note="newer")])
print(f"{'merged':16} {notes(merged)}, {counted.num_updated_rows} updated")

assert bare_first == {1: None, 2: None, 3: None}, "a bare first row changed"
assert bare_last == {1: None, 2: "sold", 3: "new"}, "a bare last row changed"
assert isinstance(unknown_first, str), "an unknown column in the first row changed"
assert unknown_later == {1: None, 2: None}, "an unknown column in a later row changed"
assert notes(merged) == {1: None, 2: "sold", 3: "new", 4: None}, "merge_insert changed"
assert counted.num_updated_rows == 1, "the count of merge_insert changed"
PY
