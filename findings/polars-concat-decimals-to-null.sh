#!/usr/bin/env bash
# Package: polars 2.1.0.
#
# Behaviour: `concat(how="vertical")` joins decimals of two types without an error and keeps the
# first frame's type. It cuts 1.2512 to 1.25. A price that the first type is too narrow for
# becomes null. `vertical_relaxed` keeps every value.
#
# A good guess: a SchemaError, as for Int32 beside Int64 or for timestamps of two units. This
# script shows the first. The reference of `polars.concat` keeps the joining of two types for the
# relaxed strategies.
#
# For a vector index in sync with SQL tables: two tables under one index often declare their prices
# with other digits. A price is cut or becomes null on the way, and its row looks changed.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install -q 'polars==2.1.0'

venv/bin/python - <<'PY'
from decimal import Decimal

import polars as pl


def page(price, kind):
    return pl.DataFrame({"price": [price]}, schema={"price": kind})


pages = [
    page(Decimal("9.99"), pl.Decimal(5, 2)),
    page(Decimal("1.2512"), pl.Decimal(8, 4)),
    page(Decimal("123456.78"), pl.Decimal(8, 2)),
]
strict = pl.concat(pages, how="vertical")["price"]
relaxed = pl.concat(pages, how="vertical_relaxed")["price"]
print("vertical:        ", strict.dtype, strict.to_list())
print("vertical_relaxed:", relaxed.dtype, relaxed.to_list())

try:
    pl.concat([page(1, pl.Int32), page(1, pl.Int64)], how="vertical")
    integers = "joined"
except pl.exceptions.SchemaError:
    integers = "SchemaError"
print("Int32 and Int64: ", integers)

assert strict.to_list() == [Decimal("9.99"), Decimal("1.25"), None], "vertical changed"
exact = [Decimal("9.99"), Decimal("1.2512"), Decimal("123456.78")]
assert relaxed.to_list() == exact, "vertical_relaxed changed"
assert integers == "SchemaError", "the integers changed"
PY
