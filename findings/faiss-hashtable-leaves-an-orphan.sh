#!/usr/bin/env bash
# Package: faiss-cpu 1.15.1 (with numpy 2.4.6).
#
# Behaviour: an id is added twice to an IVF index, and both vectors are found. `remove_ids` of that
# id removes both. In the same index with a hashtable as its direct map it removes the second only.
# The first vector stays, is found, and can no longer be removed or updated: the id counts as
# unknown. Saving and reading the index keeps it so.
#
# A good guess: all vectors of the id go. The docstring of `remove_ids` describes a selector that is
# true for the vectors to remove. It calls the default slow, and tells of no other difference.
#
# For a vector index in sync with SQL tables: a retried batch adds its rows again. A later deletion
# of such a row leaves its old vector in the results for ever.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install -q 'faiss-cpu==1.15.1' 'numpy==2.4.6'

venv/bin/python - 2>faiss.log <<'PY' || { tail -n 20 faiss.log >&2; exit 1; }
import faiss
import numpy as np

rows = np.eye(4, dtype=np.float32)
old, new = rows[1:2], rows[3:4]


def found(index):
    _, ids = index.search(old, 4)
    return ids[0].tolist()


def life(name, direct_map):
    """Add row 2 twice, remove it twice, and return what is told and found each time."""
    index = faiss.index_factory(4, "IVF1,Flat")
    index.train(rows)
    index.set_direct_map_type(direct_map)
    index.add_with_ids(rows[:3], np.array([1, 2, 3]))
    index.add_with_ids(new, np.array([2]))
    row_2 = faiss.IDSelectorArray(np.array([2]))
    seen = [found(index)]
    for _ in range(2):
        seen.append((index.remove_ids(row_2), found(index)))
    faiss.write_index(index, f"{name}.faiss")
    again = faiss.read_index(f"{name}.faiss")
    seen.append((again.remove_ids(row_2), found(again)))
    print(f"{name:9}", *seen, sep="\n  ")
    return index, seen


_, plain = life("no map", faiss.DirectMap.NoMap)
index, hashed = life("hashtable", faiss.DirectMap.Hashtable)
try:
    index.update_vectors(np.array([2]), new)
    updated = "accepted"
except RuntimeError:
    updated = "RuntimeError"
print("an update of row 2:", updated)

gone = [1, 3, -1, -1]
left = [2, 1, 3, -1]
assert plain == [[2, 1, 2, 3], (2, gone), (0, gone), (0, gone)], "the index without a map changed"
assert hashed == [[2, 1, 2, 3], (1, left), (0, left), (0, left)], "the hashtable changed"
assert updated == "RuntimeError", "the update changed"
PY
