#!/usr/bin/env bash
# Packages: pyiceberg 0.12.0 with its own SQLite catalogue, pyarrow 19.0.1.
#
# Behaviour: `delete("price == 1")` removes the rows that a scan by that condition finds, and rows
# whose price is NaN with them, where all other prices of the data file are 1. `price > 0` and
# `price <= 5` do the same where all other prices are in that range. With one price outside of it
# in the file, the NaN stays. `price != 1` never shows a NULL, and deletes a file of NULLs.
#
# A good guess: a deletion removes what a scan by the same condition finds. In the docstring
# of `Table.delete` the filter is what removes rows. Iceberg's specification leaves NaN out of a
# file's bounds and counts it apart (`nan_value_counts`), so bounds alone tell too little.
#
# For a vector index in sync with SQL tables: PostgreSQL stores NaN in numeric and double columns. A
# removal of tombstones by such a condition takes rows along that live, if their neighbours match.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install -q 'pyiceberg[sql-sqlite,pyarrow]==0.12.0' 'pyarrow==19.0.1'

venv/bin/python -W ignore - <<'PY'
from itertools import count
from pathlib import Path

import pyarrow as pa
from pyiceberg.catalog.sql import SqlCatalog

here = Path.cwd()
catalog = SqlCatalog("rows", uri=f"sqlite:///{here}/rows.db", warehouse=f"file://{here}")
catalog.create_namespace("shop")
numbers = count()
nan = float("nan")


def prices_of(table):
    return [str(row["price"]) for row in table.scan().to_arrow().to_pylist()]


def tried(prices, condition):
    """Return the prices that a scan by `condition` finds, and those that a deletion leaves."""
    rows = pa.table({"price": pa.array(prices, pa.float64())})
    table = catalog.create_table(f"shop.t{next(numbers)}", schema=rows.schema)
    table.append(rows)
    found = table.scan(row_filter=condition).to_arrow().to_pylist()
    table.delete(condition)
    return [str(row["price"]) for row in found], prices_of(table)


for prices, condition, found, left in (
    ([1.0, nan], "price == 1", ["1.0"], []),
    ([1.0, nan, 2.0], "price == 1", ["1.0"], ["nan", "2.0"]),
    ([1.0, nan, 2.0], "price > 0", ["1.0", "2.0"], []),
    ([1.0, nan, 2.0], "price <= 5", ["1.0", "2.0"], []),
    ([1.0, nan, 2.0, 9.0], "price <= 5", ["1.0", "2.0"], ["nan", "9.0"]),
    ([None], "price != 1", [], []),
    ([None, 1.0], "price != 1", [], ["None", "1.0"]),
):
    seen = tried(prices, condition)
    print(f"{prices} by {condition}: a scan finds {seen[0]}, a deletion leaves {seen[1]}")
    assert seen == (found, left), "it behaves otherwise now"
PY
