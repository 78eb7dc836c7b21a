#!/usr/bin/env bash
# Package: qdrant-client 1.20.0 with its local store.
#
# Behaviour: a range condition on large whole numbers finds and deletes other rows than it names.
# `Range(gte=n, lte=n)` with n = 2**53 + 1 holds 2**53. It deletes the row before and leaves row n.
# `Range(gt=n)` returns row n again. The client rounds the bounds to floats before any server sees
# them, and says nothing. `MatchValue(n)` finds the right row.
#
# A good guess: a range over integers is exact. Qdrant's page "Payload" gives integers 64 bits, and
# its page "Filtering" says that a range can be applied to integer payloads.
#
# For a vector index in sync with SQL tables: keys made of time and a counter have 19 digits, of
# which a float keeps 15 or 16. A deletion by a range of keys, or "newer than n", hits wrong rows.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install -q 'qdrant-client==1.20.0'

venv/bin/python -W ignore - <<'PY'
from qdrant_client import QdrantClient, models

client = QdrantClient(":memory:")
vectors = models.VectorParams(size=2, distance=models.Distance.COSINE)
client.create_collection("rows", vectors_config=vectors)
first = 2**53
client.upsert(
    "rows",
    [
        models.PointStruct(id=number, vector=[1.0, 0.0], payload={"key": first + number})
        for number in range(4)
    ],
)


def where(**condition):
    return models.Filter(must=[models.FieldCondition(key="key", **condition)])


def numbers(condition=None):
    points, _ = client.scroll("rows", scroll_filter=condition)
    return [point.id for point in points]


only_one = where(range=models.Range(gte=first + 1, lte=first + 1))
matched = numbers(where(match=models.MatchValue(value=first + 1)))
ranged = numbers(only_one)
newer = numbers(where(range=models.Range(gt=first + 1)))
print("asked for row 1 by match: ", matched)
print("asked for row 1 by range: ", ranged)
print("asked for rows after row 1:", newer)
client.delete("rows", points_selector=models.FilterSelector(filter=only_one))
left = numbers()
print("row 1 deleted by range, left:", left)

assert matched == [1], "the match changed"
assert ranged == [0], "the range changed"
assert newer == [1, 2, 3], "the open range changed"
assert left == [1, 2, 3], "the deletion by range changed"
PY
