#!/usr/bin/env bash
# Package: omendb 0.0.37.
#
# Behaviour: a row is replaced, the store is flushed, closed and opened again. From then on no
# search finds that row, though `get`, `ids` and the length still have it. A deletion is worse: a
# search no longer finds the row stored last, which nobody touched. `optimize` brings both back.
#
# A good guess: a search after reopening finds what it found before. The project's README
# (github.com/omendb/omendb) names a write-ahead log and atomic checkpoints, and says that deleted
# records are cleaned up later.
#
# For a vector index in sync with SQL tables: after each restart the rows changed last are
# missing from all results. A comparison of keys or counts with the table finds no fault.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install -q 'omendb==0.0.37'

venv/bin/python - <<'PY'
import omendb


def record(id, place):
    return {"id": id, "vector": [place, 1.0]}


def found(store):
    return "".join(sorted(hit["id"] for hit in store.search([0.0, 1.0], k=50)))


def reopened(name, change):
    """Return what a search finds before the store is reopened, after, and after `optimize`."""
    store = omendb.create(name, {"dense": {"dim": 2}})
    store.set([record(id, float(place)) for place, id in enumerate("abcdef")])
    change(store)
    before = found(store)
    store.flush()
    store.close()
    store = omendb.open(name)
    after = found(store)
    ids = "".join(sorted(store.ids()))
    store.optimize()
    print(f"{name}: found {before}, reopened {after}, ids {ids}, optimized {found(store)}")
    assert ids == before == found(store), "the stored rows changed"
    return before, after


assert reopened("untouched", lambda store: None) == ("abcdef", "abcdef")
replaced = reopened("b replaced", lambda store: store.set([record("b", 9.0)]))
assert replaced == ("abcdef", "acdef"), "the replaced row is found now"
deleted = reopened("b deleted", lambda store: store.delete(["b"]))
assert deleted == ("acdef", "acde"), "the row beside a deletion is found now"
PY
