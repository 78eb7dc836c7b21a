#!/usr/bin/env bash
# Package: chromadb 1.5.9.
#
# Behaviour: a filter with a fraction also finds integers that do not match it. The fraction is
# cut towards zero for rows whose metadata value is an integer. So `{"stars": 1.9}` finds the row
# with 1, and `{"stars": {"$gte": 1.5}}` finds it too. `delete` with the first filter deletes it.
#
# A good guess: numbers are compared as numbers, so 1 is neither 1.9 nor at least 1.5. The page
# "Metadata Filtering" (docs.trychroma.com) filters by "greater than 10" and names no conversion.
#
# For a vector index in sync with SQL tables: integers and fractions of one SQL column become two
# kinds of metadata. A deletion by filter removes rows of other values, and reports success.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install -q 'chromadb==1.5.9'

venv/bin/python - <<'PY'
import chromadb
from chromadb.config import Settings

client = chromadb.EphemeralClient(Settings(anonymized_telemetry=False))
films = client.create_collection("films", embedding_function=None)
films.upsert(
    ids=["one", "one and a half", "two"],
    embeddings=[[1.0, 0.0]] * 3,
    metadatas=[{"stars": 1}, {"stars": 1.5}, {"stars": 2}],
)


def found(where):
    names = sorted(films.get(where=where)["ids"])
    print(where, "finds", names)
    return names


assert found({"stars": 1.9}) == ["one"], "the equality changed"
assert found({"stars": {"$gte": 1.5}}) == ["one", "one and a half", "two"], "$gte changed"
assert found({"stars": {"$ne": 1.5}}) == ["two"], "$ne changed"
films.delete(where={"stars": 1.9})
left = sorted(films.get()["ids"])
print("left after delete(where={'stars': 1.9}):", left)
assert left == ["one and a half", "two"], "the deletion changed"
PY
