#!/usr/bin/env bash
# Package: lancedb 0.40.0, where it meets Arrow's null bits (pyarrow 26.0.1).
#
# Behaviour: a vector may hold a null element. A search does not look at the null bit. It computes
# with the bytes beneath it, which Arrow leaves undefined. Two rows read back as the same
# [1.0, null]: one has the distance 0.0 and is the best hit, the other has 5929.0.
#
# A good guess: an error, as for a NaN, or no hit, as for a row whose whole vector is null.
# `Table.add` documents `on_bad_vectors` with the default "error". Arrow's columnar format
# (Validity bitmaps) says that the bytes of a null slot mean nothing.
#
# For a vector index in sync with SQL tables: a vector column of the source may have a hole.
# The row becomes a hit by chance, and two equal rows get two ranks.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install -q 'lancedb==0.40.0' 'pyarrow==26.0.1'

venv/bin/python - <<'PY'
import struct

import lancedb
import pyarrow as pa


def with_hole(beneath):
    """One vector [1.0, null], with the given number in the bytes of the null."""
    valid_first_only = pa.py_buffer(b"\x01")
    numbers = pa.py_buffer(struct.pack("<2f", 1.0, beneath))
    flat = pa.Array.from_buffers(pa.float32(), 2, [valid_first_only, numbers])
    flat.validate(full=True)
    return pa.FixedSizeListArray.from_arrays(flat, 2)


def batch(key, vectors):
    return pa.table({"id": [key], "vector": vectors})


whole = pa.array([[1.0, 0.1]], pa.list_(pa.float32(), 2))
table = lancedb.connect("store").create_table("pictures", data=batch(1, whole))
table.add(batch(2, with_hole(0.0)))
table.add(batch(3, with_hole(77.0)))

hits = table.search([1.0, 0.0]).limit(3).to_list()
for hit in hits:
    print(hit["id"], hit["vector"], "distance", hit["_distance"])

assert [hit["id"] for hit in hits] == [2, 1, 3], "the order changed"
assert hits[0]["vector"] == hits[2]["vector"] == [1.0, None], "the stored vectors changed"
assert hits[0]["_distance"] == 0.0 and hits[2]["_distance"] == 5929.0, "the distances changed"
PY
