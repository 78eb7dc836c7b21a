"""SQLite's types: what a declared column holds, and how Arrow columns become frame columns.

SQLite types values, not columns. A column declared as integers, numbers, booleans or texts whose
page holds anything else arrives as text for that page (integers and texts as they are, reals with
17 digits, blobs as hexadecimal digits); so do all columns declared as dates, times, JSON or
something unknown, always. Nothing is lost and no page is killed; the mapping sets bad rows aside.
"""

from __future__ import annotations

import polars as pl
import pyarrow as pa

from semilayer_pipelines.bridges.cursors import Scalar
from semilayer_pipelines.bridges.database import SourceColumn
from semilayer_pipelines.bridges.protocol import Column, ColumnKind

__all__ = ["as_text", "declared_kind", "fitted", "revived", "source_column"]

_EXACT_IN_FLOAT = 2**53
_DTYPES: dict[ColumnKind, pl.DataType] = {
    "integer": pl.Int64(),
    "number": pl.Float64(),
    "boolean": pl.Boolean(),
    "binary": pl.Binary(),
}


def declared_kind(declared: str) -> ColumnKind:
    """Return the kind of a declared type; close to SQLite's own affinity rules."""
    upper = declared.upper()
    # In this order: `DATETIME` holds `DATE`, `POINT` holds `INT` for SQLite too.
    for words, kind in _KINDS:
        if any(word in upper for word in words):
            return kind
    return "other"


_KINDS: tuple[tuple[tuple[str, ...], ColumnKind], ...] = (
    (("BOOL",), "boolean"),
    (("INT",), "integer"),
    (("CHAR", "CLOB", "TEXT", "UUID"), "text"),
    (("JSON",), "json"),
    (("DATETIME", "TIMESTAMP"), "datetime"),
    (("DATE",), "date"),
    (("REAL", "FLOA", "DOUB", "NUM", "DEC"), "number"),
    (("BLOB", "BINARY"), "binary"),
)


def as_text(quoted: str) -> str:
    """Return the expression for a value as text, whatever it is; the digits of a real are exact."""
    return (
        f"CASE typeof({quoted}) WHEN 'real' THEN printf('%!.17g', {quoted}) "
        f"WHEN 'blob' THEN lower(hex({quoted})) ELSE CAST({quoted} AS TEXT) END"
    )


def source_column(name: str, quoted: str, declared: str, *, nullable: bool) -> SourceColumn:
    """Return how a column is read, from its declared type."""
    kind = declared_kind(declared)
    dtype = _DTYPES.get(kind, pl.String())
    expression = quoted
    # CHAR, CLOB and TEXT turn numbers into texts when they are stored; nothing else does.
    holds_texts_only = any(word in declared.upper() for word in ("CHAR", "CLOB", "TEXT"))
    if kind == "binary":
        # The driver would cut a real among blobs to seven digits.
        exact = f"printf('%!.17g', {quoted})"
        expression = f"CASE typeof({quoted}) WHEN 'real' THEN {exact} ELSE {quoted} END"
    elif isinstance(dtype, pl.String) and not holds_texts_only:
        expression = as_text(quoted)
    return SourceColumn(Column(name, kind, nullable, declared), quoted, expression, quoted, dtype)


def fitted(column: SourceColumn, values: pa.ChunkedArray) -> pl.Series | None:
    """Return a column as its dtype, or `None` when some value does not fit.

    The driver gives int64 to a column without values and to one of integers, double when integers
    and reals are mixed, and string or binary when texts or blobs are.
    """
    name, dtype = column.column.name, column.dtype
    if values.null_count == len(values):
        return pl.Series(name, [None] * len(values), dtype=dtype)
    series = _series(name, values)
    match dtype, series.dtype:
        case (pl.String(), (pl.String() | pl.Int64())):
            fits = True
        case (pl.Boolean(), pl.Int64()):
            fits = bool(series.is_in([0, 1]).all())
        case (pl.Float64(), (pl.Float64() | pl.Int64())):
            fits = _only_reals(column.column.database_type) or _exact(series)
        case _:
            fits = dtype == series.dtype
    return series.cast(dtype) if fits else None


def _only_reals(declared: str) -> bool:
    return any(word in declared.upper() for word in ("REAL", "FLOA", "DOUB"))


def _exact(numbers: pl.Series) -> bool:
    # A NUMERIC column keeps integers among its reals; beyond 2^53 the driver's double lost digits.
    return bool(numbers.is_between(-_EXACT_IN_FLOAT, _EXACT_IN_FLOAT, closed="none").all())


def _series(name: str, values: pa.ChunkedArray) -> pl.Series:
    if pa.types.is_string(values.type) or pa.types.is_large_string(values.type):
        try:
            # Polars trusts Arrow's texts to be UTF-8; SQLite stores whatever it was given.
            values.validate(full=True)
        except pa.ArrowInvalid:
            raw = values.cast(pa.binary()).to_pylist()
            texts = [None if v is None else v.decode("utf-8", "backslashreplace") for v in raw]
            return pl.Series(name, texts, dtype=pl.String)
    return pl.Series(name, pl.from_arrow(values))


def revived(kind: str, text: str) -> Scalar:
    """Return the value that has SQLite's type `kind` and was written by `as_text`."""
    match kind:
        case "integer":
            return int(text)
        case "real":
            return float(text)
        case "blob":
            return bytes.fromhex(text)
        case _:
            return text
