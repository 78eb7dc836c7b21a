#!/usr/bin/env bash
# Package: pylance 14.0.2 (with pyarrow 26.0.1).
#
# Behaviour: `delta` gives no inserted and no updated row for a dataset that was written with the
# default settings, whatever was appended, merged or updated. Nothing raises or warns. The same
# steps with `enable_stable_row_ids=True` give each row. The rows deleted, asked for in the same
# way, raise an error that names the missing setting.
#
# A good guess: the rows come, or an error does. The docstring of `LanceDataset.delta` appends a row
# to a dataset with default settings and loops over the inserted rows. Of the three readers,
# `get_deleted_row_ids` alone says in its docstring that it requires stable row ids.
#
# For a vector index in sync with SQL tables: where tables land in Lance files first, an index that
# follows the delta reads "nothing changed" at each poll, and each poll succeeds.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install -q 'pylance==14.0.2' 'pyarrow==26.0.1'

venv/bin/python - <<'PY'
import lance
import pyarrow as pa


def rows(**names):
    ids = [int(key.removeprefix("row")) for key in names]
    return pa.table({"id": pa.array(ids, pa.int64()), "name": list(names.values())})


def ids(reader):
    return sorted(key for batch in reader for key in batch.column("id").to_pylist())


def told(folder, **settings):
    """Return what the delta tells of an append, a merge, an update and a deletion."""
    lance.write_dataset(rows(row1="tea", row2="rice", row3="salt", row9="oil"), folder, **settings)
    lance.write_dataset(rows(row4="milk"), folder, mode="append")
    merge = lance.dataset(folder).merge_insert("id")
    merge.when_matched_update_all().when_not_matched_insert_all()
    merge.execute(rows(row1="green tea", row5="bread"))
    lance.dataset(folder).update({"name": "'brown rice'"}, where="id = 2")
    lance.dataset(folder).delete("id = 9")
    table = lance.dataset(folder)
    delta = table.delta(compared_against=1)
    try:
        deleted = delta.get_deleted_row_ids().read_all().num_rows
    except (OSError, ValueError, RuntimeError) as error:
        assert "stable row ids" in str(error), f"the error says {error}"
        deleted = type(error).__name__
    answer = ids(delta.get_inserted_rows()), ids(delta.get_updated_rows()), deleted
    print(f"{folder:8} rows {table.count_rows()}, inserted, updated and deleted: {answer}")
    return answer


default = told("default")
stable = told("stable", enable_stable_row_ids=True)
assert default[:2] == ([], []) and isinstance(default[2], str), "the default delta changed"
assert stable == ([4, 5], [1, 2], 1), "the delta with stable row ids changed"
PY
