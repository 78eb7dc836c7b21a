#!/usr/bin/env bash
# Package: pylance 14.0.2 (with pyarrow 26.0.1).
#
# Behaviour: a version changes one row, deletes a second and adds a third. Then `restore` brings
# back the version before. The delta over the restore tells of the third row alone, as deleted.
# It has neither the row that has its old value again nor the row that is back.
#
# A good guess: a delta tells the difference of two versions. The class `DatasetDelta` calls itself
# a "view of differences between two versions", and the docstring of `restore` says that it creates
# a new commit. The same rows written back by a merge are told, one as updated, one as inserted.
#
# For a vector index in sync with SQL tables: somebody undoes a bad load with `restore`. The index
# keeps the bad value, and never gets back the row that the bad load deleted.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install -q 'pylance==14.0.2' 'pyarrow==26.0.1'

venv/bin/python - <<'PY'
import lance
import pyarrow as pa


def rows(ids, names):
    return pa.table({"id": pa.array(ids, pa.int64()), "name": names})


def merge(folder, table):
    merging = lance.dataset(folder).merge_insert("id")
    merging.when_matched_update_all().when_not_matched_insert_all()
    merging.execute(table)


def ids(reader):
    return sorted(key for batch in reader for key in batch.column("id").to_pylist())


def told(folder, undo):
    """Return what the delta tells of undoing a bad load, and check the rows after it."""
    lance.write_dataset(rows([1, 2], ["tea", "rice"]), folder, enable_stable_row_ids=True)
    merge(folder, rows([1, 3], ["bad", "bad"]))
    lance.dataset(folder).delete("id = 2")
    before = lance.dataset(folder).version
    undo(folder)
    table = lance.dataset(folder)
    assert table.to_table().sort_by("id") == rows([1, 2], ["tea", "rice"]), "the rows changed"
    delta = table.delta(compared_against=before)
    deleted = delta.get_deleted_row_ids().read_all().num_rows
    return ids(delta.get_inserted_rows()), ids(delta.get_updated_rows()), deleted


def by_restore(folder):
    lance.dataset(folder, version=1).restore()


def by_writing(folder):
    merge(folder, rows([1, 2], ["tea", "rice"]))
    lance.dataset(folder).delete("id = 3")


restored = told("restored", by_restore)
written = told("written", by_writing)
print(f"undone by restore: inserted {restored[0]}, updated {restored[1]}, deleted {restored[2]}")
print(f"undone by writing: inserted {written[0]}, updated {written[1]}, deleted {written[2]}")
assert restored == ([], [], 1), "the delta over a restore changed"
assert written == ([2], [1], 1), "the delta over a merge changed"
PY
