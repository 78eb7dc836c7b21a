#!/usr/bin/env bash
# Package: adbc-driver-postgresql 1.13.0 (with pyarrow 26.0.1 and polars 2.1.0).
# pgserver 0.1.4 brings the PostgreSQL server, which listens on a socket in the temporary folder.
#
# Behaviour: the timestamp "infinity" arrives as the smallest value of its column, one microsecond
# before "-infinity". The driver adds the distance of two epochs and wraps around. No error is
# raised, and Polars sorts the row that never ends first. "infinity" as a date wraps the same way.
#
# A good guess: the largest timestamp of Arrow, or an error as from psycopg. PostgreSQL's page
# "Date/Time Types" (Special Values) says that infinity is later than all other timestamps.
#
# For a vector index in sync with SQL tables: "valid until infinity" is the usual mark of a
# current row. `valid_until > now` in Polars drops exactly those rows from the index.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install -q \
    'adbc-driver-postgresql==1.13.0' 'pyarrow==26.0.1' 'polars==2.1.0' 'pgserver==0.1.4'

venv/bin/python -W ignore - <<'PY'
from datetime import datetime, timezone
from pathlib import Path

import adbc_driver_postgresql.dbapi as adbc
import pgserver
import polars as pl
import pyarrow as pa

data = Path("data")
data.mkdir()
server = pgserver.get_server(data.resolve(), cleanup_mode="stop")
try:
    with adbc.connect(server.get_uri()) as connection, connection.cursor() as cursor:
        cursor.execute(
            "SELECT name, valid_until FROM (VALUES ('past', '-infinity'::timestamptz),"
            " ('old', '2020-01-01Z'), ('current', 'infinity')) AS prices (name, valid_until)"
            " ORDER BY valid_until"
        )
        prices = cursor.fetch_arrow_table()
        cursor.execute("SELECT 'infinity'::date AS d UNION ALL SELECT '-infinity'")
        dates = cursor.fetch_arrow_table().column("d").cast(pa.int32()).to_pylist()
finally:
    server.cleanup()

frame = pl.from_arrow(prices)
now = datetime(2026, 1, 1, tzinfo=timezone.utc)
by_postgresql = prices.column("name").to_pylist()
by_polars = frame.sort("valid_until")["name"].to_list()
valid = frame.filter(pl.col("valid_until") > now)["name"].to_list()
print("microseconds:         ", prices.column("valid_until").cast(pa.int64()).to_pylist())
print("PostgreSQL's order:   ", by_postgresql)
print("Polars' order:        ", by_polars)
print("valid_until > 2026:   ", valid)
print("days of both infinities:", dates)

assert by_postgresql == ["past", "old", "current"], "PostgreSQL's order changed"
assert by_polars == ["current", "past", "old"], "Polars' order changed"
assert valid == [], "the valid rows changed"
assert dates[0] < 0 and dates[1] < 0, "the dates changed"
PY
