#!/usr/bin/env bash
# Package: lancedb 0.40.0 (with pyarrow 26.0.1).
#
# Behaviour: a column has the type timestamp with the zone Europe/Berlin. The same noon without a
# zone is written twice. `add` takes it as noon in Berlin. `merge_insert` takes it as noon in UTC,
# which is 14:00 in Berlin. Neither raises, and the table then holds two instants for one value.
#
# A good guess: both ways of writing store the same instant, or both refuse a value without a zone.
# The reference of `Table.add` and of `Table.merge_insert` tells of no difference in conversion.
# Arrow's Schema.fbs (Timestamp) leaves the meaning open, so one library should choose once.
#
# For a vector index in sync with SQL tables: a first load by `add` and later changes by
# `merge_insert` disagree by the zone's offset. A filter by time then finds the wrong rows.
# A comparison of source and index sees changes where there are none.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install -q 'lancedb==0.40.0' 'pyarrow==26.0.1'

venv/bin/python - <<'PY'
from datetime import datetime

import lancedb
import pyarrow as pa

db = lancedb.connect("store")
schema = pa.schema([("id", pa.int64()), ("seen", pa.timestamp("us", "Europe/Berlin"))])
table = db.create_table("visits", schema=schema)


def noon(key):
    return pa.table({"id": [key], "seen": pa.array([datetime(2026, 7, 1, 12)], pa.timestamp("us"))})


table.add(noon(1))
table.merge_insert("id").when_matched_update_all().when_not_matched_insert_all().execute(noon(2))

seen = {row["id"]: row["seen"] for row in table.to_arrow().to_pylist()}
print("by add:         ", seen[1])
print("by merge_insert:", seen[2])
print("apart:          ", seen[2] - seen[1])

assert seen[1].isoformat() == "2026-07-01T12:00:00+02:00", "add changed"
assert seen[2].isoformat() == "2026-07-01T14:00:00+02:00", "merge_insert changed"
PY
