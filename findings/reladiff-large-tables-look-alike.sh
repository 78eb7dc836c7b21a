#!/usr/bin/env bash
# Package: reladiff 0.6.0, here between two files of duckdb 1.4.2.
#
# Behaviour: two rows differ between two tables. Among ten rows reladiff reports both. Among 20,000
# rows it reports none. Large tables are compared by a checksum over each row's values joined with
# a bar, with "<null>" for NULL. So ("a|b", "c") equals ("a", "b|c"), and NULL the text "<null>".
#
# A good guess: a table's size changes the time and not the answer. The page "Technical explanation"
# says of comparing two databases that each differing row can be output. The warning that is logged
# for texts tells of false positives, not of missing differences.
#
# For a vector index in sync with SQL tables: this tool checks that a copy equals its source. Texts
# with bars are common (tags, Markdown tables), and a moved bar passes as no change.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install -q 'reladiff==0.6.0' 'duckdb==1.4.2'

venv/bin/python -W ignore - 2>reladiff.log <<'PY' || { tail -n 20 reladiff.log >&2; exit 1; }
import duckdb
import reladiff

source = [(1, "a|b", "c"), (2, "tea", None)]
copy = [(1, "a", "b|c"), (2, "tea", "<null>")]
plain = [(1, "a", "c"), (2, "tea", "no")]


def goods(file, rows, size):
    """Make a table of `rows` and equal ones up to `size`, and connect reladiff to it."""
    with duckdb.connect(file) as connection:
        connection.execute("CREATE TABLE goods (id BIGINT PRIMARY KEY, name TEXT, note TEXT)")
        connection.executemany("INSERT INTO goods VALUES (?, ?, ?)", rows)
        connection.execute(f"INSERT INTO goods SELECT i, 'x', 'y' FROM range(3, {size}) t (i)")
    database = {"driver": "duckdb", "filepath": file}
    return reladiff.connect_to_table(database, "goods", key_columns=("id",))


def differing(name, rows, size):
    tables = goods(f"{name}-source.db", source, size), goods(f"{name}-copy.db", rows, size)
    columns = ("name", "note")
    found = reladiff.diff_tables(*tables, extra_columns=columns, skip_sort_results=True)
    keys = sorted({int(row[0]) for _, row in found})
    print(f"{name}: {size} rows, the differing ids are {keys}")
    return keys


assert differing("small", copy, 10) == [1, 2], "small tables changed"
assert differing("large", copy, 20_000) == [], "large tables changed"
assert differing("large-plain", plain, 20_000) == [1, 2], "other differences changed"
PY
