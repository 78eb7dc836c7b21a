#!/usr/bin/env bash
# Package: lancedb 0.40.0 (with pyarrow 25.0.0).
#
# Behaviour: a delete or an update whose condition matches no row makes a new version of the table.
# The rows are as before.
#
# A good guess: no row changed, so there is nothing to write and the version stays. The
# documentation on versioning says that "every change" to the data makes a version.
#
# For a vector index in sync with SQL tables: "the version is what it was" is the cheapest proof
# that nobody wrote to the index. A writer that deletes the absent, to be safe, spoils it.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install -q 'lancedb==0.40.0' 'pyarrow==26.0.1'

venv/bin/python - <<'PY'
import lancedb

table = lancedb.connect("here").create_table("items", [{"id": n, "v": [0.1, n]} for n in range(3)])
versions = [table.version]
table.delete("id = 99")
versions.append(table.version)
table.update(where="id = 99", values={"id": 98})
versions.append(table.version)
print("rows", table.count_rows(), "versions: made, after an empty delete, an empty update", versions)
raise SystemExit(not (table.count_rows() == 3 and versions == [1, 2, 3]))
PY
