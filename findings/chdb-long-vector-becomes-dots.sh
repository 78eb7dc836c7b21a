#!/usr/bin/env bash
# Package: chdb 4.4.0 (with pandas 2.3.3, numpy 2.4.6 and pyarrow 26.0.1).
#
# Behaviour: `Python(frame)` reads numpy vectors in a pandas column as texts, the ones that numpy
# prints. Beyond 1,000 numbers numpy prints three, dots and three. So the query sees 6 numbers of
# 1,024. Vectors that differ in between are equal to it. No error is raised. The same vectors in
# an Arrow table arrive as arrays, whole.
#
# A good guess: an array, or an error. chdb's README (Python Table Engine) shows one and the same
# query on a pandas frame and on an Arrow table.
#
# For a vector index in sync with SQL tables: a copy or a comparison of embeddings by such a query
# takes different rows for equal ones, and stores dots. Models with 768 numbers do not show it.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install -q \
    'chdb==4.4.0' 'pandas==2.3.3' 'numpy==2.4.6' 'pyarrow==26.0.1'

venv/bin/python -W ignore - <<'PY'
import json

import chdb
import numpy as np
import pandas as pd
import pyarrow as pa


def vectors(size):
    """Return two vectors of `size` numbers that differ in the middle."""
    pair = np.full((2, size), 0.25, dtype=np.float32)
    pair[1, size // 2] = 0.75
    return list(pair)


def told(name, rows):
    query = """
        SELECT any(toTypeName(v)) AS type, max(length(v)) AS length, uniqExact(v) AS different,
               min(toString(v)) AS text
        FROM Python(rows)
    """
    seen = json.loads(str(chdb.query(query, "JSONEachRow")))
    text = seen["text"] if len(seen["text"]) < 90 else f"{len(seen['text'])} characters"
    print(f"{name:20} {seen['type']}, {seen['length']} long, {seen['different']} different: {text}")
    return seen["type"], int(seen["different"]), "..." in seen["text"]


long = pd.DataFrame({"v": vectors(1024)})
short = pd.DataFrame({"v": vectors(768)})
arrow = pa.table({"v": pa.array(vectors(1024), pa.list_(pa.float32()))})

seen = {
    "pandas, 1024 numbers": told("pandas, 1024 numbers", long),
    "pandas, 768 numbers": told("pandas, 768 numbers", short),
    "Arrow, 1024 numbers": told("Arrow, 1024 numbers", arrow),
}
text = "Nullable(String)"
assert seen["pandas, 1024 numbers"] == (text, 1, True), "long vectors in pandas changed"
assert seen["pandas, 768 numbers"] == (text, 2, False), "shorter vectors in pandas changed"
assert seen["Arrow, 1024 numbers"][0].startswith("Array"), "vectors in Arrow changed"
assert seen["Arrow, 1024 numbers"][1:] == (2, False), "vectors in Arrow changed"
PY
