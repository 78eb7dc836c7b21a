"""PostgreSQL: session, types and catalogue.

Values other than numbers, booleans, bytes and times are fetched as the server's own text. Cursors
are texts that the server reads back as the column's type: exact, `infinity` included.
"""

from __future__ import annotations

from collections.abc import Callable

import polars as pl

from semilayer_pipelines.bridges.copied_page import CopiedPages
from semilayer_pipelines.bridges.cursors import Scalar
from semilayer_pipelines.bridges.database import SourceColumn
from semilayer_pipelines.bridges.failures import postgres_failure
from semilayer_pipelines.bridges.postgres_names import BASE_TYPES, quoted
from semilayer_pipelines.bridges.protocol import Column, ColumnKind
from semilayer_pipelines.bridges.row_security import hidden_by_policy
from semilayer_pipelines.bridges.server import Dialect, Run
from semilayer_pipelines.bridges.unique_keys import never_null, unique_keys
from semilayer_pipelines.bridges.written_postgres import AT_WORK, key_hash, written, written_after

__all__ = ["postgres_dialect"]

_UTC = pl.Datetime("us", "UTC")
_TYPES: dict[str, tuple[ColumnKind, pl.DataType]] = {
    "int2": ("integer", pl.Int64()),
    "int4": ("integer", pl.Int64()),
    "int8": ("integer", pl.Int64()),
    "float4": ("number", pl.Float32()),
    "float8": ("number", pl.Float64()),
    # As text: Polars' decimals hold 38 digits, PostgreSQL's 131,072.
    "numeric": ("number", pl.String()),
    "text": ("text", pl.String()),
    "varchar": ("text", pl.String()),
    "bpchar": ("text", pl.String()),
    "name": ("text", pl.String()),
    "citext": ("text", pl.String()),
    "bool": ("boolean", pl.Boolean()),
    "timestamp": ("datetime", pl.Datetime("us")),
    "timestamptz": ("datetime", _UTC),
    "date": ("date", pl.Date()),
    "uuid": ("uuid", pl.String()),
    "json": ("json", pl.String()),
    "jsonb": ("json", pl.String()),
    "bytea": ("binary", pl.Binary()),
}
_BITS = {"int2": 15, "int4": 31, "int8": 63}

_FIND = """
SELECT c.oid, n.nspname, c.relname, c.relkind::text
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE c.oid = pg_catalog.to_regclass(%s) AND c.relkind IN ('r', 'p', 'v', 'm', 'f')
"""
# A NOT NULL of PostgreSQL 18 that was never validated bars no NULL that was there before it.
_COLUMNS = f"""
WITH {BASE_TYPES}
SELECT a.attname, pg_catalog.format_type(a.atttypid, a.atttypmod),
       NOT a.attnotnull OR EXISTS (
         SELECT FROM pg_catalog.pg_constraint n
         WHERE n.conrelid = a.attrelid AND n.contype = 'n' AND NOT n.convalidated
           AND n.conkey = ARRAY[a.attnum]),
       b.typname, b.typcategory::text, b.typtype = 'b' AND NOT pg_catalog.pg_type_is_visible(b.oid),
       pg_catalog.array_position((i.indkey::int2[])[0:i.indnkeyatts - 1], a.attnum)
FROM pg_catalog.pg_attribute a
LEFT JOIN base_types ON base_types.domain = a.atttypid
JOIN pg_catalog.pg_type b ON b.oid = COALESCE(base_types.oid, a.atttypid)
LEFT JOIN pg_catalog.pg_index i ON i.indrelid = a.attrelid AND i.indisprimary
WHERE a.attrelid = %s::oid AND a.attnum > 0 AND NOT a.attisdropped
ORDER BY a.attnum
"""
_UNIQUE = """
SELECT i.indexrelid::text, a.attname
FROM pg_catalog.pg_index i
CROSS JOIN LATERAL pg_catalog.unnest(i.indkey::int2[]) WITH ORDINALITY AS k(attnum, place)
JOIN pg_catalog.pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.attnum
WHERE i.indrelid = pg_catalog.to_regclass(%s) AND i.indisunique AND i.indisvalid
  AND i.indpred IS NULL AND i.indimmediate AND i.indexprs IS NULL AND k.place <= i.indnkeyatts
ORDER BY i.indexrelid, k.place
"""
_NAMES = """
SELECT CASE WHEN pg_catalog.pg_table_is_visible(c.oid) THEN c.relname
            ELSE n.nspname || '.' || c.relname END
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f')
  AND n.nspname NOT IN ('pg_catalog', 'information_schema')
  AND n.nspname NOT LIKE 'pg\\_toast%%' AND n.nspname NOT LIKE 'pg\\_temp%%'
  AND n.nspname NOT LIKE '\\_timescaledb%%'
  AND NOT c.relispartition
  AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend d WHERE d.objid = c.oid AND d.deptype = 'e'
                  AND d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass)
"""


def postgres_dialect(timeout_ms: int) -> Dialect:
    """Return what `ServerDatabase` needs for PostgreSQL; statements end after `timeout_ms`."""
    return Dialect(
        engine={
            "isolation_level": "AUTOCOMMIT",
            "use_native_hstore": False,
            "connect_args": {
                "connect_timeout": 10,
                "client_encoding": "utf8",
                "tcp_user_timeout": timeout_ms + 10_000,
                # A pooler between us and the server may hand each transaction another connection.
                "prepare_threshold": None,
            },
        },
        # LOCAL, in one round trip: behind a pooler a session's settings would reach other clients.
        begin=(
            f"BEGIN READ ONLY; SET LOCAL statement_timeout = {timeout_ms}; "
            "SET LOCAL TimeZone = 'UTC'; SET LOCAL DateStyle = 'ISO, YMD'; "
            "SET LOCAL extra_float_digits = 3"
        ),
        set_up=lambda connection: None,
        row_values=True,
        text="text",
        nul_in_text=False,
        bind=_bind,
        describe=_describe,
        unique=_unique,
        names=_NAMES,
        hidden=lambda run, schema, table: hidden_by_policy(run, quoted(schema, table)),
        failure=postgres_failure,
        pages=CopiedPages(_bind),
        written=lambda run, schema, table: written(run, quoted(schema, table)),
        at_work=AT_WORK,
        written_after=written_after,
        key_hash=key_hash,
    )


def _bind(value: Scalar) -> object:
    # A text of unknown type takes the type of the column it is compared with.
    return value if isinstance(value, bytes) else str(value)


def _describe(
    run: Run, quote: Callable[[str], str], schema: str | None, table: str
) -> tuple[str, tuple[SourceColumn, ...], tuple[str, ...], tuple[tuple[str, ...], ...]] | None:
    found = run(_FIND, (quoted(schema, table),))
    if not found:
        return None
    oid, nspname, relname, relkind = found[0]
    rows = run(_COLUMNS, (str(oid),))
    key = sorted((row[6], row[0]) for row in rows if row[6] is not None)
    columns = tuple(_column(quote(relname), quote(row[0]), *row[:6]) for row in rows)
    unique = () if key else _unique(run, schema, table)
    if relkind != "m":
        unique = never_null(unique, columns)
    name = f"{quote(nspname)}.{quote(relname)}"
    return name, columns, tuple(column for _, column in key), unique


def _unique(run: Run, schema: str | None, table: str) -> tuple[tuple[str, ...], ...]:
    return unique_keys(run(_UNIQUE, (quoted(schema, table),)))


def _column(
    table: str,
    quoted: str,
    name: str,
    type_name: str,
    nullable: bool,
    base: str,
    category: str,
    elsewhere: bool,
) -> SourceColumn:
    kind, dtype = _TYPES.get(base, ("other", pl.String()))
    expression = quoted
    # Bare, ORDER BY would take the selected expression of that name and sort an enum as text.
    order = f"{table}.{quoted}"
    if elsewhere:
        # The search path leaves out the schema of an extension's type (citext), and its operators.
        # Rows would be sorted by that type, and compared as texts.
        order = f"CAST({quoted} AS text)"
    if category == "A":
        elements = f"CAST({quoted} AS text[])" if base == "_bpchar" else quoted
        kind, expression = "json", f"CAST(to_json({elements}) AS text)"
    elif base == "bpchar":
        # Without the blanks that fill char(n) up: for the server they are no part of the value.
        expression = f"CAST({quoted} AS text)"
    elif kind == "other":
        expression = f"CAST({quoted} AS text)"
    bits = _BITS.get(base, 63)
    highest = 2**bits - 1 if bits < 63 else None
    return SourceColumn(
        Column(name, kind, nullable, type_name, highest, enum=category == "E"),
        quoted,
        expression,
        order,
        dtype,
        -(2**bits),
        2**bits - 1,
    )
