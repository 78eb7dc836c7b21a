#!/usr/bin/env bash
# Packages: milvus-lite 3.2.2, pymilvus 3.0.2.
#
# Behaviour: `upsert` replaces a row by one without `price` and `owner`. The declared field `price`
# becomes null. `owner`, which lives in the dynamic field, keeps its old value, and filters still
# find the row by it. So it is after a flush and a reopening. A deletion and an insert forget it.
#
# A good guess: nothing of the old row is left. Milvus's page "Upsert Entities"
# (milvus.io/docs/upsert-entities.md) says that without `partial_update` an upsert inserts what
# the request has and deletes the old entity, and that it overwrites the dynamic field.
#
# For a vector index in sync with SQL tables: a column that became NULL, or that a lens no longer
# maps, stays searchable for ever. A filter by owner shows the row to whom it was taken from.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install -q 'milvus-lite==3.2.2' 'pymilvus==3.0.2'

venv/bin/python - <<'PY'
from pymilvus import DataType, MilvusClient

OLD = {"id": 1, "v": [1.0, 0.0], "price": 1.5, "owner": "anna"}
NEW = {"id": 1, "v": [0.0, 1.0]}


def opened():
    client = MilvusClient("rows.db")
    if not client.has_collection("rows"):
        schema = client.create_schema(auto_id=False, enable_dynamic_field=True)
        schema.add_field("id", DataType.INT64, is_primary=True)
        schema.add_field("v", DataType.FLOAT_VECTOR, dim=2)
        schema.add_field("price", DataType.DOUBLE, nullable=True)
        index = client.prepare_index_params()
        index.add_index("v", metric_type="COSINE", index_type="FLAT")
        client.create_collection("rows", schema=schema, index_params=index)
    client.load_collection("rows")
    return client


def seen(client, what, expected):
    """Print the row and whom a filter by owner finds, and hold both against what was seen."""
    (row,) = client.query("rows", filter="id == 1", output_fields=["*"])
    found = [hit["id"] for hit in client.query("rows", filter='owner == "anna"')]
    told = (row["price"], row.get("owner"), found)
    print(f"{what}: price {told[0]}, owner {told[1]}, found by its owner {told[2]}")
    assert told == expected, f"{what}: it behaves otherwise now"


client = opened()
client.insert("rows", [OLD])
seen(client, "inserted", (1.5, "anna", [1]))
client.upsert("rows", [NEW])
seen(client, "upserted", (None, "anna", [1]))
client.flush("rows")
client.upsert("rows", [NEW], partial_update=False)
client.close()
client = opened()
seen(client, "flushed, upserted, reopened", (None, "anna", [1]))
client.delete("rows", ids=[1])
client.insert("rows", [NEW])
seen(client, "deleted and inserted", (None, None, []))
PY
