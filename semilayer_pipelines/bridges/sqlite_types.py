"""SQLite's types: what a declared column holds, and how Arrow columns become frame columns.

SQLite types values, not columns. A column declared as integers, booleans, numbers or bytes may hold
anything else as well: such a value stands as text in a column of its own, see `unfit`. Columns
declared as dates, times, JSON or something unknown arrive as text always. The text of an integer is
its digits, that of a real its shortest decimal form, that of a blob its hexadecimal digits.
"""

from __future__ import annotations

import polars as pl
import pyarrow as pa

from semilayer_pipelines.bridges.cursors import Scalar
from semilayer_pipelines.bridges.database import SourceColumn
from semilayer_pipelines.bridges.protocol import Column, ColumnKind

__all__ = ["as_text", "declared_kind", "fitted", "revived", "source_column", "split", "typed"]

_EXACT_IN_FLOAT = 2**53
_DTYPES: dict[ColumnKind, pl.DataType] = {
    "integer": pl.Int64(),
    "number": pl.Float64(),
    # There are no booleans: TRUE is stored as 1.
    "boolean": pl.Int64(),
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
    """Return the expression for a value as text, whatever it is."""
    return (
        f"CASE typeof({quoted}) WHEN 'real' THEN {_shortest(quoted)} "
        f"WHEN 'blob' THEN lower(hex({quoted})) ELSE CAST({quoted} AS TEXT) END"
    )


def _shortest(quoted: str) -> str:
    """Return the expression for the fewest digits that are still the same real; 17 always are."""
    tries = " ".join(
        f"WHEN CAST(printf('%!.{digits}g', {quoted}) AS REAL) = {quoted} "
        f"THEN printf('%!.{digits}g', {quoted})"
        for digits in (15, 16)
    )
    # A whole number is written without a fraction, as it is where the column is one of numbers.
    return (
        f"CASE WHEN abs({quoted}) < 1e15 AND {quoted} = CAST({quoted} AS INTEGER) "
        f"THEN CAST(CAST({quoted} AS INTEGER) AS TEXT) "
        f"{tries} ELSE printf('%!.17g', {quoted}) END"
    )


def source_column(name: str, quoted: str, declared: str, *, nullable: bool) -> SourceColumn:
    """Return how a column is read, from its declared type."""
    kind = declared_kind(declared)
    dtype = _DTYPES.get(kind, pl.String())
    # CHAR, CLOB and TEXT turn numbers into texts when they are stored; nothing else does.
    only_texts = any(word in declared.upper() for word in ("CHAR", "CLOB", "TEXT"))
    textual = isinstance(dtype, pl.String) and not only_texts
    expression = as_text(quoted) if textual else quoted
    return SourceColumn(Column(name, kind, nullable, declared), quoted, expression, quoted, dtype)


def split(column: SourceColumn) -> tuple[str, str]:
    """Return the expressions for the values that fit a column's type, and for the others as text.

    Each is NULL where the other is not.
    """
    name = column.quoted
    fits = _fits(column)
    return (
        f"CASE WHEN {fits} THEN {name} END",
        f"CASE WHEN {fits} THEN NULL ELSE {as_text(name)} END",
    )


def _fits(column: SourceColumn) -> str:
    kind = f"typeof({column.quoted})"
    match column.dtype:
        case pl.Float64():
            whole = f"{column.quoted} BETWEEN {1 - _EXACT_IN_FLOAT} AND {_EXACT_IN_FLOAT - 1}"
            return f"({kind} = 'real' OR {kind} = 'integer' AND {whole})"
        case pl.Binary():
            return f"{kind} = 'blob'"
        case _:
            return f"{kind} = 'integer'"


def fitted(column: SourceColumn, values: pa.ChunkedArray) -> pl.Series | None:
    """Return a column as its dtype, or `None` when some value may not fit.

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
        case (pl.Float64(), (pl.Float64() | pl.Int64())):
            fits = _only_reals(column.column.database_type) or _exact(series)
        case _:
            fits = dtype == series.dtype
    return series.cast(dtype) if fits else None


def typed(name: str, dtype: pl.DataType, values: pa.ChunkedArray) -> pl.Series:
    """Return one half of a `split` column, all of whose values fit."""
    if values.null_count == len(values):
        return pl.Series(name, [None] * len(values), dtype=dtype)
    return _series(name, values).cast(dtype)


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
