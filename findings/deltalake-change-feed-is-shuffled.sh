#!/usr/bin/env bash
# Package: deltalake 1.6.6 (with pyarrow 26.0.1).
#
# Behaviour: `DeltaTable.load_cdf` gives the changes of several versions in a new order at each
# call. A deletion in version 3 may stand before the insertion in version 1. Within one version
# that replaces rows, the insertion of a key may stand before the deletion of its old row.
#
# A good guess: a feed runs from the starting version to the ending version, the two parameters
# that the docstring describes as where reading starts and stops. The protocol (delta-io/delta,
# PROTOCOL.md, Reader Requirements for AddCDCFile) gives each row a version, and nothing that
# orders the rows of one version.
#
# For a vector index in sync with SQL tables: the feed applied as it comes brings back deleted rows
# and deletes new ones. Sorting by `_commit_version` is not enough where a key is replaced.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install -q 'deltalake==1.6.6' 'pyarrow==26.0.1'

venv/bin/python - <<'PY'
import pyarrow as pa
from deltalake import DeltaTable, write_deltalake


def rows(**columns):
    return pa.table(columns)


def feed(table):
    changes = pa.table(DeltaTable(table).load_cdf(starting_version=0).read_all()).to_pylist()
    return [(row["_commit_version"], row["_change_type"], row["id"]) for row in changes]


feed_on = {"delta.enableChangeDataFeed": "true"}
write_deltalake("versions", rows(id=[0]), configuration=feed_on)
for id in range(1, 8):
    write_deltalake("versions", rows(id=[id]), mode="append")
    DeltaTable("versions").delete(f"id = {id}")
orders = [[version for version, _, _ in feed("versions")] for _ in range(20)]
print("versions of one table's feed, read three times:", *orders[:3], sep="\n  ")
assert any(order != sorted(order) for order in orders), "the feed is in order now"
assert any(order != orders[0] for order in orders), "the order is the same each time now"

write_deltalake("replaced", rows(id=[1, 2], name=["a", "b"]), configuration=feed_on)
write_deltalake("replaced", rows(id=[2, 3], name=["B", "C"]), mode="overwrite")
inverted = 0
for _ in range(100):
    changes = feed("replaced")
    inverted += changes.index((1, "insert", 2)) < changes.index((1, "delete", 2))
print("the insertion of 2 stood before the deletion of the old 2 in", inverted, "of 100 feeds")
assert inverted > 0, "deletions come first now"
PY
