#!/usr/bin/env bash
# Package: deltalake 1.6.6 (with pyarrow 26.0.1).
#
# Behaviour: `DeltaTable.update(new_values=...)` takes plain Python values. It puts a text between
# quotes and does not double the quotes inside. The rest is parsed as SQL. "rock 'n' roll" is
# stored as "rock ", "'best' of" as an empty text, and "5'' disk" as "5' disk". No error is raised.
# One lonely quote raises an error, so the common "O'Brien" does not show the fault.
#
# A good guess: the value arrives as given. The docstring of `DeltaTable.update` keeps `new_values`,
# which maps columns to Python values, apart from `updates`, which maps them to SQL expressions.
#
# For a vector index in sync with SQL tables: a row is embedded and shown with the beginning of its
# text. The update reports one updated row, so nothing looks for it again.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install -q 'deltalake==1.6.6' 'pyarrow==26.0.1'

venv/bin/python - <<'PY'
import pyarrow as pa
from deltalake import DeltaTable, write_deltalake
from deltalake.exceptions import DeltaError

write_deltalake("songs", pa.table({"id": [1], "title": ["old"]}))


def stored(title):
    """Return the title that the table has after an update with this one."""
    report = DeltaTable("songs").update(new_values={"title": title}, predicate="id = 1")
    kept = DeltaTable("songs").to_pyarrow_table()["title"][0].as_py()
    print(f"{title!r} is stored as {kept!r}, rows updated: {report['num_updated_rows']}")
    assert report["num_updated_rows"] == 1, "the report changed"
    return kept


assert stored('rock "and" roll') == 'rock "and" roll', "double quotes changed"
assert stored("rock 'n' roll") == "rock ", "a quoted letter changed"
assert stored("'best' of") == "", "a leading quote changed"
assert stored("5'' disk") == "5' disk", "two quotes changed"
try:
    stored("O'Brien")
    lonely = "stored"
except DeltaError as error:
    lonely = "DeltaError"
print('"O\'Brien"', lonely)
assert lonely == "DeltaError", "a lonely quote changed"
PY
