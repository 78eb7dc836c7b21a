#!/usr/bin/env bash
# Package: voyager 2.2.3.
#
# Behaviour: an index with inner product and E4M3 takes a vector whose numbers are all in range
# and whose length is above 448. From then on it refuses every shorter vector, and says that a
# number is out of range. A new vector, a new key, a batch, and the index saved and loaded again
# fail alike. Cosine and Euclidean take the same vectors.
#
# A good guess: each vector is judged by its own numbers. The docstring of `StorageDataType.E4M3`
# gives the type a range of [-448, 448], and the message of the refusal names that range.
#
# For a vector index in sync with SQL tables: one row with a long vector, such as a sum of many
# embeddings, keeps all later rows out. The message points to a row that has no fault.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install -q 'voyager==2.2.3' 'numpy==2.3.5'

venv/bin/python - <<'PY'
import io

import numpy as np
from voyager import Index, Space, StorageDataType

REFUSAL = "E4M3 cannot represent values outside of [-448, 448]."


def index(space):
    return Index(space, num_dimensions=2, storage_data_type=StorageDataType.E4M3)


def told(add):
    """Return what adding answers: "taken", or the words of the refusal."""
    try:
        add()
    except ValueError as refusal:
        return str(refusal)
    return "taken"


for space in (Space.Cosine, Space.Euclidean, Space.InnerProduct):
    rows = index(space)
    answers = [told(lambda: rows.add_item(row)) for row in ([0.5, 0.5], [400, 400], [0.25, 0.5])]
    print(f"{space.name}: {answers}")
    last = REFUSAL if space == Space.InnerProduct else "taken"
    assert answers == ["taken", "taken", last], "which vectors are taken changed"

loaded = Index.load(io.BytesIO(rows.as_bytes()))
for name, add in {
    "a new key": lambda: rows.add_item([0.25, 0.5], id=7),
    "a batch": lambda: rows.add_items(np.array([[0.25, 0.5], [0.1, 0.1]], dtype=np.float32)),
    "saved and loaded": lambda: loaded.add_item([0.25, 0.5]),
    "nearly as long": lambda: rows.add_item([300, 300]),
}.items():
    answer = told(add)
    print(f"{name}: {answer}")
    assert answer == ("taken" if name == "nearly as long" else REFUSAL), f"{name} changed"
PY
