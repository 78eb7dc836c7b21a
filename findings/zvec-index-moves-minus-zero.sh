#!/usr/bin/env bash
# Package: zvec 0.8.0.
#
# Behaviour: an inverted index on a DOUBLE field changes which rows a filter finds. Without it
# `balance < 0` leaves a stored -0.0 out, and `balance > 100` leaves a NaN out. With it both are
# found, and `balance = 0` no longer finds the -0.0. `delete_by_filter` deletes by these filters.
#
# A good guess: an index makes a filter faster and finds the same rows. The docstring of
# `zvec.FieldSchema` calls the index optional, and that of `InvertIndexParam` names only the
# optimization of ranges and wildcards.
#
# For a vector index in sync with SQL tables: SQL says that -0.0 equals 0, and a product of
# 0.0 and a negative number is -0.0. A cleaning up of rows below zero deletes rows at zero.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install -q 'zvec==0.8.0'

venv/bin/python - <<'PY'
import zvec
from zvec import DataType, Doc, FieldSchema, FlatIndexParam, InvertIndexParam, Query, VectorSchema

balances = {"minus": -5.0, "zero": 0.0, "minus-zero": -0.0, "nan": float("nan"), "rich": 500.0}


def accounts(name, index):
    """Return a collection with one row for each balance, with or without the given index."""
    schema = zvec.CollectionSchema(
        "accounts",
        fields=[FieldSchema("balance", DataType.DOUBLE, index_param=index)],
        vectors=[VectorSchema("v", DataType.VECTOR_FP32, 2, index_param=FlatIndexParam())],
    )
    rows = zvec.create_and_open(name, schema)
    vectors = {"v": [1.0, 0.0]}
    for key, balance in balances.items():
        rows.insert(Doc(id=key, fields={"balance": balance}, vectors=vectors))
    return rows


def found(rows, condition):
    hits = rows.query(Query("v", vector=[1.0, 0.0]), topk=10, filter=condition)
    return {hit.id for hit in hits}


plain = accounts("plain", None)
indexed = accounts("indexed", InvertIndexParam(enable_range_optimization=True))
for condition, without, with_index in (
    ("balance < 0", {"minus"}, {"minus", "minus-zero"}),
    ("balance = 0", {"zero", "minus-zero"}, {"zero"}),
    ("balance > 100", {"rich"}, {"rich", "nan"}),
):
    print(f"{condition}: without index {found(plain, condition)}, with {found(indexed, condition)}")
    assert found(plain, condition) == without, f"{condition} without an index changed"
    assert found(indexed, condition) == with_index, f"{condition} with an index changed"

for rows, name, left in ((plain, "plain", 4), (indexed, "indexed", 3)):
    rows.delete_by_filter("balance < 0")
    print(f"left in {name} after a deletion of balance < 0: {rows.stats.doc_count}")
    assert rows.stats.doc_count == left, "the deletion changed"
PY
