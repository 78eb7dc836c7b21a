"""MariaDB and MySQL: session, types and catalogue.

Times and decimals are fetched as the server's own text, so microseconds, zero dates and all digits
survive. Integers and decimals are bound as such, never as text: the server would compare them as
floating point and lose keys beyond 2^53.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import polars as pl

from semilayer_pipelines.bridges.cursors import Scalar
from semilayer_pipelines.bridges.database import SourceColumn
from semilayer_pipelines.bridges.failures import mariadb_failure
from semilayer_pipelines.bridges.protocol import Column, ColumnKind
from semilayer_pipelines.bridges.server import Dialect, Run
from semilayer_pipelines.bridges.streamed_page import StreamedPages
from semilayer_pipelines.bridges.unique_keys import never_null, unique_keys
from semilayer_pipelines.bridges.written_mariadb import written

__all__ = ["mariadb_dialect"]

_BITS = {"tinyint": 8, "smallint": 16, "mediumint": 24, "int": 32, "bigint": 64, "year": 16}
_TYPES: dict[str, tuple[ColumnKind, pl.DataType]] = {
    **dict.fromkeys(_BITS, ("integer", pl.Int64())),
    "bit": ("integer", pl.UInt64()),
    "float": ("number", pl.Float32()),
    "double": ("number", pl.Float64()),
    # As text: Polars' decimals hold 38 digits, MariaDB's 65.
    "decimal": ("number", pl.String()),
    **dict.fromkeys(
        ("char", "varchar", "tinytext", "text", "mediumtext", "longtext", "enum", "set"),
        ("text", pl.String()),
    ),
    "json": ("json", pl.String()),
    "date": ("date", pl.Date()),
    "datetime": ("datetime", pl.Datetime("us")),
    "timestamp": ("datetime", pl.Datetime("us", "UTC")),
    "uuid": ("uuid", pl.String()),
    **dict.fromkeys(
        ("binary", "varbinary", "tinyblob", "blob", "mediumblob", "longblob"),
        ("binary", pl.Binary()),
    ),
}
_GEOMETRY = re.compile("geometry|point|linestring|polygon|multi|geomcollection")

# A CHAR comes without the blanks that fill it up, whatever the server's setting.
_SQL_MODE = "REPLACE(@@SESSION.sql_mode, 'PAD_CHAR_TO_FULL_LENGTH', '')"

_COLUMNS = """
SELECT column_name, data_type, column_type, is_nullable = 'YES'
FROM information_schema.columns
WHERE table_schema = COALESCE(%s, DATABASE()) AND table_name = %s ORDER BY ordinal_position
"""
_KEY = """
SELECT column_name FROM information_schema.key_column_usage
WHERE table_schema = COALESCE(%s, DATABASE()) AND table_name = %s AND constraint_name = 'PRIMARY'
ORDER BY ordinal_position
"""
_UNIQUE = """
SELECT index_name, column_name FROM information_schema.statistics s
WHERE table_schema = COALESCE(%s, DATABASE()) AND table_name = %s AND non_unique = 0
  AND index_name <> 'PRIMARY' AND NOT EXISTS (
    SELECT 1 FROM information_schema.statistics p
    WHERE p.table_schema = s.table_schema AND p.table_name = s.table_name
      AND p.index_name = s.index_name AND (p.sub_part IS NOT NULL OR p.column_name IS NULL))
ORDER BY index_name, seq_in_index
"""
# MariaDB puts the end of a row's time into each key of a table that it keeps the history of. Only
# rows that are there now are read, and these have one end.
_ROW_END = """
SELECT column_name FROM information_schema.columns
WHERE table_schema = COALESCE(%s, DATABASE()) AND table_name = %s
  AND generation_expression = 'ROW END'
"""
_HIDDEN_ROW_END = "row_end"
_NAMES = "SELECT table_name FROM information_schema.tables WHERE table_schema = DATABASE()"


def mariadb_dialect(timeout_ms: int) -> Dialect:
    """Return what `ServerDatabase` needs for MariaDB or MySQL; statements end after `timeout_ms`.

    MySQL ends only SELECTs, which are all there is here.
    """
    seconds = timeout_ms / 1000

    def set_up(connection: Any) -> None:
        mariadb = "mariadb" in connection.server_version.lower()
        limit = (
            f"max_statement_time = {seconds}" if mariadb else f"max_execution_time = {timeout_ms}"
        )
        with connection.cursor() as cursor:
            cursor.execute("SET SESSION TRANSACTION READ ONLY")
            cursor.execute(f"SET SESSION {limit}, time_zone = '+00:00', sql_mode = {_SQL_MODE}")

    return Dialect(
        engine={
            "connect_args": {
                "connect_timeout": 10,
                # The server ends a slow statement first; this is for a host that went silent.
                "read_timeout": seconds + 10,
                "write_timeout": seconds + 10,
                "charset": "utf8mb4",
                "conv": _conversions(),
            }
        },
        begin="",
        set_up=set_up,
        row_values=False,
        text="CHAR",
        nul_in_text=True,
        bind=lambda value: value,
        literal=_literal,
        describe=_describe,
        unique=_unique,
        names=_NAMES,
        hidden=lambda run, schema, table: None,
        failure=mariadb_failure,
        pages=StreamedPages(_scalar),
        written=written,
    )


def _conversions() -> dict[Any, Any]:
    from pymysql.constants import FIELD_TYPE
    from pymysql.converters import encoders

    integers = ("TINY", "SHORT", "INT24", "LONG", "LONGLONG", "YEAR")
    numbers = {getattr(FIELD_TYPE, name): int for name in integers}
    return {**encoders, **numbers, FIELD_TYPE.FLOAT: float, FIELD_TYPE.DOUBLE: float}


def _scalar(column: SourceColumn, value: Any) -> Scalar:
    match column.column.kind:
        case "integer" | "boolean":
            return int(value)
        case "number":
            return value if isinstance(value, float) else Decimal(value)
        case _:
            return value if isinstance(value, bytes) else str(value)


def _literal(column: SourceColumn) -> str:
    # The server makes a decimal of whole numbers without a sign and one that has a sign.
    is_whole = column.column.kind in ("integer", "boolean")
    return "CAST(%s AS UNSIGNED)" if is_whole and column.lowest == 0 else "%s"


def _describe(
    run: Run, quote: Callable[[str], str], schema: str | None, table: str
) -> tuple[str, tuple[SourceColumn, ...], tuple[str, ...], tuple[tuple[str, ...], ...]] | None:
    rows = run(_COLUMNS, (schema, table))
    if not rows:
        return None
    columns = tuple(_column(quote(row[0]), *row) for row in rows)
    ends = {name for (name,) in run(_ROW_END, (schema, table))}
    ends |= {_HIDDEN_ROW_END} - {row[0] for row in rows}
    key = tuple(name for (name,) in run(_KEY, (schema, table)) if name not in ends)
    unique = () if key else never_null(_unique(run, schema, table), columns)
    return ".".join(quote(part) for part in (schema, table) if part), columns, key, unique


def _unique(run: Run, schema: str | None, table: str) -> tuple[tuple[str, ...], ...]:
    ends = run(_ROW_END, (schema, table))
    found = run(_UNIQUE, (schema, table))
    return unique_keys((index, name) for index, name in found if (name,) not in ends)


_PADDED = re.compile(r"decimal\((\d+),(\d+)\) .*zerofill")


def _shown_width(digits: str, scale: str) -> int:
    """Return the length of the text: a point, and a zero before it where there is no other."""
    return int(digits) + (scale != "0") + (digits == scale)


_DATED = frozenset({"date", "datetime", "timestamp"})


def _column(
    quoted: str, name: str, data_type: str, column_type: str, nullable: object
) -> SourceColumn:
    kind, dtype = _TYPES.get(data_type, ("other", pl.String()))
    expression = order = quoted
    bits = _BITS.get(data_type, 64)
    lowest, highest = -(2 ** (bits - 1)), 2 ** (bits - 1) - 1
    if "unsigned" in column_type or data_type == "year":
        lowest, highest = 0, 2**bits - 1
        if data_type == "bigint":
            dtype = pl.UInt64()
    match data_type:
        # Meant as a boolean, but the database has none: it holds any number that a byte can.
        case "tinyint" if column_type == "tinyint(1)":
            kind = "boolean"
        case "bit":
            lowest, highest, expression = 0, 2**64 - 1, f"CAST({quoted} AS UNSIGNED)"
            if column_type == "bit(1)":
                kind, dtype = "boolean", pl.Boolean()
        # The server fills it up with zeros in the table itself, and not where it is computed with.
        case "decimal" if (padded := _PADDED.match(column_type)) is not None:
            expression = f"LPAD({quoted}, {_shown_width(*padded.groups())}, '0')"
        # A FLOAT is shown with six digits unless it is made a DOUBLE.
        case "float":
            expression = f"{quoted} + 0e0"
        # Sorted by position but compared by text, unless both are made text.
        case "enum" | "set":
            order = f"CAST({quoted} AS CHAR)"
        case _ if kind == "other":
            geometry = _GEOMETRY.match(data_type)
            expression = f"ST_AsText({quoted})" if geometry else f"CAST({quoted} AS CHAR)"
    return SourceColumn(
        Column(name, kind, bool(nullable), column_type, highest if bits < 64 else None),
        quoted,
        expression,
        order,
        dtype,
        lowest,
        highest,
        # The zero date, which a column has that is NOT NULL and was not set. A server that refuses
        # it as a literal compares with the number.
        unset="0" if data_type in _DATED else None,
    )
